//! The adapter as a manager meets it: over a real gRPC connection.

use auth_adapter::{Accounts, AuthAdapter, Config};
use proto::v1::auth_client::AuthClient;
use proto::v1::{AuthoriseRequest, AuthoriseResponse, Decision};
use sip::digest::{Algorithm, ha1};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

async fn adapter() -> (AuthAdapter, String) {
    let accounts = Accounts::from_pairs([("sip:alice@vedette.test", "alicepw")]).unwrap();
    let adapter = AuthAdapter::bind(Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        wires: tls::Wires::plain(),
        accounts,
    })
    .await
    .unwrap();
    let url = format!("http://{}", adapter.address());
    (adapter, url)
}

async fn connect(url: &str) -> AuthClient<Channel> {
    AuthClient::new(Endpoint::new(url.to_owned()).unwrap().connect().await.unwrap())
}

async fn ask(url: &str, account: &str, method: &str, presentity: &str) -> AuthoriseResponse {
    let request = AuthoriseRequest {
        account: account.into(),
        method: method.into(),
        event: "presence".into(),
        presentity: presentity.into(),
        realm: "vedette.test".into(),
        source: "127.0.0.1:5062".into(),
        ..AuthoriseRequest::default()
    };
    connect(url).await.authorise(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn an_account_is_allowed_with_what_verifies_its_digest() {
    let (adapter, url) = adapter().await;
    tokio::spawn(adapter.serve(CancellationToken::new()));

    let answer = ask(&url, "sip:alice@vedette.test", "SUBSCRIBE", "sip:bob@vedette.test").await;

    assert_eq!(answer.decision(), Decision::Allow);
    assert_eq!(answer.ha1_md5, ha1(Algorithm::Md5, "alice", "vedette.test", "alicepw"));
    assert_eq!(answer.ha1_sha256, ha1(Algorithm::Sha256, "alice", "vedette.test", "alicepw"));
    assert_eq!((answer.cache_seconds, answer.max_expires), (60, 0));
}

#[tokio::test]
async fn a_denial_carries_its_status_and_no_secret() {
    let (adapter, url) = adapter().await;
    tokio::spawn(adapter.serve(CancellationToken::new()));

    for (account, presentity) in [
        ("sip:alice@vedette.test", "sip:bob@vedette.test"),
        ("sip:mallory@vedette.test", "sip:mallory@vedette.test"),
        ("", "sip:alice@vedette.test"),
    ] {
        let answer = ask(&url, account, "PUBLISH", presentity).await;

        assert_eq!((answer.decision(), answer.sip_status), (Decision::Deny, 403), "{account}");
        assert!(answer.ha1_md5.is_empty() && answer.ha1_sha256.is_empty());
    }
}

#[tokio::test]
async fn a_shutdown_ends_it_while_managers_are_connected() {
    let (adapter, url) = adapter().await;
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(adapter.serve(shutdown.clone()));
    let client = connect(&url).await;

    shutdown.cancel();

    serving.await.unwrap().unwrap();
    drop(client);
}

#[tokio::test]
async fn a_port_in_use_is_refused_by_name() {
    let (adapter, _) = adapter().await;

    let again =
        Config { listen: adapter.address(), wires: tls::Wires::plain(), accounts: Accounts::default() };
    let refusal = AuthAdapter::bind(again).await.err().expect("the port is taken").to_string();

    assert!(refusal.contains(&adapter.address().to_string()) && refusal.contains("in use"), "{refusal}");
}
