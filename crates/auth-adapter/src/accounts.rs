//! Accounts as values: what each may, what proves it, and which of them changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::aor::Aor;

/// Every account there is.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    held: BTreeMap<Aor, Account>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    pub secret: Secret,
    /// Denied whatever it asks.
    pub blocked: bool,
    pub watchers: Watchers,
    /// In seconds; 0 leaves it to the manager.
    pub max_expires: u32,
    /// At one time; 0 sets no limit.
    pub max_subscriptions: u32,
    /// Empty when its domain says it.
    pub tenant: String,
}

/// What proves that somebody is the account.
#[derive(Clone, PartialEq)]
pub enum Secret {
    Password(String),
    /// H(username:realm:password) by algorithm, in lower-case hex; an empty one is not known.
    Ha1s {
        md5: String,
        sha256: String,
        sha512_256: String,
    },
}

/// Who may watch an account without being approved first.
#[derive(Clone, Debug, PartialEq)]
pub enum Watchers {
    Everybody,
    Only(BTreeSet<Aor>),
}

/// Whose answers count no more.
#[derive(Clone, Debug, PartialEq)]
pub enum Changed {
    Accounts(BTreeSet<Aor>),
    Everybody,
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
    #[error("account {0} has `allowed` but does not say `approve = \"ask\"`")]
    AllowedUnasked(String),
    #[error("the `tenant` of account {0} is longer than 64 bytes or holds control characters")]
    Tenant(String),
}

impl Accounts {
    /// From pairs of URI and password.
    pub fn from_pairs<U, P>(pairs: impl IntoIterator<Item = (U, P)>) -> Result<Accounts, BadAccount>
    where
        U: AsRef<str>,
        P: Into<String>,
    {
        let mut accounts = Accounts::default();
        for (uri, password) in pairs {
            accounts.add(uri.as_ref(), Account::with(Secret::password(uri.as_ref(), password.into())?))?;
        }
        Ok(accounts)
    }

    pub fn find(&self, account: &Aor) -> Option<&Account> {
        self.held.get(account)
    }

    pub fn len(&self) -> usize {
        self.held.len()
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(crate) fn add(&mut self, uri: &str, account: Account) -> Result<(), BadAccount> {
        let address = Aor::parse(uri).ok_or_else(|| BadAccount::Uri(uri.to_owned()))?;
        match self.held.insert(address.clone(), account) {
            None => Ok(()),
            Some(_) => Err(BadAccount::Twice(address)),
        }
    }

    /// Who is answered differently now: accounts that are other than they were, and those that may watch more or less.
    pub fn changed_since(&self, before: &Accounts) -> Changed {
        let mut changed = BTreeSet::new();
        for address in self.held.keys().chain(before.held.keys()) {
            let (now, then) = (self.held.get(address), before.held.get(address));
            if now == then {
                continue;
            }
            match (watchers(now), watchers(then)) {
                (Watchers::Only(now), Watchers::Only(then)) => {
                    changed.extend(now.symmetric_difference(then).cloned());
                }
                (Watchers::Everybody, Watchers::Everybody) => {}
                // It asks from now on, or does so no longer: any account may be watching it.
                _ => return Changed::Everybody,
            }
            changed.insert(address.clone());
        }
        Changed::Accounts(changed)
    }
}

fn watchers(account: Option<&Account>) -> &Watchers {
    account.map_or(&Watchers::Everybody, |account| &account.watchers)
}

impl Account {
    /// One without limits that everybody may watch.
    pub fn with(secret: Secret) -> Account {
        let watchers = Watchers::Everybody;
        let tenant = String::new();
        Account { secret, blocked: false, watchers, max_expires: 0, max_subscriptions: 0, tenant }
    }

    pub fn may_be_watched_by(&self, watcher: &Aor) -> bool {
        match &self.watchers {
            Watchers::Everybody => true,
            Watchers::Only(allowed) => allowed.contains(watcher),
        }
    }
}

impl Secret {
    pub(crate) fn password(uri: &str, password: String) -> Result<Secret, BadAccount> {
        if password.is_empty() {
            return Err(BadAccount::EmptyPassword(uri.to_owned()));
        }
        Ok(Secret::Password(password))
    }

    pub(crate) fn ha1(uri: &str, hex: &str) -> Result<Secret, BadAccount> {
        let digits = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        let hex = hex.to_ascii_lowercase();
        let none = String::new;
        match hex.len() {
            32 if digits => Ok(Secret::Ha1s { md5: hex, sha256: none(), sha512_256: none() }),
            64 if digits => Ok(Secret::Ha1s { md5: none(), sha256: hex, sha512_256: none() }),
            _ => Err(BadAccount::Ha1(uri.to_owned())),
        }
    }

    /// Whether it proves nothing.
    pub(crate) fn is_none(&self) -> bool {
        match self {
            Secret::Password(password) => password.is_empty(),
            Secret::Ha1s { md5, sha256, sha512_256 } => {
                md5.is_empty() && sha256.is_empty() && sha512_256.is_empty()
            }
        }
    }
}

/// Keeps secrets out of logs.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Secret::Password(_) => "Password(..)",
            Secret::Ha1s { .. } => "Ha1s(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aor(user: &str) -> Aor {
        Aor::parse(&format!("sip:{user}@lab.test")).unwrap()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Accounts {
        let uris = pairs.iter().map(|(user, password)| (aor(user).to_string(), *password));
        Accounts::from_pairs(uris).unwrap()
    }

    fn asking(allowed: &[&str]) -> Accounts {
        let mut accounts = pairs(&[("alice", "a"), ("bob", "b")]);
        let alice = accounts.held.get_mut(&aor("alice")).unwrap();
        alice.watchers = Watchers::Only(allowed.iter().map(|user| aor(user)).collect());
        accounts
    }

    fn named(users: &[&str]) -> Changed {
        Changed::Accounts(users.iter().map(|user| aor(user)).collect())
    }

    #[test]
    fn an_account_is_found_by_any_spelling_of_its_address() {
        let accounts = Accounts::from_pairs([("sip:carol@Lab.test", "carolpw")]).unwrap();

        let carol = Aor::parse("sips:carol@lab.test:5061").unwrap();
        assert_eq!(accounts.find(&carol).unwrap().secret, Secret::Password("carolpw".into()));
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

    #[test]
    fn exactly_the_accounts_that_came_went_or_changed_are_named() {
        let before = pairs(&[("alice", "a"), ("bob", "b"), ("carol", "c")]);
        let after = pairs(&[("alice", "a"), ("bob", "new"), ("dave", "d")]);

        assert_eq!(after.changed_since(&before), named(&["bob", "carol", "dave"]));
        assert_eq!(after.changed_since(&after.clone()), named(&[]));
    }

    #[test]
    fn whoever_is_approved_or_no_longer_is_named() {
        assert_eq!(asking(&["bob", "dave"]).changed_since(&asking(&["bob"])), named(&["alice", "dave"]));
    }

    #[test]
    fn when_an_account_begins_to_ask_anybody_may_be_concerned() {
        let open = pairs(&[("alice", "a"), ("bob", "b")]);

        assert_eq!(asking(&["bob"]).changed_since(&open), Changed::Everybody);
        assert_eq!(open.changed_since(&asking(&["bob"])), Changed::Everybody);
    }
}
