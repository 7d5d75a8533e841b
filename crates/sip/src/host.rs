//! Hosts and ports, as URIs and Via share them (RFC 3261 §25.1, RFC 5118, RFC 5954).

use std::net::{IpAddr, Ipv6Addr};

use crate::header::lex;

/// Cuts `host[:port]`; white space around the colon is allowed, as a Via may have it.
/// An IPv6 reference keeps its brackets.
pub(crate) fn split_host_port(text: &str) -> Option<(&str, Option<u16>)> {
    let text = text.trim_ascii();
    let host_end = match text.starts_with('[') {
        true => lex::find_any(text.as_bytes(), [b']'])? + 1,
        false => lex::find_any(text.as_bytes(), [b':']).unwrap_or(text.len()),
    };
    let (host, rest) = (text[..host_end].trim_ascii_end(), text[host_end..].trim_ascii_start());
    let port = match rest.strip_prefix(':') {
        Some(digits) => Some(port(digits.trim_ascii_start())?),
        None if rest.is_empty() => None,
        None => return None,
    };
    is_host(host).then_some((host, port))
}

/// The address that a literal host names.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[') {
        Some(rest) => ipv6(rest.strip_suffix(']')?).map(IpAddr::V6),
        None => host.parse().ok().filter(IpAddr::is_ipv4),
    }
}

fn is_host(host: &str) -> bool {
    if host.starts_with('[') {
        return literal(host).is_some();
    }
    !host.is_empty() && HOST.holds_all(host.as_bytes())
}

/// Underscores are no host name characters, and yet common in private zones.
const HOST: lex::Bytes = lex::Bytes::alphanumeric_and(b"-._");

fn ipv6(text: &str) -> Option<Ipv6Addr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    // RFC 3261's grammar, by an error, wants a third colon in front of an embedded IPv4 address,
    // and RFC 5118 §4.10 wants that tolerated.
    let (before, after) = text.split_once(":::")?;
    let address: Ipv6Addr = format!("{before}::{after}").parse().ok()?;
    after.parse::<std::net::Ipv4Addr>().is_ok().then_some(address)
}

fn port(digits: &str) -> Option<u16> {
    // Digits only: no sign, and what is clamped does not fit.
    lex::clamped_number(digits.as_bytes())?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_follows_a_name_an_address_or_a_reference() {
        assert_eq!(split_host_port("lab.test:5070"), Some(("lab.test", Some(5070))));
        assert_eq!(split_host_port("192.0.2.1"), Some(("192.0.2.1", None)));
        assert_eq!(split_host_port("[2001:db8::10]:5070"), Some(("[2001:db8::10]", Some(5070))));
        assert_eq!(split_host_port("spindle.example.com : 5"), Some(("spindle.example.com", Some(5))));
    }

    #[test]
    fn digits_inside_the_brackets_belong_to_the_address() {
        assert_eq!(split_host_port("[2001:db8::10:5070]"), Some(("[2001:db8::10:5070]", None)));
    }

    #[test]
    fn an_ipv6_address_without_brackets_is_no_host() {
        assert_eq!(split_host_port("2001:db8::10"), None);
    }

    #[test]
    fn a_third_colon_is_tolerated_only_before_an_ipv4_address() {
        let address = literal("[2001:db8::192.0.2.1]");

        assert!(address.is_some());
        assert_eq!(literal("[2001:db8:::192.0.2.1]"), address);
        assert_eq!(literal("[2001:db8:::10]"), None);
        assert_eq!(literal("[::::192.0.2.1]"), None);
    }

    #[test]
    fn a_port_is_a_number_up_to_65535() {
        for text in ["h:", "h:+5", "h:65536", "h:5x", "h 5", ":5060", "[::1]5060", "[::1", "h;x"] {
            assert_eq!(split_host_port(text), None, "{text}");
        }
    }
}
