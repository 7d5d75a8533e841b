//! The rules of the back ends that know accounts and decide nothing themselves: who may subscribe, publish and register.
//!
//! An account may watch anybody who does not ask to be asked, and may publish and register for nobody but itself. What is
//! not known is denied. Delegation is deliberately absent.

use std::time::Duration;

use proto::v1::{AuthoriseResponse, Decision, Proof};
use sip::digest::{Algorithm, ha1};

use crate::accounts::{Account, Secret};
use crate::answer::Answer;
use crate::aor::Aor;
use crate::question::{Method, Question};

pub const UNKNOWN: &str = "Unknown Account";
pub const BLOCKED: &str = "Account Blocked";
const NOT_YOURS: &str = "Not Your Address";

/// The answer for `account` (the asking one, `None` when there is none) and `presentity` (where it is known).
pub fn of(
    question: &Question,
    account: Option<&Account>,
    presentity: Option<&Account>,
    life: Duration,
) -> AuthoriseResponse {
    let response = match account {
        None => Answer::denied(UNKNOWN),
        Some(account) if account.blocked => Answer::denied(BLOCKED),
        Some(_) if question.method != Method::Subscribe && !about_itself(question) => {
            Answer::denied(NOT_YOURS)
        }
        Some(account) => {
            let open = presentity.is_none_or(|presentity| presentity.may_be_watched_by(&question.account));
            let pending = question.method == Method::Subscribe && !open && !about_itself(question);
            granted(question, account, pending)
        }
    };
    AuthoriseResponse { cache_seconds: life.as_secs() as u32, ..response }
}

fn about_itself(question: &Question) -> bool {
    Aor::parse(&question.request.presentity).as_ref() == Some(&question.account)
}

fn granted(question: &Question, account: &Account, pending: bool) -> AuthoriseResponse {
    let to_verify = question.proof() == Proof::Digest;
    let [ha1_md5, ha1_sha256, ha1_sha512_256] =
        if to_verify { ha1s(question, &account.secret) } else { Default::default() };
    let decision = match (pending, to_verify) {
        (true, _) => Decision::Pending,
        (false, true) => Decision::Verify,
        (false, false) => Decision::Allow,
    };
    AuthoriseResponse {
        decision: decision.into(),
        ha1_md5,
        ha1_sha256,
        ha1_sha512_256,
        max_expires: account.max_expires,
        max_subscriptions: account.max_subscriptions,
        tenant: account.tenant.clone(),
        ..AuthoriseResponse::default()
    }
}

/// By MD5, SHA-256 and SHA-512-256; empty where the secret does not give it.
fn ha1s(question: &Question, secret: &Secret) -> [String; 3] {
    match secret {
        Secret::Password(password) => {
            let of = |algorithm| ha1(algorithm, &question.username, &question.request.realm, password);
            [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512_256].map(of)
        }
        // Made by the operator for one username and realm; if the client uses others, its digest will not match.
        Secret::Ha1s { md5, sha256, sha512_256 } => [md5.clone(), sha256.clone(), sha512_256.clone()],
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::AuthoriseRequest;

    use super::*;
    use crate::accounts::Watchers;

    const ALICE: &str = "sip:alice@lab.test";
    const BOB: &str = "sip:bob@lab.test";

    fn question(account: &str, method: &str, presentity: &str) -> Question {
        let (account, method) = (account.into(), method.into());
        let (presentity, realm) = (presentity.into(), "lab.test".into());
        let request = AuthoriseRequest { account, method, presentity, realm, ..AuthoriseRequest::default() };
        Question::of(request).unwrap()
    }

    fn alice() -> Account {
        Account::with(Secret::Password("alicepw".into()))
    }

    fn ask(account: &str, method: &str, presentity: &str) -> AuthoriseResponse {
        of(&question(account, method, presentity), Some(&alice()), None, Duration::from_secs(60))
    }

    fn denial(response: &AuthoriseResponse) -> &str {
        assert_eq!((response.decision(), response.sip_status), (Decision::Deny, 403));
        assert!(response.ha1_md5.is_empty() && response.ha1_sha256.is_empty());
        &response.sip_reason
    }

    #[test]
    fn an_account_may_watch_anybody_and_speak_for_itself() {
        for (method, presentity) in [
            ("SUBSCRIBE", BOB),
            ("SUBSCRIBE", ALICE),
            ("SUBSCRIBE", "tel:+123"),
            ("PUBLISH", "sips:alice@LAB.test"),
            ("REGISTER", ALICE),
        ] {
            assert_eq!(ask(ALICE, method, presentity).decision(), Decision::Verify, "{method} {presentity}");
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
            assert_eq!(denial(&ask(ALICE, method, presentity)), NOT_YOURS, "{method} {presentity}");
        }
    }

    #[test]
    fn an_unknown_account_and_a_blocked_one_are_denied_everything() {
        let blocked = Account { blocked: true, ..alice() };
        for method in ["SUBSCRIBE", "PUBLISH", "REGISTER"] {
            let question = question(ALICE, method, ALICE);

            assert_eq!(denial(&of(&question, None, None, Duration::ZERO)), UNKNOWN);
            assert_eq!(denial(&of(&question, Some(&blocked), None, Duration::ZERO)), BLOCKED);
        }
    }

    #[test]
    fn a_password_gives_every_digest_for_the_username_as_it_was_written() {
        for (account, username) in [(ALICE, "alice"), ("sip:alice%40lab.test@lab.test", "alice@lab.test")] {
            let answer = ask(account, "PUBLISH", ALICE);

            let expected = |algorithm| ha1(algorithm, username, "lab.test", "alicepw");
            assert_eq!(answer.ha1_md5, expected(Algorithm::Md5));
            assert_eq!(answer.ha1_sha256, expected(Algorithm::Sha256));
            assert_eq!(answer.ha1_sha512_256, expected(Algorithm::Sha512_256));
        }
    }

    #[test]
    fn a_stored_digest_is_the_only_one_offered() {
        let stored = Account::with(Secret::ha1(ALICE, &"ab".repeat(16)).unwrap());

        let answer = of(&question(ALICE, "SUBSCRIBE", BOB), Some(&stored), None, Duration::ZERO);

        assert_eq!((answer.ha1_md5.len(), answer.ha1_sha256.as_str()), (32, ""));
    }

    #[test]
    fn what_is_proven_already_needs_no_secret() {
        let mut question = question(ALICE, "SUBSCRIBE", BOB);
        question.request.set_proof(Proof::Dialog);

        let answer = of(&question, Some(&alice()), None, Duration::ZERO);

        assert_eq!((answer.decision(), answer.ha1_md5.as_str()), (Decision::Allow, ""));
    }

    #[test]
    fn a_watcher_whom_the_presentity_did_not_approve_waits() {
        let approved = |users: &[&str]| Account {
            watchers: Watchers::Only(users.iter().map(|uri| Aor::parse(uri).unwrap()).collect()),
            ..alice()
        };
        let decision = |presentity: &str, held: &Account| {
            let question = question(ALICE, "SUBSCRIBE", presentity);
            of(&question, Some(&alice()), Some(held), Duration::ZERO)
        };

        let waits = decision(BOB, &approved(&[]));
        assert_eq!(waits.decision(), Decision::Pending);
        assert_eq!(waits.ha1_md5.len(), 32, "who it is must be proven all the same");
        assert_eq!(decision(BOB, &approved(&[ALICE])).decision(), Decision::Verify);
        assert_eq!(decision(ALICE, &approved(&[])).decision(), Decision::Verify, "its own");
    }

    #[test]
    fn the_limits_of_the_account_are_told() {
        let account = Account { max_expires: 600, max_subscriptions: 5, tenant: "acme".into(), ..alice() };

        let answer = of(&question(ALICE, "SUBSCRIBE", BOB), Some(&account), None, Duration::from_secs(60));

        let limits =
            (answer.max_expires, answer.max_subscriptions, answer.tenant.as_str(), answer.cache_seconds);
        assert_eq!(limits, (600, 5, "acme", 60));
    }
}
