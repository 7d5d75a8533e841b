//! The gRPC side of the adapter: a bound port, and the contract `vedette.v1.Auth` on it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use proto::v1::auth_server::{Auth, AuthServer};
use proto::v1::{AuthoriseRequest, AuthoriseResponse, InvalidateAccountsRequest, InvalidatedAccounts};
use tokio::net::TcpListener;
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tracing::warn;

use crate::authoriser::Authoriser;
use crate::backend::accounts_file::{AccountsFile, LoadError};
use crate::backend::billing::Billing;
use crate::backend::http_json::HttpJson;
use crate::backend::{Backend, BadBackend};
use crate::config::{Config, Rules, Source};
use crate::metrics;

/// A question is a few short strings; a longer one is refused.
const MAX_QUESTION: usize = 16 * 1024;
/// Questions one manager may have open at once; more wait in its own HTTP/2 queue.
const MAX_OPEN: u32 = 1024;
/// A manager that vanished without a word is noticed by an unanswered ping.
const PING_EVERY: Duration = Duration::from_secs(10);
/// After a shutdown began, open questions get this long.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// The role, bound and not yet serving.
pub struct AuthAdapter {
    listener: TcpListener,
    address: SocketAddr,
    wires: tls::Wires,
    authoriser: Arc<Authoriser>,
}

/// Why the role does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen for authorisation questions (gRPC) on {address}: {error}")]
    Bind { address: SocketAddr, error: std::io::Error },
    #[error(transparent)]
    Accounts(#[from] LoadError),
    #[error(transparent)]
    Backend(#[from] BadBackend),
}

impl AuthAdapter {
    pub async fn bind(config: Config) -> Result<AuthAdapter, StartError> {
        let backend = backend(config.source, &config.rules)?;
        let bound = async {
            let listener = TcpListener::bind(config.listen).await?;
            let address = listener.local_addr()?;
            let authoriser = Arc::new(Authoriser::new(backend, config.rules));
            Ok(AuthAdapter { listener, address, wires: config.wires, authoriser })
        };
        bound.await.map_err(|error| StartError::Bind { address: config.listen, error })
    }

    /// Where it listens; tells the port when the configured one was 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown`.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), tonic::transport::Error> {
        let service = Service { authoriser: self.authoriser.clone(), shutdown: shutdown.clone() };
        let serving = Server::builder()
            .max_concurrent_streams(MAX_OPEN)
            .http2_keepalive_interval(Some(PING_EVERY))
            .add_service(AuthServer::new(service).max_decoding_message_size(MAX_QUESTION))
            .serve_with_incoming_shutdown(
                self.wires.accept(self.listener, tls::Protocol::Grpc),
                shutdown.clone().cancelled_owned(),
            );
        let overdue = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN_TIME).await;
        };
        tokio::select! {
            served = serving => served,
            () = self.authoriser.follow() => Ok(()),
            () = overdue => {
                warn!("Connections of managers did not end in time and are cut");
                Ok(())
            }
        }
    }
}

fn backend(source: Source, rules: &Rules) -> Result<Arc<dyn Backend>, StartError> {
    Ok(match source {
        Source::Fixed { accounts, life } => Arc::new(AccountsFile::fixed(accounts, life)),
        Source::File { path, life } => Arc::new(AccountsFile::open(path, life)?),
        Source::Billing { url, files } => Arc::new(Billing::new(&url, files, rules.deadline)?),
        Source::Http { config, files, life } => Arc::new(HttpJson::new(*config, files, life)?),
    })
}

struct Service {
    authoriser: Arc<Authoriser>,
    shutdown: CancellationToken,
}

#[tonic::async_trait]
impl Auth for Service {
    type InvalidateAccountsStream = Pin<Box<dyn Stream<Item = Result<InvalidatedAccounts, Status>> + Send>>;

    async fn authorise(
        &self,
        request: Request<AuthoriseRequest>,
    ) -> Result<Response<AuthoriseResponse>, Status> {
        match self.authoriser.authorise(request.into_inner()).await {
            Ok(response) => Ok(Response::new(response)),
            Err(unknown) => Err(Status::unavailable(unknown.to_string())),
        }
    }

    async fn invalidate_accounts(
        &self,
        _: Request<InvalidateAccountsRequest>,
    ) -> Result<Response<Self::InvalidateAccountsStream>, Status> {
        let changes = BroadcastStream::new(self.authoriser.changes());
        let follower = metrics::Follower::new();
        let changes = changes.map(move |change| {
            let _counted = &follower;
            change.unwrap_or_else(|_lagged| {
                metrics::lagged();
                InvalidatedAccounts { all: true, ..InvalidatedAccounts::default() }
            })
        });
        let first = stream::iter([InvalidatedAccounts::default()]);
        let told = first.chain(changes).map(Ok).take_until(self.shutdown.clone().cancelled_owned());
        Ok(Response::new(Box::pin(told)))
    }
}
