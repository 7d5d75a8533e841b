//! How often anybody may ask.

use reqwest::StatusCode;
use serde_json::{Value, json};
use web::{Config, Rate, Rates};

use crate::fake::{ALICE, Api, FakeManager, TOKEN, config};

/// Of which nothing comes back while a test runs.
const FEW: Rate = Rate { per_second: 0.001, burst: 3 };

async fn api(manager: &FakeManager, rates: Rates) -> Api {
    Api::start_with(Config { rates, ..config(&[&manager.address]) }).await
}

#[tokio::test]
async fn who_reads_too_much_is_told_when_to_come_back_and_may_still_write() {
    let manager = FakeManager::start(1).await;
    let api = api(&manager, Rates { reads: FEW, ..Rates::default() }).await;

    for _ in 0..3 {
        assert_eq!(api.get("/v1/presence/alice@vedette.test").await.status(), StatusCode::OK);
    }
    for read in ["/v1/presence/alice@vedette.test", "/v1/events?presentity=alice@vedette.test", "/v1/status"]
    {
        let refused = api.get(read).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS, "{read}");
        let after: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((900..=1_000).contains(&after), "{after}");
        assert!(refused.json::<Value>().await.unwrap()["hint"].as_str().unwrap().contains("slow down"));
    }
    let write = api.http.put(api.url("/v1/presence/alice@vedette.test/sources/portal")).bearer_auth(TOKEN);
    assert_eq!(write.json(&json!({"status": "away"})).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(api.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn who_writes_too_much_changes_nothing_any_more() {
    let manager = FakeManager::start(1).await;
    let api = api(&manager, Rates { writes: FEW, ..Rates::default() }).await;
    let mut answers = Vec::new();
    for _ in 0..5 {
        let write = api.http.delete(api.url("/v1/presence/alice@vedette.test/sources/portal"));
        answers.push(write.bearer_auth(ALICE).send().await.unwrap().status().as_u16());
    }

    assert_eq!(answers, [200, 200, 200, 429, 429]);
    assert_eq!(manager.writes().len(), 3);
}

#[tokio::test]
async fn who_guesses_tokens_is_not_even_told_that_they_are_wrong() {
    let manager = FakeManager::start(1).await;
    let api = api(&manager, Rates { failures: FEW, ..Rates::default() }).await;
    let mut answers = Vec::new();
    for guess in 0..5 {
        let read = api.http.get(api.url("/v1/status")).bearer_auth(format!("a-guess-of-a-token-{guess}"));
        answers.push(read.send().await.unwrap().status().as_u16());
    }

    assert_eq!(answers, [401, 401, 401, 429, 429]);
    // A neighbour behind the same address, whose token is right, is not shut out.
    let right = api.http.get(api.url("/v1/status")).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(right.status(), StatusCode::OK);
}

#[tokio::test]
async fn behind_a_proxy_that_is_trusted_everybody_has_limits_of_their_own() {
    let manager = FakeManager::start(1).await;
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let rates = Rates { reads: FEW, ..Rates::default() };
    let trusting = Config { rates, trusted_proxies, ..config(&[&manager.address]) };
    let (trusting, wary) = (Api::start_with(trusting).await, api(&manager, rates).await);
    let read = async |api: &Api, source: &str| {
        let read = api.http.get(api.url("/v1/presence/alice@vedette.test"));
        read.header("x-forwarded-for", source).send().await.unwrap().status().as_u16()
    };

    for source in ["192.0.2.1", "192.0.2.2"] {
        let answers =
            [read(&trusting, source).await, read(&trusting, source).await, read(&trusting, source).await];
        assert_eq!((answers, read(&trusting, source).await), ([200; 3], 429), "{source}");
    }
    let mut answers = Vec::new();
    for host in 1..=5 {
        answers.push(read(&wary, &format!("192.0.2.{host}")).await);
    }
    assert_eq!(answers, [200, 200, 200, 429, 429]);
}
