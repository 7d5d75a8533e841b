//! The questions of each check, with what is expected of their answers.

use proto::v1::Proof;
use sip::digest::Algorithm;

use super::super::login::Qop;
use super::super::question::Question;
use super::super::script::Script;
use super::super::verdict::Expected;
use super::Case;

const METHODS: [&str; 3] = ["SUBSCRIBE", "PUBLISH", "REGISTER"];

pub fn subscribe_md5(script: &Script) -> Vec<Case> {
    let_in(script, "SUBSCRIBE", Algorithm::Md5)
}

pub fn subscribe_sha256(script: &Script) -> Vec<Case> {
    let_in(script, "SUBSCRIBE", Algorithm::Sha256)
}

pub fn publish_md5(script: &Script) -> Vec<Case> {
    let_in(script, "PUBLISH", Algorithm::Md5)
}

pub fn publish_sha256(script: &Script) -> Vec<Case> {
    let_in(script, "PUBLISH", Algorithm::Sha256)
}

pub fn register_md5(script: &Script) -> Vec<Case> {
    let_in(script, "REGISTER", Algorithm::Md5)
}

pub fn register_sha256(script: &Script) -> Vec<Case> {
    let_in(script, "REGISTER", Algorithm::Sha256)
}

/// The account with its password, by the first algorithm that the server has.
pub fn subscribe(script: &Script) -> Vec<Case> {
    allowed(script).into_iter().take(1).collect()
}

/// All that the account may do, each with the right password.
pub fn allowed(script: &Script) -> Vec<Case> {
    let by = |algorithm| METHODS.into_iter().flat_map(move |method| let_in(script, method, algorithm));
    script.algorithms.iter().copied().flat_map(by).collect()
}

fn let_in(script: &Script, method: &str, algorithm: Algorithm) -> Vec<Case> {
    let is_known = script.algorithms.contains(&algorithm);
    let question = || Question::by_account(script, method).right(script, algorithm);
    is_known.then(|| (question(), Expected::LetIn)).into_iter().collect()
}

pub fn whole_address(script: &Script) -> Vec<Case> {
    changed(allowed(script), Question::whole_address)
}

pub fn without_qop(script: &Script) -> Vec<Case> {
    changed(allowed(script), |question| question.login(|login| login.qop = Qop::None))
}

pub fn auth_int(script: &Script) -> Vec<Case> {
    changed(allowed(script), |question| question.login(|login| login.qop = Qop::AuthInt))
}

/// Who dials a feature code sends INVITE, and changes what a PUBLISH would change.
pub fn feature_code(script: &Script) -> Vec<Case> {
    let publish: Vec<_> =
        allowed(script).into_iter().filter(|(question, _)| question.request.method == "PUBLISH").collect();
    changed(publish, |question| question.login(|login| login.method = "INVITE".to_owned()))
}

pub fn wrong_password(script: &Script) -> Vec<Case> {
    let wrong = |question: Question| question.login(|login| login.password.push_str(" or not"));
    // PROOF_UNSPECIFIED is what those say who know nothing of proofs: it is no better than a digest.
    let unspecified = |question| wrong(question).proven(Proof::Unspecified);
    let mut cases = changed(allowed(script), wrong);
    cases.extend(changed(allowed(script), unspecified));
    expecting(Expected::KeptOut, cases)
}

pub fn no_digest(script: &Script) -> Vec<Case> {
    METHODS
        .into_iter()
        .flat_map(|method| {
            let question = Question::by_account(script, method);
            [question.clone().proven(Proof::Digest), question.proven(Proof::Unspecified)]
        })
        .map(|question| (question, Expected::NotAllowed))
        .collect()
}

pub fn dialog(script: &Script) -> Vec<Case> {
    nothing_to_prove(script, Proof::Dialog)
}

pub fn asserted(script: &Script) -> Vec<Case> {
    nothing_to_prove(script, Proof::Asserted)
}

fn nothing_to_prove(script: &Script, proof: Proof) -> Vec<Case> {
    let question = |method| Question::by_account(script, method).proven(proof);
    METHODS.into_iter().map(|method| (question(method), Expected::Allowed)).collect()
}

pub fn unknown(script: &Script) -> Vec<Case> {
    let unknown = &script.unknown.uri;
    METHODS
        .into_iter()
        .flat_map(|method| {
            let question = Question::new(unknown, method, unknown);
            let digest =
                question.clone().with_password(unknown, &script.account.password, script.algorithms[0]);
            [digest, question.clone().proven(Proof::Dialog), question.proven(Proof::Asserted)]
        })
        .map(|question| (question, Expected::Denied))
        .collect()
}

pub fn blocked(script: &Script) -> Vec<Case> {
    let blocked = &script.blocked;
    let question = |method| {
        let question = Question::new(&blocked.uri, method, &blocked.uri);
        question.with_password(&blocked.uri, &blocked.password, script.algorithms[0])
    };
    METHODS.into_iter().map(|method| (question(method), Expected::Denied)).collect()
}

/// A customer who is blocked in the midst of it must be, too.
pub fn blocked_in_dialog(script: &Script) -> Vec<Case> {
    let blocked = &script.blocked.uri;
    let question = |method| Question::new(blocked, method, blocked).proven(Proof::Dialog);
    METHODS.into_iter().map(|method| (question(method), Expected::Denied)).collect()
}

pub fn publish_for_another(script: &Script) -> Vec<Case> {
    for_another(script, "PUBLISH")
}

pub fn register_for_another(script: &Script) -> Vec<Case> {
    for_another(script, "REGISTER")
}

fn for_another(script: &Script, method: &str) -> Vec<Case> {
    [&script.blocked.uri, &script.unknown.uri]
        .into_iter()
        .flat_map(|other| {
            let question = Question::new(&script.account.uri, method, other);
            [question.clone().right(script, script.algorithms[0]), question.proven(Proof::Asserted)]
        })
        .map(|question| (question, Expected::Denied))
        .collect()
}

pub fn pending(script: &Script) -> Vec<Case> {
    let Some(question) = to_wait(script) else { return Vec::new() };
    vec![
        (question.clone().right(script, script.algorithms[0]), Expected::Waits),
        (question.proven(Proof::Dialog), Expected::Waits),
    ]
}

/// Who waits is shown nothing, but is kept and counted: that too needs the password.
pub fn pending_wrong_password(script: &Script) -> Vec<Case> {
    let account = &script.account.uri;
    let question = to_wait(script).map(|it| it.with_password(account, "wrong", script.algorithms[0]));
    question.map(|question| (question, Expected::KeptOut)).into_iter().collect()
}

fn to_wait(script: &Script) -> Option<Question> {
    let presentity = &script.pending.as_ref()?.presentity;
    Some(Question::new(&script.account.uri, "SUBSCRIBE", presentity))
}

pub fn empty_fields(script: &Script) -> Vec<Case> {
    let right = || Question::by_account(script, "PUBLISH").right(script, script.algorithms[0]);
    refused([
        right().request(|request| *request = Default::default()),
        right().request(|request| request.account.clear()),
        right().request(|request| request.method.clear()),
        right().request(|request| request.presentity.clear()),
    ])
}

pub fn unknown_method(script: &Script) -> Vec<Case> {
    let account = &script.account;
    let question = |method| {
        let question = Question::new(&account.uri, method, &account.uri);
        question.right(script, script.algorithms[0])
    };
    refused(["FROBNICATE", "subscribe", "PUBLISH\r\nSUBSCRIBE"].map(question))
}

pub fn strange_account(script: &Script) -> Vec<Case> {
    let (user, host) = (script.account.uri.user(), script.account.uri.host());
    refused(
        [
            format!("sip:{user}\r\n@{host}"),
            format!("sip:{user}\u{0}@{host}"),
            format!("sip:{user}%00@{host}"),
            format!("sip:%0d%0a@{host}"),
            format!("sip:'%20OR%20'1'='1@{host}"),
            format!("sip:\u{202e}{user}@{host}"),
            format!("sip:%ff%fe@{host}"),
            format!("sip:%@{host}"),
            format!("sip:@{host}"),
            format!("sip:{user}@"),
            user.to_owned(),
            "@".to_owned(),
        ]
        .map(|account| named(script, account)),
    )
}

pub fn long_account(script: &Script) -> Vec<Case> {
    let host = script.account.uri.host();
    refused(
        [format!("sip:{}@{host}", "a".repeat(8_000)), format!("sip:{}@{host}", "%41".repeat(2_000))]
            .map(|account| named(script, account)),
    )
}

/// The account's own question, under another name.
fn named(script: &Script, account: String) -> Question {
    let question = Question::by_account(script, "SUBSCRIBE").right(script, script.algorithms[0]);
    question.request(|request| request.account = account)
}

fn refused(questions: impl IntoIterator<Item = Question>) -> Vec<Case> {
    questions.into_iter().map(|question| (question, Expected::Refused)).collect()
}

fn changed(cases: Vec<Case>, change: impl Fn(Question) -> Question) -> Vec<Case> {
    cases.into_iter().map(|(question, expected)| (change(question), expected)).collect()
}

fn expecting(expected: Expected, cases: Vec<Case>) -> Vec<Case> {
    cases.into_iter().map(|(question, _)| (question, expected)).collect()
}
