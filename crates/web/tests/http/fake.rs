//! A manager that answers from memory over a real gRPC port, and an HTTP role in front of some of them.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use proto::v1::admin_server::{Admin, AdminServer};
use proto::v1::presence_server::{Presence, PresenceServer};
use proto::v1::*;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{TcpListenerStream, WatchStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use web::{Config, Web};

pub const TOKEN: &str = "s3cret";

/// One fake manager. It knows sip:alice@vedette.test and what `show` said last about it.
pub struct FakeManager {
    pub address: String,
    state: watch::Sender<PresentityState>,
    writes: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl FakeManager {
    pub async fn start(node: u64) -> FakeManager {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (state, writes, stop) =
            (watch::Sender::new(alice("1.0", &[])), Arc::default(), CancellationToken::new());
        let fake = Fake { node, state: state.clone(), writes: Arc::clone(&writes), stop: stop.clone() };
        let serving = tonic::transport::Server::builder()
            .add_service(PresenceServer::new(fake.clone()))
            .add_service(AdminServer::new(fake))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.clone().cancelled_owned());
        let server = tokio::spawn(async move { serving.await.unwrap() });
        FakeManager { address, state, writes, stop, server }
    }

    pub fn show(&self, position: &str, activities: &[&str]) {
        self.state.send_replace(alice(position, activities));
    }

    pub fn followers(&self) -> usize {
        self.state.receiver_count()
    }

    pub fn writes(&self) -> Vec<String> {
        self.writes.lock().unwrap().clone()
    }

    /// Breaks its streams and frees its port.
    pub async fn die(self) {
        self.stop.cancel();
        self.server.await.unwrap();
    }
}

pub fn alice(position: &str, activities: &[&str]) -> PresentityState {
    PresentityState {
        status: String::new(),
        presentity: "sip:alice@vedette.test".into(),
        position: position.into(),
        basic: "open".into(),
        notes: vec!["Lunch".into()],
        activities: activities.iter().map(|&activity| activity.into()).collect(),
        publications: 2,
        sources: 1,
        bindings: 1,
        document: "<presence entity=\"pres:alice@vedette.test\"/>".into(),
    }
}

#[derive(Clone)]
struct Fake {
    node: u64,
    state: watch::Sender<PresentityState>,
    writes: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
}

#[tonic::async_trait]
impl Presence for Fake {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<PresentityState, Status>> + Send>>;

    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        let PublishRequest { presentity, source, status, note, expires, .. } = request.into_inner();
        if status == "confused" {
            return Err(Status::invalid_argument("no status is named confused"));
        }
        self.writes.lock().unwrap().push(format!("{presentity} {source} {status} {note:?} {expires}"));
        Ok(Response::new(PublishResponse { position: "7.0".into() }))
    }

    async fn remove(&self, request: Request<RemoveRequest>) -> Result<Response<PublishResponse>, Status> {
        let RemoveRequest { presentity, source, .. } = request.into_inner();
        self.writes.lock().unwrap().push(format!("{presentity} {source} removed"));
        Ok(Response::new(PublishResponse { position: "8.0".into() }))
    }

    async fn dial(&self, _: Request<DialRequest>) -> Result<Response<DialResponse>, Status> {
        Err(Status::unimplemented("feature codes are not served"))
    }

    async fn history(&self, _: Request<HistoryRequest>) -> Result<Response<HistoryResponse>, Status> {
        Err(Status::unimplemented("no history is kept"))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<PresentityState>, Status> {
        match request.into_inner().presentity.as_str() {
            "sip:alice@vedette.test" => Ok(Response::new(self.state.borrow().clone())),
            "sip:greedy@vedette.test" => Err(Status::resource_exhausted("too many requests")),
            _ => Err(Status::not_found("the domain is not served here")),
        }
    }

    async fn watchers(&self, _: Request<WatchersRequest>) -> Result<Response<WatchersResponse>, Status> {
        let watcher = Watcher {
            tenant: String::new(),
            watcher: "sip:bob@vedette.test".into(),
            event: "presence".into(),
            state: "active".into(),
            expires: 600,
            owner: self.node,
            owner_name: format!("m{}", self.node),
            call_id: "c1".into(),
        };
        Ok(Response::new(WatchersResponse { watchers: vec![watcher] }))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        if request.into_inner().presentity != "sip:alice@vedette.test" {
            return Err(Status::not_found("the domain is not served here"));
        }
        // The present state is always said, even when the next one follows at once.
        let now = self.state.borrow().clone();
        let changes = WatchStream::from_changes(self.state.subscribe());
        let states = stream::once(async { now }).chain(changes).map(Ok);
        Ok(Response::new(Box::pin(states.take_until(self.stop.clone().cancelled_owned()))))
    }
}

#[tonic::async_trait]
impl Admin for Fake {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<NodeStatus>, Status> {
        let group = GroupStatus { group: 1, role: "leader".into(), leader: self.node, ..Default::default() };
        let name = format!("m{}", self.node);
        Ok(Response::new(NodeStatus {
            node: self.node,
            name,
            uptime: 60,
            groups: vec![group],
            members: vec![],
            cluster: 0xabc,
            level: 1,
        }))
    }
}

/// A running HTTP role.
pub struct Api {
    pub address: SocketAddr,
    pub http: reqwest::Client,
    pub shutdown: CancellationToken,
    pub server: JoinHandle<()>,
}

impl Api {
    pub async fn start(managers: &[&str]) -> Api {
        Api::start_with(config(managers)).await
    }

    pub async fn start_with(config: Config) -> Api {
        let web = Web::bind(config).await.unwrap();
        let (address, shutdown) = (web.address(), CancellationToken::new());
        let server = tokio::spawn(web.serve(shutdown.clone()));
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        Api { address, http, shutdown, server }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.http.get(self.url(path)).send().await.unwrap()
    }
}

pub fn config(managers: &[&str]) -> Config {
    Config {
        wires: tls::Wires::plain(),
        listen: "127.0.0.1:0".parse().unwrap(),
        managers: managers.iter().map(|&address| address.into()).collect(),
        token: Some(TOKEN.into()),
        event_streams: 2,
        ready: Arc::new(|| Ok(())),
        metrics: Arc::new(|| "vedette_up 1\n".into()),
    }
}

/// An address at which nobody listens.
pub async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Looks until it is so; gives up loudly.
pub async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), looking).await.unwrap_or_else(|_| panic!("never: {what}"));
}
