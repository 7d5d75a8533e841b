//! An HTTP listener with limits, HTTP/1.1 and HTTP/2 on one port, for this role's API and for the probes of every other
//! role.
//!
//! hyper is driven here (`connection`) and not through `axum::serve`, which has no limit on connections and no time-out
//! for a client that never finishes its head. TLS is deliberately absent.

mod connection;
mod patience;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::request::Parts;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::error::ApiError;
use crate::metrics;

/// Connections served at once. Others wait in the kernel's backlog until one of these ends; idle ones end soon, so they
/// cannot hold the door.
pub const MAX_CONNECTIONS: usize = 4096;
/// After a shutdown began, requests under way get this long.
const DRAIN_TIME: Duration = Duration::from_secs(6);
/// When the kernel refuses to accept (out of file descriptors), trying at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound port.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

/// The port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for HTTP on {address}: {reason}")]
pub struct BindError {
    pub address: SocketAddr,
    reason: String,
}

impl Server {
    pub async fn bind(address: SocketAddr) -> Result<Server, BindError> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Server { listener, address })
        };
        bound.await.map_err(|error: io::Error| BindError { address, reason: plainly(&error) })
    }

    /// Where it listens; tells the port when the one asked for was 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then closes idle connections and waits a bounded time for the others.
    pub async fn serve(self, router: Router, shutdown: CancellationToken) {
        let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let open = TaskTracker::new();
        while let Some((stream, peer, permit)) = self.accept(&free, &shutdown).await {
            let connection = connection::serve(stream, peer, router.clone(), shutdown.clone());
            open.spawn(async move {
                ::metrics::gauge!(metrics::CONNECTIONS).increment(1);
                connection.await;
                ::metrics::gauge!(metrics::CONNECTIONS).decrement(1);
                drop(permit);
            });
        }
        open.close();
        if tokio::time::timeout(DRAIN_TIME, open.wait()).await.is_err() {
            warn!(open = open.len(), "HTTP connections did not end in time and are cut");
        }
    }

    async fn accept(
        &self,
        free: &Arc<Semaphore>,
        shutdown: &CancellationToken,
    ) -> Option<(TcpStream, Peer, OwnedSemaphorePermit)> {
        shutdown
            .run_until_cancelled(async {
                let permit = free.clone().acquire_owned().await.ok()?;
                loop {
                    match self.listener.accept().await {
                        Ok((stream, peer)) => return Some((stream, Peer(peer), permit)),
                        Err(error) => {
                            warn!(%error, "Cannot accept an HTTP connection");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            })
            .await?
    }
}

/// Where a request came from; every request has it.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

impl Peer {
    pub fn of(extensions: &Extensions) -> Result<SocketAddr, ApiError> {
        let unknown = || ApiError::busy("the connection says not where it comes from", "ask again");
        extensions.get::<Peer>().map(|Peer(peer)| *peer).ok_or_else(unknown)
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Peer, ApiError> {
        Peer::of(&parts.extensions).map(Peer)
    }
}

fn plainly(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is in use by another process".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => "not permitted (ports below 1024 need a privilege)".to_owned(),
        _ => error.to_string(),
    }
}
