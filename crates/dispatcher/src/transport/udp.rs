//! A public UDP port: one socket, or several that share it.
//!
//! Answers and NOTIFYs leave from the port that the phone used. What one batch of messages causes is gathered and leaves in one
//! call when the batch ends; a datagram outside of a batch is sent at once. What the socket does not take waits in a bounded
//! queue, and everything after it waits behind it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::sync::Notify;

use super::datagrams::{self, Buffers};

pub struct UdpPort {
    sockets: Vec<UdpSocket>,
    limit: usize,
    waiting: Mutex<Waiting>,
    blocked: Notify,
}

#[derive(Default)]
struct Waiting {
    datagrams: VecDeque<(Bytes, SocketAddr)>,
    bytes: usize,
    /// Batches that have begun and not ended.
    batches: usize,
}

/// More waits for the socket than may.
#[derive(Debug, thiserror::Error)]
#[error("the queue is full")]
pub struct Full;

/// So many datagrams leave in one call. A batch that causes more of them does not keep the first ones waiting.
const AT_ONCE: usize = 64;

impl UdpPort {
    /// `sockets` are bound to one address and not empty; `limit` bounds the bytes that wait.
    pub fn new(sockets: Vec<UdpSocket>, limit: usize) -> UdpPort {
        UdpPort { sockets, limit, waiting: Mutex::default(), blocked: Notify::new() }
    }

    pub fn sockets(&self) -> usize {
        self.sockets.len()
    }

    /// From here until `end_batch` what is sent is gathered.
    pub fn begin_batch(&self) {
        self.waiting.lock().batches += 1;
    }

    pub fn end_batch(&self) {
        let mut waiting = self.waiting.lock();
        waiting.batches -= 1;
        // Others may go on for long, and more may begin.
        self.send_waiting(&mut waiting);
    }

    pub fn send(&self, datagram: Bytes, to: SocketAddr) -> Result<(), Full> {
        let mut waiting = self.waiting.lock();
        if waiting.bytes + datagram.len() > self.limit {
            self.send_waiting(&mut waiting);
            if !waiting.datagrams.is_empty() && waiting.bytes + datagram.len() > self.limit {
                return Err(Full);
            }
        }
        waiting.bytes += datagram.len();
        waiting.datagrams.push_back((datagram, to));
        if waiting.batches == 0 || waiting.datagrams.len() >= AT_ONCE {
            self.send_waiting(&mut waiting);
        }
        Ok(())
    }

    /// Sends what the socket did not take, for ever.
    pub async fn flush(&self) {
        loop {
            self.blocked.notified().await;
            if self.sockets[0].writable().await.is_ok() {
                self.send_waiting(&mut self.waiting.lock());
            }
        }
    }

    /// Sends what waits, as far as the socket takes it.
    fn send_waiting(&self, waiting: &mut Waiting) {
        while !waiting.datagrams.is_empty() {
            match self.send_some(&waiting.datagrams) {
                Ok(sent) => waiting.forget(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.blocked.notify_one(),
                // An address that can not be reached is like a datagram lost on the way.
                Err(_) => waiting.forget(1),
            }
        }
    }

    fn send_some(&self, datagrams: &VecDeque<(Bytes, SocketAddr)>) -> io::Result<usize> {
        let socket = &self.sockets[0];
        if datagrams.len() == 1 {
            let (bytes, to) = &datagrams[0];
            return socket.try_send_to(bytes, *to).map(|_| 1);
        }
        datagrams::send(socket, datagrams.iter().take(AT_ONCE))
    }

    /// Hands every datagram of one socket to `take`, for ever. They come in batches of `batch` at most, after which others may
    /// run; `begin` gives what is to be held during one.
    pub async fn receive<B>(
        &self,
        socket: usize,
        batch: usize,
        begin: impl Fn() -> B,
        mut take: impl FnMut(Bytes, SocketAddr),
    ) {
        let socket = &self.sockets[socket];
        let mut buffers = Buffers::new(batch);
        loop {
            if socket.readable().await.is_err() {
                continue;
            }
            // That was all, or what an earlier datagram of ours met (ICMP); the socket is as good as before.
            let _again = receive_batch(socket, &mut buffers, &begin, &mut take);
            tokio::task::yield_now().await;
        }
    }
}

fn receive_batch<B>(
    socket: &UdpSocket,
    buffers: &mut Buffers,
    begin: &impl Fn() -> B,
    take: &mut impl FnMut(Bytes, SocketAddr),
) -> io::Result<()> {
    let mut held = None;
    datagrams::receive(socket, buffers, |bytes, from| {
        held.get_or_insert_with(begin);
        take(Bytes::copy_from_slice(bytes), from);
    })
}

impl Waiting {
    /// The first `count` of them are gone.
    fn forget(&mut self, count: usize) {
        for (bytes, _) in self.datagrams.drain(..count) {
            self.bytes -= bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What has not come by then does not come.
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

    #[tokio::test]
    async fn what_a_batch_causes_leaves_in_order_when_it_ends_and_what_stands_alone_at_once() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (port, phone) = (port(address, 10_000).await, bound(address).await);
            let to = phone.local_addr().unwrap();

            port.begin_batch();
            for datagram in ["1", "2", "3"] {
                port.send(datagram.into(), to).unwrap();
            }
            let mut buffer = [0; 8];
            assert!(phone.try_recv(&mut buffer).is_err(), "nothing leaves before the end");
            port.end_batch();
            port.send("4".into(), to).unwrap();

            for expected in ["1", "2", "3", "4"] {
                let (length, from) = phone.recv_from(&mut buffer).await.unwrap();
                assert_eq!(&buffer[..length], expected.as_bytes());
                assert_eq!(from, port.sockets[0].local_addr().unwrap());
            }
        }
    }

    #[tokio::test]
    async fn one_that_nobody_can_get_does_not_stop_those_behind_it() {
        let (port, phone) = (port("127.0.0.1:0", 1 << 20).await, bound("127.0.0.1:0").await);
        let to = phone.local_addr().unwrap();

        port.begin_batch();
        port.send("1".into(), to).unwrap();
        port.send("x".repeat(70_000).into(), to).unwrap();
        port.send("2".into(), to).unwrap();
        port.end_batch();

        let mut buffer = [0; 8];
        for expected in ["1", "2"] {
            let length = phone.recv(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..length], expected.as_bytes());
        }
        assert_eq!(port.waiting.lock().bytes, 0);
    }

    #[tokio::test]
    async fn a_batch_may_cause_more_than_may_wait_if_the_socket_takes_it() {
        let (port, phone) = (port("127.0.0.1:0", 100).await, bound("127.0.0.1:0").await);
        let to = phone.local_addr().unwrap();

        port.begin_batch();
        let sent = (0..20).filter(|_| port.send("x".repeat(30).into(), to).is_ok()).count();
        port.end_batch();

        assert_eq!(sent, 20);
    }

    #[tokio::test]
    async fn datagrams_of_several_phones_come_with_their_senders() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let port = port(address, 10_000).await;
            let here = port.sockets[0].local_addr().unwrap();
            let phones = [bound(address).await, bound(address).await];
            for phone in &phones {
                phone.send_to(b"hello", here).await.unwrap();
            }

            let (received, mut all) = tokio::sync::mpsc::unbounded_channel();
            let take = |bytes: Bytes, from| received.send((bytes, from)).unwrap();
            let both = async { [all.recv().await, all.recv().await] };
            let got = tokio::select! {
                () = port.receive(0, 8, || (), take) => unreachable!(),
                got = both => got,
            };

            let expected = phones.map(|phone| Some(("hello".into(), phone.local_addr().unwrap())));
            assert_eq!(got, expected);
        }
    }

    #[tokio::test]
    async fn what_comes_while_a_batch_is_taken_is_not_overlooked() {
        let (port, phone) = (port("127.0.0.1:0", 10_000).await, bound("127.0.0.1:0").await);
        let here = port.sockets[0].local_addr().unwrap();
        phone.send_to(b"1", here).await.unwrap();

        let (received, mut all) = tokio::sync::mpsc::unbounded_channel();
        let take = |bytes: Bytes, _| {
            if bytes == "1" {
                phone.try_send_to(b"2", here).unwrap();
            }
            received.send(bytes).unwrap();
        };
        let both = async { [all.recv().await, all.recv().await] };
        let got = tokio::select! {
            () = port.receive(0, 8, || (), take) => unreachable!(),
            got = tokio::time::timeout(PATIENCE, both) => got.expect("the second one is taken too"),
        };

        assert_eq!(got, ["1", "2"].map(|each| Some(each.into())));
    }

    async fn port(address: &str, limit: usize) -> UdpPort {
        UdpPort::new(vec![bound(address).await], limit)
    }

    async fn bound(address: &str) -> UdpSocket {
        let socket = UdpSocket::bind(address).await.unwrap();
        // A new one is not known yet to take anything.
        socket.writable().await.unwrap();
        socket
    }
}
