//! The one name under which a presentity is kept, however a client writes its URI.
//!
//! `sip:`, `sips:` and `pres:` are the same presentity; port, parameters and headers do not count; the host is
//! compared without case and the user with it (RFC 3261 19.1.4); escapes that need not be are undone. A `tel:` number
//! loses its visual separators (RFC 3966 5.1.1) and stands alone, without a domain.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// `user@host`, or `tel:number`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PresentityKey(Arc<str>);

impl PresentityKey {
    /// Longer names are refused: a key is kept in every replica.
    pub const MAX_LENGTH: usize = 512;

    /// `None` when the URI is none of ours: another scheme, no user, no host, or too long.
    pub fn of(uri: &str) -> Option<PresentityKey> {
        let (scheme, rest) = uri.trim_ascii().split_once(':')?;
        let is = |name: &str| scheme.eq_ignore_ascii_case(name);
        let key = match () {
            () if is("sip") || is("sips") || is("pres") => address_of_record(rest)?,
            () if is("tel") => number(rest)?,
            () => return None,
        };
        (key.len() <= Self::MAX_LENGTH).then(|| PresentityKey(key.into()))
    }

    /// Takes back what [`Self::as_str`] gave, as snapshots and commands carry it.
    pub fn restored(key: &str) -> PresentityKey {
        PresentityKey(key.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Empty for a `tel:` number.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// The address-of-record as a URI.
    pub fn uri(&self) -> String {
        if self.0.starts_with("tel:") { self.0.to_string() } else { format!("sip:{}", self.0) }
    }
}

/// Compared as its text is, so a map is searched by the text that a command carries.
impl Borrow<str> for PresentityKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PresentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn address_of_record(rest: &str) -> Option<String> {
    let (user, host) = rest.rsplit_once('@')?;
    // A password is no part of the name (RFC 3261 19.1.1), nor are parameters of a telephone-subscriber.
    let user = user.split([':', ';']).next().filter(|user| !user.is_empty())?;
    let host = host.split([';', '?']).next()?;
    let host = match host.strip_prefix('[') {
        Some(v6) => &host[..v6.find(']')? + 2],
        None => host.split(':').next()?,
    };
    let host = host.trim_end_matches('.');
    if host.is_empty() || host.bytes().any(|byte| byte <= b' ') {
        return None;
    }
    let mut key = String::with_capacity(user.len() + 1 + host.len());
    unescape(user, &mut key)?;
    key.push('@');
    let begins = key.len();
    key.push_str(host);
    key[begins..].make_ascii_lowercase();
    Some(key)
}

fn number(rest: &str) -> Option<String> {
    let digits: String = rest.split([';', '?']).next()?.chars().filter(|c| !"-.() ".contains(*c)).collect();
    let valid = digits.bytes().all(|b| b.is_ascii_hexdigit() || b"+*#".contains(&b));
    (valid && !digits.is_empty()).then(|| format!("tel:{}", digits.to_ascii_lowercase()))
}

/// Undoes escapes of characters that may stand for themselves; the others keep theirs, in capitals.
fn unescape(user: &str, out: &mut String) -> Option<()> {
    let begins = out.len();
    let mut rest = user;
    while let Some((plain, escaped)) = rest.split_once('%') {
        let code = u8::from_str_radix(escaped.get(..2)?, 16).ok()?;
        out.push_str(plain);
        if code.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,/".contains(&code) {
            out.push(char::from(code));
        } else {
            out.push_str(&format!("%{code:02X}"));
        }
        rest = &escaped[2..];
    }
    out.push_str(rest);
    let is_bare = !out[begins..].bytes().any(|byte| byte <= b' ' || byte == b'@');
    is_bare.then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(uri: &str) -> Option<String> {
        PresentityKey::of(uri).map(|key| key.to_string())
    }

    #[test]
    fn spellings_of_one_presentity_have_one_key() {
        for uri in [
            "sip:alice@lab.test",
            "sips:alice@LAB.test:5061;transport=tcp",
            "pres:alice@lab.test.",
            "SIP:%61lice@lab.test?subject=x",
            "sip:alice:secret@lab.test;user=phone",
        ] {
            assert_eq!(key(uri).as_deref(), Some("alice@lab.test"), "{uri}");
        }
    }

    #[test]
    fn a_key_is_the_key_of_its_own_uri() {
        for uri in ["sip:alice@lab.\u{85}.", "sip:%5Falice@LAB.test..", "tel:+1-555"] {
            let key = PresentityKey::of(uri).unwrap();
            assert_eq!(PresentityKey::of(&key.uri()), Some(key));
        }
    }

    #[test]
    fn the_user_is_compared_with_case() {
        assert_ne!(key("sip:Alice@lab.test"), key("sip:alice@lab.test"));
    }

    #[test]
    fn an_escape_that_is_needed_stays() {
        assert_eq!(key("sip:a%40b%3b@lab.test").as_deref(), Some("a%40b%3B@lab.test"));
    }

    #[test]
    fn a_telephone_number_loses_its_separators() {
        assert_eq!(key("tel:+1-(555)-01.23;phone-context=x").as_deref(), Some("tel:+15550123"));
    }

    #[test]
    fn an_ipv6_host_keeps_its_brackets() {
        assert_eq!(key("sip:bob@[2001:DB8::1]:5060").as_deref(), Some("bob@[2001:db8::1]"));
    }

    #[test]
    fn what_names_nobody_has_no_key() {
        for uri in [
            "",
            "sip:",
            "sip:lab.test",
            "sip:@lab.test",
            "mailto:a@b",
            "sip:a@",
            "tel:",
            "sip:a@[::1",
            "sip:%zz@b",
        ] {
            assert_eq!(key(uri), None, "{uri}");
        }
    }
}
