//! The connection to a manager: one, kept, made anew when it breaks.
//!
//! Requests of both directions and their answers share it. On it the manager is asked four times a second whether it
//! serves; what it says, and whether it says anything, decides who gets requests (see [`crate::route::Liveness`]).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sip::{Frame, Framed, Instant, Message, Method, RequestWriter};
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::branch;
use crate::metrics::Dropped;
use crate::outbox::{Outbox, Unsent};
use crate::route::{Liveness, Peer, Standing};
use crate::switchboard::Switchboard;
use crate::transport::stream::{self, PONG};

/// How long an attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(1);

pub struct Link {
    pub peer: Peer,
    pub name: String,
    address: watch::Sender<SocketAddr>,
    left: CancellationToken,
    /// The peer is there: a pause between two attempts to connect ends.
    seen: Notify,
    queue: usize,
    outbox: Mutex<Option<Arc<Outbox>>>,
    liveness: Mutex<Liveness>,
    pings: AtomicU32,
}

impl Link {
    /// `queue` bounds the bytes that wait to be written.
    pub fn new(peer: Peer, name: &str, address: SocketAddr, queue: usize) -> Link {
        Link {
            peer,
            name: name.to_owned(),
            address: watch::Sender::new(address),
            left: CancellationToken::new(),
            seen: Notify::new(),
            queue,
            outbox: Mutex::new(None),
            liveness: Mutex::default(),
            pings: AtomicU32::new(0),
        }
    }

    pub fn send(&self, message: Bytes) -> Result<(), Unsent> {
        self.outbox.lock().as_ref().ok_or(Unsent::Gone)?.push(message)
    }

    /// What is written to the connection, if there is one.
    pub fn connected(&self) -> Option<Arc<Outbox>> {
        self.outbox.lock().clone()
    }

    pub fn standing(&self, limit: Duration, now: Instant) -> Standing {
        self.liveness.lock().standing(limit, now)
    }

    /// The peer is at this address now. A connection to another one is closed.
    pub fn move_to(&self, address: SocketAddr) {
        self.address.send_if_modified(|known| std::mem::replace(known, address) != address);
    }

    /// Somebody at this address has connected to us. If it is the peer, it takes connections again.
    pub fn see(&self, ip: IpAddr) {
        if self.address.borrow().ip() == ip && self.outbox.lock().is_none() {
            self.seen.notify_one();
        }
    }

    /// The peer is no member any more: its connection is closed, for good.
    pub fn leave(&self) {
        self.left.cancel();
    }

    /// Connects and serves, again and again, until it is left or all is closing.
    pub async fn run(self: Arc<Link>, board: Arc<Switchboard>, closing: CancellationToken) {
        tokio::select! {
            () = self.keep(&board) => {}
            () = self.left.cancelled() => {}
            () = closing.cancelled() => {}
        }
        self.disconnected(&board);
    }

    async fn keep(&self, board: &Switchboard) {
        let mut address = self.address.subscribe();
        loop {
            let here = *address.borrow_and_update();
            tokio::select! {
                () = self.keep_at(here, board) => {}
                _ = address.changed() => info!(manager = self.name, from = %here, "Moved"),
            }
            self.disconnected(board);
        }
    }

    async fn keep_at(&self, address: SocketAddr, board: &Switchboard) {
        let (shortest, longest) = board.timings.reconnect;
        let mut wait = shortest;
        loop {
            if let Ok(Ok(stream)) = timeout(CONNECT, board.wires.connect(address)).await {
                info!(manager = self.name, %address, "Connected");
                self.serve(stream, address, board).await;
                if self.has_answered() {
                    wait = shortest;
                }
                self.disconnected(board);
                info!(manager = self.name, %address, "Connection lost");
            }
            tokio::select! {
                () = sleep(wait) => wait = (wait * 2).min(longest),
                () = self.seen.notified() => wait = shortest,
            }
        }
    }

    async fn serve(&self, stream: tls::Stream, address: SocketAddr, board: &Switchboard) {
        let (reading, writing) = stream.into_split();
        let outbox = Arc::new(Outbox::new(self.queue));
        self.liveness.lock().connected();
        *self.outbox.lock() = Some(outbox.clone());

        let take = |frame| match frame {
            Frame::Message(framed) => self.take(framed, board, &outbox),
            Frame::KeepAlive => {
                let _ = outbox.push(PONG);
                true
            }
        };
        tokio::select! {
            _ = stream::read(reading, &board.limits.inner_message, None, || board.batch(), take) => {}
            _ = outbox.write_to(writing) => {}
            () = self.ping(address, board, &outbox) => {}
        }
    }

    /// Whoever takes connections and says nothing on them is not reconnected to at once: it may refuse our certificate.
    fn has_answered(&self) -> bool {
        self.liveness.lock().heard().is_some()
    }

    /// What was on the connection, if there was one, goes to others.
    fn disconnected(&self, board: &Switchboard) {
        *self.outbox.lock() = None;
        self.liveness.lock().lost();
        board.peer_lost(self.peer);
    }

    fn take(&self, framed: Framed, board: &Switchboard, outbox: &Outbox) -> bool {
        let Ok(message) = framed.parse(&board.limits.inner_message) else {
            board.metrics.dropped(Dropped::NotSip);
            return false;
        };
        match is_pong(&message) {
            true => self.note_pong(&message, board),
            false => board.from_peer(&message, Some(self.peer), outbox),
        }
        true
    }

    fn note_pong(&self, pong: &Message, board: &Switchboard) {
        let now = board.now();
        match pong.status() {
            Some(200) => self.liveness.lock().serving(now),
            _ => self.liveness.lock().declined(now),
        }
        board.note_health();
    }

    /// Asks whether the manager serves; ends when it has not said anything for too long.
    async fn ping(&self, address: SocketAddr, board: &Switchboard, outbox: &Outbox) {
        let mut ticks = interval(board.timings.ping);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let connected = board.now();
        loop {
            ticks.tick().await;
            let heard = self.liveness.lock().heard().unwrap_or(connected);
            if board.now() - heard >= board.timings.link_silence {
                return;
            }
            // With a full queue there is no ping, and the silence that follows says the same.
            let _ = outbox.push(self.ping_request(address, board));
            board.note_health();
        }
    }

    fn ping_request(&self, manager: SocketAddr, board: &Switchboard) -> Bytes {
        let sequence = self.pings.fetch_add(1, Ordering::Relaxed) & 0x7fff_ffff;
        let us = board.names.inner();
        let ping = RequestWriter::new("OPTIONS", &format!("sip:ping@{manager}"))
            .header("Via", format_args!("{}{}", board.names.inner_via(), branch::ping(sequence)));
        let contacts = board.names.contacts();
        let ping = if contacts.is_empty() { ping } else { ping.header("Contact", contacts) };
        ping.header("Max-Forwards", 70)
            .header("From", format_args!("<sip:dispatcher@{us}>;tag=ping"))
            .header("To", format_args!("<sip:ping@{manager}>"))
            .header("Call-ID", format_args!("ping-{sequence}@{us}"))
            .header("CSeq", format_args!("{sequence} OPTIONS"))
            .finish()
    }
}

fn is_pong(message: &Message) -> bool {
    message.status().is_some()
        && message.method() == Method::Options
        && message.branch().and_then(branch::ping_sequence).is_some()
}
