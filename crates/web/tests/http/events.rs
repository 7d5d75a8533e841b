use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use crate::fake::{Api, FakeManager, until};

const EVENTS: &str = "/v1/events?presentity=alice@vedette.test";

/// What an event stream says, event by event.
struct Events {
    chunks: Pin<Box<dyn Stream<Item = String> + Send>>,
    text: String,
}

impl Events {
    fn of(response: Response) -> Events {
        assert_eq!(response.status(), StatusCode::OK);
        let chunks = response.bytes_stream().take_while(|chunk| std::future::ready(chunk.is_ok()));
        let chunks = chunks.filter_map(async |chunk| Some(String::from_utf8_lossy(&chunk.ok()?).into()));
        Events { chunks: Box::pin(chunks), text: String::new() }
    }

    /// The position in the next event; `None` at the end of the stream.
    async fn position(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data:")).map(str::to_owned);
                self.text = rest.to_owned();
                let Some(data) = data else { continue };
                return Some(
                    serde_json::from_str::<Value>(&data).unwrap()["position"].as_str().unwrap().to_owned(),
                );
            }
            self.text += &timeout(Duration::from_secs(10), self.chunks.next()).await.expect("silence")?;
        }
    }
}

#[tokio::test]
async fn a_follower_is_told_the_present_state_and_every_change() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;

    let response = api.get(EVENTS).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut events = Events::of(response);

    assert_eq!(events.position().await.as_deref(), Some("1.0"));
    manager.show("2.0", &["away"]);
    assert_eq!(events.position().await.as_deref(), Some("2.0"));
}

#[tokio::test]
async fn a_follower_outlives_its_manager_and_never_goes_back_in_time() {
    let (one, two) = (FakeManager::start(1).await, FakeManager::start(2).await);
    let api = Api::start(&[&one.address, &two.address]).await;
    one.show("5.0", &["away"]);
    two.show("5.0", &["away"]);
    let mut events = Events::of(api.get(EVENTS).await);
    assert_eq!(events.position().await.as_deref(), Some("5.0"));
    let (followed, other) = if one.followers() > 0 { (one, two) } else { (two, one) };

    other.show("4.0", &[]);
    followed.die().await;
    until("the other is followed", async || other.followers() > 0).await;
    other.show("6.0", &["busy"]);

    assert_eq!(events.position().await.as_deref(), Some("6.0"));
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_until_one_ends() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;

    let (_first, second) = (api.get(EVENTS).await, api.get(EVENTS).await);
    let third = api.get(EVENTS).await;
    assert_eq!(third.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(third.headers().contains_key("retry-after"));

    drop(second);
    until("a place is free", async || api.get(EVENTS).await.status() == StatusCode::OK).await;
}

#[tokio::test]
async fn a_shutdown_ends_event_streams_at_once() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;
    let mut events = Events::of(api.get(EVENTS).await);
    assert!(events.position().await.is_some());

    api.shutdown.cancel();

    assert_eq!(events.position().await, None);
    timeout(Duration::from_secs(3), api.server).await.expect("the server ends").unwrap();
}
