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
            "notes": ["Lunch"], "activities": [], "status": "available",
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
    let api = Api::start_with(web::Config { tokens: vec![], ..config(&[&manager.address]) }).await;

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
async fn a_presentity_is_read_through_the_log_where_that_is_asked() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;

    assert_eq!(api.get("/v1/presence/alice@vedette.test?consistent=false").await.status(), 200);
    assert!(manager.writes().is_empty());
    assert_eq!(api.get("/v1/presence/alice@vedette.test?consistent=true").await.status(), 200);
    assert_eq!(manager.writes(), ["sip:alice@vedette.test read through the log"]);

    for misspelt in ["consistent=yes", "consistant=true"] {
        let refused = api.get(&format!("/v1/presence/alice@vedette.test?{misspelt}")).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_source_may_say_where_else_somebody_is_reached_and_no_status() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;
    let put = async |body: Value| {
        api.http.put(api.url(SOURCE)).bearer_auth(TOKEN).json(&body).send().await.unwrap().status()
    };

    let contacts = json!([{"uri": "tel:+4930123", "priority": 0.8}, {"uri": "sip:a@b.test"}]);
    assert_eq!(put(json!({"contacts": contacts})).await, StatusCode::OK);
    for body in [
        json!({}),
        json!({"note": "here"}),
        json!({"contacts": [{"uri": "tel:+4930123", "priority": 1.2}]}),
        json!({"contacts": [{"uri": "tel:+4930123", "priority": -0.1}]}),
        json!({"contacts": vec![json!({"uri": "tel:+4930123"}); 9]}),
    ] {
        assert_eq!(put(body.clone()).await, StatusCode::BAD_REQUEST, "{body}");
    }

    let expected = ["sip:alice@vedette.test portal  \"\" 0 tel:+4930123=800 sip:a@b.test=0"];
    assert_eq!(manager.writes(), expected);
}

#[tokio::test]
async fn an_oversized_note_is_refused_with_its_limit_and_changes_nothing() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;

    let body = json!({"status": "away", "note": "x".repeat(1_025)});
    let refused = api.http.put(api.url(SOURCE)).bearer_auth(TOKEN).json(&body).send().await.unwrap();

    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let body: Value = refused.json().await.unwrap();
    assert!(body["error"].as_str().unwrap().contains("1025"), "{body}");
    assert!(body["hint"].as_str().unwrap().contains("1024"), "{body}");
    assert!(manager.writes().is_empty());
}

#[tokio::test]
async fn a_limit_of_the_presentity_is_a_conflict_and_not_a_fault_of_ours() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;

    let crowded = api.http.put(api.url(SOURCE)).bearer_auth(TOKEN).json(&json!({"status": "crowded"}));

    assert_eq!(crowded.send().await.unwrap().status(), StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_history_is_told_in_three_formats_and_from_where_one_wants_it() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;
    let asked = async |query: &str| {
        let answer = api.get(&format!("/v1/history/alice@vedette.test{query}")).await;
        let media_type = answer.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        (media_type, answer.text().await.unwrap())
    };

    let all: Value = serde_json::from_str(&asked("").await.1).unwrap();
    let times: Vec<_> = all["changes"].as_array().unwrap().iter().map(|change| &change["at"]).collect();
    assert_eq!(times, ["1970-01-01T00:00:00.000Z", "1970-01-02T00:00:00.000Z"]);

    let (media_type, lines) = asked("?format=ndjson").await;
    assert_eq!((&*media_type, lines.lines().count()), ("application/x-ndjson", 2));

    let (media_type, table) = asked("?format=csv&since=1970-01-01T00:00:00Z").await;
    assert!(media_type.starts_with("text/csv"), "{media_type}");
    assert!(table.contains(",\"'=1+1, lunch\"\r\n"), "{table}");

    for since in ["5.0", "1970-01-01T00:00:01Z"] {
        let newer: Value = serde_json::from_str(&asked(&format!("?since={since}")).await.1).unwrap();
        assert_eq!(newer["changes"].as_array().unwrap().len(), 1, "{since}");
    }
    for wrong in ["?since=yesterday", "?format=xml", "?from=1.0"] {
        assert!(asked(wrong).await.1.contains("hint"), "{wrong}");
    }
}

#[tokio::test]
async fn a_feature_code_sets_what_its_digit_means() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;
    let dial = async |code: &str, body: Value| {
        let url = api.url(&format!("/v1/feature-codes/{code}"));
        api.http.post(url).bearer_auth(TOKEN).json(&body).send().await.unwrap()
    };

    let dialled = dial("%2A48", json!({"account": "alice@vedette.test", "digit": "5"})).await;
    let said: Value = dialled.json().await.unwrap();
    let expected = json!({"account": "sip:alice@vedette.test", "status": "donotdisturb", "position": "9.0"});
    assert_eq!(said, expected);
    assert_eq!(dial("*486", json!({"account": "alice@vedette.test", "note": "Gone"})).await.status(), 200);

    for (code, body) in [
        ("%2A99", json!({"account": "alice@vedette.test", "digit": "5"})),
        ("%2A48", json!({"account": "alice", "digit": "5"})),
        ("%2A48", json!({"digit": "5"})),
        ("%2A48", json!({"account": "alice@vedette.test", "digits": "5"})),
    ] {
        let refused = dial(code, body.clone()).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{code} {body}");
        assert!(!refused.json::<Value>().await.unwrap()["hint"].as_str().unwrap().is_empty());
    }
    let expected =
        ["sip:alice@vedette.test dialled *48 5 \"\"", "sip:alice@vedette.test dialled *486  \"Gone\""];
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
