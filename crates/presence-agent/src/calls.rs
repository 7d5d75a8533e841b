//! Calls to feature codes: answered, acknowledged, and hung up by us (RFC 3261 sections 13.3.1.4 and 15).
//!
//! A call has done its work before it is answered. What is kept here only ends it politely, so it is not replicated: when
//! the node dies meanwhile the caller hangs up himself, and any node says 200 to that. A 200 that is lost is sent again
//! when the phone repeats its INVITE, which it does because no provisional answer ever stops it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use bytes::Bytes;
use sip::transaction::{ClientOutput, ClientTransactions, TRANSACTION_LIFETIME};
use sip::{Addressing, DialogId, Instant, Message, RequestWriter, Uri, route_set};

pub(crate) struct Calls {
    capacity: usize,
    held: BTreeMap<DialogId, Call>,
    /// A caller who never acknowledges is hung up on all the same.
    ends: BTreeSet<(Instant, DialogId)>,
    byes: ClientTransactions<SocketAddr>,
}

#[derive(Debug)]
struct Call {
    addressing: Addressing,
    local_party: String,
    remote_party: String,
    reliable: bool,
    ends_at: Instant,
}

/// A request for the dispatcher at `next_hop`.
#[derive(Debug, PartialEq)]
pub(crate) struct Send {
    pub next_hop: SocketAddr,
    pub bytes: Bytes,
}

impl Calls {
    pub fn new(capacity: usize) -> Calls {
        Calls {
            capacity,
            held: BTreeMap::new(),
            ends: BTreeSet::new(),
            byes: ClientTransactions::new(capacity),
        }
    }

    pub fn is_full(&self) -> bool {
        self.held.len() >= self.capacity
    }

    /// The INVITE was answered 200 with `local_tag`. `reliable` is the phone's own hop.
    pub fn answered(&mut self, invite: &Message, local_tag: &str, reliable: bool, now: Instant) {
        let (Ok(from), Ok(to), Ok(Some(contact))) = (invite.from(), invite.to(), invite.contact()) else {
            return;
        };
        let id = DialogId {
            call_id: invite.call_id().to_owned(),
            local_tag: local_tag.to_owned(),
            remote_tag: from.tag().unwrap_or_default().to_owned(),
        };
        let call = Call {
            addressing: Addressing::new(contact.uri, &route_set(invite)),
            local_party: to.uri.to_owned(),
            remote_party: from.uri.to_owned(),
            reliable,
            ends_at: now + TRANSACTION_LIFETIME,
        };
        // A repeat that came when its transaction was forgotten is the same call.
        self.remove(&id);
        self.ends.insert((call.ends_at, id.clone()));
        self.held.insert(id, call);
    }

    /// The BYE that follows the ACK of a call of ours.
    pub fn acknowledged(&mut self, ack: &Message, via: &Via<'_>, now: Instant) -> Option<Send> {
        let id = DialogId::of_request(ack).ok()??;
        self.hang_up(&id, via, now)
    }

    /// The caller hung up first.
    pub fn ended(&mut self, bye: &Message) {
        if let Ok(Some(id)) = DialogId::of_request(bye) {
            self.remove(&id);
        }
    }

    pub fn receive(&mut self, response: &Message, now: Instant) {
        self.byes.receive(response, now);
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let ends = self.ends.first().map(|(at, _)| *at);
        ends.into_iter().chain(self.byes.poll_timeout()).min()
    }

    /// What is to be sent again.
    pub fn repeats(&mut self, now: Instant) -> Vec<Send> {
        self.byes.handle_timeout(now);
        let mut sends = Vec::new();
        while let Some(output) = self.byes.poll_output() {
            if let ClientOutput::Retransmit(bytes, next_hop) = output {
                sends.push(Send { next_hop: *next_hop, bytes });
            }
        }
        sends
    }

    /// Whether a call was not acknowledged in time; then [`Calls::give_up`].
    pub fn is_overdue(&self, now: Instant) -> bool {
        self.ends.first().is_some_and(|(at, _)| *at <= now)
    }

    /// The BYE of the call that has waited longest for its ACK.
    pub fn give_up(&mut self, via: &Via<'_>, now: Instant) -> Option<Send> {
        let (_, id) = self.ends.pop_first()?;
        self.hang_up(&id, via, now)
    }

    fn hang_up(&mut self, id: &DialogId, via: &Via<'_>, now: Instant) -> Option<Send> {
        let call = self.remove(id)?;
        let next_hop = Uri::parse(call.addressing.next_hop()).ok()?.socket_addr()?;
        let bytes = call.bye(id, via);
        self.byes.start(via.branch.into(), bytes.clone(), call.reliable, next_hop, now).ok()?;
        Some(Send { next_hop, bytes })
    }

    fn remove(&mut self, id: &DialogId) -> Option<Call> {
        let call = self.held.remove(id)?;
        self.ends.remove(&(call.ends_at, id.clone()));
        Some(call)
    }
}

/// How this manager names itself in a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Via<'a> {
    pub sent_by: &'a str,
    pub branch: &'a str,
}

impl Call {
    fn bye(&self, id: &DialogId, via: &Via<'_>) -> Bytes {
        let mut request = RequestWriter::new("BYE", &self.addressing.request_uri)
            .header("Via", format_args!("SIP/2.0/TCP {};branch={}", via.sent_by, via.branch))
            .header("Max-Forwards", 70);
        for route in &self.addressing.routes {
            request = request.header("Route", route);
        }
        let remote_tag = match id.remote_tag.as_str() {
            "" => String::new(),
            tag => format!(";tag={tag}"),
        };
        request
            .header("From", format_args!("<{}>;tag={}", self.local_party, id.local_tag))
            .header("To", format_args!("<{}>{remote_tag}", self.remote_party))
            .header("Call-ID", &id.call_id)
            .header("CSeq", "1 BYE")
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use sip::Limits;
    use sip::transaction::TRANSACTION_LIFETIME;

    use super::*;

    const START: Instant = Instant(1_000);
    const VIA: Via<'_> = Via { sent_by: "10.0.0.11:7070", branch: "z9hG4bK1-1" };

    fn message(method: &str, to: &str, cseq: &str) -> Message {
        let text = format!(
            "{method} sip:*485@lab.test SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.1:7060;branch=z9hG4bKa\r\n\
             Record-Route: <sip:token@10.0.0.1:7060;transport=tcp;lr>, <sip:192.0.2.1:5060;lr>\r\n\
             From: <sip:alice@lab.test>;tag=a\r\nTo: <sip:*485@lab.test>{to}\r\nCall-ID: call-1\r\nCSeq: {cseq}\r\n\
             Contact: <sip:alice@192.0.2.9:5062>\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(text.into(), &Limits::default()).unwrap()
    }

    fn answered() -> Calls {
        let mut calls = Calls::new(8);
        calls.answered(&message("INVITE", "", "1 INVITE"), "ours", false, START);
        calls
    }

    fn ack() -> Message {
        message("ACK", ";tag=ours", "1 ACK")
    }

    #[test]
    fn the_ack_is_followed_by_a_bye_the_way_the_call_came() {
        let send = answered().acknowledged(&ack(), &VIA, START).unwrap();

        assert_eq!(send.next_hop, "10.0.0.1:7060".parse().unwrap());
        let bye = Message::parse(send.bytes.clone(), &Limits::default()).unwrap();
        assert_eq!(bye.check(), Ok(()));
        let text = String::from_utf8(send.bytes.to_vec()).unwrap();
        assert!(text.starts_with("BYE sip:alice@192.0.2.9:5062 SIP/2.0\r\n"), "{text}");
        assert!(text.contains(
            "Route: <sip:token@10.0.0.1:7060;transport=tcp;lr>\r\nRoute: <sip:192.0.2.1:5060;lr>\r\n"
        ));
        assert!(text.contains("From: <sip:*485@lab.test>;tag=ours\r\nTo: <sip:alice@lab.test>;tag=a\r\n"));
    }

    #[test]
    fn a_call_is_hung_up_once() {
        let mut calls = answered();

        assert!(calls.acknowledged(&ack(), &VIA, START).is_some());
        assert_eq!(calls.acknowledged(&ack(), &VIA, START), None);
    }

    #[test]
    fn the_ack_of_another_call_ends_nothing() {
        let mut calls = answered();

        assert_eq!(calls.acknowledged(&message("ACK", ";tag=other", "1 ACK"), &VIA, START), None);
        assert_eq!(calls.acknowledged(&message("ACK", "", "1 ACK"), &VIA, START), None);
    }

    #[test]
    fn a_caller_who_never_acknowledges_is_hung_up_on() {
        let mut calls = answered();
        let due = calls.poll_timeout().unwrap();

        assert_eq!((calls.is_overdue(Instant(due.0 - 1)), calls.is_overdue(due)), (false, true));
        assert!(calls.give_up(&VIA, due).is_some());
        assert!(!calls.is_overdue(due));
    }

    #[test]
    fn a_call_that_is_answered_twice_is_one_call() {
        let mut calls = answered();
        calls.answered(&message("INVITE", "", "1 INVITE"), "ours", false, START + TRANSACTION_LIFETIME / 2);

        let later = START + 2 * TRANSACTION_LIFETIME;
        let byes = std::iter::from_fn(|| calls.is_overdue(later).then(|| calls.give_up(&VIA, later)));

        assert_eq!(byes.take(10).filter(Option::is_some).count(), 1);
    }

    #[test]
    fn a_bye_is_repeated_until_it_is_answered() {
        let mut calls = answered();
        let sent = calls.acknowledged(&ack(), &VIA, START).unwrap();

        let again = calls.repeats(calls.poll_timeout().unwrap());
        let answer =
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 10.0.0.11:7070;branch=z9hG4bK1-1\r\nCSeq: 1 BYE\r\n\r\n";
        calls.receive(&Message::parse(answer.into(), &Limits::default()).unwrap(), START);

        assert_eq!((again, calls.repeats(START + TRANSACTION_LIFETIME)), (vec![sent], vec![]));
    }

    #[test]
    fn a_caller_who_hangs_up_first_hears_no_bye() {
        let mut calls = answered();

        calls.ended(&message("BYE", ";tag=ours", "2 BYE"));

        assert_eq!((calls.acknowledged(&ack(), &VIA, START), calls.poll_timeout()), (None, None));
    }
}
