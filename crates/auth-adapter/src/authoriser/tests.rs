//! The flow of questions, on a clock that only moves while everybody waits.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use proto::v1::Digest;

use super::*;
use crate::aor::Aor;
use crate::config::WhenDown;

/// A back end that does what it is told next, and what it was told last for ever.
struct Scripted {
    script: Mutex<VecDeque<Step>>,
    calls: Mutex<Vec<Question>>,
}

#[derive(Clone)]
enum Step {
    /// After so many milliseconds.
    Answer(u64, AuthoriseResponse),
    Fail(Failure),
    Panic,
}

#[tonic::async_trait]
impl Backend for Scripted {
    fn digests(&self) -> Digests {
        Digests::Read
    }

    async fn authorise(&self, question: &Question, _: Duration) -> Result<AuthoriseResponse, Failure> {
        self.calls.lock().unwrap().push(question.clone());
        let step = {
            let mut script = self.script.lock().unwrap();
            let next = script.front().cloned().expect("a script has a step");
            if script.len() > 1 {
                script.pop_front();
            }
            next
        };
        match step {
            Step::Answer(after, response) => {
                tokio::time::sleep(Duration::from_millis(after)).await;
                Ok(response)
            }
            Step::Fail(failure) => Err(failure),
            Step::Panic => panic!("a fault of ours"),
        }
    }

    async fn follow(&self, _: mpsc::Sender<Change>) {}
}

/// An authoriser in front of a script.
struct Tested {
    authoriser: Arc<Authoriser>,
    backend: Arc<Scripted>,
}

impl Tested {
    fn with(rules: Rules, script: impl IntoIterator<Item = Step>) -> Tested {
        let script = Mutex::new(script.into_iter().collect());
        let backend = Arc::new(Scripted { script, calls: Mutex::default() });
        Tested { authoriser: Arc::new(Authoriser::new(backend.clone(), rules)), backend }
    }

    fn new(script: impl IntoIterator<Item = Step>) -> Tested {
        Tested::with(rules(), script)
    }

    async fn ask(&self, account: &str) -> Result<AuthoriseResponse, NobodyKnows> {
        self.authoriser.authorise(request(account)).await
    }

    fn calls(&self) -> usize {
        self.backend.calls.lock().unwrap().len()
    }

    fn change(&self, account: &str) {
        self.authoriser.heed(Change::Accounts(vec![aor(account)]));
    }
}

fn rules() -> Rules {
    let breaker = crate::breaker::Rules { failures: 3, open: Duration::from_secs(1) };
    Rules { in_flight: 4, breaker, ..Rules::default() }
}

fn aor(account: &str) -> Aor {
    Aor::parse(&format!("sip:{account}@lab.test")).unwrap()
}

fn request(account: &str) -> AuthoriseRequest {
    AuthoriseRequest {
        account: aor(account).to_string(),
        method: "SUBSCRIBE".into(),
        event: "presence".into(),
        presentity: "sip:bob@lab.test".into(),
        digest: Some(Digest { nonce: "n".into(), ..Digest::default() }),
        ..AuthoriseRequest::default()
    }
}

fn verify(max_expires: u32) -> AuthoriseResponse {
    AuthoriseResponse {
        decision: Decision::Verify.into(),
        ha1_md5: "ab".repeat(16),
        cache_seconds: 60,
        max_expires,
        ..AuthoriseResponse::default()
    }
}

fn dead() -> Step {
    Step::Fail(Failure::Unanswered("connection refused".into()))
}

async fn pass(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_the_same_at_once_shares_one_call() {
    let tested = Tested::new([Step::Answer(100, verify(1))]);

    let askers = (0..50).map(|_| tested.ask("alice"));
    let answers = futures_util::future::join_all(askers).await;

    assert!(answers.iter().all(|answer| answer == &Ok(verify(1))));
    assert_eq!(tested.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn within_its_life_an_answer_costs_no_call_and_is_told_with_what_is_left_of_it() {
    let tested = Tested::new([Step::Answer(0, verify(1))]);
    tested.ask("alice").await.unwrap();

    pass(45_000).await;
    assert_eq!(tested.ask("alice").await.unwrap().cache_seconds, 15);
    assert_eq!(tested.calls(), 1);

    pass(15_000).await;
    assert_eq!(tested.ask("alice").await.unwrap().cache_seconds, 60);
    assert_eq!(tested.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_billing_fails_the_last_answer_is_used_and_not_to_be_kept() {
    let bad = Step::Fail(Failure::Bad("nonsense".into()));
    for failure in [dead(), bad, Step::Answer(0, AuthoriseResponse::default()), Step::Answer(9999, verify(2))]
    {
        let tested = Tested::new([Step::Answer(0, verify(1)), failure]);
        tested.ask("alice").await.unwrap();
        pass(60_000).await;

        let answer = tested.ask("alice").await.unwrap();

        assert_eq!(answer, AuthoriseResponse { cache_seconds: 0, ..verify(1) });
        assert_eq!(tested.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn with_nothing_remembered_the_operator_decided_by_method() {
    let when_down = WhenDown { register: Fallback::Open, ..WhenDown::default() };
    let tested = Tested::with(Rules { when_down, ..rules() }, [dead()]);

    let register = || AuthoriseRequest { method: "REGISTER".into(), ..request("alice") };
    let in_dialog = AuthoriseRequest { proof: Proof::Dialog.into(), ..register() };
    // Nobody is let in before it is certain that billing is down.
    for _ in 0..2 {
        assert_eq!(tested.authoriser.authorise(register()).await, Err(NobodyKnows));
    }

    let answer = tested.authoriser.authorise(register()).await.unwrap();
    assert_eq!((answer.decision(), answer.cache_seconds), (Decision::Allow, 0));
    assert_eq!(tested.ask("alice").await, Err(NobodyKnows), "another method");
    assert_eq!(tested.authoriser.authorise(in_dialog).await, Err(NobodyKnows));
}

#[tokio::test(start_paused = true)]
async fn while_nobody_answers_nobody_waits() {
    let tested = Tested::new([Step::Answer(9999, verify(1))]);
    for account in ["u1", "u2", "u3"] {
        let asked = Instant::now();
        assert_eq!(tested.ask(account).await, Err(NobodyKnows));
        assert_eq!(asked.elapsed().as_millis(), 300);
    }

    let asked = Instant::now();
    assert_eq!(tested.ask("u4").await, Err(NobodyKnows));

    assert_eq!((asked.elapsed(), tested.calls()), (Duration::ZERO, 3));
}

#[tokio::test(start_paused = true)]
async fn once_billing_is_back_one_call_finds_out() {
    let tested = Tested::new([dead(), dead(), dead(), Step::Answer(10, verify(1))]);
    for _ in 0..3 {
        assert_eq!(tested.ask("alice").await, Err(NobodyKnows));
    }
    pass(999).await;
    assert_eq!(tested.ask("alice").await, Err(NobodyKnows));

    pass(1).await;
    let (tried, other) = tokio::join!(tested.ask("alice"), tested.ask("carol"));

    assert_eq!((tried, other), (Ok(verify(1)), Err(NobodyKnows)));
    assert_eq!(tested.ask("carol").await, Ok(verify(1)));
}

#[tokio::test(start_paused = true)]
async fn bad_answers_shut_nobody_out() {
    let bad = Step::Fail(Failure::Bad("a broken account".into()));
    let tested = Tested::new([bad.clone(), bad.clone(), bad.clone(), bad, Step::Answer(0, verify(1))]);
    for _ in 0..4 {
        assert_eq!(tested.ask("broken").await, Err(NobodyKnows));
    }

    assert_eq!(tested.ask("alice").await, Ok(verify(1)));
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_holds_up_neither_the_cache_nor_more_calls_than_allowed() {
    let tested = Tested::new([Step::Answer(0, verify(1)), Step::Answer(250, verify(2))]);
    tested.ask("alice").await.unwrap();

    let slow = futures_util::future::join_all(["u1", "u2", "u3", "u4"].map(|account| tested.ask(account)));
    let others = async {
        pass(1).await;
        let asked = Instant::now();
        assert_eq!(tested.ask("alice").await.unwrap().max_expires, 1);
        assert_eq!(tested.ask("u5").await, Err(NobodyKnows));
        assert_eq!(asked.elapsed(), Duration::ZERO);
    };
    let (slow, ()) = tokio::join!(slow, others);

    assert!(slow.iter().all(|answer| answer == &Ok(verify(2))));
    assert_eq!(tested.ask("u5").await, Ok(verify(2)));
}

#[tokio::test(start_paused = true)]
async fn an_asker_in_a_hurry_leaves_and_the_answer_is_kept_for_the_next() {
    let tested = Tested::new([Step::Answer(200, verify(1))]);

    let asked = Instant::now();
    let hurried = AuthoriseRequest { deadline_ms: 100, ..request("alice") };
    assert_eq!(tested.authoriser.authorise(hurried).await, Err(NobodyKnows));
    assert_eq!(asked.elapsed().as_millis(), 90);
    pass(200).await;

    assert_eq!(tested.ask("alice").await.unwrap().max_expires, 1);
    assert_eq!(tested.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_changes_while_it_is_asked_about_is_asked_about_again() {
    let tested = Tested::new([Step::Answer(100, verify(1)), Step::Answer(100, verify(2))]);

    let changed = async {
        pass(50).await;
        tested.change("alice");
    };
    let (answer, ()) = tokio::join!(tested.ask("alice"), changed);

    assert_eq!(answer, Ok(verify(2)));
    assert_eq!(tested.ask("alice").await.unwrap().max_expires, 2);
    assert_eq!(tested.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_never_stops_changing_is_nobodys_knowledge() {
    let tested = Tested::new([Step::Answer(20, verify(1))]);

    let changing = async {
        for _ in 0..20 {
            pass(10).await;
            tested.change("alice");
        }
    };
    let (answer, ()) = tokio::join!(tested.ask("alice"), changing);

    assert_eq!((answer, tested.calls()), (Err(NobodyKnows), TRIES));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_told_of_a_change_finds_it_forgotten_already() {
    let tested = Tested::new([Step::Answer(0, verify(1)), Step::Answer(0, verify(1)), dead()]);
    let mut told = tested.authoriser.changes();
    for account in ["alice", "carol"] {
        tested.ask(account).await.unwrap();
    }

    tested.change("alice");

    assert_eq!(told.recv().await.unwrap().accounts, ["sip:alice@lab.test"]);
    assert_eq!(
        tested.ask("alice").await,
        Err(NobodyKnows),
        "it is known to be wrong, so it is not stale either"
    );
    assert_eq!(tested.ask("carol").await, Ok(verify(1)));
}

#[tokio::test(start_paused = true)]
async fn when_changes_went_unheard_everything_is_asked_anew_and_is_good_while_billing_fails() {
    let tested = Tested::new([Step::Answer(0, verify(1)), Step::Answer(0, verify(2)), dead()]);
    tested.ask("alice").await.unwrap();

    tested.authoriser.heed(Change::Lost);
    assert_eq!(tested.ask("alice").await, Ok(verify(2)));
    tested.authoriser.heed(Change::Everybody);

    assert_eq!(tested.ask("alice").await.unwrap().max_expires, 2);
    assert_eq!(tested.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_ours_costs_one_answer() {
    let tested = Tested::new([Step::Panic, Step::Answer(0, verify(1))]);

    assert_eq!(tested.ask("alice").await, Err(NobodyKnows));
    assert_eq!(tested.ask("alice").await, Ok(verify(1)));
}

#[tokio::test(start_paused = true)]
async fn what_billing_said_of_one_digest_says_nothing_of_another() {
    let denied = Answer::denied("Wrong Password");
    let denied = AuthoriseResponse { cache_seconds: 60, ..denied };
    let tested = Tested::new([Step::Answer(0, denied.clone()), Step::Answer(0, verify(1))]);
    assert_eq!(tested.ask("alice").await, Ok(denied.clone()));

    let mut right = request("alice");
    right.digest.as_mut().unwrap().nonce = "other".into();

    assert_eq!(tested.authoriser.authorise(right).await, Ok(verify(1)));
    assert_eq!(tested.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_costs_no_call() {
    let tested = Tested::new([Step::Answer(0, verify(1))]);

    let strange = AuthoriseRequest { method: "INVITE".into(), ..request("alice") };
    let answer = tested.authoriser.authorise(strange).await.unwrap();

    assert_eq!((answer.decision(), answer.sip_status, tested.calls()), (Decision::Deny, 403, 0));
}
