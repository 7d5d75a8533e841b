//! Phones that come over connections: let in, listened to, written to, let go.
//!
//! What is the same for each transport stands here. Each connection is a flow, and a NOTIFY for it has no other way. It
//! takes its place when it is accepted, so handshakes are bounded by the same limits.

use std::fmt::Display;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sip::Frame;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::connections::Connection;
use super::patience::Patience;
use super::stream::{End, PONG};
use super::{tcp, tls, websocket};
use crate::config::Speaks;
use crate::metrics::Closed;
use crate::names::Leg;
use crate::switchboard::Switchboard;

/// After an error of accept, usually "too many open files", which does not go away at once.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a phone that sends no more is waited for with the answers that it is owed: longer than a request is held while
/// no manager serves.
const SETTLE: Duration = Duration::from_secs(4);
/// How long a connection that ends may take to bring out what waits for it, and how long then to say goodbye.
pub const LAST_WORDS: Duration = Duration::from_secs(1);

/// A public listener for connections.
pub struct Entrance {
    pub listener: TcpListener,
    /// Among the public listeners.
    pub position: usize,
    pub speech: Speech,
}

/// What is spoken there, with what it takes.
#[derive(Clone)]
pub enum Speech {
    Tcp,
    Tls(::tls::Front),
    Ws,
    Wss(::tls::Front),
}

/// A phone that has its place, until this is dropped.
pub struct Phone {
    pub leg: Leg,
    pub connection: Connection,
    pub board: Arc<Switchboard>,
    closing: CancellationToken,
}

impl Speech {
    /// `None` if a certificate is missing.
    pub fn of(speaks: Speaks, front: Option<&::tls::Front>) -> Option<Speech> {
        match (speaks, front) {
            (Speaks::UdpAndTcp, _) => Some(Speech::Tcp),
            (Speaks::Ws, _) => Some(Speech::Ws),
            (Speaks::Tls, front) => front.cloned().map(Speech::Tls),
            (Speaks::Wss, front) => front.cloned().map(Speech::Wss),
        }
    }

    /// Boxed each by itself: as one future, every phone would take the room of the greediest.
    fn serve(&self, socket: TcpStream, phone: Phone) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        match self {
            Speech::Tcp => Box::pin(tcp::serve(socket, phone)),
            Speech::Tls(front) => Box::pin(tls::serve(front.accept(socket), phone)),
            Speech::Ws => Box::pin(websocket::serve(async { Ok(socket) }, phone)),
            Speech::Wss(front) => Box::pin(websocket::serve(front.accept(socket), phone)),
        }
    }
}

impl Entrance {
    /// Accepts phones, for ever.
    pub async fn serve(self, board: Arc<Switchboard>, tasks: TaskTracker, closing: CancellationToken) {
        let transport = board.names.stream(self.position);
        loop {
            let (socket, remote) = accept(&self.listener).await;
            let Some(connection) = board.connections.open(remote.ip()) else {
                board.metrics.closed(transport, Closed::TooMany);
                continue;
            };
            let leg = Leg { transport, listener: self.position, remote, connection: connection.number };
            let phone = Phone::new(leg, connection, board.clone(), closing.clone());
            tasks.spawn(self.speech.serve(socket, phone));
        }
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((socket, remote)) => {
                // Messages are written whole; waiting for more would only delay them.
                let _ = socket.set_nodelay(true);
                return (socket, remote);
            }
            Err(error) => {
                warn!(%error, "Cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Phone {
    pub(crate) fn new(
        leg: Leg,
        connection: Connection,
        board: Arc<Switchboard>,
        closing: CancellationToken,
    ) -> Phone {
        board.metrics.connections(leg.transport).increment(1);
        Phone { leg, connection, board, closing }
    }

    /// What the handshake makes, if it comes to its end in time. Its state, which is large, is let go with it.
    pub async fn handshake<T, E: Display>(&self, shake: impl Future<Output = Result<T, E>>) -> Option<T> {
        let shake = Box::pin(shake);
        let reason = tokio::select! {
            done = timeout(self.board.timings.handshake, shake) => match done {
                Ok(Ok(made)) => return Some(made),
                Ok(Err(error)) => {
                    debug!(remote = %self.leg.remote, %error, "A phone's handshake failed");
                    Closed::Handshake
                }
                Err(_) => Closed::Stalled,
            },
            () = self.closing.cancelled() => return None,
        };
        self.closed(reason);
        None
    }

    pub fn patience(&self) -> Patience {
        let timings = &self.board.timings;
        Patience::new(timings.idle, timings.message_wait, self.board.connections.partial_messages())
    }

    /// Takes a message to where it goes. False if it was none.
    pub fn take(&self, frame: Frame) -> bool {
        match frame {
            Frame::Message(framed) => self.board.from_phone(framed, &self.leg),
            Frame::KeepAlive => {
                // With a full queue it goes unanswered: a phone that does not read is closed at its next message.
                let _ = self.connection.outbox.push(PONG);
                true
            }
        }
    }

    /// Reads until that ends, and writes meanwhile. Gives the reason if we ended it.
    pub async fn converse(&self, reading: impl Future<Output = End>, writing: impl Future) -> Option<Closed> {
        let listen = async {
            let reason = tokio::select! {
                end = reading => match end {
                    End::Closed => None,
                    End::Finished => {
                        self.settle().await;
                        None
                    }
                    End::Idle => Some(Closed::Idle),
                    End::NotSip => Some(Closed::NotSip),
                    End::TooLarge => Some(Closed::TooLarge),
                    End::SlowSender => Some(Closed::SlowSender),
                    End::NoRoom => Some(Closed::NoRoom),
                },
                () = self.closing.cancelled() => None,
            };
            // From here on a NOTIFY for it must fail rather than be lost. What waits still goes out: also what cannot
            // be framed was answered, and the phone should learn why it is cut off.
            self.board.connections.close(self.connection.number);
            let _ = timeout(LAST_WORDS, self.connection.outbox.drained()).await;
            reason
        };
        let reason = tokio::select! {
            reason = listen => reason,
            _ = writing => None,
            () = self.connection.stuck.cancelled() => Some(Closed::SlowReader),
        };
        self.board.connections.close(self.connection.number);
        if let Some(reason) = reason {
            self.closed(reason);
        }
        reason
    }

    /// The phone sends no more, and waits for what it has asked.
    async fn settle(&self) {
        self.connection.owed.end();
        tokio::select! {
            _ = timeout(SETTLE, self.connection.owed.settled()) => {}
            () = self.closing.cancelled() => {}
        }
    }

    fn closed(&self, reason: Closed) {
        debug!(remote = %self.leg.remote, ?reason, "Closed a phone's connection");
        self.board.metrics.closed(self.leg.transport, reason);
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        self.board.connections.close(self.connection.number);
        self.board.metrics.connections(self.leg.transport).decrement(1);
    }
}
