//! What an answer amounts to at a manager, and whether that is what was expected.

use proto::v1::{AuthoriseResponse, Decision};
use sip::digest::Algorithm;
use tonic::{Code, Status};

use super::login::Login;
use super::question::Question;
use crate::ctl::table::{cut, printable};

pub type Answer = Result<AuthoriseResponse, Status>;

/// What a manager would do with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Granted,
    /// A subscription that shows nothing yet.
    Waits,
    Denied,
    /// The digest is not that of the HA1s given, or there is nothing to compare it with.
    NotVerified,
    /// The answer says nothing that a manager could go by.
    Senseless,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Granted to whom has proven who he is.
    LetIn,
    /// ALLOW, where there is nothing to prove.
    Allowed,
    Waits,
    /// Neither granted nor waiting; DENY, or an HA1 that does not fit.
    KeptOut,
    /// Nothing was sent that could be checked: anything but a grant.
    NotAllowed,
    Denied,
    /// DENY, or a gRPC status that says that the question makes no sense.
    Refused,
}

/// gRPC statuses by which a server says that it is the question that is wrong.
const NONSENSE: [Code; 3] = [Code::InvalidArgument, Code::OutOfRange, Code::ResourceExhausted];

/// Whenever an HA1 is given for a digest, the digest must match it, whatever the decision.
pub fn effect(response: &AuthoriseResponse, login: Option<&Login>) -> Effect {
    let granted = match response.decision() {
        Decision::Allow | Decision::Verify => Effect::Granted,
        Decision::Pending => Effect::Waits,
        Decision::Deny => return Effect::Denied,
        Decision::Unspecified => return Effect::Senseless,
    };
    let has_ha1 = Algorithm::ALL.into_iter().any(|algorithm| !ha1_by(response, algorithm).is_empty());
    match login {
        Some(login) if has_ha1 => {
            let ha1 = ha1_by(response, login.algorithm);
            if !ha1.is_empty() && login.fits(ha1) { granted } else { Effect::NotVerified }
        }
        None if has_ha1 => Effect::NotVerified,
        _ if response.decision() == Decision::Verify => Effect::NotVerified,
        _ => granted,
    }
}

fn ha1_by(response: &AuthoriseResponse, algorithm: Algorithm) -> &str {
    match algorithm {
        Algorithm::Md5 => &response.ha1_md5,
        Algorithm::Sha256 => &response.ha1_sha256,
        Algorithm::Sha512_256 => &response.ha1_sha512_256,
    }
}

impl Expected {
    /// Whether this is what came.
    pub fn is_met(self, question: &Question, answer: &Answer) -> bool {
        let response = match answer {
            Ok(response) => response,
            Err(status) => {
                let may_refuse = matches!(self, Expected::Refused | Expected::NotAllowed);
                return may_refuse && NONSENSE.contains(&status.code());
            }
        };
        let effect = effect(response, question.login.as_ref());
        match self {
            Expected::LetIn => effect == Effect::Granted,
            Expected::Allowed => response.decision() == Decision::Allow,
            Expected::Waits => effect == Effect::Waits,
            Expected::KeptOut | Expected::NotAllowed => {
                matches!(effect, Effect::Denied | Effect::NotVerified)
            }
            Expected::Denied | Expected::Refused => effect == Effect::Denied,
        }
    }
}

/// An answer in a few words: "VERIFY, HA1 fits".
pub fn words(question: &Question, answer: &Answer) -> String {
    let response = match answer {
        Ok(response) => response,
        Err(status) => {
            return format!("{:?}: {}", status.code(), cut(&printable(&proto::reason(status)), 80));
        }
    };
    let decision = match response.decision() {
        Decision::Unspecified => format!("decision {}", response.decision),
        known => known.as_str_name().trim_start_matches("DECISION_").to_owned(),
    };
    let more = match effect(response, question.login.as_ref()) {
        Effect::Denied => match response.sip_status {
            0 => " 403".to_owned(),
            status => format!(" {status}"),
        },
        Effect::NotVerified if question.login.is_none() => String::new(),
        Effect::NotVerified => match question.login.as_ref().map(|login| ha1_by(response, login.algorithm)) {
            Some("") | None => ", no HA1 for this algorithm".to_owned(),
            Some(_) => ", HA1 does not fit".to_owned(),
        },
        Effect::Granted | Effect::Waits => {
            let bare = Algorithm::ALL.into_iter().all(|algorithm| ha1_by(response, algorithm).is_empty());
            if bare { String::new() } else { ", HA1 fits".to_owned() }
        }
        Effect::Senseless => ", which is none".to_owned(),
    };
    let reason = cut(&printable(&response.sip_reason), 40);
    format!("{decision}{more} {reason}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use sip::digest::ha1;

    use super::super::script::Script;
    use super::*;

    fn question(password: &str) -> Question {
        let script = Script::parse(super::super::SAMPLE).unwrap();
        let question = Question::by_account(&script, "PUBLISH");
        question.with_password(&script.account.uri, password, Algorithm::Sha256)
    }

    fn response(decision: Decision, md5: &str, sha256: &str) -> AuthoriseResponse {
        let of = |algorithm, password: &str| match password {
            "" => String::new(),
            password => ha1(algorithm, "alice", "vedette.test", password),
        };
        AuthoriseResponse {
            decision: decision.into(),
            ha1_md5: of(Algorithm::Md5, md5),
            ha1_sha256: of(Algorithm::Sha256, sha256),
            ..AuthoriseResponse::default()
        }
    }

    #[test]
    fn an_ha1_must_fit_whatever_the_decision() {
        let login = question("alicepw").login;
        for (decision, md5, sha256, expected) in [
            (Decision::Verify, "alicepw", "alicepw", Effect::Granted),
            (Decision::Allow, "alicepw", "alicepw", Effect::Granted),
            (Decision::Pending, "alicepw", "alicepw", Effect::Waits),
            (Decision::Allow, "", "", Effect::Granted),
            (Decision::Pending, "", "", Effect::Waits),
            (Decision::Deny, "", "alicepw", Effect::Denied),
            (Decision::Verify, "", "other", Effect::NotVerified),
            (Decision::Allow, "", "other", Effect::NotVerified),
            (Decision::Pending, "", "other", Effect::NotVerified),
            (Decision::Allow, "alicepw", "", Effect::NotVerified),
            (Decision::Verify, "", "", Effect::NotVerified),
            (Decision::Unspecified, "", "alicepw", Effect::Senseless),
        ] {
            let response = response(decision, md5, sha256);

            assert_eq!(effect(&response, login.as_ref()), expected, "{decision:?} {md5:?} {sha256:?}");
        }
    }

    #[test]
    fn a_wrong_password_is_let_in_only_by_who_checks_nothing() {
        let wrong = question("wrong");

        let kept_out = |answer| Expected::KeptOut.is_met(&wrong, &Ok(answer));

        assert!(kept_out(response(Decision::Verify, "alicepw", "alicepw")));
        assert!(kept_out(response(Decision::Deny, "", "")));
        assert!(!kept_out(response(Decision::Allow, "", "")));
        assert!(!kept_out(response(Decision::Pending, "", "")));
        assert!(!Expected::KeptOut.is_met(&wrong, &Err(Status::internal("broken"))));
    }

    #[test]
    fn only_nonsense_may_be_answered_by_a_grpc_status() {
        let asked = question("alicepw");

        for expected in [Expected::LetIn, Expected::Denied, Expected::KeptOut, Expected::Allowed] {
            assert!(!expected.is_met(&asked, &Err(Status::invalid_argument("what?"))), "{expected:?}");
        }
        assert!(Expected::Refused.is_met(&asked, &Err(Status::invalid_argument("what?"))));
        assert!(!Expected::Refused.is_met(&asked, &Err(Status::unknown("panicked"))));
    }
}
