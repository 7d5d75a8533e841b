//! A back end's answer, cleaned before anybody relies on it.
//!
//! A billing system may be broken or lie. What could let somebody in who should not be let in is no answer at all; what
//! merely looks odd is repaired. A denial stays a denial however badly it is dressed.

use std::time::Duration;

use proto::v1::{AuthoriseResponse, Decision, Proof};

use crate::question::{Method, Question};

/// No answer holds longer than a day, whatever billing says.
pub const MAX_LIFE: Duration = Duration::from_secs(24 * 3600);
/// The longest reason phrase; the rest is cut off.
const MAX_REASON: usize = 128;
/// The longest tenant; an answer with a longer one is none, because a tenant cut short is another one.
const MAX_TENANT: usize = 64;
const FORBIDDEN: u32 = 403;

/// What may be told to managers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    response: AuthoriseResponse,
    /// Whether it holds for the very digest of the question only.
    pub rests_on_digest: bool,
}

/// An answer that is none; the text says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    #[error("it has no decision")]
    NoDecision,
    #[error("it says VERIFY and gives no HA1")]
    NothingToVerify,
    #[error("it says ALLOW and gives no HA1, though no digest was shown to it")]
    DigestUnseen,
    #[error("an HA1 in it is not 32 (MD5) or 64 (SHA-256, SHA-512-256) hex digits")]
    Ha1,
    #[error("its tenant is longer than 64 bytes or holds control characters")]
    Tenant,
}

/// Whether the back end looks at digests; if it does, what it says without an HA1 may rest on what it saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digests {
    Read,
    Ignored,
}

impl Answer {
    pub fn checked(
        mut response: AuthoriseResponse,
        question: &Question,
        digests: Digests,
    ) -> Result<Answer, BadAnswer> {
        if question.proof() != Proof::Digest {
            // There is nothing to verify, so what would be granted after verification is granted.
            response.ha1_md5.clear();
            response.ha1_sha256.clear();
            response.ha1_sha512_256.clear();
            if response.decision() == Decision::Verify {
                response.set_decision(Decision::Allow);
            }
        }
        match response.decision() {
            Decision::Unspecified => return Err(BadAnswer::NoDecision),
            Decision::Deny => response = denial(response),
            Decision::Pending if question.method != Method::Subscribe => response = denial(response),
            Decision::Allow | Decision::Verify | Decision::Pending => response = grant(response, question)?,
        }
        let bare = is_bare(&response);
        let rests_on_digest = digests == Digests::Read && bare && question.request.digest.is_some();
        Ok(Answer { response, rests_on_digest })
    }

    /// For questions that are not asked, and for those that are malformed to billing.
    pub fn denied(reason: &str) -> AuthoriseResponse {
        AuthoriseResponse {
            decision: Decision::Deny.into(),
            sip_status: FORBIDDEN,
            sip_reason: reason.to_owned(),
            ..AuthoriseResponse::default()
        }
    }

    /// How long it may be reused, as billing said.
    pub fn life(&self) -> Duration {
        Duration::from_secs(self.response.cache_seconds.into()).min(MAX_LIFE)
    }

    /// As managers are told it: reusable for what is left of its life.
    pub fn told(&self, left: Duration) -> AuthoriseResponse {
        let cache_seconds = left.min(self.life()).as_secs() as u32;
        AuthoriseResponse { cache_seconds, ..self.response.clone() }
    }
}

/// A grant needs a proof: an HA1 that can be verified, a digest that billing saw, or a question that brought its own.
fn grant(mut response: AuthoriseResponse, question: &Question) -> Result<AuthoriseResponse, BadAnswer> {
    response.ha1_md5 = ha1(&response.ha1_md5, 32).ok_or(BadAnswer::Ha1)?;
    response.ha1_sha256 = ha1(&response.ha1_sha256, 64).ok_or(BadAnswer::Ha1)?;
    response.ha1_sha512_256 = ha1(&response.ha1_sha512_256, 64).ok_or(BadAnswer::Ha1)?;
    let bare = is_bare(&response);
    let unproven = question.proof() == Proof::Digest && question.request.digest.is_none();
    match response.decision() {
        Decision::Verify if bare => return Err(BadAnswer::NothingToVerify),
        Decision::Allow | Decision::Pending if bare && unproven => return Err(BadAnswer::DigestUnseen),
        // Said in one way only, so that no asker takes it for a digest that was checked.
        Decision::Allow if !bare => response.set_decision(Decision::Verify),
        _ => {}
    }
    if response.tenant.len() > MAX_TENANT || response.tenant.chars().any(char::is_control) {
        return Err(BadAnswer::Tenant);
    }
    Ok(AuthoriseResponse { sip_status: 0, sip_reason: String::new(), ..response })
}

fn denial(response: AuthoriseResponse) -> AuthoriseResponse {
    let sip_status = match response.sip_status {
        status @ (400..=499 | 600..=699) => status,
        _ => FORBIDDEN,
    };
    AuthoriseResponse {
        decision: Decision::Deny.into(),
        sip_status,
        sip_reason: reason(&response.sip_reason),
        ha1_md5: ha1(&response.ha1_md5, 32).unwrap_or_default(),
        ha1_sha256: ha1(&response.ha1_sha256, 64).unwrap_or_default(),
        ha1_sha512_256: ha1(&response.ha1_sha512_256, 64).unwrap_or_default(),
        cache_seconds: response.cache_seconds,
        ..AuthoriseResponse::default()
    }
}

/// Whether no HA1 came with it.
fn is_bare(response: &AuthoriseResponse) -> bool {
    response.ha1_md5.is_empty() && response.ha1_sha256.is_empty() && response.ha1_sha512_256.is_empty()
}

/// In lower case; `None` if it is no HA1 of that length.
fn ha1(hex: &str, digits: usize) -> Option<String> {
    let valid = hex.is_empty() || hex.len() == digits && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    valid.then(|| hex.to_ascii_lowercase())
}

/// Without what would break a status line.
fn reason(text: &str) -> String {
    let mut text: String = text.chars().filter(|char| !char.is_control()).take(MAX_REASON).collect();
    text.truncate(text.floor_char_boundary(MAX_REASON));
    text
}

#[cfg(test)]
mod tests {
    use proto::v1::{AuthoriseRequest, Digest};

    use super::*;

    fn question(method: &str, proof: Proof, digest: bool) -> Question {
        let mut request = AuthoriseRequest {
            account: "sip:alice@lab.test".into(),
            method: method.into(),
            digest: digest.then(Digest::default),
            ..AuthoriseRequest::default()
        };
        request.set_proof(proof);
        Question::of(request).unwrap()
    }

    fn said(decision: Decision) -> AuthoriseResponse {
        AuthoriseResponse { decision: decision.into(), cache_seconds: 60, ..AuthoriseResponse::default() }
    }

    fn with_ha1(decision: Decision) -> AuthoriseResponse {
        AuthoriseResponse { ha1_md5: "aB".repeat(16), ..said(decision) }
    }

    fn checked(response: AuthoriseResponse) -> Result<Answer, BadAnswer> {
        Answer::checked(response, &question("SUBSCRIBE", Proof::Digest, true), Digests::Read)
    }

    #[test]
    fn what_could_let_a_stranger_in_is_no_answer() {
        assert_eq!(checked(said(Decision::Unspecified)), Err(BadAnswer::NoDecision));
        assert_eq!(checked(said(Decision::Verify)), Err(BadAnswer::NothingToVerify));
        for ha1_md5 in ["ab".repeat(15), "xy".repeat(16), "ab".repeat(32)] {
            let response = AuthoriseResponse { ha1_md5, ..said(Decision::Verify) };
            assert_eq!(checked(response), Err(BadAnswer::Ha1));
        }
        for decision in [Decision::Allow, Decision::Pending] {
            let unseen = question("SUBSCRIBE", Proof::Digest, false);
            let answer = Answer::checked(said(decision), &unseen, Digests::Read);
            assert_eq!(answer, Err(BadAnswer::DigestUnseen));
        }
        for tenant in ["t".repeat(65), "a\nb".into()] {
            let response = AuthoriseResponse { tenant, ..with_ha1(Decision::Verify) };
            assert_eq!(checked(response), Err(BadAnswer::Tenant));
        }
    }

    #[test]
    fn a_decision_that_is_none_of_ours_is_no_answer() {
        let response = AuthoriseResponse { decision: 77, ..with_ha1(Decision::Allow) };

        assert_eq!(checked(response), Err(BadAnswer::NoDecision));
    }

    #[test]
    fn a_denial_stays_one_however_badly_it_is_dressed() {
        let response = AuthoriseResponse {
            sip_status: 500,
            sip_reason: format!("No\r\nVia: {}é", "x".repeat(200)),
            ha1_md5: "nonsense".into(),
            tenant: "t".repeat(1000),
            cache_seconds: u32::MAX,
            ..said(Decision::Deny)
        };

        let answer = checked(response).unwrap();

        let told = answer.told(MAX_LIFE * 2);
        assert_eq!((told.decision(), told.sip_status, told.cache_seconds), (Decision::Deny, 403, 86_400));
        assert!(told.sip_reason.starts_with("NoVia: x") && told.sip_reason.len() == 128);
        assert!(told.ha1_md5.is_empty() && told.tenant.is_empty());
        let kept = AuthoriseResponse { sip_status: 604, ..said(Decision::Deny) };
        assert_eq!(checked(kept).unwrap().told(MAX_LIFE).sip_status, 604);
    }

    #[test]
    fn an_ha1_means_verification_whatever_the_grant_is_called() {
        let told = checked(with_ha1(Decision::Allow)).unwrap().told(MAX_LIFE);

        assert_eq!((told.decision(), told.ha1_md5), (Decision::Verify, "ab".repeat(16)));
        assert_eq!(
            checked(with_ha1(Decision::Pending)).unwrap().told(MAX_LIFE).decision(),
            Decision::Pending
        );
    }

    #[test]
    fn without_a_digest_to_verify_no_secret_is_passed_on() {
        for proof in [Proof::Dialog, Proof::Asserted] {
            let question = question("SUBSCRIBE", proof, true);
            let answer = Answer::checked(with_ha1(Decision::Verify), &question, Digests::Read).unwrap();

            let told = answer.told(MAX_LIFE);
            assert_eq!((told.decision(), told.ha1_md5.as_str()), (Decision::Allow, ""));
            assert!(!answer.rests_on_digest);
        }
    }

    #[test]
    fn only_a_subscription_waits_for_approval() {
        let publish = question("PUBLISH", Proof::Dialog, false);

        let answer = Answer::checked(said(Decision::Pending), &publish, Digests::Read).unwrap();

        assert_eq!(
            (answer.told(MAX_LIFE).decision(), answer.told(MAX_LIFE).sip_status),
            (Decision::Deny, 403)
        );
    }

    #[test]
    fn what_is_said_of_a_digest_that_was_read_holds_for_that_digest() {
        let rests = |response, digests| {
            let question = question("SUBSCRIBE", Proof::Digest, true);
            Answer::checked(response, &question, digests).unwrap().rests_on_digest
        };

        assert!(rests(said(Decision::Allow), Digests::Read));
        assert!(rests(said(Decision::Deny), Digests::Read), "a wrong password must not lock the account out");
        assert!(!rests(with_ha1(Decision::Verify), Digests::Read));
        assert!(!rests(with_ha1(Decision::Deny), Digests::Read));
        assert!(!rests(said(Decision::Deny), Digests::Ignored));
    }
}
