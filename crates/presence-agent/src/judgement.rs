//! What a verdict of billing's comes to: the rules of `auth.proto`, for phones and for programs.

use proto::v1::Standing;

use crate::answer::Refuse;
use crate::verdict::{Decision, Question, Verdict};

/// `matches`: whether what proves the account matches an HA1 of the verdict.
pub(crate) fn granted(
    question: &Question,
    verdict: &Verdict,
    matches: impl FnOnce() -> bool,
) -> Result<Standing, Refuse> {
    let denied = || match verdict.status {
        // Billing has checked the digest, and means us: the client has had its challenge.
        401 | 407 => Refuse::WrongCredentials,
        status => Refuse::Denied { status, reason: verdict.reason.clone() },
    };
    let must_match = verdict.has_secret() || verdict.decision == Decision::Verify;
    if question.proof.is_digest() && must_match && !matches() {
        return Err(Refuse::WrongCredentials);
    }
    match verdict.decision {
        Decision::Allow | Decision::Verify => Ok(Standing::Active),
        Decision::Pending if question.subject.method == "SUBSCRIBE" => Ok(Standing::Pending),
        Decision::Pending | Decision::Deny => Err(denied()),
        Decision::Unavailable => Err(Refuse::Unavailable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Digest, Proof, Subject};

    fn digest() -> Proof {
        let text = String::new;
        Proof::Digest(Box::new(Digest {
            username: "bob".into(),
            realm: "lab.test".into(),
            nonce: text(),
            uri: text(),
            response: text(),
            algorithm: "SHA-256",
            cnonce: text(),
            nc: text(),
            qop: text(),
            method: text(),
            body_hash: text(),
        }))
    }

    fn question(method: &'static str, proof: Proof) -> Question {
        let (account, event) = ("bob@lab.test".to_owned(), "presence".to_owned());
        let subject = Subject { presentity: account.clone(), account, method, event };
        Question { subject, proof, watcher: String::new(), realm: "lab.test".to_owned() }
    }

    /// What a verdict on a SUBSCRIBE with this secret comes to, if "right" is the one that the digest was made with.
    fn outcome(proof: Proof, decision: Decision, secret: &str) -> Result<Standing, Refuse> {
        let verdict = Verdict { decision, ha1_sha256: secret.to_owned(), ..Verdict::allowed() };
        granted(&question("SUBSCRIBE", proof), &verdict, || secret == "right")
    }

    #[test]
    fn a_digest_must_match_the_secret_whatever_billing_decided() {
        for decision in [Decision::Allow, Decision::Verify, Decision::Pending, Decision::Deny] {
            assert_eq!(outcome(digest(), decision, "other"), Err(Refuse::WrongCredentials), "{decision:?}");
        }
        assert_eq!(outcome(digest(), Decision::Verify, "right"), Ok(Standing::Active));
        assert_eq!(outcome(digest(), Decision::Allow, "right"), Ok(Standing::Active));
        assert_eq!(outcome(digest(), Decision::Pending, "right"), Ok(Standing::Pending));
    }

    #[test]
    fn without_a_secret_billing_has_checked_the_digest_unless_it_asks_us_to() {
        assert_eq!(outcome(digest(), Decision::Allow, ""), Ok(Standing::Active));
        assert_eq!(outcome(digest(), Decision::Pending, ""), Ok(Standing::Pending));
        assert_eq!(outcome(digest(), Decision::Verify, ""), Err(Refuse::WrongCredentials));
    }

    #[test]
    fn who_is_known_otherwise_has_nothing_to_match() {
        for proof in [Proof::Dialog, Proof::Asserted("sip:bob@lab.test".into())] {
            assert_eq!(outcome(proof.clone(), Decision::Verify, ""), Ok(Standing::Active));
            assert_eq!(outcome(proof, Decision::Allow, "other"), Ok(Standing::Active));
        }
    }

    #[test]
    fn only_a_subscribe_can_wait_for_approval() {
        let verdict = Verdict { decision: Decision::Pending, ..Verdict::allowed() };

        let publish = granted(&question("PUBLISH", digest()), &verdict, || true);

        assert_eq!(publish, Err(Refuse::Denied { status: 403, reason: String::new() }));
    }

    #[test]
    fn a_digest_that_billing_found_wrong_is_not_challenged_for_ever() {
        let verdict = Verdict { decision: Decision::Deny, status: 401, ..Verdict::allowed() };

        assert_eq!(granted(&question("PUBLISH", digest()), &verdict, || true), Err(Refuse::WrongCredentials));
    }
}
