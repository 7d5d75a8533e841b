//! The accounts file: TOML, one `[[account]]` for each account.
//!
//! ```toml
//! [[account]]
//! uri = "sip:alice@lab.test"
//! password = "alicepw"
//!
//! [[account]]
//! uri = "sip:bob@lab.test"
//! ha1 = "58a81adbd40f2b3fc2c1c5e1b2c7b3f2"   # or 64 hex digits of SHA-256; of username:realm:password
//! # All of these may be left out.
//! blocked = true                            # denied whatever it asks [false]
//! approve = "ask"                           # who is not `allowed` to watch bob waits for approval ["everybody"]
//! allowed = ["sip:alice@lab.test"]
//! max_expires = 600                         # seconds [0: as the manager is configured]
//! max_subscriptions = 100                   # at one time [0: no limit]
//! tenant = "acme"                           # whose customer it is [its domain says it]
//! ```
//!
//! Whatever is wrong is said in one line that names the file and the line in it, and nothing of the file is used: a
//! server that starts without one of its accounts is harder to notice than one that does not start.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use crate::accounts::{Account, Accounts, BadAccount, Secret, Watchers};
use crate::aor::Aor;

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read the accounts file {file}: {error}")]
    Unreadable { file: String, error: std::io::Error },
    #[error("{file}:{line}: {reason}")]
    Unusable { file: String, line: usize, reason: String },
    #[error("{file}: there is no [[account]] in it")]
    Empty { file: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    account: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    uri: Spanned<String>,
    password: Option<String>,
    ha1: Option<String>,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    approve: Approve,
    #[serde(default)]
    allowed: Vec<String>,
    #[serde(default)]
    max_expires: u32,
    #[serde(default)]
    max_subscriptions: u32,
    #[serde(default)]
    tenant: String,
}

/// Whether watchers need to be approved.
#[derive(Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Approve {
    #[default]
    Everybody,
    Ask,
}

/// As the contract has it.
const MAX_TENANT: usize = 64;

pub(super) fn load(path: &Path) -> Result<Accounts, LoadError> {
    let file = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&file, &text),
        Err(error) => Err(LoadError::Unreadable { file, error }),
    }
}

/// What the parser says, unless it quotes a value: that may be a password without its quotes.
fn reason(message: &str) -> String {
    match message.trim_start().starts_with("invalid type") {
        true => "a value of another type is needed here; text stands in quotes".to_owned(),
        false => message.trim().replace('\n', ", "),
    }
}

fn parse(file: &str, text: &str) -> Result<Accounts, LoadError> {
    let at = |offset, reason| LoadError::Unusable { file: file.to_owned(), line: line(text, offset), reason };
    let entries: File = toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        at(offset, reason(error.message()))
    })?;
    let mut accounts = Accounts::default();
    for entry in entries.account {
        let offset = entry.uri.span().start;
        entry.add_to(&mut accounts).map_err(|bad| at(offset, bad.to_string()))?;
    }
    if accounts.is_empty() {
        return Err(LoadError::Empty { file: file.to_owned() });
    }
    Ok(accounts)
}

impl Entry {
    fn add_to(self, accounts: &mut Accounts) -> Result<(), BadAccount> {
        let uri = self.uri.get_ref().clone();
        accounts.add(&uri, self.account(&uri)?)
    }

    fn account(self, uri: &str) -> Result<Account, BadAccount> {
        let secret = match (self.password, self.ha1) {
            (Some(password), None) => Secret::password(uri, password)?,
            (None, Some(ha1)) => Secret::ha1(uri, &ha1)?,
            (None, None) => return Err(BadAccount::NoSecret(uri.to_owned())),
            (Some(_), Some(_)) => return Err(BadAccount::TwoSecrets(uri.to_owned())),
        };
        if self.tenant.len() > MAX_TENANT || self.tenant.chars().any(char::is_control) {
            return Err(BadAccount::Tenant(uri.to_owned()));
        }
        let address = |uri: &String| Aor::parse(uri).ok_or_else(|| BadAccount::Uri(uri.clone()));
        let watchers = match self.approve {
            Approve::Ask => Watchers::Only(self.allowed.iter().map(address).collect::<Result<_, _>>()?),
            Approve::Everybody if self.allowed.is_empty() => Watchers::Everybody,
            Approve::Everybody => return Err(BadAccount::AllowedUnasked(uri.to_owned())),
        };
        let Entry { blocked, max_expires, max_subscriptions, tenant, .. } = self;
        Ok(Account { secret, blocked, watchers, max_expires, max_subscriptions, tenant })
    }
}

fn line(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse("accounts.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn accounts_are_read_with_either_kind_of_secret() {
        let sha256 = "AB".repeat(32);
        let text = format!(
            "[[account]]\nuri = \"sip:alice@lab.test\"\npassword = \"pw\"\n\
             [[account]]\nuri = \"sip:bob@lab.test\"\nha1 = \"{sha256}\"\n"
        );

        let accounts = parse("accounts.toml", &text).unwrap();

        let bob = Aor::parse("sip:bob@lab.test").unwrap();
        let sha256 = sha256.to_lowercase();
        let secret = Secret::Ha1s { md5: String::new(), sha256, sha512_256: String::new() };
        assert_eq!(accounts.find(&bob), Some(&Account::with(secret)));
        assert_eq!(accounts.len(), 2);
    }

    #[test]
    fn rights_and_limits_are_read() {
        let text = "[[account]]\nuri = \"sip:bob@lab.test\"\npassword = \"b\"\nblocked = true\n\
             approve = \"ask\"\nallowed = [\"sip:alice@lab.test\"]\n\
             max_expires = 600\nmax_subscriptions = 100\ntenant = \"acme\"\n";

        let accounts = parse("accounts.toml", text).unwrap();

        let [alice, bob] = ["sip:alice@lab.test", "sip:bob@lab.test"].map(|uri| Aor::parse(uri).unwrap());
        let expected = Account {
            secret: Secret::Password("b".into()),
            blocked: true,
            watchers: Watchers::Only([alice].into()),
            max_expires: 600,
            max_subscriptions: 100,
            tenant: "acme".into(),
        };
        assert_eq!(accounts.find(&bob), Some(&expected));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line_with_its_place() {
        let alice = "[[account]]\nuri = \"sip:alice@lab.test\"\n";
        for (text, expected) in [
            (
                format!("{alice}password = \"a\"\n\n{alice}password = \"b\""),
                "6: account sip:alice@lab.test is there twice",
            ),
            ("[[account]]\nuri = \"alice\"\npassword = \"a\"".into(), "2: \"alice\" is no address such as"),
            (alice.into(), "2: account sip:alice@lab.test needs a `password` or an `ha1`"),
            (format!("{alice}password = \"a\"\nha1 = \"b\""), "2: account sip:alice@lab.test has both"),
            (format!("{alice}ha1 = \"abc\""), "2: the `ha1` of account sip:alice@lab.test is neither"),
            (format!("{alice}password = \"\""), "2: account sip:alice@lab.test has an empty password"),
            (format!("{alice}pasword = \"a\""), "3: unknown field `pasword`"),
            (
                format!("{alice}password = \"a\"\nallowed = [\"sip:bob@lab.test\"]"),
                "2: account sip:alice@lab.test has `al",
            ),
            (
                format!("{alice}password = \"a\"\napprove = \"ask\"\nallowed = [\"bob\"]"),
                "2: \"bob\" is no address",
            ),
            (format!("{alice}password = \"a\"\napprove = \"never\""), "4: unknown variant `never`"),
            (
                format!("{alice}password = \"a\"\ntenant = \"{}\"", "t".repeat(65)),
                "2: the `tenant` of account sip:al",
            ),
            (format!("{alice}password = \"a\"\nmax_expires = -1"), "4: invalid value"),
            ("[[account]]\npassword = \"a\"".into(), "1: missing field `uri`"),
            (format!("\n[[acount]]\n{alice}"), "2: unknown field `acount`"),
            ("[[account]]\nuri = sip:alice".into(), "2: "),
        ] {
            let refusal = refusal(&text);

            let expected = format!("accounts.toml:{expected}");
            assert!(refusal.starts_with(&expected), "{refusal:?} does not start with {expected:?}");
            assert!(!refusal.contains('\n'), "{refusal:?}");
        }
        assert_eq!(refusal(""), "accounts.toml: there is no [[account]] in it");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let refusal = load(Path::new("/nowhere/accounts.toml")).unwrap_err().to_string();

        assert!(refusal.starts_with("cannot read the accounts file /nowhere/accounts.toml: "), "{refusal}");
    }
}
