//! The names by which others call us, and the header values in which we call ourselves.
//!
//! A phone may reach the same public listener at several dispatchers, so only the inner address names this one
//! process. The texts are built once: a message costs copies, not formatting.

use std::net::{IpAddr, SocketAddr};

use sip::{Transport, Uri};

pub struct Names {
    inner: SocketAddr,
    inner_via: String,
    listeners: Vec<Public>,
    domains: Vec<String>,
}

/// A public listener, as phones know it.
struct Public {
    address: SocketAddr,
    via_udp: String,
    via_tcp: String,
    record_udp: String,
    record_tcp: String,
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
    pub fn new(inner: SocketAddr, listeners: &[SocketAddr], domains: &[String]) -> Names {
        Names {
            inner,
            inner_via: format!("SIP/2.0/TCP {inner};alias;branch="),
            listeners: listeners.iter().copied().map(Public::new).collect(),
            domains: domains.to_vec(),
        }
    }

    /// Whether a Route or Request-URI points at this service: an address of ours or one of our domains.
    pub fn is_us(&self, uri: &Uri) -> bool {
        match address(uri.host, uri.port) {
            Some(address) => address == self.inner || self.listener(address).is_some(),
            None => self.domains.iter().any(|domain| domain.eq_ignore_ascii_case(uri.host)),
        }
    }

    pub fn inner(&self) -> SocketAddr {
        self.inner
    }

    pub fn is_inner(&self, host: &str, port: Option<u16>) -> bool {
        address(host, port) == Some(self.inner)
    }

    pub fn listeners(&self) -> usize {
        self.listeners.len()
    }

    pub fn listener(&self, address: SocketAddr) -> Option<usize> {
        self.listeners.iter().position(|listener| listener.address == address)
    }

    pub fn listener_address(&self, listener: usize) -> SocketAddr {
        self.listeners[listener].address
    }

    /// A listener that can reach `address`: one of its family.
    pub fn listener_towards(&self, address: SocketAddr) -> Option<usize> {
        self.listeners.iter().position(|listener| listener.address.is_ipv4() == address.is_ipv4())
    }

    /// The Via of our inner side; `alias` lets the manager answer on the connection (RFC 5923).
    pub fn inner_via(&self, branch: &str) -> String {
        [&self.inner_via, branch].concat()
    }

    /// The Via of a public listener.
    pub fn public_via(&self, listener: usize, transport: Transport, branch: &str) -> String {
        let public = &self.listeners[listener];
        let via = if transport.reliable() { &public.via_tcp } else { &public.via_udp };
        [via, branch].concat()
    }

    pub fn public_record_route(&self, listener: usize, transport: Transport) -> &str {
        let public = &self.listeners[listener];
        if transport.reliable() { &public.record_tcp } else { &public.record_udp }
    }

    /// The Record-Route of our inner side: which dispatcher holds the phone's flow, and which flow that is.
    pub fn inner_record_route(&self, token: &str) -> String {
        format!("<sip:{token}@{};transport=tcp;lr>", self.inner)
    }
}

impl Public {
    fn new(address: SocketAddr) -> Public {
        Public {
            address,
            via_udp: format!("SIP/2.0/UDP {address};rport;branch="),
            via_tcp: format!("SIP/2.0/TCP {address};branch="),
            record_udp: format!("<sip:{address};lr>"),
            record_tcp: format!("<sip:{address};transport=tcp;lr>"),
        }
    }
}

/// The address that a literal host and a port name; 5060 by default.
pub fn address(host: &str, port: Option<u16>) -> Option<SocketAddr> {
    Some(SocketAddr::new(literal(host)?, port.unwrap_or(5060)))
}

fn literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse().ok().map(IpAddr::V6),
        None => host.parse().ok().map(IpAddr::V4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        Names::new(
            "10.0.0.1:7060".parse().unwrap(),
            &addresses(&["192.0.2.1:5060", "[2001:db8::1]:5070"]),
            &["lab.test".to_owned()],
        )
    }

    #[test]
    fn addresses_of_ours_and_our_domains_are_us() {
        for uri in ["sip:192.0.2.1;lr", "sip:x@[2001:DB8::1]:5070", "sip:10.0.0.1:7060", "sip:LAB.test:5060"]
        {
            assert!(names().is_us(&Uri::parse(uri).unwrap()), "{uri}");
        }
    }

    #[test]
    fn another_port_or_host_is_not_us() {
        for uri in ["sip:192.0.2.1:5061", "sip:[2001:db8::1]", "sip:other.test", "sip:192.0.2.2", "tel:+1555"]
        {
            assert!(!names().is_us(&Uri::parse(uri).unwrap()), "{uri}");
        }
    }

    #[test]
    fn a_listener_is_named_with_the_transport_of_the_phone() {
        let names = names();

        assert_eq!(names.public_record_route(0, Transport::Udp), "<sip:192.0.2.1:5060;lr>");
        assert_eq!(names.public_record_route(1, Transport::Tcp), "<sip:[2001:db8::1]:5070;transport=tcp;lr>");
        assert_eq!(names.public_via(0, Transport::Tcp, "x"), "SIP/2.0/TCP 192.0.2.1:5060;branch=x");
    }
}
