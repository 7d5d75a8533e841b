//! The directory as managers tell it, and as it is when they do not.

use std::net::SocketAddr;
use std::time::Duration;

use dispatcher::Manager;
use dispatcher::directory::{self, PlaceError, Timings};
use proto::v1::directory_server::{Directory, DirectoryServer};
use proto::v1::{DirectoryMember, DirectoryState, FollowRequest};
use sip::Method;
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;
use tokio_stream::wrappers::{TcpListenerStream, WatchStream};
use tokio_stream::{Stream as States, StreamExt};
use tonic::{Request, Response, Status};

use crate::support::{FakeManager, Running, Stream, following, loopback, request, soon};

const CLUSTER: u64 = 0xc1;

#[tokio::test]
async fn the_managers_are_those_of_the_directory_as_it_changes() {
    let place = FakeDirectory::start(state(1, &["a"])).await;
    let mut managers = follow(&[place.address()], hasty()).unwrap();
    assert_eq!(named(&mut managers, &["a"]).await[0].sip, sip(1));

    place.tells(state(2, &["a", "b"]));

    assert_eq!(named(&mut managers, &["a", "b"]).await[1].sip, sip(2));
}

#[tokio::test]
async fn when_one_place_goes_away_the_next_is_followed() {
    let (one, other) = (FakeDirectory::start(state(1, &["a"])).await, FakeDirectory::start(unborn()).await);
    let mut managers = follow(&[one.address(), other.address()], hasty()).unwrap();
    named(&mut managers, &["a"]).await;

    drop(one);
    other.tells(state(2, &["b"]));

    named(&mut managers, &["b"]).await;
}

#[tokio::test]
async fn a_place_that_only_the_directory_names_is_asked_too() {
    let learned = FakeDirectory::start(unborn()).await;
    let mut first = state(1, &["a"]);
    first.members[0].grpc = learned.address();
    let configured = FakeDirectory::start(first).await;
    let mut managers = follow(&[configured.address()], hasty()).unwrap();
    named(&mut managers, &["a"]).await;

    drop(configured);
    learned.tells(state(2, &["b"]));

    named(&mut managers, &["b"]).await;
}

#[tokio::test]
async fn a_place_that_takes_the_connection_and_says_nothing_is_left() {
    let mute = TcpListener::bind(loopback()).await.unwrap();
    let place = FakeDirectory::start(state(1, &["a"])).await;

    let places = [mute.local_addr().unwrap().to_string(), place.address()];
    let mut managers = follow(&places, Timings { answer: Duration::from_millis(50), ..hasty() }).unwrap();

    named(&mut managers, &["a"]).await;
}

#[tokio::test]
async fn a_place_without_news_is_left_for_one_that_may_have_some() {
    let lagging = FakeDirectory::start(state(1, &["a"])).await;
    let ahead = FakeDirectory::start(state(2, &["b"])).await;
    let timings = Timings { silence: Duration::from_millis(50), ..hasty() };

    let mut managers = follow(&[lagging.address(), ahead.address()], timings).unwrap();

    named(&mut managers, &["b"]).await;
}

#[tokio::test]
async fn what_another_cluster_tells_is_not_used() {
    let ours = FakeDirectory::start(state(1, &["a"])).await;
    let foreign = FakeDirectory::start(DirectoryState { cluster: 0xbad, ..state(9, &["x"]) }).await;
    let timings = Timings { silence: Duration::from_millis(20), ..hasty() };
    let mut managers = follow(&[ours.address(), foreign.address()], timings).unwrap();
    named(&mut managers, &["a"]).await;
    // It was asked twice, so what it said first is dealt with.
    foreign.asked(2).await;

    ours.tells(state(2, &["a", "b"]));

    named(&mut managers, &["a", "b"]).await;
}

#[tokio::test]
async fn a_directory_that_goes_away_changes_nothing() {
    let mut manager = FakeManager::start().await;
    let mut told = state(1, &["a"]);
    told.members[0].sip = manager.address.to_string();
    let place = FakeDirectory::start(told).await;
    let next = TcpListener::bind(loopback()).await.unwrap();
    let places = [place.address(), next.local_addr().unwrap().to_string()];
    let managers = follow(&places, hasty()).unwrap();
    let mut server = Running::start(following(managers)).await;
    server.live().await;
    let mut phone = Stream::connect(server.public).await;

    drop(place);
    soon(next.accept()).await.unwrap();
    phone.write(request(Method::Publish, "TCP", phone.address(), "1")).await;

    let publish = manager.receive().await;
    manager.answer(&publish, 200);
    assert_eq!(phone.receive().await.status(), Some(200));
}

#[tokio::test]
async fn nobody_is_followed_once_nobody_looks() {
    let place = FakeDirectory::start(state(1, &["a"])).await;
    let mut managers = follow(&[place.address()], hasty()).unwrap();
    named(&mut managers, &["a"]).await;

    drop(managers);

    soon(place.states.closed()).await;
}

#[tokio::test]
async fn a_place_that_can_not_be_one_is_refused_at_the_start() {
    let refused = follow(&["127.0.0.1:7201".into(), "http://127.0.0.1".into()], hasty()).err();

    assert_eq!(refused, Some(PlaceError::Bad("http://127.0.0.1".into())));
    assert_eq!(follow(&[], hasty()).err(), Some(PlaceError::None));
}

/// A manager's gRPC server that tells the directory.
struct FakeDirectory {
    address: SocketAddr,
    states: watch::Sender<DirectoryState>,
    asked: watch::Receiver<usize>,
    /// Of its own, so that all its connections can be broken at once.
    runtime: Option<Runtime>,
}

struct Service {
    states: watch::Sender<DirectoryState>,
    asked: watch::Sender<usize>,
}

#[tonic::async_trait]
impl Directory for Service {
    type FollowStream = std::pin::Pin<Box<dyn States<Item = Result<DirectoryState, Status>> + Send>>;

    async fn follow(&self, _: Request<FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        self.asked.send_modify(|asked| *asked += 1);
        let states = WatchStream::new(self.states.subscribe());
        Ok(Response::new(Box::pin(states.map(Ok))))
    }
}

impl FakeDirectory {
    async fn start(state: DirectoryState) -> FakeDirectory {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.spawn(TcpListener::bind(loopback())).await.unwrap().unwrap();
        let address = listener.local_addr().unwrap();
        let (states, asking) = (watch::Sender::new(state), watch::Sender::new(0));
        let asked = asking.subscribe();
        let service = Service { states: states.clone(), asked: asking };
        runtime.spawn(async move {
            let server = tonic::transport::Server::builder().add_service(DirectoryServer::new(service));
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        FakeDirectory { address, states, asked, runtime: Some(runtime) }
    }

    fn address(&self) -> String {
        self.address.to_string()
    }

    fn tells(&self, state: DirectoryState) {
        self.states.send_replace(state);
    }

    async fn asked(&self, times: usize) {
        soon(self.asked.clone().wait_for(|asked| *asked >= times)).await.unwrap();
    }
}

impl Drop for FakeDirectory {
    /// As when its process is killed: connections break, nobody listens.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn follow(places: &[String], timings: Timings) -> Result<watch::Receiver<Vec<Manager>>, PlaceError> {
    directory::follow(places, timings, tls::Wires::plain())
}

fn hasty() -> Timings {
    Timings { retry: (Duration::from_millis(1), Duration::from_millis(10)), ..Timings::default() }
}

fn state(version: u64, names: &[&str]) -> DirectoryState {
    let member = |(n, name): (u16, &&str)| DirectoryMember {
        node: n.into(),
        name: (*name).to_owned(),
        // Where nobody listens.
        grpc: "127.0.0.1:1".into(),
        sip: sip(n).to_string(),
        incarnation: 1,
        level: 1,
    };
    let members = (1..).zip(names).map(member).collect();
    DirectoryState { cluster: CLUSTER, version, level: 1, slots: vec![1; 1_024], members }
}

fn unborn() -> DirectoryState {
    DirectoryState { cluster: 0, ..state(0, &[]) }
}

fn sip(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// Waits until these are the managers.
async fn named(managers: &mut watch::Receiver<Vec<Manager>>, names: &[&str]) -> Vec<Manager> {
    let are_these = |managers: &Vec<Manager>| managers.iter().map(|manager| &manager.name).eq(names);
    soon(managers.wait_for(are_these)).await.unwrap().clone()
}
