//! Account names. They are addresses-of-record (`sip:alice@example.com`), normalised by whoever asks, so that they may be
//! compared as text. Only the account that asks needs a closer look: its name also tells the digest username.

/// Who asks.
#[derive(Debug, PartialEq)]
pub struct Asker {
    /// The customer: `sip:alice@example.com`.
    pub account: String,
    /// What the client calls itself in its digest: `alice`, or its whole address `alice@example.com`.
    pub username: String,
}

impl Asker {
    /// `None` for what cannot be anybody's name: a client made it up, and it is denied like any unknown one.
    pub fn parse(account: &str) -> Option<Asker> {
        let (user, host) = account.strip_prefix("sip:")?.rsplit_once('@')?;
        let username = unescape(user)?;
        if username.is_empty() || host.is_empty() || username.chars().any(char::is_control) {
            return None;
        }
        // `sip:alice%40example.com@example.com`: the client wrote its whole address where its user name is asked for.
        let account =
            if username.contains('@') { format!("sip:{username}") } else { format!("sip:{username}@{host}") };
        Some(Asker { account, username })
    }
}

/// Undoes %xx.
fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(account: &str) -> Option<(String, String)> {
        Asker::parse(account).map(|asker| (asker.account, asker.username))
    }

    #[test]
    fn a_whole_address_as_username_means_the_account_with_that_address() {
        let (account, username) = ("sip:alice@example.com".to_owned(), "alice@example.com".to_owned());

        assert_eq!(asker("sip:alice@example.com"), Some((account.clone(), "alice".into())));
        assert_eq!(asker("sip:alice%40example.com@example.com"), Some((account, username)));
    }

    #[test]
    fn what_cannot_be_a_name_is_nobodys() {
        for account in
            ["", "alice", "sip:alice", "sip:@a.test", "sip:al%0aice@a.test", "sip:a%@a.test", "tel:1"]
        {
            assert_eq!(asker(account), None, "{account}");
        }
    }
}
