//! How the server is broken on purpose: to see what Vedette makes of it, and that `vedette ctl auth check` finds it.
//!
//! A server of your own needs nothing of this.

use proto::v1::{AuthoriseRequest, AuthoriseResponse, Decision, Proof};
use tonic::Status;

use super::address::Asker;
use super::rules::BLOCKED;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    pub delay_ms: u64,
    pub fail: bool,
    pub lie: Option<Lie>,
}

/// Each is a mistake that a billing server could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Lie {
    /// HA1s of some other password
    WrongHa1,
    /// HA1s in upper-case hex
    UpperCaseHa1,
    /// The HA1 is over the account's name, however the client wrote it
    ShortUsername,
    /// Only digests with qop=auth over the method asked about are understood
    PlainDigestsOnly,
    /// ALLOW to any question, with nothing checked
    AllowEveryone,
    /// ALLOW to whatever carries a digest, right or wrong
    TrustDigest,
    /// A blocked customer may go on
    IgnoreBlock,
    /// Anybody may publish and register for anybody
    IgnoreOwner,
    /// A method nobody has heard of is granted
    AnyMethod,
    /// Who is to wait is granted at once
    NoPending,
    /// Who is to wait needs no password
    PendingUnproven,
    /// A digest is wanted where there is nothing to prove
    DigestAlways,
    /// Refusals say 500
    Status500,
    /// Refusals carry an HA1
    Ha1InDenial,
    /// Answers may not be reused
    NoCache,
    /// Another tenant, and other limits
    WrongLimits,
    /// Every second question is refused
    Fickle,
    /// What no server expects breaks this one
    BreakOnNonsense,
    /// Bytes without sense in every field
    Garbage,
    /// InvalidateAccounts opens and says nothing
    MuteStream,
}

const METHODS: [&str; 3] = ["SUBSCRIBE", "PUBLISH", "REGISTER"];

impl Lie {
    /// Mishears the question.
    pub fn twist_question(self, question: &mut AuthoriseRequest) {
        let account = Asker::parse(&question.account).map(|asker| asker.account);
        match self {
            Lie::ShortUsername => {
                question.account = account.unwrap_or_default();
                // Checked here, the digest is compared with the wrong name too.
                if let Some(digest) = &mut question.digest {
                    let user = digest.username.split('@').next().unwrap_or_default();
                    digest.username = user.to_owned();
                }
            }
            Lie::IgnoreOwner if question.method != "SUBSCRIBE" => {
                question.presentity = account.unwrap_or_default();
            }
            Lie::AnyMethod if !METHODS.contains(&question.method.as_str()) => {
                question.method = "SUBSCRIBE".to_owned();
            }
            Lie::TrustDigest if question.digest.is_some() => question.proof = Proof::Dialog.into(),
            Lie::DigestAlways => question.proof = Proof::Digest.into(),
            _ => {}
        }
    }

    /// Spoils the answer; `asked_before` numbers the questions.
    pub fn twist_answer(
        self,
        question: &AuthoriseRequest,
        answer: &mut AuthoriseResponse,
        asked_before: u64,
    ) -> Result<(), Status> {
        let is_denial = answer.decision() == Decision::Deny;
        match self {
            Lie::WrongHa1 => {
                answer.ha1_md5 = answer.ha1_md5.chars().rev().collect();
                answer.ha1_sha256 = answer.ha1_sha256.chars().rev().collect();
                answer.ha1_sha512_256 = answer.ha1_sha512_256.chars().rev().collect();
            }
            Lie::UpperCaseHa1 => {
                answer.ha1_md5.make_ascii_uppercase();
                answer.ha1_sha256.make_ascii_uppercase();
                answer.ha1_sha512_256.make_ascii_uppercase();
            }
            Lie::AllowEveryone => *answer = allow(answer),
            Lie::IgnoreBlock if answer.sip_reason == BLOCKED => *answer = allow(answer),
            Lie::NoPending if answer.decision() == Decision::Pending => answer.set_decision(Decision::Allow),
            Lie::PendingUnproven if answer.decision() == Decision::Pending => {
                *answer = AuthoriseResponse { decision: Decision::Pending.into(), ..allow(answer) };
            }
            Lie::PlainDigestsOnly if !is_plain(question) => {
                *answer = AuthoriseResponse { decision: Decision::Deny.into(), ..Default::default() };
            }
            Lie::Status500 if is_denial => answer.sip_status = 500,
            Lie::Ha1InDenial if is_denial => answer.ha1_md5 = "0".repeat(32),
            Lie::NoCache => answer.cache_seconds = 0,
            Lie::WrongLimits => {
                answer.tenant = "somebody else".to_owned();
                answer.max_expires += 1;
                answer.max_subscriptions += 1;
            }
            Lie::Fickle if asked_before % 2 == 1 => {
                *answer = AuthoriseResponse { decision: Decision::Deny.into(), ..Default::default() };
            }
            Lie::BreakOnNonsense if is_nonsense(question) => {
                return Err(Status::internal("index out of bounds"));
            }
            Lie::Garbage => *answer = garbage(),
            _ => {}
        }
        Ok(())
    }
}

fn is_plain(question: &AuthoriseRequest) -> bool {
    let digest = question.digest.as_ref();
    digest.is_none_or(|digest| digest.qop == "auth" && digest.method == question.method)
}

fn is_nonsense(question: &AuthoriseRequest) -> bool {
    question.account.len() > 1_000 || Asker::parse(&question.account).is_none()
}

fn allow(answer: &AuthoriseResponse) -> AuthoriseResponse {
    let cache_seconds = answer.cache_seconds;
    AuthoriseResponse { decision: Decision::Allow.into(), cache_seconds, ..Default::default() }
}

fn garbage() -> AuthoriseResponse {
    AuthoriseResponse {
        decision: 4711,
        sip_status: u32::MAX,
        sip_reason: "\r\nRoute: <sip:mallory.test>".repeat(1000),
        ha1_md5: "\u{0}\u{7f}".repeat(16),
        ha1_sha256: "zz".repeat(5000),
        ha1_sha512_256: "7".into(),
        cache_seconds: u32::MAX,
        max_expires: u32::MAX,
        max_subscriptions: u32::MAX,
        tenant: "\u{1b}[2J".repeat(1000),
    }
}
