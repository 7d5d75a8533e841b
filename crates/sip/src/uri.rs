//! SIP, SIPS, tel and pres URIs (RFC 3261 §19.1, RFC 3966, RFC 3859), borrowed from their text.
//!
//! Nothing is normalised here: equality and look-up of presentities is `placement`'s business.
//! Parsing refuses what could be read in two ways (white space, angle brackets, a second `@`),
//! since a proxy in front of us may have read it the other way.

use std::borrow::Cow;
use std::net::SocketAddr;

use crate::header::lex;
use crate::header::params::Params;
use crate::host;
use crate::transport::Transport;

/// A URI cut into its parts; escapes are still in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    pub scheme: Scheme,
    /// Without the password. The number of a tel URI stands here too.
    pub user: Option<&'a str>,
    /// An IPv6 reference keeps its brackets. Empty in a tel URI.
    pub host: &'a str,
    pub port: Option<u16>,
    pub params: Params<'a>,
    /// What follows the `?`.
    pub headers: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    Sip,
    Sips,
    Tel,
    Pres,
    /// Any other; such a URI is not cut any further.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed URI")]
pub struct BadUri;

impl<'a> Uri<'a> {
    pub fn parse(text: &'a str) -> Result<Uri<'a>, BadUri> {
        let held = Marks::of(text);
        let (scheme, rest) = cut(text, b':').ok_or(BadUri)?;
        if !is_scheme(scheme) || rest.is_empty() || held.any(Marks::UNCLEAN) {
            return Err(BadUri);
        }
        match Scheme::parse(scheme) {
            Scheme::Tel => Ok(Uri::tel(rest)),
            // We cannot say what is well-formed in a scheme that we do not know.
            Scheme::Other => Ok(Uri { scheme: Scheme::Other, ..Uri::tel("") }),
            _ if held.any(Marks::PERCENT) && !escapes_are_whole(rest) => Err(BadUri),
            scheme => Uri::sip(scheme, rest, held),
        }
    }

    /// Where the URI points, if its host is a literal address. By default to port 5060, 5061 for TLS, and the ports of
    /// the web for WebSocket (RFC 7118 §5.2.2).
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let transport = self.params.get("transport").flatten().unwrap_or_default();
        let secure = self.scheme == Scheme::Sips;
        let default = match Transport::parse(transport) {
            Some(Transport::Ws) if !secure => 80,
            Some(Transport::Ws | Transport::Wss) => 443,
            Some(Transport::Tls) => 5061,
            _ if secure => 5061,
            _ => 5060,
        };
        Some(SocketAddr::new(host::literal(self.host)?, self.port.unwrap_or(default)))
    }

    /// `held`: what is in it somewhere, so that nothing is searched for in vain.
    fn sip(scheme: Scheme, rest: &'a str, held: Marks) -> Result<Uri<'a>, BadUri> {
        let cut_at = |text, mark, separator| if held.any(mark) { cut(text, separator) } else { None };
        // The user part may hold `;` and `?`, so the `@` is looked for first.
        let (user, rest) = match cut_at(rest, Marks::AT, b'@') {
            Some((userinfo, rest)) => (Some(user(userinfo)?), rest),
            None => (None, rest),
        };
        if user.is_some() && cut(rest, b'@').is_some() {
            return Err(BadUri);
        }
        let (rest, headers) = cut_at(rest, Marks::QUESTION, b'?').unwrap_or((rest, ""));
        let (host_port, params) = cut_at(rest, Marks::SEMICOLON, b';').unwrap_or((rest, ""));
        let (host, port) = host::split_host_port(host_port).ok_or(BadUri)?;
        Ok(Uri { scheme, user, host, port, params: Params::new(params), headers })
    }

    fn tel(rest: &'a str) -> Uri<'a> {
        let (number, params) = rest.split_once(';').unwrap_or((rest, ""));
        let user = (!number.is_empty()).then_some(number);
        Uri { scheme: Scheme::Tel, user, host: "", port: None, params: Params::new(params), headers: "" }
    }
}

/// The URI as it may stand in a Request-URI: the headers and the method of another one are to be ignored (RFC 3261 §19.1.1,
/// table 1).
pub fn in_request(text: &str) -> Cow<'_, str> {
    let Ok(uri) = Uri::parse(text) else { return Cow::Borrowed(text) };
    let text = text.strip_suffix(uri.headers).unwrap_or(text);
    let text = if uri.headers.is_empty() { text } else { text.strip_suffix('?').unwrap_or(text) };
    let Some(before) = text.strip_suffix(uri.params.as_str()).filter(|_| uri.params.get("method").is_some())
    else {
        return Cow::Borrowed(text);
    };
    let is_method =
        |piece: &&str| piece.split('=').next().is_some_and(|name| name.eq_ignore_ascii_case("method"));
    let kept: Vec<_> = lex::split_text(uri.params.as_str(), b';').filter(|piece| !is_method(piece)).collect();
    let kept = kept.join(";");
    Cow::Owned(match kept.is_empty() {
        true => before.trim_end_matches(';').to_owned(),
        false => format!("{before}{kept}"),
    })
}

impl Scheme {
    /// Of a URI that need not be read any further; `Other` if it has none.
    pub fn of(uri: &str) -> Scheme {
        cut(uri, b':').map_or(Scheme::Other, |(scheme, _)| Scheme::parse(scheme))
    }

    fn parse(text: &str) -> Scheme {
        const KNOWN: [(&str, Scheme); 4] =
            [("sip", Scheme::Sip), ("sips", Scheme::Sips), ("tel", Scheme::Tel), ("pres", Scheme::Pres)];
        let known = KNOWN.iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
        known.map_or(Scheme::Other, |(_, scheme)| *scheme)
    }

    /// The scheme in lower case; empty for `Other`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Scheme::Sip => "sip",
            Scheme::Sips => "sips",
            Scheme::Tel => "tel",
            Scheme::Pres => "pres",
            Scheme::Other => "",
        }
    }
}

/// `%41` read as `A`. Text whose escapes do not spell UTF-8 stays as it is, so two different
/// URIs never become one by a replacement character.
pub fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        match escape(&bytes[at..]) {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(plain).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The text before and behind the first `separator`, which is ASCII.
fn cut(text: &str, separator: u8) -> Option<(&str, &str)> {
    let at = lex::find_any(text.as_bytes(), [separator])?;
    Some((&text[..at], &text[at + 1..]))
}

fn user(userinfo: &str) -> Result<&str, BadUri> {
    let user = cut(userinfo, b':').map_or(userinfo, |(user, _password)| user);
    (!user.is_empty()).then_some(user).ok_or(BadUri)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && SCHEME.holds_all(text.as_bytes())
}

const SCHEME: lex::Bytes = lex::Bytes::alphanumeric_and(b"+-.");

/// What a text holds of the bytes that matter in a URI.
#[derive(Clone, Copy)]
struct Marks(u8);

impl Marks {
    const PERCENT: u8 = 1;
    const AT: u8 = 2;
    const SEMICOLON: u8 = 4;
    const QUESTION: u8 = 8;
    /// White space, control characters, delimiters and raw non-ASCII text.
    const UNCLEAN: u8 = 16;

    fn of(text: &str) -> Marks {
        Marks(text.bytes().fold(0, |marks, byte| marks | Marks::OF_BYTES[usize::from(byte)]))
    }

    fn any(self, marks: u8) -> bool {
        self.0 & marks != 0
    }

    const OF_BYTES: [u8; 256] = {
        let mut marks = [Marks::UNCLEAN; 256];
        let mut byte = 0;
        while byte < 128 {
            marks[byte as usize] = match byte {
                b'%' => Marks::PERCENT,
                b'@' => Marks::AT,
                b';' => Marks::SEMICOLON,
                b'?' => Marks::QUESTION,
                b'"' | b'<' | b'>' => Marks::UNCLEAN,
                b'!'..=b'~' => 0,
                _ => Marks::UNCLEAN,
            };
            byte += 1;
        }
        marks
    };
}

fn escapes_are_whole(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let Some(at) = lex::find_any(rest, [b'%']) {
        if escape(&rest[at..]).is_none() {
            return false;
        }
        rest = &rest[at + 1..];
    }
    true
}

fn escape(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_request_uri_has_is_left_out() {
        for (contact, kept) in [
            ("sip:bob@lab.test;transport=tcp", "sip:bob@lab.test;transport=tcp"),
            ("sip:bob@lab.test?Subject=x", "sip:bob@lab.test"),
            ("sip:b?b@lab.test;lr?Subject=x", "sip:b?b@lab.test;lr"),
            ("sip:bob@lab.test;method=INVITE", "sip:bob@lab.test"),
            ("sip:bob@lab.test;a;METHOD=INVITE;b=1?c=d", "sip:bob@lab.test;a;b=1"),
            ("sip:bob@lab.test;methods=x", "sip:bob@lab.test;methods=x"),
            ("no URI", "no URI"),
        ] {
            assert_eq!(in_request(contact), kept);
        }
    }

    #[test]
    fn a_sip_uri_is_cut_into_its_parts() {
        let uri =
            Uri::parse("SIP:alice:secret@lab.test:5070;transport=TCP;lr?Subject=x&Priority=urgent").unwrap();

        assert_eq!(uri.scheme, Scheme::Sip);
        assert_eq!((uri.user, uri.host, uri.port), (Some("alice"), "lab.test", Some(5070)));
        assert_eq!(uri.params.get("Transport"), Some(Some("TCP")));
        assert_eq!(uri.headers, "Subject=x&Priority=urgent");
    }

    #[test]
    fn semicolons_and_question_marks_before_the_at_sign_belong_to_the_user() {
        let uri = Uri::parse("sip:user;par=u%40example.net?x@example.com").unwrap();

        assert_eq!(uri.user, Some("user;par=u%40example.net?x"));
        assert_eq!(uri.host, "example.com");
    }

    #[test]
    fn a_tel_uri_has_a_number_and_no_host() {
        let uri = Uri::parse("tel:+1-201-555-0123;phone-context=x").unwrap();

        assert_eq!((uri.scheme, uri.user, uri.host), (Scheme::Tel, Some("+1-201-555-0123"), ""));
        assert_eq!(uri.params.get("phone-context"), Some(Some("x")));
    }

    #[test]
    fn an_unknown_scheme_is_opaque_and_not_malformed() {
        assert_eq!(Uri::parse("soap.beep://192.0.2.103:3002").unwrap().scheme, Scheme::Other);
        assert_eq!(Uri::parse("urn:service:sos").unwrap().scheme, Scheme::Other);
    }

    #[test]
    fn an_ipv6_reference_keeps_its_brackets_and_gives_an_address() {
        let uri = Uri::parse("sip:user@[2001:db8::10]:5070;transport=udp").unwrap();

        assert_eq!(uri.host, "[2001:db8::10]");
        assert_eq!(uri.socket_addr(), "[2001:db8::10]:5070".parse().ok());
    }

    #[test]
    fn the_default_port_follows_the_transport_and_names_have_no_address() {
        let address = |text| Uri::parse(text).unwrap().socket_addr();

        assert_eq!(address("sip:192.0.2.1"), "192.0.2.1:5060".parse().ok());
        assert_eq!(address("sips:192.0.2.1"), "192.0.2.1:5061".parse().ok());
        assert_eq!(address("sip:192.0.2.1;transport=TLS"), "192.0.2.1:5061".parse().ok());
        assert_eq!(address("sip:192.0.2.1;transport=ws"), "192.0.2.1:80".parse().ok());
        assert_eq!(address("sips:192.0.2.1;transport=ws"), "192.0.2.1:443".parse().ok());
        assert_eq!(address("sip:lab.test"), None);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let ambiguous = [
            "sip:a b@x",
            "sip:a@b@c",
            "<sip:a@b>",
            "sip:@x",
            "sip:",
            "sip:a@",
            "sip:a@x:port",
            "sip:a@x;%4",
            "sip:a%zz@x",
            "alice",
            ":a@b",
            "1sip:a@b",
            "sip:2001:db8::10",
            "sip:\u{fc}@x",
            "sip:a@x;b=\"c\"",
            "sip:a@b?x@c",
        ];
        for text in ambiguous {
            assert_eq!(Uri::parse(text), Err(BadUri), "{text}");
        }
    }

    #[test]
    fn escapes_are_undone_only_if_they_spell_utf8() {
        assert_eq!(unescape("%75se%72"), "user");
        assert_eq!(unescape("null-%00"), "null-\0");
        assert_eq!(unescape("%d0%b1"), "\u{431}");
        assert_eq!(unescape("a%ff%41"), "a%ff%41");
        assert_eq!(unescape("100%"), "100%");
    }
}
