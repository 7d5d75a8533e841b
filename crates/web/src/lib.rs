//! HTTP and gRPC: presence for programs, and what an operator or an orchestrator asks a process.
//!
//! This role holds no presence of its own. Every answer comes from a manager over gRPC, so any number of these may run
//! and any of them may be asked. What it decides is who may ask: with which token, of whom, and how often. Not here: SIP,
//! and the rules of who may see what, which the managers keep.
//!
//! | file | what |
//! |---|---|
//! | `service` | what can be asked, whichever door it comes through; who may |
//! | `api` | the door of HTTP: the routes and their handlers |
//! | `grpc` | the door of gRPC, on the same port |
//! | `events` | following presentities, across the death of managers |
//! | `caller`, `tokens`, `rights` | who asks, and what a token opens |
//! | `throttle`, `rate` | how often anybody may ask |
//! | `proxies` | where a request came from when a proxy stands before us |
//! | `managers` | the gRPC client: which manager is asked, and who is asked next |
//! | `json` | the shapes of what is answered; `vedette ctl` reads the same types |
//! | `openapi` | the API told to programs |
//! | `live` | `/healthz`, `/readyz`, `/metrics`: every role mounts these three |
//! | `server` | the bounded HTTP listener that every role uses |

mod api;
mod caller;
mod error;
mod events;
mod grpc;
pub mod json;
pub mod live;
mod managers;
pub mod metrics;
mod openapi;
mod proxies;
mod rate;
mod rights;
pub mod server;
mod service;
mod throttle;
mod tokens;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

pub use crate::api::CallState;
use crate::caller::Access;
use crate::managers::Managers;
pub use crate::rate::Rate;
pub use crate::rights::Rights;
use crate::server::Server;
use crate::service::Service;
pub use crate::throttle::Rates;
use crate::throttle::Throttle;
use crate::tokens::Tokens;
pub use crate::tokens::{BadToken, Token, TokenSecret};

/// How many presentities the event streams of one process follow unless configured; the next one is answered 503.
pub const DEFAULT_EVENT_STREAMS: usize = 1024;

/// What the role needs to know before it starts.
pub struct Config {
    pub listen: SocketAddr,
    /// The managers' gRPC addresses, `host:port`.
    pub managers: Vec<String>,
    /// How they are reached.
    pub wires: tls::Wires,
    /// Writing needs one of these; without any, writes are refused.
    pub tokens: Vec<Token>,
    /// Whether reading needs none. Unless said, that is so where nobody but this machine can ask.
    pub open_reads: Option<bool>,
    pub rates: Rates,
    /// Believed what they say of where requests come from.
    pub trusted_proxies: Vec<IpNet>,
    pub call_state: CallState,
    pub event_streams: usize,
    /// Asked by `/readyz`, which also wants one manager to be serving.
    pub ready: live::Ready,
    pub metrics: live::Metrics,
}

/// The HTTP role, bound and not yet serving.
pub struct Web {
    server: Server,
    managers: Arc<Managers>,
    access: Access,
    rates: Rates,
    trusted_proxies: Arc<[IpNet]>,
    call_state: CallState,
    event_streams: usize,
    ready: live::Ready,
    metrics: live::Metrics,
}

/// Why the role does not start; one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(transparent)]
    Listen(#[from] server::BindError),
    #[error("HTTP needs the gRPC address of at least one manager, as host:port")]
    NoManagers,
    #[error("{0:?} is no gRPC address of a manager: write it as host:port, such as 127.0.0.1:7101")]
    BadManager(String),
    #[error(transparent)]
    BadToken(#[from] BadToken),
    #[error(
        "a rate of `http.rate` lets nothing through: `per_second` must be above 0 and `burst` at least 1"
    )]
    BadRate,
}

impl Web {
    /// Takes the port. Managers are connected to when they are first needed, so they may start later.
    pub async fn bind(config: Config) -> Result<Web, BindError> {
        let managers = Managers::new(&config.managers, &config.wires)?;
        let tokens = Tokens::new(config.tokens)?;
        let rates = config.rates;
        if ![rates.reads, rates.writes, rates.failures].iter().all(Rate::is_valid) {
            return Err(BindError::BadRate);
        }
        let server = Server::bind(config.listen).await?;
        let open_reads = config.open_reads.unwrap_or(server.address().ip().is_loopback());
        Ok(Web {
            server,
            managers: Arc::new(managers),
            access: Access { tokens, open_reads },
            rates,
            trusted_proxies: config.trusted_proxies.into(),
            call_state: config.call_state,
            event_streams: config.event_streams,
            ready: config.ready,
            metrics: config.metrics,
        })
    }

    /// Where it listens; tells the port when the configured one was 0.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Serves until `shutdown`, then lets requests under way finish; event streams end at once.
    pub async fn serve(self, shutdown: CancellationToken) {
        let (throttle, managers) = (Throttle::new(self.rates), self.managers.clone());
        let service = Service::new(managers, self.access, throttle, self.event_streams, shutdown.clone());
        let service = Arc::new(service);
        let ready = both(self.ready, self.managers.clone());
        // The time of a call counts from its first byte, not from when its message is whole.
        let calls = Router::new()
            .route_service(grpc::PATH, grpc::Grpc::server(service.clone()))
            .layer(from_fn(api::in_time));
        let router = api::router(service, self.call_state)
            .merge(calls)
            .layer(from_fn_with_state(self.trusted_proxies, proxies::look_through))
            .merge(live::router(ready, self.metrics));
        let probing = self.managers.probe();
        tokio::select! {
            () = self.server.serve(router, shutdown) => {}
            () = probing => {}
        }
    }
}

fn both(ready: live::Ready, managers: Arc<Managers>) -> live::Ready {
    Arc::new(move || {
        ready()?;
        if managers.any_serving() {
            Ok(())
        } else {
            Err(format!("no manager serves: asked {}", managers.addresses()))
        }
    })
}
