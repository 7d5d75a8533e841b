//! Connections coming in.
//!
//! Handshakes run beside each other, so that nobody waits for somebody who says nothing. There are [`HANDSHAKES`] of them at
//! most, each takes [`PATIENCE`] at most, and when there is no room the oldest gives way: a good one is done in a few
//! milliseconds.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream as Flow;
use metrics::counter;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::complaints::complain;
use crate::metrics::{HANDSHAKES as DONE, REFUSED};
use crate::reason::Reason;
use crate::{Protocol, Stream, Wires};

pub const HANDSHAKES: usize = 256;
pub const PATIENCE: Duration = Duration::from_secs(3);
/// After an error of accept, usually "too many open files", which does not go away at once.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener whose connections are ready to be used. As a stream it has no end.
pub struct Incoming {
    listener: TcpListener,
    wires: Wires,
    protocol: Protocol,
    handshakes: JoinSet<Option<(Stream, SocketAddr)>>,
    /// Of the handshakes, the oldest first; some are done.
    begun: VecDeque<AbortHandle>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    pub(crate) fn new(listener: TcpListener, wires: Wires, protocol: Protocol) -> Incoming {
        let (handshakes, begun) = (JoinSet::new(), VecDeque::new());
        Incoming { listener, wires, protocol, handshakes, begun, pause: None }
    }

    /// The next connection. Nothing is lost when this is dropped and called again.
    pub async fn accept(&mut self) -> (Stream, SocketAddr) {
        std::future::poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<(Stream, SocketAddr)> {
        loop {
            // What is ready is handed out before more is begun.
            while let Poll::Ready(Some(done)) = self.handshakes.poll_join_next(cx) {
                match done {
                    Ok(Some(accepted)) => return Poll::Ready(accepted),
                    Ok(None) => {}
                    Err(_gave_way) => counter!(REFUSED, "reason" => "crowded").increment(1),
                }
            }
            let (socket, peer) = ready!(self.poll_socket(cx));
            // Messages are written whole; waiting for more would only delay them.
            let _ = socket.set_nodelay(true);
            match self.wires.acceptor(self.protocol) {
                None => return Poll::Ready((Stream::plain(socket), peer)),
                Some(acceptor) => self.begin(handshake(acceptor, socket, peer)),
            }
        }
    }

    fn poll_socket(&mut self, cx: &mut Context<'_>) -> Poll<(TcpStream, SocketAddr)> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            match ready!(self.listener.poll_accept(cx)) {
                Ok(accepted) => return Poll::Ready(accepted),
                Err(error) => {
                    warn!(%error, "Cannot accept a connection");
                    self.pause = Some(Box::pin(sleep(PAUSE)));
                }
            }
        }
    }

    fn begin(&mut self, handshake: impl Future<Output = Option<(Stream, SocketAddr)>> + Send + 'static) {
        self.begun.retain(|begun| !begun.is_finished());
        if self.begun.len() >= HANDSHAKES
            && let Some(oldest) = self.begun.pop_front()
        {
            oldest.abort();
        }
        self.begun.push_back(self.handshakes.spawn(handshake));
    }
}

impl Flow for Incoming {
    type Item = Result<Stream, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_accept(cx).map(|(stream, _)| Some(Ok(stream)))
    }
}

async fn handshake(
    acceptor: TlsAcceptor,
    socket: TcpStream,
    peer: SocketAddr,
) -> Option<(Stream, SocketAddr)> {
    let refused = match timeout(PATIENCE, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => {
            counter!(DONE, "side" => "server").increment(1);
            return Some((Stream::tls(stream.into()), peer));
        }
        Ok(Err(error)) => why(&error),
        Err(_) => Some(Reason::new("silent", "it connected and did not finish the handshake in time")),
    };
    match refused {
        Some(reason) => complain(&peer.ip().to_string(), &reason),
        // A probe of an orchestrator, most likely.
        None => debug!(%peer, "It connected and left again"),
    }
    None
}

fn why(error: &io::Error) -> Option<Reason> {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => None,
        _ => Some(Reason::of(error).unwrap_or_else(|| Reason::new("network", error.to_string()))),
    }
}
