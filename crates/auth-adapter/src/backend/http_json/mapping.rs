//! What an answer in JSON says of an account, found by pointers.

use proto::v1::AuthoriseResponse;
use serde::Deserialize;
use serde_json::Value;

use super::BadConfig;
use crate::accounts::{Account, Secret};
use crate::answer::Answer;
use crate::backend::Failure;
use crate::question::Question;
use proto::v1::Proof;

/// JSON pointers into the answer; each may be left out, but for one that finds the secret.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    /// Nothing there, or null: the account is unknown.
    pub found: Option<String>,
    pub password: Option<String>,
    pub ha1_md5: Option<String>,
    pub ha1_sha256: Option<String>,
    pub ha1_sha512_256: Option<String>,
    /// The first that holds denies.
    pub deny: Vec<Deny>,
    /// The reason of a denial that has none of its own.
    pub reason: Option<String>,
    pub max_expires: Option<String>,
    pub max_subscriptions: Option<String>,
    pub tenant: Option<String>,
    /// HTTP statuses that mean that there is no such account.
    pub unknown_status: Vec<u16>,
}

/// Denies when what is found at a pointer equals a value.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deny {
    pub at: String,
    pub equals: Value,
    /// 403 when left out.
    #[serde(default)]
    pub status: u32,
    #[serde(default)]
    pub reason: String,
}

#[derive(Debug, PartialEq)]
pub enum Read {
    Unknown,
    Denied(AuthoriseResponse),
    Account(Account),
}

impl Mapping {
    pub fn checked(self) -> Result<Mapping, BadConfig> {
        let secrets = [&self.password, &self.ha1_md5, &self.ha1_sha256, &self.ha1_sha512_256];
        let others = [&self.found, &self.reason, &self.max_expires, &self.max_subscriptions, &self.tenant];
        let all = secrets.into_iter().chain(others).flatten().chain(self.deny.iter().map(|deny| &deny.at));
        if let Some(bad) = all.into_iter().find(|pointer| !pointer.starts_with('/')) {
            return Err(BadConfig::Pointer(bad.clone()));
        }
        if secrets.into_iter().all(Option::is_none) {
            return Err(BadConfig::NoSecret);
        }
        Ok(self)
    }

    /// An account that is there and has no secret is a bad answer, unless none is needed.
    pub fn read(&self, json: &Value, question: &Question) -> Result<Read, Failure> {
        if self.found.as_ref().is_some_and(|at| json.pointer(at).is_none_or(Value::is_null)) {
            return Ok(Read::Unknown);
        }
        if let Some(deny) = self.deny.iter().find(|deny| json.pointer(&deny.at) == Some(&deny.equals)) {
            let said = || text(json, self.reason.as_ref()).unwrap_or_default();
            let reason = if deny.reason.is_empty() { said() } else { deny.reason.clone() };
            return Ok(Read::Denied(AuthoriseResponse {
                sip_status: deny.status,
                ..Answer::denied(&reason)
            }));
        }
        let secret = match text(json, self.password.as_ref()) {
            Some(password) => Secret::Password(password),
            None => {
                let ha1 = |pointer: &Option<String>| text(json, pointer.as_ref()).unwrap_or_default();
                let sha512_256 = ha1(&self.ha1_sha512_256);
                Secret::Ha1s { md5: ha1(&self.ha1_md5), sha256: ha1(&self.ha1_sha256), sha512_256 }
            }
        };
        if secret.is_none() && question.proof() == Proof::Digest {
            return Err(Failure::Bad("there is neither a password nor an HA1 in the answer".into()));
        }
        Ok(Read::Account(Account {
            max_expires: number(json, self.max_expires.as_ref())?,
            max_subscriptions: number(json, self.max_subscriptions.as_ref())?,
            tenant: text(json, self.tenant.as_ref()).unwrap_or_default(),
            ..Account::with(secret)
        }))
    }
}

/// A string that is not empty, or a number as it is written.
fn text(json: &Value, pointer: Option<&String>) -> Option<String> {
    match json.pointer(pointer?)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// 0 when there is none. One that cannot be read is a bad answer: an account whose limit is lost would have none.
fn number(json: &Value, pointer: Option<&String>) -> Result<u32, Failure> {
    let Some(text) = text(json, pointer) else { return Ok(0) };
    text.parse().map_err(|_| Failure::Bad(format!("{text:?} is no number of seconds or subscriptions")))
}

#[cfg(test)]
mod tests {
    use proto::v1::AuthoriseRequest;
    use serde_json::json;

    use super::*;

    fn mapping() -> Mapping {
        let mapping: Mapping = toml::from_str(
            r#"
            found = "/account_info"
            password = "/account_info/password"
            ha1_md5 = "/account_info/ha1"
            deny = [
              { at = "/account_info/blocked", equals = "Y", reason = "Account Blocked" },
              { at = "/account_info/state", equals = 7, status = 480 },
            ]
            reason = "/message"
            max_expires = "/limits/expires"
            max_subscriptions = "/limits/subscriptions"
            tenant = "/account_info/customer"
            "#,
        )
        .unwrap();
        mapping.checked().unwrap()
    }

    fn read(json: Value, proof: Proof) -> Result<Read, Failure> {
        let mut request = AuthoriseRequest {
            account: "sip:alice@lab.test".into(),
            method: "SUBSCRIBE".into(),
            ..AuthoriseRequest::default()
        };
        request.set_proof(proof);
        mapping().read(&json, &Question::of(request).unwrap())
    }

    #[test]
    fn the_secret_and_the_limits_are_where_the_pointers_say() {
        let json = json!({
            "account_info": { "password": "pw", "customer": 42 },
            "limits": { "expires": "600", "subscriptions": 5 },
        });

        let expected = Account {
            max_expires: 600,
            max_subscriptions: 5,
            tenant: "42".into(),
            ..Account::with(Secret::Password("pw".into()))
        };
        assert_eq!(read(json, Proof::Digest), Ok(Read::Account(expected)));
        let ha1 = Secret::Ha1s { md5: "ab".into(), sha256: String::new(), sha512_256: String::new() };
        let json = json!({ "account_info": { "ha1": "ab" } });
        assert_eq!(read(json, Proof::Digest), Ok(Read::Account(Account::with(ha1))));
    }

    #[test]
    fn an_account_that_is_not_there_is_unknown() {
        for json in [json!({}), json!({ "account_info": null }), json!(7)] {
            assert_eq!(read(json, Proof::Digest), Ok(Read::Unknown));
        }
    }

    #[test]
    fn the_value_that_denies_denies_in_its_words_or_in_those_of_the_answer() {
        let denied = |json| match read(json, Proof::Digest) {
            Ok(Read::Denied(response)) => (response.sip_status, response.sip_reason),
            other => panic!("{other:?}"),
        };

        let blocked = json!({ "account_info": { "blocked": "Y", "password": "pw" } });
        assert_eq!(denied(blocked), (0, "Account Blocked".into()));
        let state = json!({ "account_info": { "state": 7 }, "message": "Closed" });
        assert_eq!(denied(state), (480, "Closed".into()));
    }

    #[test]
    fn an_account_without_a_secret_is_no_answer_where_one_is_needed() {
        let json = json!({ "account_info": { "password": "" } });

        assert!(matches!(read(json.clone(), Proof::Digest), Err(Failure::Bad(_))));
        assert!(matches!(read(json, Proof::Dialog), Ok(Read::Account(_))));
    }

    #[test]
    fn a_limit_that_cannot_be_read_is_no_answer() {
        let json = json!({ "account_info": { "password": "pw" }, "limits": { "expires": "-1" } });

        assert!(matches!(read(json, Proof::Digest), Err(Failure::Bad(_))));
    }

    #[test]
    fn pointers_are_checked_at_the_start() {
        let bad = Mapping { password: Some("password".into()), ..Mapping::default() };

        assert_eq!(bad.checked().unwrap_err(), BadConfig::Pointer("password".into()));
        assert_eq!(Mapping::default().checked().unwrap_err(), BadConfig::NoSecret);
    }
}
