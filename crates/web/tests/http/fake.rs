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
use web::{CallState, Config, Rates, Rights, Token, TokenSecret, Web};

/// The operator's, and a tenant's, and a user's.
pub const TOKEN: &str = "the-operators-s3cret";
pub const TENANT: &str = "the-tenants-s3cret-of-vedette";
pub const ALICE: &str = "the-s3cret-of-alice";
/// What billing knows alice's password to be.
pub const PASSWORD: &str = "alices-passw0rd";

/// One fake manager. It knows sip:alice@vedette.test and what `show` said last about it.
pub struct FakeManager {
    pub address: String,
    state: watch::Sender<PresentityState>,
    writes: Arc<Mutex<Vec<String>>>,
    followed_from: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl FakeManager {
    pub async fn start(node: u64) -> FakeManager {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (state, writes, stop) =
            (watch::Sender::new(alice("1.0", &[])), Arc::default(), CancellationToken::new());
        let followed_from = Arc::default();
        let fake = Fake {
            node,
            state: state.clone(),
            writes: Arc::clone(&writes),
            followed_from: Arc::clone(&followed_from),
            stop: stop.clone(),
        };
        let serving = tonic::transport::Server::builder()
            .add_service(PresenceServer::new(fake.clone()))
            .add_service(AdminServer::new(fake))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.clone().cancelled_owned());
        let server = tokio::spawn(async move { serving.await.unwrap() });
        FakeManager { address, state, writes, followed_from, stop, server }
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

    /// The positions from which alice was followed.
    pub fn followed_from(&self) -> Vec<String> {
        self.followed_from.lock().unwrap().clone()
    }

    /// Breaks its streams and frees its port.
    pub async fn die(self) {
        self.stop.cancel();
        self.server.await.unwrap();
    }
}

pub fn alice(position: &str, activities: &[&str]) -> PresentityState {
    PresentityState {
        status: "available".into(),
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
    followed_from: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
}

#[tonic::async_trait]
impl Presence for Fake {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<PresentityState, Status>> + Send>>;

    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        let PublishRequest { presentity, source, status, note, expires, contacts, credentials } =
            request.into_inner();
        if status == "confused" {
            return Err(Status::invalid_argument("no status is named confused"));
        }
        if status == "crowded" {
            return Err(Status::failed_precondition("a presentity holds at most 32 sources"));
        }
        self.check(credentials)?;
        let contacts: String =
            contacts.iter().map(|contact| format!(" {}={}", contact.uri, contact.priority)).collect();
        self.wrote(format!("{presentity} {source} {status} {note:?} {expires}{contacts}"));
        Ok(Response::new(PublishResponse { position: "7.0".into() }))
    }

    async fn remove(&self, request: Request<RemoveRequest>) -> Result<Response<PublishResponse>, Status> {
        let RemoveRequest { presentity, source, credentials } = request.into_inner();
        self.check(credentials)?;
        self.wrote(format!("{presentity} {source} removed"));
        Ok(Response::new(PublishResponse { position: "8.0".into() }))
    }

    async fn dial(&self, request: Request<DialRequest>) -> Result<Response<DialResponse>, Status> {
        let DialRequest { account, code, digit, note } = request.into_inner();
        if !code.starts_with("*48") {
            return Err(Status::invalid_argument(format!("{code:?} is no feature code; there is *48")));
        }
        self.wrote(format!("{account} dialled {code} {digit} {note:?}"));
        Ok(Response::new(DialResponse { status: "donotdisturb".into(), position: "9.0".into() }))
    }

    async fn history(&self, request: Request<HistoryRequest>) -> Result<Response<HistoryResponse>, Status> {
        if request.into_inner().presentity != "sip:alice@vedette.test" {
            return Err(Status::not_found("the domain is not served here"));
        }
        let said = |position: &str, at, status: &str, note: &str| Change {
            position: position.into(),
            at,
            source: "portal".into(),
            what: "said".into(),
            status: status.into(),
            basic: "open".into(),
            activities: vec![],
            note: note.into(),
        };
        let changes = vec![said("5.0", 0, "away", "=1+1, lunch"), said("7.2", 86_400_000, "available", "")];
        Ok(Response::new(HistoryResponse { changes }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<PresentityState>, Status> {
        let GetRequest { presentity, consistent } = request.into_inner();
        if consistent {
            self.wrote(format!("{presentity} read through the log"));
        }
        match presentity.as_str() {
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
        let WatchRequest { presentity, after } = request.into_inner();
        if presentity == "sip:bob@vedette.test" {
            let bob = PresentityState { presentity, ..alice("3.0", &[]) };
            let bob = stream::iter((after != "3.0").then_some(Ok(bob))).chain(stream::pending());
            return Ok(Response::new(Box::pin(bob.take_until(self.stop.clone().cancelled_owned()))));
        }
        if presentity != "sip:alice@vedette.test" {
            return Err(Status::not_found("the domain is not served here"));
        }
        self.followed_from.lock().unwrap().push(after.clone());
        // The present state is always said, even when the next one follows at once; what was seen is not.
        let now = self.state.borrow().clone();
        let now = (now.position != after).then_some(now);
        let changes = WatchStream::from_changes(self.state.subscribe());
        let states = stream::iter(now).chain(changes).map(Ok);
        Ok(Response::new(Box::pin(states.take_until(self.stop.clone().cancelled_owned()))))
    }
}

impl Fake {
    fn wrote(&self, what: String) {
        self.writes.lock().unwrap().push(what);
    }

    /// As billing would.
    fn check(&self, credentials: Option<Credentials>) -> Result<(), Status> {
        let Some(Credentials { username, realm, password, source }) = credentials else { return Ok(()) };
        assert!(source.parse::<SocketAddr>().is_ok(), "{source}");
        match (&*username, &*realm, &*password) {
            ("alice", "vedette.test", PASSWORD) => Ok(()),
            ("blocked", ..) => Err(Status::permission_denied("the account is blocked")),
            _ => Err(Status::unauthenticated("the password is wrong")),
        }
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
        tokens: vec![
            token(TOKEN, Rights::Everything),
            token(TENANT, Rights::Domains(["vedette.test".into()].into())),
            token(ALICE, Rights::User(placement::PresentityKey::of("sip:alice@vedette.test").unwrap())),
        ],
        open_reads: None,
        rates: Rates::default(),
        trusted_proxies: vec![],
        call_state: CallState::default(),
        event_streams: 2,
        ready: Arc::new(|| Ok(())),
        metrics: Arc::new(|| "vedette_up 1\n".into()),
    }
}

pub fn token(secret: &str, rights: Rights) -> Token {
    Token { secret: TokenSecret::Plain(secret.into()), rights }
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
