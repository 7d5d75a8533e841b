//! The list of checks. Most are questions with what is expected of each answer; the last ones look at everything that was
//! answered to the others, so they stay last.

mod answers;
mod cases;

use super::question::Question;
use super::script::Script;
use super::server::{Server, Stream};
use super::verdict::{Answer, Expected, words};

pub struct Check {
    /// Kept for ever: scripts of vendors look for it.
    pub name: &'static str,
    pub expects: &'static str,
    how: How,
}

/// Each with what came, or why it was skipped.
#[derive(Debug)]
pub enum Outcome {
    Passed(String),
    Failed(String),
    Skipped(&'static str),
}

enum How {
    /// These questions, one after the other. None: the script does not say what would be needed.
    Ask(fn(&Script) -> Vec<Case>),
    /// One question again and again.
    Repeat,
    /// Many questions at the same time.
    Together,
    Follow,
    /// Of everything that was said.
    All(fn(&Script, &[(Question, Answer)]) -> Outcome),
}

type Case = (Question, Expected);

const REPEATS: usize = 5;
const TOGETHER: usize = 100;
const NOT_IN_SCRIPT: &str = "the script names none";

macro_rules! checks {
    ($($name:literal, $expects:literal, $how:expr;)*) => {
        &[$(Check { name: $name, expects: $expects, how: $how }),*]
    };
}

pub const CHECKS: &[Check] = checks! {
    "subscribe-md5", "VERIFY with the HA1, or ALLOW", How::Ask(cases::subscribe_md5);
    "subscribe-sha256", "VERIFY with the HA1, or ALLOW", How::Ask(cases::subscribe_sha256);
    "publish-md5", "VERIFY with the HA1, or ALLOW", How::Ask(cases::publish_md5);
    "publish-sha256", "VERIFY with the HA1, or ALLOW", How::Ask(cases::publish_sha256);
    "register-md5", "VERIFY with the HA1, or ALLOW", How::Ask(cases::register_md5);
    "register-sha256", "VERIFY with the HA1, or ALLOW", How::Ask(cases::register_sha256);
    "whole-address-username", "the HA1 is over the username as written", How::Ask(cases::whole_address);
    "digest-without-qop", "a digest of RFC 2069 is let in", How::Ask(cases::without_qop);
    "digest-auth-int", "a digest over the body is let in", How::Ask(cases::auth_int);
    "digest-of-feature-code", "a digest over INVITE is let in for PUBLISH", How::Ask(cases::feature_code);
    "wrong-password", "VERIFY with an HA1 that does not fit, or DENY", How::Ask(cases::wrong_password);
    "no-digest", "VERIFY, DENY or INVALID_ARGUMENT, never ALLOW", How::Ask(cases::no_digest);
    "proof-dialog", "ALLOW without a digest", How::Ask(cases::dialog);
    "proof-asserted", "ALLOW without a digest", How::Ask(cases::asserted);
    "unknown-account", "DENY", How::Ask(cases::unknown);
    "blocked-account", "DENY, with the right password", How::Ask(cases::blocked);
    "blocked-in-dialog", "DENY, where nothing is left to prove", How::Ask(cases::blocked_in_dialog);
    "publish-for-another", "DENY", How::Ask(cases::publish_for_another);
    "register-for-another", "DENY", How::Ask(cases::register_for_another);
    "pending", "PENDING, with an HA1 that fits or none", How::Ask(cases::pending);
    "pending-wrong-password", "an HA1 that does not fit, or DENY", How::Ask(cases::pending_wrong_password);
    "empty-fields", "DENY or INVALID_ARGUMENT", How::Ask(cases::empty_fields);
    "unknown-method", "DENY or INVALID_ARGUMENT", How::Ask(cases::unknown_method);
    "strange-account", "DENY or INVALID_ARGUMENT", How::Ask(cases::strange_account);
    "long-account", "DENY, INVALID_ARGUMENT or RESOURCE_EXHAUSTED", How::Ask(cases::long_account);
    "after-nonsense", "the account is let in as before", How::Ask(cases::subscribe);
    "invalidation-stream", "InvalidateAccounts opens and speaks at once", How::Follow;
    "same-answer", "the same question gets the same answer", How::Repeat;
    "at-once", "100 questions at once are answered within the deadline", How::Together;
    "tenant", "as the script says", How::All(answers::tenant);
    "max-expires", "as the script says", How::All(answers::max_expires);
    "max-subscriptions", "as the script says", How::All(answers::max_subscriptions);
    "cache-seconds", "grants may be reused for 1 s to 1 day", How::All(answers::cache_seconds);
    "ha1-form", "32 or 64 lower-case hex digits", How::All(answers::ha1_form);
    "denial-without-ha1", "no HA1 beside DENY", How::All(answers::denial_without_ha1);
    "denial-status", "4xx or 6xx, or 0 for 403", How::All(answers::denial_status);
    "text-form", "reasons and tenants are short and plain", How::All(answers::text_form);
};

pub fn longest_name() -> usize {
    CHECKS.iter().map(|check| check.name.len()).max().unwrap_or_default()
}

impl Check {
    pub async fn run(&self, script: &Script, server: &mut Server) -> Outcome {
        match self.how {
            How::Ask(cases) => ask(cases(script), server).await,
            How::Repeat => repeat(cases::subscribe(script), server).await,
            How::Together => together(cases::allowed(script), server).await,
            How::Follow => match server.follow().await {
                Stream::Told => Outcome::Passed("its first message".to_owned()),
                Stream::NotTold => Outcome::Skipped("UNIMPLEMENTED: answers hold for their cache_seconds"),
                Stream::Broken(why) => Outcome::Failed(why),
            },
            How::All(judge) => judge(script, &server.said),
        }
    }
}

async fn ask(cases: Vec<Case>, server: &mut Server) -> Outcome {
    let mut came = None;
    for (question, expected) in cases {
        let answer = server.ask(question.clone()).await;
        let said = words(&question, &answer);
        if !expected.is_met(&question, &answer) {
            return Outcome::Failed(format!("{said}, for {}", question.words()));
        }
        came = Some(said);
    }
    came.map_or(Outcome::Skipped(NOT_IN_SCRIPT), Outcome::Passed)
}

async fn repeat(cases: Vec<Case>, server: &mut Server) -> Outcome {
    let Some((question, _)) = cases.into_iter().next() else {
        return Outcome::Skipped(NOT_IN_SCRIPT);
    };
    let mut first: Option<Answer> = None;
    for _ in 0..REPEATS {
        let answer = server.ask(question.clone()).await;
        match &first {
            Some(first) if !are_same(first, &answer) => {
                let (first, then) = (words(&question, first), words(&question, &answer));
                return Outcome::Failed(format!("{first}, then {then}"));
            }
            Some(_) => {}
            None => first = Some(answer),
        }
    }
    match first {
        Some(first) if first.is_ok() => Outcome::Passed(words(&question, &first)),
        other => Outcome::Failed(other.map_or(String::new(), |answer| words(&question, &answer))),
    }
}

/// What is left of a cache life may shrink from one answer to the next.
fn are_same(first: &Answer, then: &Answer) -> bool {
    let decided = |answer: &Answer| match answer {
        Ok(response) => {
            let mut response = response.clone();
            response.cache_seconds = 0;
            Some(response)
        }
        Err(_) => None,
    };
    decided(first) == decided(then)
}

async fn together(allowed: Vec<Case>, server: &mut Server) -> Outcome {
    let questions = allowed.iter().cycle().take(TOGETHER).map(|(question, _)| question.clone()).collect();
    let said = server.ask_together(questions).await;
    let wrong: Vec<_> =
        said.iter().filter(|(question, answer)| !Expected::LetIn.is_met(question, answer)).collect();
    match wrong.first() {
        Some((question, answer)) => {
            Outcome::Failed(format!("{} of {TOGETHER}: {}", wrong.len(), words(question, answer)))
        }
        None => Outcome::Passed(format!("all, the slowest after {} ms", server.together.percentile(1.0))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_made_to_be_typed() {
        let names: BTreeSet<_> = CHECKS.iter().map(|check| check.name).collect();

        assert_eq!(names.len(), CHECKS.len());
        for name in names {
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            );
        }
    }

    #[test]
    fn a_line_has_room_for_what_is_expected() {
        for check in CHECKS {
            assert!(check.expects.len() <= 60, "{}", check.name);
        }
    }
}
