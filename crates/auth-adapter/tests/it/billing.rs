//! A provider's billing server behind the adapter: dead, slow, lying, restarted.

use std::time::Duration;

use auth_adapter::{BreakerRules, Rules};
use proto::v1::{AuthoriseRequest, AuthoriseResponse, Decision, Proof};
use tonic::{Code, Status};

use super::fake_billing::{FakeBilling, verify};
use super::{Manager, rules, subscribe, told};

#[tokio::test]
async fn what_billing_says_reaches_the_manager_and_is_asked_once() {
    let billing = FakeBilling::start();
    let manager = Manager::before(billing.source()).await;
    billing.answers(Ok(AuthoriseResponse { tenant: "acme".into(), max_subscriptions: 7, ..verify(600) }));

    let answer = manager.ask(subscribe("alice")).await.unwrap();
    let again = manager.ask(subscribe("alice")).await.unwrap();

    assert_eq!((answer.decision(), answer.max_expires), (Decision::Verify, 600));
    assert_eq!((again.tenant.as_str(), again.max_subscriptions, billing.calls()), ("acme", 7, 1));
}

#[tokio::test]
async fn a_billing_that_keeps_its_secrets_says_so_for_that_digest() {
    let billing = FakeBilling::start();
    let manager = Manager::before(billing.source()).await;
    let allow = Decision::Allow.into();
    billing.answers(Ok(AuthoriseResponse { decision: allow, cache_seconds: 60, ..Default::default() }));

    let answer = manager.ask(subscribe("alice")).await.unwrap();
    let mut other = subscribe("alice");
    other.digest.as_mut().unwrap().nonce = "other".into();
    billing.answers(Ok(AuthoriseResponse { decision: Decision::Deny.into(), ..Default::default() }));

    assert_eq!((answer.decision(), answer.ha1_md5.as_str()), (Decision::Allow, ""));
    assert_eq!(manager.ask(other).await.unwrap().decision(), Decision::Deny);
    assert_eq!(manager.ask(subscribe("alice")).await.unwrap().decision(), Decision::Allow);
}

#[tokio::test]
async fn a_slow_answer_for_one_holds_up_nobody_whom_the_cache_can_answer() {
    let billing = FakeBilling::start();
    let manager = Manager::before(billing.source()).await;
    manager.ask(subscribe("alice")).await.unwrap();

    billing.holds("carol");
    let slow = manager.ask(subscribe("carol"));
    let others = async {
        for _ in 0..100 {
            assert!(manager.ask(subscribe("alice")).await.is_ok());
        }
        billing.releases();
    };
    let (slow, ()) = tokio::join!(slow, others);

    assert_eq!((slow.unwrap().max_expires, billing.calls()), (1, 2));
}

#[tokio::test]
async fn a_billing_that_is_killed_is_missed_by_nobody_it_answered_before_and_found_when_it_is_back() {
    let mut billing = FakeBilling::start();
    let manager = Manager::before(billing.source()).await;
    let mut changes = manager.follow().await;
    billing.followed(1).await;
    manager.ask(subscribe("alice")).await.unwrap();

    billing.kill();
    let dialog = AuthoriseRequest { proof: Proof::Dialog.into(), ..subscribe("dave") };
    for unknown in [subscribe("carol"), dialog] {
        assert_eq!(manager.ask(unknown).await.unwrap_err().code(), Code::Unavailable);
    }
    assert_eq!(manager.ask(subscribe("alice")).await.unwrap().max_expires, 1);

    billing.answers(Ok(verify(2)));
    billing.restart();
    assert!(told(&mut changes).await.unwrap().all, "what changed meanwhile was not heard");
    for account in ["alice", "carol"] {
        assert_eq!(manager.ask(subscribe(account)).await.unwrap().max_expires, 2);
    }
}

#[tokio::test]
async fn an_account_that_billing_names_is_forgotten_and_passed_on() {
    let billing = FakeBilling::start();
    let manager = Manager::before(billing.source()).await;
    let mut changes = [manager.follow().await, manager.follow().await];
    billing.followed(1).await;
    manager.ask(subscribe("alice")).await.unwrap();
    manager.ask(subscribe("carol")).await.unwrap();

    billing.answers(Ok(AuthoriseResponse { decision: Decision::Deny.into(), ..verify(0) }));
    billing.tells("alice");

    for changes in &mut changes {
        let told = told(changes).await.unwrap();
        assert_eq!((told.accounts, told.all), (vec!["sip:alice@vedette.test".into()], false));
    }
    assert_eq!(manager.ask(subscribe("alice")).await.unwrap().decision(), Decision::Deny);
    assert_eq!(manager.ask(subscribe("carol")).await.unwrap().decision(), Decision::Verify);
}

#[tokio::test]
async fn a_billing_that_tells_no_changes_is_asked_all_the_same() {
    let billing = FakeBilling::without_changes();
    let manager = Manager::before(billing.source()).await;
    let _changes = manager.follow().await;

    manager.ask(subscribe("alice")).await.unwrap();
    manager.ask(subscribe("alice")).await.unwrap();

    assert_eq!(billing.calls(), 1);
}

#[tokio::test]
async fn a_lie_lets_nobody_in() {
    let billing = FakeBilling::start();
    let manager = Manager::before(billing.source()).await;
    let said = |decision: Decision| AuthoriseResponse { decision: decision.into(), ..verify(1) };
    let lies = [
        Ok(AuthoriseResponse::default()),
        Ok(AuthoriseResponse { decision: 99, ..verify(1) }),
        Ok(AuthoriseResponse { ha1_md5: String::new(), ..said(Decision::Verify) }),
        Ok(AuthoriseResponse { ha1_md5: "secret".into(), ..said(Decision::Allow) }),
        Ok(AuthoriseResponse { tenant: "t".repeat(65), ..said(Decision::Verify) }),
        Ok(AuthoriseResponse { sip_reason: "x".repeat(100_000), ..said(Decision::Deny) }),
        Err(Status::internal("database gone")),
        Err(Status::unimplemented("not here")),
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let told = format!("{lie:?}").chars().take(200).collect::<String>();
        billing.answers(lie);

        let answer = manager.ask(subscribe(&format!("u{number}"))).await;

        assert_eq!(answer.unwrap_err().code(), Code::Unavailable, "{told}");
    }
    billing.answers(Ok(verify(1)));
    assert!(manager.ask(subscribe("alice")).await.is_ok(), "the breaker is closed");
}

#[tokio::test]
async fn a_question_that_billing_finds_malformed_is_denied() {
    let billing = FakeBilling::start();
    let manager = Manager::before(billing.source()).await;
    billing.answers(Err(Status::invalid_argument("what?")));

    let answer = manager.ask(subscribe("alice")).await.unwrap();

    assert_eq!((answer.decision(), answer.sip_status), (Decision::Deny, 403));
}

#[tokio::test]
async fn a_billing_that_never_answers_is_left_alone() {
    let billing = FakeBilling::start();
    let breaker = BreakerRules { failures: 3, open: Duration::from_secs(3600) };
    let impatient = Rules { deadline: Duration::from_millis(20), breaker, ..rules() };
    let manager = Manager::with(billing.source(), impatient).await;
    billing.holds("alice");

    for _ in 0..10 {
        assert_eq!(manager.ask(subscribe("alice")).await.unwrap_err().code(), Code::Unavailable);
    }

    assert!(billing.calls() <= 3, "{}", billing.calls());
}
