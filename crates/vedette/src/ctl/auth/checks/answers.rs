//! Checks of everything that was answered, whatever was asked.

use proto::v1::{AuthoriseResponse, Decision};

use super::super::question::Question;
use super::super::script::Script;
use super::super::verdict::{Answer, Effect, effect};
use super::{NOT_IN_SCRIPT, Outcome};
use crate::ctl::table::{cut, printable};

/// The longest life of an answer that makes sense: a day.
const LONGEST_LIFE: u32 = 24 * 60 * 60;
/// In bytes.
const LONGEST_TENANT: usize = 64;
const LONGEST_REASON: usize = 128;

type Said = [(Question, Answer)];

pub fn tenant(script: &Script, said: &Said) -> Outcome {
    as_scripted(script, said, script.account.tenant.as_deref(), |response| response.tenant.as_str())
}

pub fn max_expires(script: &Script, said: &Said) -> Outcome {
    as_scripted(script, said, script.account.max_expires, |response| response.max_expires)
}

pub fn max_subscriptions(script: &Script, said: &Said) -> Outcome {
    as_scripted(script, said, script.account.max_subscriptions, |response| response.max_subscriptions)
}

/// Every grant to the script's account says the same.
fn as_scripted<'a, T: PartialEq + std::fmt::Debug>(
    script: &Script,
    said: &'a Said,
    expected: Option<T>,
    found: impl Fn(&'a AuthoriseResponse) -> T,
) -> Outcome {
    let Some(expected) = expected else {
        return Outcome::Skipped(NOT_IN_SCRIPT);
    };
    let account = script.account.uri.to_string();
    let grants = answers(said).filter(|(question, response)| {
        question.request.account == account && effect(response, question.login.as_ref()) == Effect::Granted
    });
    all(grants, "the account was never let in", |response| {
        let found = found(response);
        let is_expected = found == expected;
        is_expected.then_some(()).ok_or_else(|| format!("{found:?}, not {expected:?}"))
    })
}

pub fn cache_seconds(_: &Script, said: &Said) -> Outcome {
    let grants = answers(said)
        .filter(|(_, response)| matches!(response.decision(), Decision::Allow | Decision::Verify));
    all(grants, "nothing was granted", |response| match response.cache_seconds {
        1..=LONGEST_LIFE => Ok(()),
        seconds => Err(format!("{seconds} s")),
    })
}

pub fn ha1_form(_: &Script, said: &Said) -> Outcome {
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    all(
        answers(said),
        "there was no answer",
        |AuthoriseResponse { ha1_md5, ha1_sha256, ha1_sha512_256, .. }| {
            [("ha1_md5", ha1_md5, 32), ("ha1_sha256", ha1_sha256, 64), ("ha1_sha512_256", ha1_sha512_256, 64)]
                .into_iter()
                .find(|(_, ha1, length)| !(ha1.is_empty() || ha1.len() == *length && is_hex(ha1)))
                .map_or(Ok(()), |(name, ha1, _)| Err(format!("{name} of {} bytes that is not", ha1.len())))
        },
    )
}

pub fn denial_without_ha1(_: &Script, said: &Said) -> Outcome {
    all(denials(said), "nothing was denied", |response| {
        let is_bare = response.ha1_md5.is_empty()
            && response.ha1_sha256.is_empty()
            && response.ha1_sha512_256.is_empty();
        is_bare.then_some(()).ok_or_else(|| "one with an HA1".to_owned())
    })
}

pub fn denial_status(_: &Script, said: &Said) -> Outcome {
    all(denials(said), "nothing was denied", |response| match response.sip_status {
        0 | 400..=499 | 600..=699 => Ok(()),
        status => Err(format!("{status}")),
    })
}

pub fn text_form(_: &Script, said: &Said) -> Outcome {
    all(answers(said), "there was no answer", |response| {
        [("sip_reason", &response.sip_reason, LONGEST_REASON), ("tenant", &response.tenant, LONGEST_TENANT)]
            .into_iter()
            .find(|(_, text, longest)| text.len() > *longest || text.chars().any(char::is_control))
            .map_or(Ok(()), |(name, text, _)| {
                Err(format!("{name} of {} bytes: {:?}", text.len(), cut(&printable(text), 20)))
            })
    })
}

fn answers(said: &Said) -> impl Iterator<Item = (&Question, &AuthoriseResponse)> {
    said.iter().filter_map(|(question, answer)| Some((question, answer.as_ref().ok()?)))
}

fn denials(said: &Said) -> impl Iterator<Item = (&Question, &AuthoriseResponse)> {
    answers(said).filter(|(_, response)| response.decision() == Decision::Deny)
}

/// Passes when each answer does; an empty list means that nothing was seen of what is judged here.
fn all<'a>(
    answers: impl Iterator<Item = (&'a Question, &'a AuthoriseResponse)>,
    none: &str,
    judge: impl Fn(&'a AuthoriseResponse) -> Result<(), String>,
) -> Outcome {
    let mut seen = 0;
    for (question, response) in answers {
        seen += 1;
        if let Err(came) = judge(response) {
            return Outcome::Failed(format!("{came}, for {}", printable(&question.words())));
        }
    }
    match seen {
        0 => Outcome::Failed(none.to_owned()),
        seen => Outcome::Passed(format!("so in all {seen} answers")),
    }
}
