//! One presentity's phone: a chain of PUBLISHes, each quoting the entity-tag that the one before was given (RFC 3903).

use bytes::Bytes;
use sip::{Instant, Message, Name};

use crate::report::Tally;
use crate::request::{Identity, Via};

pub struct Publisher {
    pub uri: String,
    identity: Identity,
    /// The entity-tag of the last 200.
    pub tag: Option<String>,
    /// The number of the newest state that was sent, and of the newest that was answered 200.
    pub sent: u64,
    pub said: u64,
    /// When the next PUBLISH is to be sent.
    due: Option<Instant>,
    asking: bool,
    /// The newest state was refused for now, or nobody answered.
    retrying: bool,
    /// Nobody answered a PUBLISH that quoted `tag`, so it may have been replaced.
    unsure: bool,
}

impl Publisher {
    pub fn new(name: &str, domain: &str, salt: &str) -> Publisher {
        let uri = format!("sip:{name}@{domain}");
        let identity = Identity {
            from: uri.clone(),
            from_tag: format!("t{name}"),
            to: format!("<{uri}>"),
            call_id: format!("{name}-{salt}"),
            cseq: 0,
        };
        Publisher {
            uri,
            identity,
            tag: None,
            sent: 0,
            said: 0,
            due: None,
            asking: false,
            retrying: false,
            unsure: false,
        }
    }

    /// A new state is to be published then, if none is on its way.
    pub fn plan(&mut self, due: Instant) {
        if !self.retrying {
            self.due = Some(due);
        }
    }

    /// No new state, but what is on its way is brought to its end.
    pub fn hold(&mut self) {
        if !self.retrying {
            self.due = None;
        }
    }

    pub fn is_quiet(&self) -> bool {
        !self.asking && self.due.is_none()
    }

    pub fn is_due(&self, now: Instant) -> bool {
        !self.asking && self.due.is_some_and(|due| due <= now)
    }

    pub fn request(&mut self, via: &Via) -> Bytes {
        if !std::mem::take(&mut self.retrying) {
            self.sent += 1;
        }
        (self.asking, self.due) = (true, None);
        let mut request = self.identity.next("PUBLISH", &self.uri, via);
        if let Some(tag) = &self.tag {
            request = request.header(Name::SipIfMatch, tag);
        }
        let document = format!(
            "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{}\"><tuple id=\"t1\">\
             <status><basic>open</basic></status><note>state-{}</note></tuple></presence>",
            self.uri, self.sent,
        );
        request.body("application/pidf+xml", document.as_bytes()).finish()
    }

    /// The final answer, or `None` if none came in 64*T1.
    pub fn answered(&mut self, answer: Option<&Message>, now: Instant, tally: &mut Tally) {
        self.asking = false;
        let status = answer.and_then(Message::status).unwrap_or_default();
        if let (200, Some(answer)) = (status, answer) {
            tally.published += 1;
            self.tag = answer.text(Name::SipEtag).map(str::to_owned);
            self.said = self.sent;
            self.unsure = false;
            return;
        }
        self.retrying = true;
        self.due = Some(now + tally.setback("PUBLISH", answer));
        match status {
            0 => self.unsure = true,
            412 => {
                if !std::mem::take(&mut self.unsure) {
                    tally.lost_tags += 1;
                }
                self.tag = None;
                self.due = Some(now);
            }
            _ => {}
        }
    }
}

/// The number of the newest state in a document; 0 if there is none.
pub fn state_in(document: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(document);
    let numbers = text.split("state-").skip(1).map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    });
    numbers.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via() -> Via {
        Via { transport: "UDP", me: "127.0.0.1:5062".parse().unwrap(), branch: "z9hG4bK1".into() }
    }

    fn parse(bytes: Bytes) -> Message {
        Message::parse(bytes, &sip::Limits::default()).unwrap()
    }

    fn answer(line: &str) -> Message {
        parse(Bytes::from(format!("SIP/2.0 {line}\r\n\r\n")))
    }

    fn publisher() -> Publisher {
        let mut publisher = Publisher::new("p", "vedette.test", "1");
        publisher.plan(Instant(0));
        publisher
    }

    #[test]
    fn each_publish_quotes_the_tag_of_the_one_before() {
        let (mut publisher, mut tally) = (publisher(), Tally::default());

        let first = parse(publisher.request(&via()));
        publisher.answered(Some(&answer("200 OK\r\nSIP-ETag: a")), Instant(0), &mut tally);
        let second = parse(publisher.request(&via()));

        assert_eq!((first.text(Name::SipIfMatch), second.text(Name::SipIfMatch)), (None, Some("a")));
        assert_eq!((state_in(&second.body()), publisher.said, tally.published), (2, 1, 1));
    }

    #[test]
    fn a_refusal_for_now_is_tried_again_with_the_same_state_when_it_was_told_to() {
        let (mut publisher, mut tally) = (publisher(), Tally::default());
        publisher.request(&via());

        publisher.answered(Some(&answer("503 Busy\r\nRetry-After: 2")), Instant(0), &mut tally);
        publisher.hold();

        assert!(!publisher.is_due(Instant(1_999)) && publisher.is_due(Instant(2_000)));
        assert_eq!(state_in(&parse(publisher.request(&via())).body()), 1);
    }

    #[test]
    fn a_tag_that_is_not_known_any_more_is_a_loss_unless_its_fate_was_open() {
        let (mut publisher, mut tally) = (publisher(), Tally::default());
        publisher.answered(None, Instant(0), &mut tally);

        publisher.answered(Some(&answer("412 Gone")), Instant(0), &mut tally);
        let open = tally.lost_tags;
        publisher.answered(Some(&answer("412 Gone")), Instant(0), &mut tally);

        assert_eq!((open, tally.lost_tags, tally.unanswered), (0, 1, 1));
    }
}
