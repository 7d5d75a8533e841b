//! The same service over gRPC on the same port.

use std::time::Duration;

use proto::v1::presence_client::PresenceClient;
use proto::v1::{
    Contact, Credentials, DialRequest, GetRequest, HistoryRequest, PublishRequest, RemoveRequest,
    WatchRequest, WatchersRequest,
};
use tokio::time::timeout;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use web::{Config, Rate, Rates};

use crate::fake::{ALICE, Api, FakeManager, TOKEN, config, until};

type Client = PresenceClient<InterceptedService<Channel, Bearer>>;

#[derive(Clone)]
struct Bearer(Option<&'static str>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = self.0 {
            let value: MetadataValue<_> = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

async fn client(api: &Api, token: Option<&'static str>) -> Client {
    let channel = Endpoint::from_shared(api.url("")).unwrap().connect().await.unwrap();
    PresenceClient::with_interceptor(channel, Bearer(token))
}

fn alice() -> String {
    "alice@vedette.test".into()
}

fn away(presentity: &str) -> PublishRequest {
    let (source, status) = ("portal".into(), "away".into());
    PublishRequest { presentity: presentity.into(), source, status, ..Default::default() }
}

#[tokio::test]
async fn every_method_reaches_a_manager() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;
    let mut client = client(&api, Some(TOKEN)).await;

    let contacts = vec![Contact { uri: "tel:+4930".into(), priority: 800 }];
    let published = client.publish(PublishRequest { contacts, ..away("alice@vedette.test") }).await.unwrap();
    assert_eq!(published.into_inner().position, "7.0");
    let remove = RemoveRequest { presentity: alice(), source: "portal".into(), credentials: None };
    assert_eq!(client.remove(remove).await.unwrap().into_inner().position, "8.0");
    let dial = DialRequest { account: alice(), code: "*48".into(), digit: "5".into(), note: String::new() };
    assert_eq!(client.dial(dial).await.unwrap().into_inner().status, "donotdisturb");
    let get = GetRequest { presentity: alice(), consistent: true };
    assert_eq!(client.get(get).await.unwrap().into_inner().position, "1.0");
    let watchers = client.watchers(WatchersRequest { presentity: alice() }).await.unwrap().into_inner();
    assert_eq!(watchers.watchers.len(), 1);
    let history = client.history(HistoryRequest { presentity: alice() }).await.unwrap().into_inner();
    assert_eq!(history.changes.len(), 2);

    let expected = [
        "sip:alice@vedette.test portal away \"\" 0 tel:+4930=800",
        "sip:alice@vedette.test portal removed",
        "sip:alice@vedette.test dialled *48 5 \"\"",
        "sip:alice@vedette.test read through the log",
    ];
    assert_eq!(manager.writes(), expected);
}

#[tokio::test]
async fn a_watch_goes_on_at_another_manager_and_says_nothing_twice() {
    let (one, two) = (FakeManager::start(1).await, FakeManager::start(2).await);
    let api = Api::start(&[&one.address, &two.address]).await;
    let mut client = client(&api, None).await;
    let watch = WatchRequest { presentity: alice(), after: "1.0".into() };
    let mut states = client.watch(watch).await.unwrap().into_inner();
    until("one is followed", async || one.followers() + two.followers() > 0).await;
    let (followed, other) = if one.followers() > 0 { (one, two) } else { (two, one) };

    followed.show("5.0", &["away"]);
    assert_eq!(states.message().await.unwrap().unwrap().position, "5.0");
    other.show("5.0", &["away"]);
    followed.die().await;
    until("the other is followed", async || other.followers() > 0).await;
    other.show("6.0", &["busy"]);

    let next = timeout(Duration::from_secs(10), states.message()).await.expect("silence");
    assert_eq!(next.unwrap().unwrap().position, "6.0");
}

#[tokio::test]
async fn tokens_count_as_they_do_over_http() {
    let manager = FakeManager::start(1).await;
    let closed = Config { open_reads: Some(false), ..config(&[&manager.address]) };
    let api = Api::start_with(closed).await;
    let get = |presentity: &str| GetRequest { presentity: presentity.into(), consistent: false };

    for (token, presentity, code) in [
        (None, "alice@vedette.test", Code::Unauthenticated),
        (Some("a-token-of-nobody"), "alice@vedette.test", Code::Unauthenticated),
        (Some(ALICE), "bob@vedette.test", Code::PermissionDenied),
        (Some(ALICE), "alice@vedette.test", Code::Ok),
    ] {
        let mut client = client(&api, token).await;
        let code_of = |result: Result<(), Status>| result.err().map_or(Code::Ok, |status| status.code());

        assert_eq!(code_of(client.get(get(presentity)).await.map(drop)), code, "{token:?}");
        assert_eq!(code_of(client.publish(away(presentity)).await.map(drop)), code, "{token:?}");
        let watch = WatchRequest { presentity: presentity.into(), after: String::new() };
        assert_eq!(code_of(client.watch(watch).await.map(drop)), code, "{token:?}");
    }
    assert_eq!(manager.writes().len(), 1);
}

#[tokio::test]
async fn a_password_is_not_taken_from_outside() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;
    let credentials = Some(Credentials { username: "alice".into(), ..Default::default() });

    for token in [None, Some(TOKEN)] {
        let mut client = client(&api, token).await;
        let publish = PublishRequest { credentials: credentials.clone(), ..away("alice@vedette.test") };
        let remove =
            RemoveRequest { presentity: alice(), source: "portal".into(), credentials: credentials.clone() };

        assert_eq!(client.publish(publish).await.unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(client.remove(remove).await.unwrap_err().code(), Code::InvalidArgument);
    }
    assert!(manager.writes().is_empty());
}

#[tokio::test]
async fn limits_are_those_of_http() {
    let manager = FakeManager::start(1).await;
    let writes = Rate { per_second: 0.001, burst: 2 };
    let rates = Rates { writes, ..Rates::default() };
    let api = Api::start_with(Config { rates, ..config(&[&manager.address]) }).await;
    let mut client = client(&api, Some(TOKEN)).await;

    let long = PublishRequest { note: "x".repeat(1_025), ..away("alice@vedette.test") };
    let refused = client.publish(long).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("1024"), "{}", refused.message());
    let endless = PublishRequest { note: "x".repeat(20_000), ..away("alice@vedette.test") };
    assert_eq!(client.publish(endless).await.unwrap_err().code(), Code::OutOfRange);

    assert!(client.publish(away("alice@vedette.test")).await.is_ok());
    assert_eq!(client.publish(away("alice@vedette.test")).await.unwrap_err().code(), Code::ResourceExhausted);
    let watch = WatchRequest { presentity: alice(), after: "yesterday".into() };
    assert_eq!(client.watch(watch).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn what_a_manager_refuses_keeps_its_code() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;
    let mut client = client(&api, Some(TOKEN)).await;

    let confused = PublishRequest { status: "confused".into(), ..away("alice@vedette.test") };
    assert_eq!(client.publish(confused).await.unwrap_err().code(), Code::InvalidArgument);
    let stranger = GetRequest { presentity: "dora@vedette.test".into(), consistent: false };
    assert_eq!(client.get(stranger).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_shutdown_ends_watches_at_once() {
    let manager = FakeManager::start(1).await;
    let api = Api::start(&[&manager.address]).await;
    let mut client = client(&api, None).await;
    let watch = WatchRequest { presentity: alice(), after: String::new() };
    let mut states = client.watch(watch).await.unwrap().into_inner();
    assert!(states.message().await.unwrap().is_some());

    api.shutdown.cancel();

    assert!(timeout(Duration::from_secs(5), states.message()).await.expect("silence").unwrap().is_none());
    timeout(Duration::from_secs(3), api.server).await.expect("the server ends").unwrap();
}
