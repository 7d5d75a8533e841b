//! The transports of SIP (RFC 3261 §18, RFC 7118).

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Transport {
    /// From a Via or a `transport` parameter, in any case.
    pub fn parse(text: &str) -> Option<Transport> {
        Transport::ALL.into_iter().find(|transport| text.eq_ignore_ascii_case(transport.as_str()))
    }

    /// As a Via writes it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Ws => "WS",
            Transport::Wss => "WSS",
        }
    }

    /// Whether it repeats lost bytes itself, so that we need not (RFC 3261 §17).
    pub fn reliable(&self) -> bool {
        *self != Transport::Udp
    }

    pub(crate) const ALL: [Transport; 5] =
        [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];
}

impl fmt::Display for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_udp_loses_messages() {
        let unreliable: Vec<_> =
            Transport::ALL.into_iter().filter(|transport| !transport.reliable()).collect();

        assert_eq!(unreliable, [Transport::Udp]);
    }

    #[test]
    fn a_transport_is_read_in_any_case_and_an_unknown_one_is_none() {
        assert_eq!(Transport::parse("wss"), Some(Transport::Wss));
        assert_eq!(Transport::parse("SCTP"), None);
    }
}
