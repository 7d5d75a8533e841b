//! TCP from phones: each connection is a flow, and a NOTIFY for it has no other way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sip::{Frame, Transport};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::connections::Connection;
use super::stream::{self, End, PONG};
use crate::metrics::Closed;
use crate::names::Leg;
use crate::switchboard::Switchboard;

/// After an error of accept, usually "too many open files", which does not go away at once.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a connection that ends may take to bring out what waits for it.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Hands each new connection to `serve`, for ever.
pub async fn accept(listener: TcpListener, mut serve: impl FnMut(TcpStream, SocketAddr)) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                // Messages are written whole; waiting for more would only delay them.
                let _ = stream.set_nodelay(true);
                serve(stream, remote);
            }
            Err(error) => {
                warn!(%error, "Cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Accepts phones at the public listener at this position.
pub async fn serve_phones(
    listener: TcpListener,
    position: usize,
    board: Arc<Switchboard>,
    tasks: TaskTracker,
    closing: CancellationToken,
) {
    let phone = |stream, remote: SocketAddr| {
        let Some(connection) = board.connections.open(remote.ip()) else {
            board.metrics.closed(Closed::TooMany);
            return;
        };
        let leg =
            Leg { transport: Transport::Tcp, listener: position, remote, connection: connection.number };
        tasks.spawn(serve_phone(stream, leg, connection, board.clone(), closing.clone()));
    };
    accept(listener, phone).await;
}

async fn serve_phone(
    stream: TcpStream,
    leg: Leg,
    connection: Connection,
    board: Arc<Switchboard>,
    closing: CancellationToken,
) {
    board.metrics.connections.set(board.connections.len() as f64);
    let (reading, writing) = stream.into_split();
    let take = |frame| match frame {
        Frame::Message(bytes) => board.from_phone(bytes, &leg),
        Frame::KeepAlive => {
            // With a full queue it goes unanswered: a phone that does not read is closed at its next message.
            let _ = connection.outbox.push(PONG);
            true
        }
    };
    let converse = async {
        let reason = tokio::select! {
            end = stream::read(reading, &board.limits.message, Some(board.timings.idle), take) => match end {
                End::Closed => None,
                End::Idle => Some(Closed::Idle),
                End::NotSip => Some(Closed::NotSip),
            },
            () = closing.cancelled() => None,
        };
        // From here on a NOTIFY for it must fail rather than be lost. What waits still goes out: also what cannot be
        // framed was answered, and the phone should learn why it is cut off.
        board.connections.close(connection.number);
        let _ = timeout(LAST_WORDS, connection.outbox.drained()).await;
        reason
    };
    let closed = tokio::select! {
        reason = converse => reason,
        _ = connection.outbox.write_to(writing) => None,
        () = connection.stuck.cancelled() => Some(Closed::SlowReader),
    };
    board.connections.close(connection.number);
    board.metrics.connections.set(board.connections.len() as f64);
    if let Some(reason) = closed {
        debug!(remote = %leg.remote, ?reason, "Closed a phone's connection");
        board.metrics.closed(reason);
    }
}
