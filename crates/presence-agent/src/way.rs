//! How the NOTIFYs of a dialog leave this manager.

use std::net::SocketAddr;

use sip::{Secret, Uri};

use crate::request::route_uri;
use crate::shard::Dialog;
use crate::subscribe::flow_of_route;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Way {
    /// The inner address of the dispatcher that holds the flow of the phone.
    pub next_hop: SocketAddr,
    /// Whether the phone's own hop repeats what is lost. The one to the dispatcher always does.
    pub reliable: bool,
}

impl Way {
    /// Where the first Route leads. Without a route, the remote target, as plain RFC 3261 section 8.1.2 has it.
    pub fn of(dialog: &Dialog, flow_key: &Secret) -> Option<Way> {
        let route = dialog.route_set().next();
        let uri = match route {
            Some(route) => route_uri(route.as_bytes())?,
            None => dialog.remote_target(),
        };
        let next_hop = Uri::parse(uri).ok()?.socket_addr()?;
        let flow = route.and_then(|_| flow_of_route(uri, flow_key));
        Some(Way { next_hop, reliable: flow.is_some_and(|flow| flow.transport.reliable()) })
    }
}

#[cfg(test)]
mod tests {
    use proto::v1;
    use sip::{Flow, Transport};

    use super::*;
    use crate::shard::Parts;

    fn key() -> Secret {
        Secret::new("lab").derive("flow")
    }

    fn way(said: Parts<'_>) -> Option<Way> {
        let request = v1::Subscribe { dialog: said.lines(), ..v1::Subscribe::default() };
        Way::of(&Dialog::of(&request)?, &key())
    }

    fn way_over(transport: Transport) -> Option<Way> {
        let [listener, remote] = ["192.0.2.1:5060", "198.51.100.7:40000"].map(|text| text.parse().unwrap());
        let token = Flow { transport, listener, remote, connection: 7 }.seal(&key());
        let first = format!("<sip:{token}@10.0.0.1:7060;transport=tcp;lr>");
        let route_set = [&*first, "<sip:192.0.2.1;lr>"].into_iter().collect();
        way(Parts { route_set, ..Parts::default() })
    }

    #[test]
    fn the_first_route_says_which_dispatcher_and_its_flow_whether_the_phone_may_miss_a_notify() {
        let next_hop = "10.0.0.1:7060".parse().unwrap();

        assert_eq!(way_over(Transport::Udp), Some(Way { next_hop, reliable: false }));
        assert_eq!(way_over(Transport::Tls), Some(Way { next_hop, reliable: true }));
    }

    #[test]
    fn without_a_route_the_remote_target_is_the_next_hop_if_it_is_an_address() {
        let way = |remote_target| way(Parts { remote_target, ..Parts::default() });

        assert_eq!(way("sip:bob@192.0.2.7:5062").map(|way| way.next_hop), "192.0.2.7:5062".parse().ok());
        assert_eq!(way("sip:bob@phone.invalid"), None);
    }
}
