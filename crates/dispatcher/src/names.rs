//! The names by which others call us, and the header values in which we call ourselves.
//!
//! A phone may reach the same public listener at several dispatchers, so only the inner address names this one
//! process. The texts are built once: a message costs copies, not formatting.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use sip::{Scheme, Transport, Uri, Via};

use crate::config::Speaks;

pub struct Names {
    inner: SocketAddr,
    inner_via: String,
    /// How the Record-Route of our inner side goes on behind the flow token.
    behind_token: String,
    listeners: Vec<Public>,
    /// The listeners for datagrams, as a list of Contacts.
    contacts: String,
    domains: Vec<String>,
}

/// A public listener, as phones know it.
struct Public {
    address: SocketAddr,
    /// Never empty; the one over connections is the last.
    spoken: Vec<Spoken>,
}

/// How a listener calls itself over one of its transports.
struct Spoken {
    transport: Transport,
    via: String,
    /// Where in `via` its parameters begin.
    sent_by: usize,
    record_route: String,
    /// Where TLS is asked for on the whole way.
    secure_record_route: String,
}

/// A phone's end of a hop: where its request came in, or where one goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    pub transport: Transport,
    /// Position of the public listener.
    pub listener: usize,
    pub remote: SocketAddr,
    /// 0 on UDP.
    pub connection: u64,
}

impl Names {
    /// All addresses as others see them.
    pub fn new(inner: SocketAddr, listeners: &[(SocketAddr, Speaks)], domains: &[String]) -> Names {
        let listeners: Vec<_> =
            listeners.iter().map(|(address, speaks)| Public::new(*address, *speaks)).collect();
        let datagrams = listeners.iter().filter(|listener| listener.speaks(Transport::Udp));
        let contacts: Vec<_> = datagrams.map(|listener| format!("<sip:{}>", listener.address)).collect();
        Names {
            inner,
            inner_via: format!("SIP/2.0/TCP {inner};alias;branch="),
            behind_token: format!("@{inner};transport=tcp;lr>"),
            listeners,
            contacts: contacts.join(", "),
            domains: domains.to_vec(),
        }
    }

    /// Whether a Route or Request-URI points at this service: an address of ours or one of our domains.
    pub fn is_us(&self, uri: &Uri) -> bool {
        match uri.socket_addr() {
            Some(address) => address == self.inner || self.listener(address).is_some(),
            None => self.domains.iter().any(|domain| domain.eq_ignore_ascii_case(uri.host)),
        }
    }

    pub fn inner(&self) -> SocketAddr {
        self.inner
    }

    pub fn listeners(&self) -> usize {
        self.listeners.len()
    }

    pub fn listener(&self, address: SocketAddr) -> Option<usize> {
        self.listeners.iter().position(|listener| listener.address == address)
    }

    /// Our listeners for datagrams. Whoever else holds one of them may send to its phones in our place.
    pub fn contacts(&self) -> &str {
        &self.contacts
    }

    pub fn listener_address(&self, listener: usize) -> SocketAddr {
        self.listeners[listener].address
    }

    /// The listener that a server at `address` knows us by: one of its family that speaks as we speak with it. Over TLS
    /// that may also be one without; what the server asks by itself then comes without it.
    pub fn listener_towards(&self, address: SocketAddr, transport: Transport) -> Option<usize> {
        let towards = |transport| {
            let reaches = |listener: &Public| {
                listener.address.is_ipv4() == address.is_ipv4() && listener.speaks(transport)
            };
            self.listeners.iter().position(reaches)
        };
        match transport {
            Transport::Tls => towards(Transport::Tls).or_else(|| towards(Transport::Udp)),
            _ => towards(Transport::Udp),
        }
    }

    pub fn speaks(&self, listener: usize, transport: Transport) -> bool {
        self.listeners[listener].speaks(transport)
    }

    /// What a connection to this listener speaks.
    pub fn stream(&self, listener: usize) -> Transport {
        let spoken = &self.listeners[listener].spoken;
        spoken[spoken.len() - 1].transport
    }

    /// The Via of our inner side, up to its branch; `alias` lets the manager answer on the connection (RFC 5923).
    pub fn inner_via(&self) -> &str {
        &self.inner_via
    }

    /// The branch in a Via of our inner side; `None` if it is none.
    pub fn inner_branch<'a>(&self, value: &'a [u8]) -> Option<&'a str> {
        // What we wrote mostly comes back to the letter.
        match value.strip_prefix(self.inner_via.as_bytes()) {
            Some(branch) if !branch.contains(&b';') => std::str::from_utf8(branch).ok(),
            _ => {
                let via = Via::parse(value)?;
                via.branch.filter(|_| address(via.host, via.port) == Some(self.inner))
            }
        }
    }

    /// The Via of what goes out over a connection of ours, whatever the listener itself speaks.
    pub fn line_via(&self, listener: usize, transport: Transport) -> Cow<'_, str> {
        match self.listeners[listener].speaks(transport) {
            true => self.public_via(listener, transport).into(),
            false => format!("SIP/2.0/{transport} {};branch=", self.listeners[listener].address).into(),
        }
    }

    /// The Via of a public listener, up to its branch.
    pub fn public_via(&self, listener: usize, transport: Transport) -> &str {
        &self.listeners[listener].spoken(transport).via
    }

    /// The parameters of a Via of a public listener; `None` if it is none, or not written as we write it.
    pub fn behind_public_via<'a>(&self, value: &'a [u8]) -> Option<&'a [u8]> {
        let behind = |spoken: &Spoken| value.strip_prefix(&spoken.via.as_bytes()[..spoken.sent_by]);
        let mut spoken = self.listeners.iter().flat_map(|listener| &listener.spoken);
        spoken.find_map(behind).filter(|params| params.starts_with(b";"))
    }

    /// `scheme` is what the request asks for.
    pub fn public_record_route(&self, listener: usize, transport: Transport, scheme: Scheme) -> &str {
        let spoken = self.listeners[listener].spoken(transport);
        if scheme == Scheme::Sips { &spoken.secure_record_route } else { &spoken.record_route }
    }

    /// Whether a Route is what we wrote as the Record-Route of a public listener, to the letter.
    pub fn is_public_record_route(&self, value: &[u8]) -> bool {
        let wrote = |spoken: &Spoken| {
            spoken.record_route.as_bytes() == value || spoken.secure_record_route.as_bytes() == value
        };
        self.listeners.iter().any(|listener| listener.spoken.iter().any(wrote))
    }

    /// How the upstream calls us in what concerns this flow: in the Record-Route of a dialog, or in a Path.
    /// `scheme` is what the request asks for; sips only where TLS is spoken at the listener.
    pub fn flow_route(&self, listener: usize, transport: Transport, scheme: Scheme, token: &str) -> String {
        let listener = &self.listeners[listener];
        let address = listener.address;
        let is_secure = listener.speaks(Transport::Tls);
        let (scheme, parameter) = match transport {
            Transport::Tls if is_secure && scheme == Scheme::Sips => ("sips", ""),
            Transport::Tls if is_secure => ("sip", ";transport=tls"),
            Transport::Tls | Transport::Tcp => ("sip", ";transport=tcp"),
            _ => ("sip", ""),
        };
        format!("<{scheme}:{token}@{address}{parameter};lr>")
    }

    /// The Record-Route of our inner side: which dispatcher holds the phone's flow, and which flow that is.
    pub fn inner_record_route(&self, token: &str) -> String {
        [INNER_ROUTE, token, &self.behind_token].concat()
    }

    /// The token in a Route of our inner side; `None` if it is none, or not written as we write it.
    pub fn inner_token<'a>(&self, route: &'a [u8]) -> Option<&'a str> {
        let token = route.strip_prefix(INNER_ROUTE.as_bytes())?.strip_suffix(self.behind_token.as_bytes())?;
        std::str::from_utf8(token).ok()
    }
}

/// How the Record-Route of our inner side begins.
const INNER_ROUTE: &str = "<sip:";

impl Public {
    fn new(address: SocketAddr, speaks: Speaks) -> Public {
        let spoken = speaks.transports().iter().map(|transport| Spoken::new(address, *transport));
        Public { address, spoken: spoken.collect() }
    }

    fn speaks(&self, transport: Transport) -> bool {
        self.spoken.iter().any(|spoken| spoken.transport == transport)
    }

    /// Nobody asks for one that is not spoken here; whoever did would get another.
    fn spoken(&self, transport: Transport) -> &Spoken {
        self.spoken.iter().find(|spoken| spoken.transport == transport).unwrap_or(&self.spoken[0])
    }
}

impl Spoken {
    fn new(address: SocketAddr, transport: Transport) -> Spoken {
        let rport = if transport.reliable() { "" } else { ";rport" };
        // A secure WebSocket is ws too; over it sip and sips mean the same connection (RFC 7118 section 5.2).
        let (parameter, over_tls) = match transport {
            Transport::Udp => ("", None),
            Transport::Tcp => (";transport=tcp", None),
            Transport::Tls => (";transport=tls", Some("")),
            Transport::Ws => (";transport=ws", None),
            Transport::Wss => (";transport=ws", Some(";transport=ws")),
        };
        let record_route = format!("<sip:{address}{parameter};lr>");
        let via = format!("SIP/2.0/{transport} {address}");
        Spoken {
            transport,
            sent_by: via.len(),
            via: via + rport + ";branch=",
            // What does not come over TLS cannot be promised to go on over it.
            secure_record_route: over_tls
                .map_or(record_route.clone(), |parameter| format!("<sips:{address}{parameter};lr>")),
            record_route,
        }
    }
}

/// The address that a literal host and a port name; 5060 by default.
pub fn address(host: &str, port: Option<u16>) -> Option<SocketAddr> {
    Some(SocketAddr::new(literal(host)?, port.unwrap_or(5060)))
}

pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => host.parse().ok().map(IpAddr::V4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let listeners = [
            ("192.0.2.1:5060", Speaks::UdpAndTcp),
            ("[2001:db8::1]:5070", Speaks::UdpAndTcp),
            ("192.0.2.1:5061", Speaks::Tls),
            ("192.0.2.1:80", Speaks::Ws),
            ("[2001:db8::1]:443", Speaks::Wss),
        ];
        Names::new(
            "10.0.0.1:7060".parse().unwrap(),
            &listeners.map(|(address, speaks)| (address.parse().unwrap(), speaks)),
            &["lab.test".to_owned()],
        )
    }

    #[test]
    fn addresses_of_ours_and_our_domains_are_us() {
        for uri in [
            "sip:192.0.2.1;lr",
            "sip:x@[2001:DB8::1]:5070",
            "sip:10.0.0.1:7060",
            "sip:LAB.test:5060",
            "sips:192.0.2.1;lr",
            "sip:192.0.2.1;transport=tls",
            "sip:192.0.2.1;transport=ws",
            "sips:[2001:db8::1];transport=ws",
        ] {
            assert!(names().is_us(&Uri::parse(uri).unwrap()), "{uri}");
        }
    }

    #[test]
    fn another_port_or_host_is_not_us() {
        for uri in ["sip:192.0.2.1:5062", "sip:[2001:db8::1]", "sip:other.test", "sip:192.0.2.2", "tel:+1555"]
        {
            assert!(!names().is_us(&Uri::parse(uri).unwrap()), "{uri}");
        }
    }

    #[test]
    fn contacts_are_the_listeners_for_datagrams() {
        assert_eq!(names().contacts(), "<sip:192.0.2.1:5060>, <sip:[2001:db8::1]:5070>");
    }

    #[test]
    fn a_listener_is_named_with_the_transport_of_the_phone() {
        let names = names();
        let record_route = |listener, transport| names.public_record_route(listener, transport, Scheme::Sip);

        assert_eq!(record_route(0, Transport::Udp), "<sip:192.0.2.1:5060;lr>");
        assert_eq!(record_route(1, Transport::Tcp), "<sip:[2001:db8::1]:5070;transport=tcp;lr>");
        assert_eq!(record_route(2, Transport::Tls), "<sip:192.0.2.1:5061;transport=tls;lr>");
        assert_eq!(record_route(3, Transport::Ws), "<sip:192.0.2.1:80;transport=ws;lr>");
        assert_eq!(record_route(4, Transport::Wss), "<sip:[2001:db8::1]:443;transport=ws;lr>");
        assert_eq!(names.public_via(0, Transport::Udp), "SIP/2.0/UDP 192.0.2.1:5060;rport;branch=");
        assert_eq!(names.public_via(0, Transport::Tcp), "SIP/2.0/TCP 192.0.2.1:5060;branch=");
        assert_eq!(names.public_via(4, Transport::Wss), "SIP/2.0/WSS [2001:db8::1]:443;branch=");
    }

    #[test]
    fn a_via_of_ours_is_known_again_also_with_what_a_phone_has_noted_in_it() {
        let names = names();

        let noted = b"SIP/2.0/UDP 192.0.2.1:5060;rport=5060;branch=x";
        assert_eq!(names.behind_public_via(noted), Some(&b";rport=5060;branch=x"[..]));
        assert_eq!(names.behind_public_via(b"SIP/2.0/UDP 192.0.2.1:50600;branch=x"), None);
        assert_eq!(names.behind_public_via(b"SIP/2.0/UDP 192.0.2.2:5060;branch=x"), None);
    }

    #[test]
    fn the_branch_in_an_inner_via_of_ours_is_found_however_it_comes_back() {
        let names = names();

        for via in [
            "SIP/2.0/TCP 10.0.0.1:7060;alias;branch=x",
            "SIP/2.0/TCP 10.0.0.1:7060;alias;branch=x;received=10.0.0.1",
            "SIP / 2.0 / TCP 10.0.0.1:7060 ;received=10.0.0.9; branch = x",
        ] {
            assert_eq!(names.inner_branch(via.as_bytes()), Some("x"), "{via}");
        }
        assert_eq!(names.inner_branch(b"SIP/2.0/TCP 10.0.0.2:7060;alias;branch=x"), None);
        assert_eq!(names.inner_branch(b"SIP/2.0/TCP 10.0.0.1:70600;alias;branch=x"), None);
    }

    #[test]
    fn the_token_in_an_inner_route_of_ours_is_found() {
        let names = names();
        let route = names.inner_record_route("abc");

        assert_eq!(route, "<sip:abc@10.0.0.1:7060;transport=tcp;lr>");
        assert_eq!(names.inner_token(route.as_bytes()), Some("abc"));
        assert_eq!(names.inner_token(b"<sip:abc@10.0.0.2:7060;transport=tcp;lr>"), None);
    }

    #[test]
    fn a_server_over_tls_knows_us_by_a_listener_that_speaks_it_or_else_by_a_plain_one() {
        let names = names();
        let towards = |address: &str, transport| names.listener_towards(address.parse().unwrap(), transport);

        assert_eq!(towards("203.0.113.1:5061", Transport::Tls), Some(2));
        assert_eq!(towards("203.0.113.1:5060", Transport::Tcp), Some(0));
        assert_eq!(towards("[2001:db8::9]:5061", Transport::Tls), Some(1));
        let route = |listener, scheme| names.flow_route(listener, Transport::Tls, scheme, "t");
        assert_eq!(route(2, Scheme::Sip), "<sip:t@192.0.2.1:5061;transport=tls;lr>");
        assert_eq!(route(2, Scheme::Sips), "<sips:t@192.0.2.1:5061;lr>");
        assert_eq!(route(1, Scheme::Sips), "<sip:t@[2001:db8::1]:5070;transport=tcp;lr>");
        assert_eq!(names.line_via(1, Transport::Tls), "SIP/2.0/TLS [2001:db8::1]:5070;branch=");
    }

    #[test]
    fn a_record_route_of_ours_is_known_again() {
        let names = names();

        assert!(names.is_public_record_route(b"<sip:192.0.2.1:80;transport=ws;lr>"));
        assert!(names.is_public_record_route(b"<sips:192.0.2.1:5061;lr>"));
        assert!(!names.is_public_record_route(b"<sip:192.0.2.2:5060;lr>"));
    }

    #[test]
    fn a_request_for_sips_is_recorded_with_sips_where_it_came_over_tls() {
        let names = names();
        let record_route = |listener, transport| names.public_record_route(listener, transport, Scheme::Sips);

        assert_eq!(record_route(2, Transport::Tls), "<sips:192.0.2.1:5061;lr>");
        assert_eq!(record_route(4, Transport::Wss), "<sips:[2001:db8::1]:443;transport=ws;lr>");
        assert_eq!(record_route(3, Transport::Ws), "<sip:192.0.2.1:80;transport=ws;lr>");
        assert_eq!(record_route(0, Transport::Udp), "<sip:192.0.2.1:5060;lr>");
    }
}
