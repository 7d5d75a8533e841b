//! The script: which accounts of a test system are asked about, and what is known of them.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use sip::digest::Algorithm;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    #[serde(default = "all_algorithms", deserialize_with = "algorithms")]
    pub algorithms: Vec<Algorithm>,
    pub account: Account,
    pub unknown: Unknown,
    pub blocked: Blocked,
    pub pending: Option<Pending>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    pub uri: Address,
    pub password: String,
    pub watches: Option<Address>,
    pub tenant: Option<String>,
    pub max_expires: Option<u32>,
    pub max_subscriptions: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unknown {
    pub uri: Address,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blocked {
    pub uri: Address,
    pub password: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    pub presentity: Address,
}

/// An address-of-record as the contract writes it: `sip:user@host`.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    user: String,
    host: String,
}

/// Why a script is not used, and where in it.
#[derive(Debug)]
pub struct Bad {
    pub line: usize,
    pub reason: String,
}

impl Script {
    pub fn parse(text: &str) -> Result<Script, Bad> {
        toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            Bad { line: line(text, offset), reason: error.message().trim().replace('\n', ", ") }
        })
    }
}

impl Address {
    /// The digest username of a phone.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The domain, which is the digest realm.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sip:{}@{}", self.user, self.host)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        let text = String::deserialize(deserializer)?;
        let plain = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || "-_.!~*'()&=+$,;?/".contains(c))
        };
        let parts = text.strip_prefix("sip:").and_then(|rest| rest.split_once('@'));
        match parts.filter(|(user, host)| plain(user) && plain(host)) {
            Some((user, host)) => Ok(Address { user: user.to_owned(), host: host.to_ascii_lowercase() }),
            None => Err(D::Error::custom(format!("{text:?} is no address such as sip:alice@example.com"))),
        }
    }
}

fn all_algorithms() -> Vec<Algorithm> {
    vec![Algorithm::Md5, Algorithm::Sha256]
}

fn algorithms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Algorithm>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let known = names.iter().map(|name| {
        Algorithm::parse(name).ok_or_else(|| {
            D::Error::custom(format!("{name:?} is none of \"MD5\", \"SHA-256\" and \"SHA-512-256\""))
        })
    });
    match known.collect::<Result<Vec<_>, _>>()? {
        none if none.is_empty() => Err(D::Error::custom("at least one algorithm is needed")),
        some => Ok(some),
    }
}

fn line(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "[account]\nuri = \"sip:alice@Lab.test\"\npassword = \"pw\"\n\
                         [unknown]\nuri = \"sip:x@lab.test\"\n[blocked]\nuri = \"sip:b@lab.test\"\npassword = \"b\"\n";

    #[test]
    fn the_sample_is_a_script_that_tries_everything() {
        let script = Script::parse(super::super::SAMPLE).unwrap();

        assert_eq!(script.algorithms.len(), 2);
        assert!(script.pending.is_some() && script.account.tenant.is_some());
    }

    #[test]
    fn what_may_be_left_out_may_be_left_out() {
        let script = Script::parse(WHOLE).unwrap();

        assert_eq!(script.account.uri.to_string(), "sip:alice@lab.test");
        assert!(script.pending.is_none() && script.account.max_expires.is_none());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (from, to, line, reason) in [
            ("password = \"pw\"", "pasword = \"pw\"", 3, "unknown field `pasword`"),
            ("sip:alice@Lab.test", "alice", 2, "\"alice\" is no address"),
            ("sip:x@lab.test", "sip:x%40y@lab.test", 5, "\"sip:x%40y@lab.test\" is no address"),
            ("[blocked]", "[blocked", 6, ""),
            ("[unknown]\nuri = \"sip:x@lab.test\"\n", "", 1, "missing field `unknown`"),
            ("[account]", "algorithms = [\"SHA-512\"]\n[account]", 1, "\"SHA-512\" is none of"),
            ("[account]", "\nalgorithms = []\n[account]", 2, "at least one"),
        ] {
            let bad = Script::parse(&WHOLE.replace(from, to)).unwrap_err();

            assert_eq!(bad.line, line, "{to}: {}", bad.reason);
            assert!(bad.reason.starts_with(reason) && !bad.reason.contains('\n'), "{}", bad.reason);
        }
    }
}
