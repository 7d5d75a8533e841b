//! A public UDP port: one socket, or several that share it.
//!
//! Answers and NOTIFYs leave from the port that the phone used. A datagram is sent at once if the socket takes it;
//! otherwise it waits in a bounded queue, and everything after it waits behind it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::sync::Notify;

pub struct UdpPort {
    sockets: Vec<UdpSocket>,
    limit: usize,
    waiting: Mutex<Waiting>,
    filled: Notify,
}

#[derive(Default)]
struct Waiting {
    datagrams: VecDeque<(Bytes, SocketAddr)>,
    bytes: usize,
}

/// More waits for the socket than may.
#[derive(Debug, thiserror::Error)]
#[error("the queue is full")]
pub struct Full;

/// No datagram is larger.
const LARGEST: usize = 65_536;

impl UdpPort {
    /// `sockets` are bound to one address and not empty; `limit` bounds the bytes that wait.
    pub fn new(sockets: Vec<UdpSocket>, limit: usize) -> UdpPort {
        UdpPort { sockets, limit, waiting: Mutex::default(), filled: Notify::new() }
    }

    pub fn sockets(&self) -> usize {
        self.sockets.len()
    }

    pub fn send(&self, datagram: Bytes, to: SocketAddr) -> Result<(), Full> {
        let mut waiting = self.waiting.lock();
        if waiting.datagrams.is_empty() {
            match self.sockets[0].try_send_to(&datagram, to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // An address that can not be reached is like a datagram lost on the way.
                _ => return Ok(()),
            }
        }
        if waiting.bytes + datagram.len() > self.limit {
            return Err(Full);
        }
        waiting.bytes += datagram.len();
        waiting.datagrams.push_back((datagram, to));
        drop(waiting);
        self.filled.notify_one();
        Ok(())
    }

    /// Sends what waits, for ever.
    pub async fn flush(&self) {
        loop {
            let next = self.waiting.lock().datagrams.front().cloned();
            let Some((datagram, to)) = next else {
                self.filled.notified().await;
                continue;
            };
            let _lost_on_the_way = self.sockets[0].send_to(&datagram, to).await;
            let mut waiting = self.waiting.lock();
            waiting.datagrams.pop_front();
            waiting.bytes -= datagram.len();
        }
    }

    /// Hands every datagram of one socket to `take`, for ever; after `batch` of them others may run.
    pub async fn receive(&self, socket: usize, batch: usize, mut take: impl FnMut(Bytes, SocketAddr)) {
        let socket = &self.sockets[socket];
        let mut buffer = vec![0; LARGEST];
        loop {
            if socket.readable().await.is_err() {
                continue;
            }
            for _ in 0..batch {
                match socket.try_recv_from(&mut buffer) {
                    Ok((length, from)) => take(Bytes::copy_from_slice(&buffer[..length]), from),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // What an earlier datagram of ours met (ICMP); the socket is as good as before.
                    Err(_) => {}
                }
            }
            tokio::task::yield_now().await;
        }
    }
}
