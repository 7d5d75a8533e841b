//! Via (RFC 3261 §20.42, RFC 3581): which way an answer goes back, and which transaction it is for.

use super::lex;
use super::params::Params;
use crate::host;

/// What a branch starts with when its sender builds unique ones (RFC 3261 §8.1.1.7).
pub const BRANCH_COOKIE: &str = "z9hG4bK";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// As written: `UDP`, `WSS`, or a transport nobody has heard of.
    pub transport: &'a str,
    /// An IPv6 reference keeps its brackets.
    pub host: &'a str,
    pub port: Option<u16>,
    pub branch: Option<&'a str>,
    pub received: Option<&'a str>,
    /// `Some(None)`: asked for and not yet filled in.
    pub rport: Option<Option<u16>>,
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// One value; white space may surround every separator (RFC 4475 §3.1.1.1).
    pub fn parse(value: &'a [u8]) -> Option<Via<'a>> {
        let value = std::str::from_utf8(value).ok()?;
        let rest = match value.strip_prefix("SIP/2.0/") {
            Some(rest) => rest,
            None => behind_protocol(value)?,
        };
        let rest = rest.trim_ascii_start();
        let end = rest.bytes().position(|byte| matches!(byte, b' ' | b'\t'))?;
        let (transport, rest) = (&rest[..end], &rest[end + 1..]);
        let (sent_by, params) = rest.split_at(lex::find_any(rest.as_bytes(), [b';']).unwrap_or(rest.len()));
        let (host, port) = host::split_host_port(sent_by)?;
        if !lex::is_token(transport.as_bytes()) || !lex::quotes_are_closed(params.as_bytes()) {
            return None;
        }
        let mut via = Via {
            transport,
            host,
            port,
            branch: None,
            received: None,
            rport: None,
            params: Params::new(params),
        };
        via.params.iter().for_each(|(name, value)| via.note(name, value));
        Some(via)
    }

    /// The branch, if it was made by the rules of RFC 3261 and so names a transaction by itself.
    pub fn unique_branch(&self) -> Option<&'a str> {
        let has_cookie = |branch: &&str| {
            let cookie = branch.get(..BRANCH_COOKIE.len());
            // The cookie alone names nothing (RFC 4475 §3.2.1).
            branch.len() > BRANCH_COOKIE.len()
                && cookie.is_some_and(|cookie| cookie.eq_ignore_ascii_case(BRANCH_COOKIE))
        };
        self.branch.filter(has_cookie)
    }

    /// One of the parameters with a field of their own; the first of a name counts.
    fn note(&mut self, name: &str, value: Option<&'a str>) {
        let text = value.filter(|text| !text.is_empty());
        if name.eq_ignore_ascii_case("branch") {
            self.branch = self.branch.or(text);
        } else if name.eq_ignore_ascii_case("received") {
            self.received = self.received.or(text);
        } else if name.eq_ignore_ascii_case("rport") {
            self.rport = self.rport.or(Some(value.and_then(|digits| digits.parse().ok())));
        }
    }
}

/// What follows `SIP/2.0/`, however that is written.
fn behind_protocol(value: &str) -> Option<&str> {
    let (protocol, rest) = value.split_once('/')?;
    let (version, rest) = rest.split_once('/')?;
    let is_sip = protocol.trim_ascii().eq_ignore_ascii_case("SIP");
    (is_sip && lex::is_token(version.trim_ascii().as_bytes())).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Via<'_>> {
        Via::parse(text.as_bytes())
    }

    #[test]
    fn space_around_every_separator_means_nothing() {
        let via =
            parse("SIP  / 2.0  / TCP     spindle.example.com : 5061  ;  branch  =   z9hG4bK9ikj8").unwrap();

        assert_eq!((via.transport, via.host, via.port), ("TCP", "spindle.example.com", Some(5061)));
        assert_eq!(via.branch, Some("z9hG4bK9ikj8"));
    }

    #[test]
    fn rport_is_absent_asked_for_or_filled_in() {
        assert_eq!(parse("SIP/2.0/UDP h").unwrap().rport, None);
        assert_eq!(parse("SIP/2.0/UDP h;rport").unwrap().rport, Some(None));
        assert_eq!(parse("SIP/2.0/UDP h;rport=5062").unwrap().rport, Some(Some(5062)));
    }

    #[test]
    fn received_may_be_an_ipv6_address_with_or_without_brackets() {
        let with = parse("SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3").unwrap();
        let without =
            parse("SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3").unwrap();

        assert_eq!(with.received, Some("[2001:db8::9:255]"));
        assert_eq!(without.received, Some("2001:db8::9:255"));
        assert_eq!(without.branch, Some("z9hG4bKas3"));
    }

    #[test]
    fn only_a_cookie_with_something_behind_it_is_unique() {
        let unique = |text| parse(text).unwrap().unique_branch();

        assert_eq!(unique("SIP/2.0/UDP h;branch=z9hG4bK1"), Some("z9hG4bK1"));
        assert_eq!(unique("SIP/2.0/UDP h;branch=Z9HG4BK1"), Some("Z9HG4BK1"));
        assert_eq!(unique("SIP/2.0/UDP h;branch=z9hG4bK"), None);
        assert_eq!(unique("SIP/2.0/UDP h;branch=390skdjuw"), None);
        assert_eq!(unique("SIP/2.0/UDP h"), None);
    }

    #[test]
    fn a_value_that_is_no_via_is_refused() {
        for text in [
            "",
            ";",
            "SIP/2.0/UDP",
            "SIP/2.0 h",
            "HTTP/1.1/TCP h",
            "SIP/2.0/UDP h:x",
            "SIP/2.0/UDP ;a",
            "SIP/2.0/U(P h",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
