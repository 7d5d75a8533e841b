//! HTTP: presence for programs, and what an operator or an orchestrator asks a process.
//!
//! This role holds no presence of its own. Every answer comes from a manager over gRPC, so any number of these may run
//! and any of them may be asked. Not here: SIP, and the rules of who may see what, which the managers keep.
//!
//! | file | what |
//! |---|---|
//! | `api` | the routes and their handlers |
//! | `events` | following one presentity, across the death of managers |
//! | `managers` | the gRPC client: which manager is asked, and who is asked next |
//! | `json` | the shapes of what is answered; `vedette ctl` reads the same types |
//! | `live` | `/healthz`, `/readyz`, `/metrics`: every role mounts these three |
//! | `server` | the bounded HTTP/1.1 listener that every role uses |

mod access;
mod api;
mod error;
mod events;
pub mod json;
pub mod live;
mod managers;
pub mod metrics;
pub mod server;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::access::WriteAccess;
use crate::managers::Managers;
use crate::server::Server;

/// How many `/v1/events` streams one process follows unless configured; the next one is answered 503.
pub const DEFAULT_EVENT_STREAMS: usize = 1024;

/// What the role needs to know before it starts.
pub struct Config {
    pub listen: SocketAddr,
    /// The managers' gRPC addresses, `host:port`.
    pub managers: Vec<String>,
    /// How they are reached.
    pub wires: tls::Wires,
    /// What a write must present as its bearer token; without one, writes are refused.
    pub token: Option<String>,
    pub event_streams: usize,
    /// Asked by `/readyz`, which also wants one manager to be serving.
    pub ready: live::Ready,
    pub metrics: live::Metrics,
}

/// The HTTP role, bound and not yet serving.
pub struct Web {
    server: Server,
    managers: Arc<Managers>,
    access: WriteAccess,
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
    #[error("the HTTP write token is empty: leave it out to refuse writes, or set a secret")]
    EmptyToken,
}

impl Web {
    /// Takes the port. Managers are connected to when they are first needed, so they may start later.
    pub async fn bind(config: Config) -> Result<Web, BindError> {
        let managers = Managers::new(&config.managers, &config.wires)?;
        let access = WriteAccess::new(config.token)?;
        let server = Server::bind(config.listen).await?;
        Ok(Web {
            server,
            managers: Arc::new(managers),
            access,
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
        let state = api::State::new(self.managers.clone(), self.access, self.event_streams, shutdown.clone());
        let ready = both(self.ready, self.managers.clone());
        let router = api::router(state).merge(live::router(ready, self.metrics));
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
