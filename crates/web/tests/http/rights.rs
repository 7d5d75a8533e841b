//! Who may ask what: tokens, and open reading.

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use web::{Config, Rights, Token, TokenSecret};

use crate::fake::{ALICE, Api, FakeManager, TENANT, TOKEN, config};

const READS: [&str; 4] = ["/v1/presence/", "/v1/watchers/", "/v1/history/", "/v1/events?presentity="];

/// What reading and writing one presentity is answered.
async fn tried(api: &Api, token: Option<&str>, uri: &str) -> (Vec<StatusCode>, StatusCode) {
    let ask = async |method: Method, path: String| {
        let mut request = api.http.request(method, api.url(&path)).json(&json!({"status": "away"}));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap().status()
    };
    let mut reads = Vec::new();
    for read in READS {
        reads.push(ask(Method::GET, format!("{read}{uri}")).await);
    }
    reads.dedup();
    (reads, ask(Method::PUT, format!("/v1/presence/{uri}/sources/portal")).await)
}

async fn closed(manager: &FakeManager) -> Api {
    Api::start_with(Config { open_reads: Some(false), event_streams: 64, ..config(&[&manager.address]) })
        .await
}

#[tokio::test]
async fn a_token_opens_what_it_names_for_reading_and_writing() {
    let manager = FakeManager::start(1).await;
    let api = closed(&manager).await;
    const OPEN: StatusCode = StatusCode::OK;
    const SHUT: StatusCode = StatusCode::FORBIDDEN;

    for (token, alice, foreign) in [(TOKEN, OPEN, OPEN), (TENANT, OPEN, SHUT), (ALICE, OPEN, SHUT)] {
        assert_eq!(tried(&api, Some(token), "alice@vedette.test").await, (vec![alice], alice), "{token}");
        let (_, written) = tried(&api, Some(token), "alice@elsewhere.test").await;
        assert_eq!(written, foreign, "{token}");
    }
    assert_eq!(tried(&api, Some(ALICE), "bob@vedette.test").await, (vec![SHUT], SHUT));
    assert_eq!(tried(&api, Some(TENANT), "alice@elsewhere.test").await, (vec![SHUT], SHUT));
    let unauthorized = StatusCode::UNAUTHORIZED;
    assert_eq!(tried(&api, None, "alice@vedette.test").await, (vec![unauthorized], unauthorized));
    assert_eq!(manager.writes().len(), 4);
}

#[tokio::test]
async fn a_refusal_says_what_the_token_is_good_for() {
    let manager = FakeManager::start(1).await;
    let api = closed(&manager).await;

    let refused =
        api.http.get(api.url("/v1/presence/bob@vedette.test")).bearer_auth(ALICE).send().await.unwrap();

    let body: Value = refused.json().await.unwrap();
    assert!(body["error"].as_str().unwrap().contains("sip:bob@vedette.test"), "{body}");
    assert!(body["hint"].as_str().unwrap().contains("sip:alice@vedette.test alone"), "{body}");
}

#[tokio::test]
async fn the_state_of_the_cluster_is_for_its_operator() {
    let manager = FakeManager::start(1).await;
    let api = closed(&manager).await;
    let status = async |token: &str| {
        api.http.get(api.url("/v1/status")).bearer_auth(token).send().await.unwrap().status()
    };

    assert_eq!(status(TOKEN).await, StatusCode::OK);
    assert_eq!(status(TENANT).await, StatusCode::FORBIDDEN);
    assert_eq!(status("a-token-of-nobody").await, StatusCode::UNAUTHORIZED);
    assert_eq!(api.get("/v1/status").await.status(), StatusCode::UNAUTHORIZED);
    for open in ["/healthz", "/metrics", "/", "/v1/openapi.json"] {
        assert_eq!(api.get(open).await.status(), StatusCode::OK, "{open}");
    }
}

#[tokio::test]
async fn reading_is_open_on_loopback_unless_said_otherwise_and_a_wrong_token_is_refused_all_the_same() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;
    let wider =
        Api::start_with(Config { listen: "0.0.0.0:0".parse().unwrap(), ..config(&[&manager.address]) }).await;
    let wider = format!("http://127.0.0.1:{}/v1/presence/alice@vedette.test", wider.address.port());

    assert_eq!(api.get("/v1/presence/alice@vedette.test").await.status(), StatusCode::OK);
    assert_eq!(api.http.get(wider).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let wrong = api.http.get(api.url("/v1/presence/alice@vedette.test")).bearer_auth("wrong");
    let wrong = wrong.send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(wrong.headers()[header::WWW_AUTHENTICATE], "Bearer realm=\"vedette\"");
    // A token that is right opens no more than it does elsewhere.
    let narrow = api.http.get(api.url("/v1/presence/bob@vedette.test")).bearer_auth(ALICE);
    assert_eq!(narrow.send().await.unwrap().status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_token_may_be_configured_by_its_hash() {
    let manager = FakeManager::start(1).await;
    // printf %s the-token-nobody-wrote-down | sha256sum
    let sha256 = "bb7747f55c95c17602184c3931d892e36cc84a1873d17ef1912644937dee9bfe";
    let token = Token { secret: TokenSecret::Sha256(sha256.into()), rights: Rights::Everything };
    let api = Api::start_with(Config { tokens: vec![token], ..config(&[&manager.address]) }).await;

    let (_, written) = tried(&api, Some("the-token-nobody-wrote-down"), "alice@vedette.test").await;

    assert_eq!(written, StatusCode::OK);
}
