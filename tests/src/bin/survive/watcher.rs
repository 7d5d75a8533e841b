//! One watcher's phone: a dialog that lives as long as the trial, and the newest state that it was told (RFC 6665).

use bytes::Bytes;
use sip::header::State;
use sip::{Addressing, Instant, Message, Name};

use crate::publisher::state_in;
use crate::report::Tally;
use crate::request::{Identity, Via};

pub struct Watcher {
    /// The place of whom it watches among the publishers.
    pub whom: usize,
    uri: String,
    identity: Identity,
    dialog: Option<Dialog>,
    /// The NOTIFY that was accepted last.
    last: Option<Last>,
    /// The newest state that it holds.
    pub seen: u64,
    due: Option<Instant>,
    asking: bool,
    /// The server says that it knows the dialog no more.
    pub lost: bool,
}

struct Dialog {
    routes: Vec<String>,
    target: String,
}

struct Last {
    cseq: u32,
    branch: String,
}

/// What a NOTIFY is to its watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notified {
    Accepted,
    /// Accepted before: the answer to it was lost.
    Repeat,
    /// Its CSeq is not above the one accepted last (RFC 3261 12.2.2).
    Stale,
    /// It belongs to no dialog of this phone.
    Stranger,
}

impl Notified {
    pub fn status(self) -> u16 {
        match self {
            Notified::Accepted | Notified::Repeat => 200,
            Notified::Stale => 500,
            Notified::Stranger => 481,
        }
    }
}

impl Watcher {
    pub fn new(name: &str, domain: &str, salt: &str, whom: usize, uri: &str) -> Watcher {
        let identity = Identity {
            from: format!("sip:{name}@{domain}"),
            from_tag: format!("t{name}"),
            to: format!("<{uri}>"),
            call_id: format!("{name}-{salt}"),
            cseq: 0,
        };
        Watcher {
            whom,
            uri: uri.to_owned(),
            identity,
            dialog: None,
            last: None,
            seen: 0,
            due: None,
            asking: false,
            lost: false,
        }
    }

    pub fn call_id(&self) -> &str {
        &self.identity.call_id
    }

    /// A SUBSCRIBE is to be sent then: the first of the dialog, or a refresh.
    pub fn plan(&mut self, due: Instant) {
        self.due = Some(due);
    }

    pub fn is_quiet(&self) -> bool {
        !self.asking && self.due.is_none()
    }

    pub fn is_due(&self, now: Instant) -> bool {
        !self.asking && self.due.is_some_and(|due| due <= now)
    }

    pub fn request(&mut self, via: &Via) -> Bytes {
        (self.asking, self.due) = (true, None);
        let addressing = match &self.dialog {
            Some(dialog) => Addressing::new(&dialog.target, &dialog.routes),
            None => Addressing::new(&self.uri, &[]),
        };
        let mut request = self.identity.next("SUBSCRIBE", &addressing.request_uri, via);
        for route in &addressing.routes {
            request = request.header(Name::Route, route);
        }
        request.header(Name::Contact, format_args!("<sip:{}>", via.me)).finish()
    }

    /// The final answer, or `None` if none came in 64*T1.
    pub fn answered(&mut self, answer: Option<&Message>, now: Instant, tally: &mut Tally) {
        self.asking = false;
        match (answer.and_then(Message::status), answer) {
            (Some(200), Some(answer)) => {
                tally.subscribed += 1;
                self.keep_dialog(answer);
            }
            (Some(481), _) => {
                tally.setback("SUBSCRIBE", answer);
                self.lost = true;
            }
            _ => self.due = Some(now + tally.setback("SUBSCRIBE", answer)),
        }
    }

    fn keep_dialog(&mut self, answer: &Message) {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        self.identity.to = answer.header(Name::To).map(text).unwrap_or_default();
        // The route set is fixed by the first answer (RFC 3261 12.1.2); the target may move.
        let mut routes: Vec<_> = answer.values(Name::RecordRoute).map(text).collect();
        routes.reverse();
        let target = answer.contact().ok().flatten().map(|contact| contact.uri.to_owned());
        let dialog = self.dialog.get_or_insert(Dialog { routes, target: self.uri.clone() });
        dialog.target = target.unwrap_or_else(|| dialog.target.clone());
    }

    pub fn notified(&mut self, notify: &Message) -> Notified {
        let branch = notify.via().ok().and_then(|via| via.branch).unwrap_or_default();
        let (Ok(cseq), Ok(from), Ok(to)) = (notify.cseq(), notify.from(), notify.to()) else {
            return Notified::Stranger;
        };
        let ours = self.dialog.is_none()
            || self.identity.to.ends_with(&format!(";tag={}", from.tag().unwrap_or("")));
        if !ours || to.tag() != Some(&self.identity.from_tag) {
            return Notified::Stranger;
        }
        match &self.last {
            Some(last) if last.cseq == cseq.number && last.branch == branch => return Notified::Repeat,
            Some(last) if last.cseq >= cseq.number => return Notified::Stale,
            _ => self.last = Some(Last { cseq: cseq.number, branch: branch.to_owned() }),
        }
        let state = notify.subscription_state().ok().flatten();
        self.lost |= state.is_none_or(|state| state.state == State::Terminated);
        Notified::Accepted
    }

    /// Takes what an accepted NOTIFY says; false if it is older than what was said before.
    pub fn learn(&mut self, notify: &Message) -> bool {
        let (before, state) = (self.seen, state_in(&notify.body()));
        self.seen = state;
        state >= before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watcher() -> Watcher {
        let mut watcher = Watcher::new("w", "vedette.test", "1", 0, "sip:p@vedette.test");
        let answer = "SIP/2.0 200 OK\r\nRecord-Route: <sip:inner;lr>, <sip:outer;lr>\r\nTo: <sip:p@vedette.test>;tag=p\r\n\
                      Contact: <sip:server>\r\nCSeq: 1 SUBSCRIBE\r\n\r\n";
        watcher.answered(Some(&parse(answer.to_owned())), Instant(0), &mut Tally::default());
        watcher
    }

    fn notify(cseq: u32, branch: &str, from_tag: &str, state: u64) -> Message {
        parse(format!(
            "NOTIFY sip:w SIP/2.0\r\nVia: SIP/2.0/UDP s;branch={branch}\r\nFrom: <sip:p@vedette.test>;tag={from_tag}\r\n\
             To: <sip:w@vedette.test>;tag=tw\r\nCSeq: {cseq} NOTIFY\r\nSubscription-State: active;expires=9\r\n\r\n\
             <note>state-{state}</note>"
        ))
    }

    fn parse(text: String) -> Message {
        Message::parse(text.into(), &sip::Limits::default()).unwrap()
    }

    #[test]
    fn a_notify_below_the_last_one_is_refused_and_a_repeat_gets_its_answer_again() {
        let mut watcher = watcher();

        assert_eq!(watcher.notified(&notify(4097, "a", "p", 1)), Notified::Accepted);
        assert_eq!(watcher.notified(&notify(4097, "a", "p", 1)), Notified::Repeat);
        assert_eq!(watcher.notified(&notify(4097, "b", "p", 1)), Notified::Stale);
        assert_eq!(watcher.notified(&notify(4096, "c", "p", 1)), Notified::Stale);
        assert_eq!(watcher.notified(&notify(8193, "d", "p", 1)), Notified::Accepted);
        assert_eq!(watcher.notified(&notify(8194, "e", "q", 1)), Notified::Stranger);
    }

    #[test]
    fn a_document_older_than_the_one_before_is_noticed() {
        let mut watcher = watcher();

        assert!(watcher.learn(&notify(1, "a", "p", 7)) && watcher.learn(&notify(2, "b", "p", 7)));
        assert!(!watcher.learn(&notify(3, "c", "p", 6)));
    }

    #[test]
    fn a_refresh_goes_the_recorded_way_backwards() {
        let me = "127.0.0.1:5062".parse().unwrap();

        let refresh = watcher().request(&Via { transport: "UDP", me, branch: "z9hG4bK1".into() });

        let refresh = parse(String::from_utf8(refresh.to_vec()).unwrap());
        let routes: Vec<_> = refresh.values(Name::Route).collect();
        assert_eq!(routes, [&b"<sip:outer;lr>"[..], b"<sip:inner;lr>"]);
        assert_eq!((refresh.request_uri(), refresh.to().unwrap().tag()), ("sip:server", Some("p")));
    }
}
