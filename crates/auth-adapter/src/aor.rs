//! An address-of-record: the name under which an account is kept, and under which its presence is published.
//!
//! `sip:`, `sips:` and `pres:` are the same address; port and parameters do not count; escapes are undone; the host is
//! compared without case, the user with it (RFC 3261 19.1.4).

use std::fmt;

use sip::uri::{Scheme, Uri, unescape};

/// `user@host`, where the user may itself contain an `@`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Aor {
    user: String,
    host: String,
}

impl Aor {
    /// `None` when the URI names no user at a host.
    pub fn parse(uri: &str) -> Option<Aor> {
        let uri = Uri::parse(uri).ok()?;
        let named = matches!(uri.scheme, Scheme::Sip | Scheme::Sips | Scheme::Pres);
        let user = uri.user.filter(|user| named && !user.is_empty())?;
        Aor::new(&unescape(user), uri.host)
    }

    fn new(user: &str, host: &str) -> Option<Aor> {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let whole = !user.is_empty() && !host.is_empty() && !user.chars().any(char::is_control);
        whole.then(|| Aor { user: user.to_owned(), host })
    }

    /// The account that is meant when the user is a whole address, as in `sip:alice%40lab.test@lab.test`: a client whose
    /// digest username is `alice@lab.test` is the account `sip:alice@lab.test`.
    pub fn account(&self) -> Aor {
        let nested = self.user.rsplit_once('@').and_then(|(user, host)| Aor::new(user, host));
        nested.unwrap_or_else(|| self.clone())
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    pub fn host(&self) -> &str {
        &self.host
    }
}

impl fmt::Display for Aor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sip:{}@{}", self.user, self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_address_are_equal() {
        let alice = Aor::parse("sip:alice@lab.test").unwrap();
        for uri in ["sips:alice@LAB.test", "pres:%61lice@lab.test", "sip:alice@lab.test:5070;user=phone"] {
            assert_eq!(Aor::parse(uri).as_ref(), Some(&alice), "{uri}");
        }
        assert_ne!(Aor::parse("sip:Alice@lab.test"), Some(alice));
    }

    #[test]
    fn what_names_no_user_at_a_host_is_no_address_of_record() {
        for uri in
            ["", "alice", "alice@lab.test", "sip:lab.test", "sip:@lab.test", "tel:+123", "sip:a b@lab.test"]
        {
            assert_eq!(Aor::parse(uri), None, "{uri}");
        }
    }

    #[test]
    fn a_username_that_is_a_whole_address_means_that_account() {
        let long = Aor::parse("sip:alice%40lab.test@lab.test").unwrap();

        assert_eq!(long.user(), "alice@lab.test");
        assert_eq!(long.account(), Aor::parse("sip:alice@lab.test").unwrap());
    }
}
