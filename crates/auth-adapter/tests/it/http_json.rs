//! A billing system that speaks HTTP and JSON.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth_adapter::Source;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use proto::v1::Decision;
use sip::digest::{Algorithm, ha1};
use tls::OutsideFiles;
use tonic::Code;

use super::{Manager, subscribe};

/// Answers everything with the same, and keeps what it was asked.
#[derive(Clone)]
struct HttpBilling {
    answer: Arc<Mutex<(StatusCode, String)>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl HttpBilling {
    async fn start() -> (HttpBilling, String) {
        let billing = HttpBilling { answer: Arc::default(), asked: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = billing.clone();
        let router = Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| async move {
            let token = headers["authorization"].to_str().unwrap();
            let body = String::from_utf8(body.to_vec()).unwrap();
            served.asked.lock().unwrap().push(format!("{uri} {token} {body}"));
            served.answer.lock().unwrap().clone()
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        (billing, url)
    }

    fn answers(&self, status: u16, body: impl Into<String>) {
        *self.answer.lock().unwrap() = (StatusCode::from_u16(status).unwrap(), body.into());
    }
}

/// As for PortaBilling.
fn source(url: &str) -> Source {
    let config = format!(
        r#"
        url = "{url}/rest/Account/get_account_info?from={{source}}"
        method = "POST"
        headers = {{ Authorization = "Bearer 0123456789abcdef" }}
        body = '{{"params": {{"id": "{{user}}@{{host}}"}}}}'
        [answer]
        found = "/account_info"
        unknown_status = [404]
        password = "/account_info/h323_password"
        tenant = "/account_info/customer_name"
        deny = [{{ at = "/account_info/blocked", equals = "Y", reason = "Account Blocked" }}]
        "#
    );
    Source::Http {
        config: toml::from_str(&config).unwrap(),
        files: OutsideFiles::default(),
        life: Duration::from_secs(60),
    }
}

const ALICE: &str =
    r#"{"account_info": {"h323_password": "alicepw", "customer_name": "acme", "blocked": "N"}}"#;

#[tokio::test]
async fn the_template_is_sent_and_the_answer_read_by_its_pointers() {
    let (billing, url) = HttpBilling::start().await;
    let manager = Manager::before(source(&url)).await;
    billing.answers(200, ALICE);

    let answer = manager.ask(subscribe("alice")).await.unwrap();
    manager.ask(subscribe("alice")).await.unwrap();

    let asked = r#"/rest/Account/get_account_info?from=127.0.0.1%3A5062 Bearer 0123456789abcdef {"params": {"id": "alice@vedette.test"}}"#;
    assert_eq!(*billing.asked.lock().unwrap(), [asked]);
    assert_eq!((answer.decision(), answer.cache_seconds), (Decision::Verify, 60));
    assert_eq!(answer.ha1_md5, ha1(Algorithm::Md5, "alice", "vedette.test", "alicepw"));
    assert_eq!(answer.tenant, "acme");
}

#[tokio::test]
async fn an_account_that_is_blocked_or_unknown_is_denied() {
    let (billing, url) = HttpBilling::start().await;
    let manager = Manager::before(source(&url)).await;
    for (number, (status, body, reason)) in [
        (200, r#"{"account_info": {"blocked": "Y"}}"#, "Account Blocked"),
        (200, "{}", "Unknown Account"),
        (404, "no such account", "Unknown Account"),
    ]
    .into_iter()
    .enumerate()
    {
        billing.answers(status, body);

        let answer = manager.ask(subscribe(&format!("u{number}"))).await.unwrap();

        assert_eq!((answer.decision(), answer.sip_reason.as_str()), (Decision::Deny, reason));
    }
}

#[tokio::test]
async fn what_is_no_answer_lets_nobody_in() {
    let (billing, url) = HttpBilling::start().await;
    let manager = Manager::before(source(&url)).await;
    let long = format!(r#"{{"account_info": {{"h323_password": "{}"}}}}"#, "x".repeat(100_000));
    for (number, (status, body)) in [
        (500, ALICE),
        (302, ALICE),
        (503, ALICE),
        (200, "<html>"),
        (200, r#"{"account_info": {}}"#),
        (200, &"[".repeat(10_000)),
        (200, &long),
    ]
    .into_iter()
    .enumerate()
    {
        billing.answers(status, body);

        let answer = manager.ask(subscribe(&format!("u{number}"))).await;

        assert_eq!(answer.unwrap_err().code(), Code::Unavailable, "{number}");
    }
}
