//! Connections that we make, to servers of the upstream and to phones: when there is something to send, and kept while they
//! last.
//!
//! Such a connection is like one that a phone made as far as reading, writing and letting go are concerned, and counts among
//! those.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use sip::Transport;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::connections::{Connection, Connections};
use super::phone::Phone;
use super::tcp;
use crate::names::Leg;
use crate::outbox::Unsent;
use crate::switchboard::Switchboard;
use crate::upstream::found::Target;

pub struct Lines {
    /// The number of the connection.
    open: Mutex<BTreeMap<Target, u64>>,
    dial: mpsc::Sender<Dial>,
}

/// A connection that is to be made.
pub struct Dial {
    target: Target,
    connection: Connection,
}

/// Connections that wait to be made. Full: whoever is next counts as not reached.
const DIALS: usize = 64;

impl Lines {
    /// What is to be dialled comes out of the other end.
    pub fn new() -> (Lines, mpsc::Receiver<Dial>) {
        let (dial, dials) = mpsc::channel(DIALS);
        (Lines { open: Mutex::default(), dial }, dials)
    }

    /// Over the connection that there is, or over a new one once it is made.
    pub fn send(&self, target: Target, bytes: Bytes, connections: &Connections) -> Result<(), Unsent> {
        let mut open = self.open.lock();
        if let Some(number) = open.get(&target) {
            match connections.ask(*number, bytes.clone()) {
                Err(Unsent::Gone) => {}
                sent => return sent,
            }
        }
        let connection = connections.open(target.address.ip()).ok_or(Unsent::Full)?;
        let number = connection.number;
        connections.ask(number, bytes)?;
        match self.dial.try_send(Dial { target, connection }) {
            Ok(()) => drop(open.insert(target, number)),
            Err(_) => {
                connections.close(number);
                return Err(Unsent::Full);
            }
        }
        Ok(())
    }

    pub fn ended(&self, target: Target, number: u64) {
        let mut open = self.open.lock();
        if open.get(&target) == Some(&number) {
            open.remove(&target);
        }
    }
}

impl Dial {
    /// Connects and serves until the connection ends; then nobody waits for it any more.
    pub async fn serve(self, board: Arc<Switchboard>, closing: CancellationToken) {
        let Dial { target, connection } = self;
        let number = connection.number;
        let mut reached = false;
        if let Some(listener) = board.names.listener_towards(target.address, target.transport) {
            let (transport, remote) = (target.transport, target.address);
            let leg = Leg { transport, listener, remote, connection: number };
            let phone = Phone::new(leg, connection, board.clone(), closing);
            reached = match transport {
                Transport::Tls => match phone.handshake(secure(remote, &board)).await {
                    Some(stream) => {
                        let (reading, writing) = stream.into_split();
                        tcp::converse(reading, writing, &phone).await;
                        true
                    }
                    None => false,
                },
                _ => match phone.handshake(TcpStream::connect(remote)).await {
                    Some(socket) => {
                        let _ = socket.set_nodelay(true);
                        tcp::serve(socket, phone).await;
                        true
                    }
                    None => false,
                },
            };
        }
        board.connections.close(number);
        board.line_ended(target, number, reached);
    }
}

async fn secure(remote: SocketAddr, board: &Switchboard) -> io::Result<tls::Stream> {
    let upstream = board.upstream.as_ref().ok_or(io::ErrorKind::Unsupported)?;
    upstream.secure(TcpStream::connect(remote).await?).await
}
