//! The gRPC side of the adapter: a bound port, and the contract `vedette.v1.Auth` on it.
//!
//! A question is answered from memory and at once, so nothing queues here and there is no cache: managers keep answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::v1::auth_server::{Auth, AuthServer};
use proto::v1::{
    AuthoriseRequest, AuthoriseResponse, Decision, InvalidateAccountsRequest, InvalidatedAccounts,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::{Request, Response, Status};
use tracing::{debug, warn};

use crate::backend::Accounts;
use crate::metrics;
use crate::verdict::{Question, Verdict};

/// How long a manager may reuse an answer.
const CACHE: Duration = Duration::from_secs(60);
/// A question is a few short strings; a longer one is refused.
const MAX_QUESTION: usize = 16 * 1024;
/// Questions one manager may have open at once; more wait in its own HTTP/2 queue.
const MAX_OPEN: u32 = 1024;
/// A manager that vanished without a word is noticed by an unanswered ping.
const PING_EVERY: Duration = Duration::from_secs(10);
/// After a shutdown began, open questions get this long.
const DRAIN_TIME: Duration = Duration::from_secs(2);

pub struct Config {
    pub listen: SocketAddr,
    /// How managers reach us.
    pub wires: tls::Wires,
    pub accounts: Accounts,
}

/// The role, bound and not yet serving.
pub struct AuthAdapter {
    listener: TcpListener,
    address: SocketAddr,
    wires: tls::Wires,
    accounts: Accounts,
}

/// The port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for authorisation questions (gRPC) on {address}: {error}")]
pub struct BindError {
    pub address: SocketAddr,
    error: std::io::Error,
}

impl AuthAdapter {
    pub async fn bind(config: Config) -> Result<AuthAdapter, BindError> {
        let bound = async {
            let listener = TcpListener::bind(config.listen).await?;
            let address = listener.local_addr()?;
            Ok(AuthAdapter { listener, address, wires: config.wires, accounts: config.accounts })
        };
        bound.await.map_err(|error| BindError { address: config.listen, error })
    }

    /// Where it listens; tells the port when the configured one was 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown`.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), tonic::transport::Error> {
        let service = AuthServer::new(Service { accounts: Arc::new(self.accounts) });
        let serving = Server::builder()
            .max_concurrent_streams(MAX_OPEN)
            .http2_keepalive_interval(Some(PING_EVERY))
            .add_service(service.max_decoding_message_size(MAX_QUESTION))
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
            () = overdue => {
                warn!("Connections of managers did not end in time and are cut");
                Ok(())
            }
        }
    }
}

struct Service {
    accounts: Arc<Accounts>,
}

#[tonic::async_trait]
impl Auth for Service {
    type InvalidateAccountsStream = tokio_stream::Pending<Result<InvalidatedAccounts, Status>>;

    async fn invalidate_accounts(
        &self,
        _: Request<InvalidateAccountsRequest>,
    ) -> Result<Response<Self::InvalidateAccountsStream>, Status> {
        Err(Status::unimplemented("changes of accounts are not told: answers hold for their cache life"))
    }

    async fn authorise(
        &self,
        request: Request<AuthoriseRequest>,
    ) -> Result<Response<AuthoriseResponse>, Status> {
        let request = request.into_inner();
        let verdict = match Question::of(&request) {
            Some(question) => question.verdict(self.accounts.find(&question.account)),
            None => Verdict::Deny("Unknown Account"),
        };
        let response = response(verdict);
        let decision = if response.decision() == Decision::Allow { "allow" } else { "deny" };
        ::metrics::counter!(metrics::VERDICTS, "decision" => decision).increment(1);
        debug!(request.account, request.method, request.presentity, decision, response.sip_reason);
        Ok(Response::new(response))
    }
}

fn response(verdict: Verdict) -> AuthoriseResponse {
    let cache_seconds = CACHE.as_secs() as u32;
    match verdict {
        Verdict::Allow(ha1s) => AuthoriseResponse {
            decision: Decision::Allow.into(),
            ha1_md5: ha1s.md5,
            ha1_sha256: ha1s.sha256,
            cache_seconds,
            ..AuthoriseResponse::default()
        },
        Verdict::Deny(reason) => AuthoriseResponse {
            decision: Decision::Deny.into(),
            sip_status: 403,
            sip_reason: reason.to_owned(),
            cache_seconds,
            ..AuthoriseResponse::default()
        },
    }
}
