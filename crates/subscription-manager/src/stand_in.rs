//! Which dispatchers may stand in for one that is away.
//!
//! Datagrams leave from a public listener, and whoever holds that listener may send them: the phone sees no difference.
//! Dispatchers tell in their pings which ones they hold, the signed flow in a request tells which one it needs. A
//! connection belongs to one dispatcher, and nobody stands in for it.

use std::net::SocketAddr;

use bytes::Bytes;
use sip::{Contacts, Flow, Limits, Message, Method, Name, NameAddr, Secret, Uri};

/// The listeners for datagrams that a dispatcher holds, if this is its ping. What phones ask has passed a dispatcher, so
/// it has a second Via.
pub fn held(request: &Message) -> Option<Vec<SocketAddr>> {
    if request.method() != Method::Options || request.vias().count() != 1 {
        return None;
    }
    let Ok(Contacts::List(contacts)) = request.contacts() else { return None };
    Some(contacts.iter().filter_map(|contact| Uri::parse(contact.uri).ok()?.socket_addr()).collect())
}

/// The listener from which a request has to leave, if it goes out as a datagram.
pub fn needed(request: Bytes, flow_key: &Secret) -> Option<SocketAddr> {
    let request = Message::parse(request, &Limits::default()).ok()?;
    let route = NameAddr::parse(request.values(Name::Route).next()?)?;
    let flow = Flow::open(Uri::parse(route.uri).ok()?.user?, flow_key)?;
    (!flow.transport.reliable()).then_some(flow.listener)
}

#[cfg(test)]
pub mod tests {
    use sip::Transport;

    use super::*;

    fn message(text: &str) -> Message {
        Message::parse(text.replace('\n', "\r\n").into(), &Limits::default()).unwrap()
    }

    fn ping(vias: &str) -> Message {
        message(&format!(
            "OPTIONS sip:ping@10.0.0.9:7101 SIP/2.0\n{vias}From: <sip:d@10.0.0.1:7000>;tag=ping\nTo: <sip:ping@10.0.0.9>\n\
             Call-ID: 1\nCSeq: 1 OPTIONS\nContact: <sip:192.0.2.1:5060>, <sip:[2001:db8::1]:5060>\nContent-Length: 0\n\n"
        ))
    }

    /// For a phone that came to 192.0.2.1:5060 at the dispatcher 10.0.0.1:7000.
    pub fn notify(transport: Transport, connection: u64, key: &Secret) -> Bytes {
        let [listener, remote] = ["192.0.2.1:5060", "198.51.100.7:40000"].map(|text| text.parse().unwrap());
        let token = Flow { transport, listener, remote, connection }.seal(key);
        let text = format!(
            "NOTIFY sip:bob@198.51.100.7:40000 SIP/2.0\nVia: SIP/2.0/TCP 10.0.0.9:7101;branch=z9hG4bK1-1\n\
             Route: <sip:{token}@10.0.0.1:7000;transport=tcp;lr>\nFrom: <sip:a@v.test>;tag=1\nTo: <sip:b@v.test>;tag=2\n\
             Call-ID: 1\nCSeq: 1 NOTIFY\nContent-Length: 0\n\n"
        );
        text.replace('\n', "\r\n").into()
    }

    #[test]
    fn a_ping_tells_which_listeners_its_dispatcher_holds() {
        let held = held(&ping("Via: SIP/2.0/TCP 10.0.0.1:7000;branch=z9hG4bKp\n"));

        let listeners = ["192.0.2.1:5060", "[2001:db8::1]:5060"].map(|text| text.parse().unwrap());
        assert_eq!(held.as_deref(), Some(&listeners[..]));
    }

    #[test]
    fn a_phone_that_asks_for_options_holds_nothing() {
        let vias =
            "Via: SIP/2.0/TCP 10.0.0.1:7000;branch=z9hG4bKd\nVia: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKp\n";

        assert_eq!(held(&ping(vias)), None);
    }

    #[test]
    fn a_datagram_needs_the_listener_that_its_flow_names() {
        let key = Secret::new("lab").derive("flow");

        let needed = needed(notify(Transport::Udp, 0, &key), &key);

        assert_eq!(needed, Some("192.0.2.1:5060".parse().unwrap()));
    }

    #[test]
    fn nobody_stands_in_for_a_connection_or_for_a_flow_that_is_not_ours() {
        let (key, other) = (Secret::new("lab").derive("flow"), Secret::new("other").derive("flow"));

        assert_eq!(needed(notify(Transport::Tcp, 7, &key), &key), None);
        assert_eq!(needed(notify(Transport::Udp, 0, &other), &key), None);
    }
}
