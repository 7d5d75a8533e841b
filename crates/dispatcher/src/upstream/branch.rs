//! The branch of a request that passes between the phones' side and the upstream, either way.
//!
//! It is made of the sender's own branch (RFC 3261 16.11), so repeats get the same one, and a CANCEL and the ACK of a refusal
//! get that of their INVITE. It also holds, signed, where the answer belongs: any dispatcher that shares the listener takes
//! the answer back with nothing remembered, and nobody makes us send one to somebody else.

use std::hash::{DefaultHasher, Hash, Hasher};

use sip::{Flow, Message, Method, Name, Secret};

use crate::branch::Key;
use crate::names::{Leg, Names};

const COOKIE: &str = "z9hG4bK";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayBranch {
    pub key: Key,
    pub towards: Towards,
    /// Which of the next hops; each is a transaction of its own (RFC 3263 4.3).
    pub attempt: u8,
    /// Where the request came from, which is where its answer belongs.
    pub back: Leg,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towards {
    Upstream,
    Phone,
}

impl Towards {
    fn parse(letter: &str) -> Option<Towards> {
        match letter {
            "u" => Some(Towards::Upstream),
            "p" => Some(Towards::Phone),
            _ => None,
        }
    }
}

impl RelayBranch {
    pub fn text(&self, names: &Names, secret: &Secret) -> String {
        let back = Flow {
            transport: self.back.transport,
            listener: names.listener_address(self.back.listener),
            remote: self.back.remote,
            connection: self.back.connection,
        };
        let towards = if self.towards == Towards::Upstream { 'u' } else { 'p' };
        format!("{COOKIE}{:032x}.{towards}{:x}.{}", self.key.0, self.attempt, back.seal(secret))
    }

    /// `None` for a branch that is none of ours.
    pub fn open(branch: &str, names: &Names, secret: &Secret) -> Option<RelayBranch> {
        let (key, rest) = branch.strip_prefix(COOKIE)?.split_once('.')?;
        let (way, token) = rest.split_once('.')?;
        let towards = Towards::parse(way.get(..1)?)?;
        let back = Flow::open(token, secret)?;
        let listener = names.listener(back.listener)?;
        // Over a connection of our own to the upstream this need not be what the listener speaks.
        let (transport, remote, connection) = (back.transport, back.remote, back.connection);
        Some(RelayBranch {
            key: Key(u128::from_str_radix(key, 16).ok()?),
            towards,
            attempt: u8::from_str_radix(&way[1..], 16).ok()?,
            back: Leg { transport, listener, remote, connection },
        })
    }

    /// Which way it went if it is one, whoever made it.
    pub fn direction(branch: &str) -> Option<Towards> {
        let way = branch.strip_prefix(COOKIE)?.split('.').nth(1)?;
        Towards::parse(way.get(..1)?)
    }
}

/// The same for every repeat of a request over the same flow, and for the CANCEL and the ACK that belong to it.
pub fn key(request: &Message, leg: &Leg) -> Key {
    let halves = [0u8, 1].map(|half| {
        let mut hasher = DefaultHasher::new();
        half.hash(&mut hasher);
        if let Ok(via) = request.via() {
            (via.branch, via.host, via.port).hash(&mut hasher);
        }
        (leg.listener, leg.remote, leg.connection).hash(&mut hasher);
        (request.request_uri(), request.call_id()).hash(&mut hasher);
        // Not To: the ACK of a refusal has the tag of the refusal.
        request.header(Name::From).hash(&mut hasher);
        let method = match request.method() {
            Method::Ack | Method::Cancel => Method::Invite.as_str(),
            _ => request.method_text(),
        };
        (request.cseq().map(|cseq| cseq.number).ok(), method).hash(&mut hasher);
        u128::from(hasher.finish())
    });
    Key(halves[0] << 64 | halves[1])
}

#[cfg(test)]
mod tests {
    use sip::{Limits, Transport};

    use super::*;
    use crate::config::Speaks;

    #[test]
    fn a_branch_leads_back_and_only_with_our_signature() {
        let (names, ours, other) = (names(), Secret::new("ours"), Secret::new("other"));
        let branch = RelayBranch { key: Key(7), towards: Towards::Upstream, attempt: 2, back: leg() };

        let text = branch.text(&names, &ours);

        assert_eq!(RelayBranch::open(&text, &names, &ours), Some(branch));
        assert_eq!(RelayBranch::open(&text, &names, &other), None);
        assert_eq!(RelayBranch::direction(&text), Some(Towards::Upstream));
        assert_eq!(RelayBranch::direction("z9hG4bK00.0.1.2"), None);
    }

    #[test]
    fn a_cancel_and_the_ack_of_a_refusal_have_the_key_of_their_invite() {
        let of = |method: &str, to: &str| key(&request(method, to, "z9hG4bK1"), &leg());

        assert_eq!(of("CANCEL", ""), of("INVITE", ""));
        assert_eq!(of("ACK", ";tag=refused"), of("INVITE", ""));
        assert_ne!(of("MESSAGE", ""), of("INVITE", ""));
        assert_ne!(
            key(&request("ACK", ";tag=t", "z9hG4bK2"), &leg()),
            of("INVITE", ""),
            "that of a 200 is its own"
        );
    }

    fn names() -> Names {
        Names::new(
            "10.0.0.1:7060".parse().unwrap(),
            &[("192.0.2.1:5060".parse().unwrap(), Speaks::UdpAndTcp)],
            &[],
        )
    }

    fn leg() -> Leg {
        let remote = "198.51.100.7:40000".parse().unwrap();
        Leg { transport: Transport::Tcp, listener: 0, remote, connection: 77 }
    }

    fn request(method: &str, to: &str, branch: &str) -> Message {
        let text = format!(
            "{method} sip:b@x SIP/2.0\r\nVia: SIP/2.0/TCP h;branch={branch}\r\nFrom: <sip:a@x>;tag=1\r\n\
             To: <sip:b@x>{to}\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n\r\n"
        );
        Message::parse(text.into(), &Limits::default()).unwrap()
    }
}
