//! Where accounts come from: so far a file, or pairs made in memory. Both end as [`Accounts`].

pub mod accounts_file;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::aor::Aor;

/// Every account there is, with its secret.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    held: BTreeMap<Aor, Secret>,
}

/// What proves that somebody is the account.
#[derive(Clone, PartialEq)]
pub enum Secret {
    Password(String),
    /// H(username:realm:password) by MD5, in lower-case hex.
    Md5(String),
    /// The same by SHA-256.
    Sha256(String),
}

/// Why an account is not taken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BadAccount {
    #[error("{0:?} is no address such as sip:alice@lab.test")]
    Uri(String),
    #[error("account {0} is there twice")]
    Twice(Aor),
    #[error("account {0} needs a `password` or an `ha1`")]
    NoSecret(String),
    #[error("account {0} has both a `password` and an `ha1`: keep one")]
    TwoSecrets(String),
    #[error("account {0} has an empty password")]
    EmptyPassword(String),
    #[error("the `ha1` of account {0} is neither MD5 (32 hex digits) nor SHA-256 (64)")]
    Ha1(String),
}

impl Accounts {
    /// From an accounts file; its format is described in [`accounts_file`].
    pub fn from_file(path: impl AsRef<Path>) -> Result<Accounts, accounts_file::LoadError> {
        accounts_file::load(path.as_ref())
    }

    /// From pairs of URI and password.
    pub fn from_pairs<U, P>(pairs: impl IntoIterator<Item = (U, P)>) -> Result<Accounts, BadAccount>
    where
        U: AsRef<str>,
        P: Into<String>,
    {
        let mut accounts = Accounts::default();
        for (uri, password) in pairs {
            accounts.add(uri.as_ref(), Secret::password(uri.as_ref(), password.into())?)?;
        }
        Ok(accounts)
    }

    pub fn find(&self, account: &Aor) -> Option<&Secret> {
        self.held.get(account)
    }

    pub fn len(&self) -> usize {
        self.held.len()
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn add(&mut self, uri: &str, secret: Secret) -> Result<(), BadAccount> {
        let account = Aor::parse(uri).ok_or_else(|| BadAccount::Uri(uri.to_owned()))?;
        match self.held.insert(account.clone(), secret) {
            None => Ok(()),
            Some(_) => Err(BadAccount::Twice(account)),
        }
    }
}

impl Secret {
    fn password(uri: &str, password: String) -> Result<Secret, BadAccount> {
        if password.is_empty() {
            return Err(BadAccount::EmptyPassword(uri.to_owned()));
        }
        Ok(Secret::Password(password))
    }

    fn ha1(uri: &str, hex: &str) -> Result<Secret, BadAccount> {
        let digits = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        match hex.len() {
            32 if digits => Ok(Secret::Md5(hex.to_ascii_lowercase())),
            64 if digits => Ok(Secret::Sha256(hex.to_ascii_lowercase())),
            _ => Err(BadAccount::Ha1(uri.to_owned())),
        }
    }
}

/// Keeps secrets out of logs.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Secret::Password(_) => "Password(..)",
            Secret::Md5(_) => "Md5(..)",
            Secret::Sha256(_) => "Sha256(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_any_spelling_of_its_address() {
        let accounts = Accounts::from_pairs([("sip:carol@Lab.test", "carolpw")]).unwrap();

        let carol = Aor::parse("sips:carol@lab.test:5061").unwrap();
        assert_eq!(accounts.find(&carol), Some(&Secret::Password("carolpw".into())));
    }

    #[test]
    fn an_account_that_cannot_be_used_is_refused() {
        let refusal = |pairs: &[(&str, &str)]| Accounts::from_pairs(pairs.iter().copied()).unwrap_err();

        assert!(matches!(refusal(&[("sip:alice@not a domain", "pw")]), BadAccount::Uri(_)));
        assert!(matches!(refusal(&[("sip:alice@lab.test", "")]), BadAccount::EmptyPassword(_)));
        let twice = [("sip:alice@lab.test", "a"), ("sips:alice@LAB.test", "b")];
        assert!(matches!(refusal(&twice), BadAccount::Twice(_)));
    }

    #[test]
    fn no_secret_is_ever_printed() {
        let accounts = Accounts::from_pairs([("sip:alice@lab.test", "hunter2")]).unwrap();

        assert!(!format!("{accounts:?}").contains("hunter2"));
    }
}
