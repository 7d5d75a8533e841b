//! What a PBX says of its users' calls.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use web::{CallState, Config, Rate, Rates};

use crate::fake::{Api, FakeManager, PASSWORD, config, nowhere};

const NUMBER: &str = "4930987654321";

fn call(password: &str, rest: &str) -> String {
    format!("/call_state.htm?domain=vedette.test&user=alice&password={password}{rest}")
}

async fn said(api: &Api, path: &str) -> (StatusCode, String) {
    let answer = api.get(path).await;
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test]
async fn a_number_is_a_call_and_none_is_its_end() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;
    let number = format!("&number={NUMBER}");

    assert_eq!(said(&api, &call(PASSWORD, &number)).await, (StatusCode::OK, "on the phone\n".into()));
    assert_eq!(said(&api, &call(PASSWORD, &format!("{number}&expires=60"))).await.0, StatusCode::OK);
    assert_eq!(said(&api, &call(PASSWORD, "&number=")).await, (StatusCode::OK, "the call is over\n".into()));
    assert_eq!(said(&api, &call(PASSWORD, "")).await.0, StatusCode::OK);

    let expected = [
        "sip:alice@vedette.test http:call-state on-the-phone \"\" 7200",
        "sip:alice@vedette.test http:call-state on-the-phone \"\" 60",
        "sip:alice@vedette.test http:call-state removed",
        "sip:alice@vedette.test http:call-state removed",
    ];
    assert_eq!(manager.writes(), expected);
}

#[tokio::test]
async fn the_number_is_in_the_note_where_the_operator_wants_it() {
    let manager = FakeManager::start(1).await;
    let call_state = CallState { expose_remote: true, max_call_duration: Duration::from_secs(600) };
    let api = Api::start_with(Config { call_state, ..config(&[&manager.address]) }).await;

    api.get(&call(PASSWORD, &format!("&number={NUMBER}"))).await;

    let expected = [format!("sip:alice@vedette.test http:call-state on-the-phone \"{NUMBER}\" 600")];
    assert_eq!(manager.writes(), expected);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_are_told_the_same_and_change_nothing() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;

    let wrong = said(&api, &call("guess", "&number=1")).await;
    let missing = said(&api, &call("", "")).await;
    let unknown = said(&api, "/call_state.htm?domain=vedette.test&user=nobody&password=guess&number=1").await;
    let blocked = said(&api, "/call_state.htm?domain=vedette.test&user=blocked&password=x&number=1").await;

    assert_eq!(wrong.0, StatusCode::FORBIDDEN);
    assert!(wrong.1.starts_with("wrong user or password"), "{}", wrong.1);
    assert!(wrong == missing && wrong == unknown && wrong == blocked);
    assert!(manager.writes().is_empty());
}

#[tokio::test]
async fn what_is_not_understood_or_only_looked_at_changes_nothing() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;

    for path in [
        "/call_state.htm",
        "/call_state.htm?user=alice&password=x&number=1",
        "/call_state.htm?domain=vedette.test&password=x&number=1",
        &call(PASSWORD, "&number=1&expires=soon"),
        &call(PASSWORD, "&number=1&number=2"),
    ] {
        let (status, text) = said(&api, path).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        assert!(!text.contains(PASSWORD) && text.contains("domain=D"), "{text}");
    }
    let looked = api.http.request(Method::HEAD, api.url(&call(PASSWORD, "&number=1"))).send().await.unwrap();
    assert_eq!(looked.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(manager.writes().is_empty());
}

#[tokio::test]
async fn passwords_are_not_guessed_for_long_not_even_all_at_once() {
    let manager = FakeManager::start(1).await;
    let failures = Rate { per_second: 0.001, burst: 3 };
    let rates = Rates { failures, ..Rates::default() };
    let api = Api::start_with(Config { rates, ..config(&[&manager.address]) }).await;

    let guesses = (0..20).map(|guess| {
        let path = call(&guess.to_string(), "&number=1");
        async { api.get(&{ path }).await.status() }
    });
    let answers = futures_util::future::join_all(guesses).await;

    let told = |status| answers.iter().filter(|answer| **answer == status).count();
    assert_eq!((told(StatusCode::FORBIDDEN), told(StatusCode::TOO_MANY_REQUESTS)), (3, 17));
    let right = api.get(&call(PASSWORD, "&number=1")).await;
    assert_eq!(right.status(), StatusCode::TOO_MANY_REQUESTS, "the right one is no sign either");
    assert!(right.headers().contains_key("retry-after"));
    assert!(manager.writes().is_empty());
}

#[tokio::test]
async fn an_account_that_never_fails_is_not_held_up() {
    let manager = FakeManager::start(1).await;
    let failures = Rate { per_second: 0.001, burst: 3 };
    let rates = Rates { failures, ..Rates::default() };
    let api = Api::start_with(Config { rates, ..config(&[&manager.address]) }).await;

    for _ in 0..20 {
        assert_eq!(api.get(&call(PASSWORD, "&number=1")).await.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn neither_password_nor_number_reaches_a_log_or_a_metric() {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let _logged = tracing::subscriber::set_default(subscriber);
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let _measured = metrics::set_default_local_recorder(&recorder);
    let manager = FakeManager::start(1).await;
    let (api, lonely) = (Api::start(&[&manager.address]).await, Api::start(&[&nowhere().await]).await);
    let number = format!("&number={NUMBER}");

    api.get(&call(PASSWORD, &number)).await;
    api.get(&call("a-wrong-passw0rd", &number)).await;
    api.get(&call(PASSWORD, &format!("{number}&expires=soon"))).await;
    lonely.get(&call(PASSWORD, &number)).await;

    let (logged, measured) = (log.text(), recorder.handle().render());
    assert!(logged.contains("Asking the next manager"), "the log is listened to");
    assert!(measured.contains("vedette_http_refused_total{why=\"password\"} 1"), "{measured}");
    // What this test's own client says of the addresses that it asks is not the server's.
    let ours: Vec<_> = logged.lines().filter(|line| !line.contains(" reqwest::")).collect();
    for secret in [PASSWORD, NUMBER, "a-wrong-passw0rd", "call_state.htm?"] {
        assert!(!measured.contains(secret));
        let told = ours.iter().find(|line| line.contains(secret));
        assert_eq!(told, None);
    }
}

/// What is logged, kept.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Log {
    type Writer = Log;

    fn make_writer(&self) -> Log {
        self.clone()
    }
}
