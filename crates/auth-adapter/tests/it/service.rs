//! The gRPC side, whatever stands behind it.

use auth_adapter::AuthAdapter;
use proto::v1::{AuthoriseRequest, Decision};
use sip::digest::{Algorithm, ha1};
use tokio_util::sync::CancellationToken;

use super::{Manager, config, connect, fixed, rules, subscribe, told};

const ALICE: (&str, &str) = ("sip:alice@vedette.test", "alicepw");

#[tokio::test]
async fn an_account_is_to_be_verified_with_what_verifies_its_digest() {
    let manager = Manager::before(fixed(&[ALICE])).await;

    let answer = manager.ask(subscribe("alice")).await.unwrap();

    assert_eq!(answer.decision(), Decision::Verify);
    assert_eq!(answer.ha1_md5, ha1(Algorithm::Md5, "alice", "vedette.test", "alicepw"));
    assert_eq!(answer.ha1_sha256, ha1(Algorithm::Sha256, "alice", "vedette.test", "alicepw"));
    assert_eq!((answer.cache_seconds, answer.max_expires), (60, 0));
}

#[tokio::test]
async fn a_denial_carries_its_status_and_no_secret() {
    let manager = Manager::before(fixed(&[ALICE])).await;
    for (account, presentity) in [
        ("sip:alice@vedette.test", "sip:bob@vedette.test"),
        ("sip:mallory@vedette.test", "sip:mallory@vedette.test"),
        ("", "sip:alice@vedette.test"),
    ] {
        let (account, presentity) = (account.into(), presentity.into());
        let publish = AuthoriseRequest { account, presentity, method: "PUBLISH".into(), ..subscribe("") };
        let answer = manager.ask(publish).await.unwrap();

        assert_eq!((answer.decision(), answer.sip_status), (Decision::Deny, 403));
        assert!(answer.ha1_md5.is_empty() && answer.ha1_sha256.is_empty());
    }
}

#[tokio::test]
async fn a_question_that_is_too_long_is_refused() {
    let manager = Manager::before(fixed(&[ALICE])).await;

    let long = AuthoriseRequest { event: "x".repeat(20_000), ..subscribe("alice") };

    assert_eq!(manager.ask(long).await.unwrap_err().code(), tonic::Code::OutOfRange);
}

#[tokio::test]
async fn a_shutdown_ends_it_while_managers_are_connected_and_follow() {
    let adapter = AuthAdapter::bind(config(fixed(&[ALICE]), rules())).await.unwrap();
    let client = connect(format!("http://{}", adapter.address())).await;
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(adapter.serve(shutdown.clone()));
    let manager = Manager { client, shutdown };
    let mut changes = manager.follow().await;

    manager.shutdown.cancel();

    assert_eq!(told(&mut changes).await, None);
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_refused_by_name() {
    let adapter = AuthAdapter::bind(config(fixed(&[ALICE]), rules())).await.unwrap();

    let again = auth_adapter::Config { listen: adapter.address(), ..config(fixed(&[]), rules()) };
    let refusal = AuthAdapter::bind(again).await.err().expect("the port is taken").to_string();

    assert!(refusal.contains(&adapter.address().to_string()) && refusal.contains("in use"), "{refusal}");
}
