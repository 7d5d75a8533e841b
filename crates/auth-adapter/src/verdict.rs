//! The rules: who may subscribe, publish and register, given the account's secret or its absence.
//!
//! An account may watch anybody, and may publish and register for nobody but itself. What is not known is denied: an
//! account that is none, a method that the contract does not name. Delegation is deliberately absent.

use proto::v1::AuthoriseRequest;
use sip::digest::{Algorithm, ha1};

use crate::aor::Aor;
use crate::backend::Secret;

/// What a manager asks, made of an `AuthoriseRequest`.
#[derive(Debug)]
pub struct Question<'a> {
    /// Whose secret is needed.
    pub account: Aor,
    /// The digest username as the client wrote it: `alice`, or `alice@lab.test`.
    username: String,
    realm: &'a str,
    method: &'a str,
    presentity: &'a str,
}

/// What the manager is told.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    Allow(Ha1s),
    Deny(&'static str),
}

/// H(username:realm:password) by algorithm; empty where the secret does not give it.
#[derive(Debug, Default, PartialEq)]
pub struct Ha1s {
    pub md5: String,
    pub sha256: String,
}

impl<'a> Question<'a> {
    /// `None` when the account's name cannot be any account's. A client wrote it, so that is no failure of the manager.
    pub fn of(request: &'a AuthoriseRequest) -> Option<Question<'a>> {
        let asking = Aor::parse(&request.account)?;
        Some(Question {
            account: asking.account(),
            username: asking.user().to_owned(),
            realm: &request.realm,
            method: &request.method,
            presentity: &request.presentity,
        })
    }

    pub fn verdict(&self, secret: Option<&Secret>) -> Verdict {
        let Some(secret) = secret else {
            return Verdict::Deny("Unknown Account");
        };
        match self.method {
            "SUBSCRIBE" => Verdict::Allow(self.ha1s(secret)),
            "PUBLISH" | "REGISTER" if Aor::parse(self.presentity).as_ref() == Some(&self.account) => {
                Verdict::Allow(self.ha1s(secret))
            }
            "PUBLISH" | "REGISTER" => Verdict::Deny("Not Your Address"),
            _ => Verdict::Deny("Method Not Authorised"),
        }
    }

    fn ha1s(&self, secret: &Secret) -> Ha1s {
        let of = |algorithm, password| ha1(algorithm, &self.username, self.realm, password);
        match secret {
            Secret::Password(password) => {
                Ha1s { md5: of(Algorithm::Md5, password), sha256: of(Algorithm::Sha256, password) }
            }
            // Made by the operator for one username and realm; if the client uses others, its digest will not match.
            Secret::Md5(ha1) => Ha1s { md5: ha1.clone(), ..Ha1s::default() },
            Secret::Sha256(ha1) => Ha1s { sha256: ha1.clone(), ..Ha1s::default() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(account: &str, method: &str, presentity: &str, secret: Option<&Secret>) -> Verdict {
        let (account, method) = (account.into(), method.into());
        let (presentity, realm) = (presentity.into(), "lab.test".into());
        let request = AuthoriseRequest { account, method, presentity, realm, ..AuthoriseRequest::default() };
        Question::of(&request).unwrap().verdict(secret)
    }

    fn password() -> Secret {
        Secret::Password("alicepw".into())
    }

    const ALICE: &str = "sip:alice@lab.test";
    const BOB: &str = "sip:bob@lab.test";

    #[test]
    fn an_account_may_watch_anybody_and_speak_for_itself() {
        for (method, presentity) in [
            ("SUBSCRIBE", BOB),
            ("SUBSCRIBE", ALICE),
            ("SUBSCRIBE", "tel:+123"),
            ("PUBLISH", "sips:alice@LAB.test"),
            ("REGISTER", ALICE),
        ] {
            let verdict = ask(ALICE, method, presentity, Some(&password()));
            assert!(matches!(verdict, Verdict::Allow(_)), "{method} {presentity}");
        }
    }

    #[test]
    fn nobody_speaks_for_somebody_else() {
        for (method, presentity) in [
            ("PUBLISH", BOB),
            ("REGISTER", BOB),
            ("PUBLISH", "sip:alice@other.test"),
            ("PUBLISH", "sip:Alice@lab.test"),
            ("PUBLISH", ""),
        ] {
            let verdict = ask(ALICE, method, presentity, Some(&password()));
            assert_eq!(verdict, Verdict::Deny("Not Your Address"), "{method} {presentity}");
        }
    }

    #[test]
    fn what_is_not_known_is_denied() {
        assert_eq!(ask(ALICE, "SUBSCRIBE", BOB, None), Verdict::Deny("Unknown Account"));
        assert_eq!(ask(ALICE, "INVITE", BOB, Some(&password())), Verdict::Deny("Method Not Authorised"));
        let nonsense = AuthoriseRequest { account: "sip:a b@lab.test".into(), ..AuthoriseRequest::default() };
        assert!(Question::of(&nonsense).is_none());
    }

    #[test]
    fn a_password_gives_both_digests_for_the_username_as_it_was_written() {
        let short = ask(ALICE, "SUBSCRIBE", BOB, Some(&password()));
        let long = ask("sip:alice%40lab.test@lab.test", "PUBLISH", ALICE, Some(&password()));

        let expected = |username| {
            let of = |algorithm| ha1(algorithm, username, "lab.test", "alicepw");
            Verdict::Allow(Ha1s { md5: of(Algorithm::Md5), sha256: of(Algorithm::Sha256) })
        };
        assert_eq!(short, expected("alice"));
        assert_eq!(long, expected("alice@lab.test"));
    }

    #[test]
    fn a_stored_digest_is_the_only_one_offered() {
        let stored = Secret::Md5("0123456789abcdef0123456789abcdef".into());

        let Verdict::Allow(ha1s) = ask(ALICE, "SUBSCRIBE", BOB, Some(&stored)) else { panic!("denied") };

        assert_eq!((ha1s.md5.len(), ha1s.sha256.as_str()), (32, ""));
    }
}
