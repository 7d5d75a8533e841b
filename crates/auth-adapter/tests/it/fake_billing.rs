//! A provider's billing server that can be killed, held up, and made to lie.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use auth_adapter::Source;
use futures_util::{Stream, StreamExt, stream};
use proto::v1::auth_server::{Auth, AuthServer};
use proto::v1::{
    AuthoriseRequest, AuthoriseResponse, Decision, InvalidateAccountsRequest, InvalidatedAccounts,
};
use tls::OutsideFiles;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio_stream::wrappers::BroadcastStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// What outlives a process that is killed.
pub struct FakeBilling {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    /// The process.
    runtime: Option<Runtime>,
}

struct Shared {
    calls: AtomicUsize,
    answer: Mutex<Result<AuthoriseResponse, Status>>,
    /// The account that is not answered before `released`.
    held: Mutex<String>,
    released: Semaphore,
    /// What followers are told; `None` while changes are not told at all.
    changes: Option<broadcast::Sender<InvalidatedAccounts>>,
    followers: watch::Sender<usize>,
}

impl FakeBilling {
    pub fn start() -> FakeBilling {
        FakeBilling::new(Some(broadcast::channel(16).0))
    }

    pub fn without_changes() -> FakeBilling {
        FakeBilling::new(None)
    }

    fn new(changes: Option<broadcast::Sender<InvalidatedAccounts>>) -> FakeBilling {
        let shared = Arc::new(Shared {
            calls: AtomicUsize::new(0),
            answer: Mutex::new(Ok(verify(1))),
            held: Mutex::default(),
            released: Semaphore::new(0),
            changes,
            followers: watch::Sender::new(0),
        });
        let mut billing = FakeBilling { address: "127.0.0.1:0".parse().unwrap(), shared, runtime: None };
        billing.restart();
        billing
    }

    pub fn source(&self) -> Source {
        Source::Billing { url: format!("http://{}", self.address), files: OutsideFiles::default() }
    }

    /// Serves at the address that it had before.
    pub fn restart(&mut self) {
        self.kill();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind(self.address).unwrap();
        self.address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let service = AuthServer::new(Service(self.shared.clone()));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener)).await
        });
        self.runtime = Some(runtime);
    }

    /// Without a word to anybody; returns when its sockets are gone.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            std::thread::spawn(move || drop(runtime)).join().unwrap();
        }
    }

    pub fn answers(&self, answer: Result<AuthoriseResponse, Status>) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    pub fn holds(&self, account: &str) {
        *self.shared.held.lock().unwrap() = format!("sip:{account}@vedette.test");
    }

    pub fn releases(&self) {
        self.shared.released.add_permits(1);
    }

    pub fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::SeqCst)
    }

    pub fn tells(&self, account: &str) {
        let accounts = vec![format!("sip:{account}@vedette.test")];
        let message = InvalidatedAccounts { accounts, all: false };
        self.shared.changes.as_ref().unwrap().send(message).unwrap();
    }

    /// Returns when this many streams have been opened since the first start.
    pub async fn followed(&self, times: usize) {
        self.shared.followers.subscribe().wait_for(|opened| *opened >= times).await.unwrap();
    }
}

impl Drop for FakeBilling {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn verify(max_expires: u32) -> AuthoriseResponse {
    AuthoriseResponse {
        decision: Decision::Verify.into(),
        ha1_md5: "ab".repeat(16),
        cache_seconds: 60,
        max_expires,
        ..AuthoriseResponse::default()
    }
}

struct Service(Arc<Shared>);

#[tonic::async_trait]
impl Auth for Service {
    type InvalidateAccountsStream = Pin<Box<dyn Stream<Item = Result<InvalidatedAccounts, Status>> + Send>>;

    async fn authorise(
        &self,
        request: Request<AuthoriseRequest>,
    ) -> Result<Response<AuthoriseResponse>, Status> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        let held = *self.0.held.lock().unwrap() == request.into_inner().account;
        if held {
            self.0.released.acquire().await.unwrap().forget();
        }
        self.0.answer.lock().unwrap().clone().map(Response::new)
    }

    async fn invalidate_accounts(
        &self,
        _: Request<InvalidateAccountsRequest>,
    ) -> Result<Response<Self::InvalidateAccountsStream>, Status> {
        let Some(changes) = &self.0.changes else {
            return Err(Status::unimplemented("changes are not told"));
        };
        let first = stream::iter([Ok(InvalidatedAccounts::default())]);
        let changes = BroadcastStream::new(changes.subscribe());
        let told = first.chain(changes.map(|change| change.map_err(|_| Status::data_loss("too many"))));
        self.0.followers.send_modify(|opened| *opened += 1);
        Ok(Response::new(Box::pin(told)))
    }
}
