use std::sync::Arc;

use web::{BindError, Config, Rights, Web};

use crate::fake::{Api, FakeManager, config, nowhere, token, until};

#[tokio::test]
async fn a_process_is_ready_when_a_manager_serves_and_says_why_it_is_not() {
    let (manager, dead) = (FakeManager::start(1).await, nowhere().await);
    let api = Api::start(&[&dead, &manager.address]).await;
    let lonely = Api::start(&[&dead]).await;

    until("ready", async || api.get("/readyz").await.status() == 200).await;

    let refused = lonely.get("/readyz").await;
    assert_eq!(refused.status(), 503);
    assert!(refused.text().await.unwrap().contains(&dead));
    assert_eq!(lonely.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn a_process_that_is_not_ready_itself_stays_so_whatever_the_managers_do() {
    let manager = FakeManager::start(1).await;
    let api =
        Api::start_with(Config { ready: Arc::new(|| Err("draining".into())), ..config(&[&manager.address]) })
            .await;

    assert_eq!(api.get("/readyz").await.text().await.unwrap(), "not ready: draining\n");
}

#[tokio::test]
async fn metrics_are_what_the_process_renders_and_the_front_page_says_what_lives_here() {
    let api = Api::start(&[&nowhere().await]).await;

    assert_eq!(api.get("/metrics").await.text().await.unwrap(), "vedette_up 1\n");
    assert!(api.get("/").await.text().await.unwrap().contains("/v1/events"));
}

#[tokio::test]
async fn a_port_in_use_is_refused_by_name() {
    let api = Api::start(&[&nowhere().await]).await;

    let refused = Web::bind(Config { listen: api.address, ..config(&["127.0.0.1:1"]) }).await;

    let line = refused.err().expect("the port is taken").to_string();
    assert_eq!(
        line,
        format!("cannot listen for HTTP on {}: the port is in use by another process", api.address)
    );
    let short = vec![token("s3cret", Rights::Everything)];
    let short = Web::bind(Config { tokens: short, ..config(&["127.0.0.1:1"]) }).await;
    assert!(matches!(short.err(), Some(BindError::BadToken(_))));
}
