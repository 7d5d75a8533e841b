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
        self.next().await.map(|event| event.1)
    }

    /// Whose state the next event tells, at which position, under which id.
    async fn next(&mut self) -> Option<(String, String, String)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let Some(data) = field("data:") else { continue };
                let state: Value = serde_json::from_str(data).unwrap();
                let said = |name: &str| state[name].as_str().unwrap().to_owned();
                let id = field("id:").expect("every event has an id").trim().to_owned();
                return Some((said("presentity"), said("position"), id));
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
async fn a_stream_begins_at_once_and_says_when_to_come_back() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;

    let mut silent = api.get(&format!("{EVENTS}&after=1.0")).await;

    let first = timeout(Duration::from_secs(5), silent.chunk()).await.unwrap().unwrap().unwrap();
    let retry: u64 =
        String::from_utf8_lossy(&first).trim().strip_prefix("retry:").unwrap().trim().parse().unwrap();
    assert!((1_000..4_000).contains(&retry), "{retry}");
}

#[tokio::test]
async fn one_who_comes_back_is_told_only_what_is_newer() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;
    let (_, _, id) = Events::of(api.get(EVENTS).await).next().await.unwrap();

    let resumed = api.http.get(api.url(&format!("{EVENTS}&after=0.1"))).header("Last-Event-ID", &id);
    let mut by_header = Events::of(resumed.send().await.unwrap());
    let mut by_parameter = Events::of(api.get(&format!("{EVENTS}&after=1.0")).await);
    manager.show("1.0", &["said again"]);
    until("both follow", async || manager.followers() >= 2).await;
    manager.show("2.0", &["away"]);

    assert_eq!(by_header.position().await.as_deref(), Some("2.0"), "the header outweighs the parameter");
    assert_eq!(by_parameter.position().await.as_deref(), Some("2.0"));
}

#[tokio::test]
async fn several_presentities_share_a_stream_and_each_is_resumed_where_it_was() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;
    const BOTH: &str = "/v1/events?presentity=bob@vedette.test&presentity=alice@vedette.test";

    let mut events = Events::of(api.get(BOTH).await);
    let mut told = [events.next().await.unwrap(), events.next().await.unwrap()];
    let id = told[1].2.clone();
    told.sort();
    assert_eq!((&*told[0].0, &*told[0].1), ("sip:alice@vedette.test", "1.0"));
    assert_eq!((&*told[1].0, &*told[1].1), ("sip:bob@vedette.test", "3.0"));
    assert!(id.ends_with(":1.0,3.0"), "{id}");
    drop(events);

    manager.show("2.0", &["away"]);
    // In another order, which makes no difference.
    let other = "/v1/events?presentity=alice@vedette.test&presentity=bob@vedette.test";
    let mut resumed = Vec::new();
    until("there is room again", async || {
        let answer = api.get(&format!("{other}&after={id}")).await;
        let room = answer.status() == StatusCode::OK;
        resumed.extend(room.then_some(answer));
        room
    })
    .await;
    let next = Events::of(resumed.remove(0)).next().await.unwrap();

    assert_eq!((&*next.0, &*next.1), ("sip:alice@vedette.test", "2.0"));
    assert!(next.2.ends_with(":2.0,3.0"), "{next:?}");
}

#[tokio::test]
async fn an_id_that_is_none_is_refused_in_a_parameter_and_passed_over_in_a_header() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;

    assert_eq!(api.get(&format!("{EVENTS}&after=latest")).await.status(), StatusCode::BAD_REQUEST);
    let resumed = api.http.get(api.url(EVENTS)).header("Last-Event-ID", "latest");
    assert!(Events::of(resumed.send().await.unwrap()).position().await.is_some());
}

#[tokio::test]
async fn a_stream_follows_a_bounded_number_of_presentities() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;
    let many: String = (0..33).map(|user| format!("presentity={user}@vedette.test&")).collect();

    let refused = api.get(&format!("/v1/events?{many}")).await;

    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(refused.text().await.unwrap().contains("32"));
    assert_eq!(api.get("/v1/events?presentity=alice@vedette.test&since=1.0").await.status(), 400);
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
    assert_eq!(other.followed_from(), ["5.0"]);
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
