//! Requests for phones on UDP that are larger than a datagram should be (RFC 3261 18.1.1).
//!
//! The RFC wants TCP for them, which reaches hardly any phone that came over UDP: its NAT lets nobody in, and many phones take
//! no connections at all. What they do take is a datagram in fragments, and most networks carry it. So that is the default, and
//! the other ways are an operator's choice. Answers are no matter here: the request that they answer chose the way.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sip::Instant;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// As a datagram all the same.
    #[default]
    Send,
    /// Over a connection to the address that the phone's datagrams come from; if there is none to be had, as a datagram.
    Tcp,
    /// 513 for whoever sent it. A watcher is then told nothing until its document is smaller again.
    Refuse,
}

/// How a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is not large.
    Usual,
    Datagram,
    Tcp,
    Refuse,
}

pub struct Oversize {
    policy: Policy,
    /// More bytes than these are too many.
    most: usize,
    /// Phones that take no connections, and until when that is believed.
    closed: Mutex<BTreeMap<SocketAddr, Instant>>,
}

/// How long it is believed that a phone takes no connections.
const BELIEF: Duration = Duration::from_secs(600);
/// So many of them are known. Beyond that somebody is forgotten, and tried again.
const KNOWN: usize = 16_384;

impl Oversize {
    pub fn new(policy: Policy, most: usize) -> Oversize {
        Oversize { policy, most, closed: Mutex::default() }
    }

    pub fn way(&self, phone: SocketAddr, length: usize, now: Instant) -> Way {
        match self.policy {
            _ if length <= self.most => Way::Usual,
            Policy::Refuse => Way::Refuse,
            Policy::Tcp if !self.is_closed(phone, now) => Way::Tcp,
            Policy::Tcp | Policy::Send => Way::Datagram,
        }
    }

    pub fn not_reached(&self, phone: SocketAddr, now: Instant) {
        let mut closed = self.closed.lock();
        if closed.len() >= KNOWN {
            closed.pop_first();
        }
        closed.insert(phone, now + BELIEF);
    }

    fn is_closed(&self, phone: SocketAddr, now: Instant) -> bool {
        self.closed.lock().get(&phone).is_some_and(|until| now < *until)
    }
}

/// The same request as it goes over TCP: our Via, the topmost, says so.
pub fn over_tcp(request: &Bytes) -> Bytes {
    const UDP: &[u8] = b"SIP/2.0/UDP ";
    let mut bytes = request.to_vec();
    if let Some(at) = bytes.windows(UDP.len()).position(|window| window == UDP) {
        bytes[at..at + UDP.len()].copy_from_slice(b"SIP/2.0/TCP ");
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_to_1300_bytes_every_policy_sends_a_datagram() {
        for policy in [Policy::Send, Policy::Tcp, Policy::Refuse] {
            assert_eq!(Oversize::new(policy, 1_300).way(phone(1), 1_300, Instant(0)), Way::Usual);
        }
    }

    #[test]
    fn above_that_the_policy_decides() {
        let way = |policy| Oversize::new(policy, 1_300).way(phone(1), 1_301, Instant(0));

        assert_eq!(
            [Policy::Send, Policy::Tcp, Policy::Refuse].map(way),
            [Way::Datagram, Way::Tcp, Way::Refuse]
        );
    }

    #[test]
    fn a_phone_that_takes_no_connections_gets_datagrams_and_is_tried_again_later() {
        let oversize = Oversize::new(Policy::Tcp, 1_300);
        oversize.not_reached(phone(1), Instant(0));

        assert_eq!(oversize.way(phone(1), 2_000, Instant(599_999)), Way::Datagram);
        assert_eq!(oversize.way(phone(1), 2_000, Instant(600_000)), Way::Tcp);
        assert_eq!(oversize.way(phone(2), 2_000, Instant(0)), Way::Tcp);
    }

    #[test]
    fn phones_that_take_no_connections_are_remembered_up_to_a_bound() {
        let oversize = Oversize::new(Policy::Tcp, 1_300);
        for port in 0..40_000 {
            oversize.not_reached(phone(port), Instant(u64::from(port)));
        }

        assert_eq!(oversize.closed.lock().len(), KNOWN);
    }

    #[test]
    fn over_tcp_our_via_says_so_and_no_other() {
        let request = Bytes::from_static(
            b"NOTIFY sip:a@x SIP/2.0\r\nVia: SIP/2.0/UDP us;rport;branch=1\r\nVia: SIP/2.0/UDP them;branch=2\r\n\r\n",
        );

        let text = String::from_utf8(over_tcp(&request).to_vec()).unwrap();

        assert!(text.contains("Via: SIP/2.0/TCP us;") && text.contains("Via: SIP/2.0/UDP them;"), "{text}");
    }

    fn phone(port: u16) -> SocketAddr {
        SocketAddr::from(([198, 51, 100, 7], port))
    }
}
