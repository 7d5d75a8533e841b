use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::fake::{Api, FakeManager, TOKEN, config, nowhere};

const SOURCE: &str = "/v1/presence/sip%3Aalice%40vedette.test/sources/portal";

#[tokio::test]
async fn status_lists_an_unreachable_manager_beside_one_that_answers() {
    let (manager, dead) = (FakeManager::start(3).await, nowhere().await);
    let api = Api::start(&[&dead, &manager.address]).await;

    let status: Value = api.get("/v1/status").await.json().await.unwrap();

    let [first, second] = &status["managers"].as_array().unwrap()[..] else { panic!("{status}") };
    assert_eq!((&first["address"], &first["reachable"]), (&json!(dead), &json!(false)));
    assert!(first["error"].as_str().unwrap().contains("refused"), "{first}");
    assert_eq!((&second["reachable"], &second["status"]["name"]), (&json!(true), &json!("m3")));
    assert_eq!(second["status"]["groups"][0]["role"], "leader");
}

#[tokio::test]
async fn a_presentity_is_answered_as_json_and_by_any_spelling_of_its_address() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;

    for uri in [
        "sip:alice@vedette.test",
        "alice@vedette.test",
        "sip%3Aalice%40VEDETTE.test",
        "pres:alice@vedette.test",
    ] {
        let found: Value = api.get(&format!("/v1/presence/{uri}")).await.json().await.unwrap();

        let expected = json!({
            "presentity": "sip:alice@vedette.test", "position": "1.0", "basic": "open",
            "notes": ["Lunch"], "activities": [],
            "counts": {"publications": 2, "sources": 1, "bindings": 1},
            "document": "<presence entity=\"pres:alice@vedette.test\"/>",
        });
        assert_eq!(found, expected, "{uri}");
    }
}

#[tokio::test]
async fn a_client_that_accepts_pidf_gets_the_document_itself() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;

    let asking = api.http.get(api.url("/v1/presence/alice@vedette.test"));
    let answer = asking.header(header::ACCEPT, "text/html, application/pidf+xml;q=0.9").send().await.unwrap();

    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/pidf+xml");
    assert_eq!(answer.text().await.unwrap(), "<presence entity=\"pres:alice@vedette.test\"/>");
}

#[tokio::test]
async fn watchers_are_listed_with_their_owner() {
    let manager = FakeManager::start(2).await;
    let api = Api::start(&[&manager.address]).await;

    let found: Value = api.get("/v1/watchers/alice@vedette.test").await.json().await.unwrap();

    let expected = json!([{
        "watcher": "sip:bob@vedette.test", "event": "presence", "state": "active",
        "expires": 600, "owner": 2, "owner_name": "m2", "call_id": "c1",
    }]);
    assert_eq!((&found["presentity"], &found["watchers"]), (&json!("sip:alice@vedette.test"), &expected));
}

#[tokio::test]
async fn a_manager_that_is_gone_is_passed_over() {
    let (manager, dead) = (FakeManager::start(1).await, nowhere().await);
    let api = Api::start(&[&dead, &manager.address]).await;

    for _ in 0..4 {
        assert_eq!(api.get("/v1/presence/alice@vedette.test").await.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn when_no_manager_answers_the_client_is_told_to_come_back() {
    let api = Api::start(&[&nowhere().await]).await;

    let refused = api.get("/v1/presence/alice@vedette.test").await;

    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()[header::RETRY_AFTER], "2");
    let body: Value = refused.json().await.unwrap();
    assert!(body["error"].as_str().unwrap().starts_with("no manager answers"), "{body}");
    assert!(body["hint"].as_str().unwrap().contains("/v1/status"), "{body}");
}

#[tokio::test]
async fn what_a_manager_refuses_reaches_the_client_with_its_reason() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;

    for (user, status, reason) in [("dora", 404, "not served here"), ("greedy", 429, "too many requests")] {
        let refused = api.get(&format!("/v1/presence/{user}@vedette.test")).await;

        assert_eq!(refused.status(), status);
        let body: Value = refused.json().await.unwrap();
        assert!(body["error"].as_str().unwrap().contains(reason), "{body}");
    }
}

#[tokio::test]
async fn bad_requests_are_answered_in_json_with_a_hint() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;

    for (method, path, status) in [
        (Method::GET, "/v1/presence/alice", 400),
        (Method::GET, "/v1/presence/%ff@vedette.test", 400),
        (Method::GET, "/v1/events", 400),
        (Method::GET, "/v1/events?presentity=alice", 400),
        (Method::GET, "/v1/events?presentity=dora@vedette.test", 404),
        (Method::GET, "/v2", 404),
        (Method::POST, "/v1/status", 405),
    ] {
        let refused = api.http.request(method, api.url(path)).send().await.unwrap();

        assert_eq!(refused.status(), status, "{path}");
        let body: Value = refused.json().await.unwrap();
        assert!(
            !body["error"].as_str().unwrap().is_empty() && !body["hint"].as_str().unwrap().is_empty(),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_write_without_the_token_is_challenged_and_changes_nothing() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;

    for (method, authorization) in [
        (Method::PUT, ""),
        (Method::DELETE, ""),
        (Method::PUT, "Bearer wrong"),
        (Method::PUT, "Basic czNjcmV0"),
    ] {
        let mut write = api.http.request(method, api.url(SOURCE)).json(&json!({"status": "away"}));
        if !authorization.is_empty() {
            write = write.header(header::AUTHORIZATION, authorization);
        }
        let refused = write.send().await.unwrap();

        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert!(refused.headers()[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Bearer"));
    }
    assert!(manager.writes().is_empty());
}

#[tokio::test]
async fn without_a_configured_token_every_write_is_refused() {
    let manager = FakeManager::start(1).await;
    let api = Api::start_with(web::Config { token: None, ..config(&[&manager.address]) }).await;

    let refused = api
        .http
        .put(api.url(SOURCE))
        .bearer_auth(TOKEN)
        .json(&json!({"status": "away"}))
        .send()
        .await
        .unwrap();

    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(refused.json::<Value>().await.unwrap()["hint"].as_str().unwrap().contains("token"));
    assert!(manager.writes().is_empty());
}

#[tokio::test]
async fn a_source_is_set_and_removed_with_the_position_of_the_change() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;

    let body = json!({"status": "away", "note": "Lunch", "expires": 60});
    let set = api.http.put(api.url(SOURCE)).bearer_auth(TOKEN).json(&body).send().await.unwrap();
    let removed = api.http.delete(api.url(SOURCE)).bearer_auth(TOKEN).send().await.unwrap();

    assert_eq!(set.json::<Value>().await.unwrap()["position"], "7.0");
    assert_eq!(removed.json::<Value>().await.unwrap()["position"], "8.0");
    let expected =
        ["sip:alice@vedette.test portal away \"Lunch\" 60", "sip:alice@vedette.test portal removed"];
    assert_eq!(manager.writes(), expected);
}

#[tokio::test]
async fn a_body_that_is_too_long_or_not_understood_is_refused_before_any_manager_is_asked() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;

    for (body, status) in
        [("x".repeat(17 * 1024), 413), ("{".into(), 400), (r#"{"status": "away", "expire": 1}"#.into(), 400)]
    {
        let refused = api.http.put(api.url(SOURCE)).bearer_auth(TOKEN).body(body).send().await.unwrap();

        assert_eq!(refused.status(), status);
        assert!(refused.json::<Value>().await.unwrap()["hint"].is_string());
    }
    assert!(manager.writes().is_empty());

    let confused = api.http.put(api.url(SOURCE)).bearer_auth(TOKEN).json(&json!({"status": "confused"}));
    assert_eq!(confused.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
}
