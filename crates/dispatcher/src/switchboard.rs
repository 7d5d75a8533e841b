//! What joins the rules with the wires: a message comes in at one side, and what the rules make of it goes out at the
//! other.
//!
//! Nothing here waits. Readers call in with a message and run the rules themselves; whatever has to go out is put into
//! a bounded queue. Which side a message came from is known from the socket, never from the message.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use sip::{Framed, Instant, Message, Method, Name, Transport};
use tracing::{debug, trace};

use crate::branch;
use crate::callers::Callers;
use crate::config::{Limits, Timings};
use crate::deliver::Deliverer;
use crate::forward::{self, Forwarder};
use crate::health::Health;
use crate::members::Members;
use crate::metrics::{Dropped, Metrics, Queue};
use crate::names::{Leg, Names};
use crate::outbox::{Outbox, Unsent};
use crate::oversize::Oversize;
use crate::refusal::{self, Refusal};
use crate::route::Peer;
use crate::throttle::{Excess, Ruling, Shown, Source, Throttle};
use crate::transport::connections::Connections;
use crate::transport::lines::Lines;
use crate::transport::origins::Origins;
use crate::transport::stun;
use crate::transport::udp::UdpPort;
use crate::upstream::Upstream;
use crate::window::Window;

mod delivering;
mod peers;
mod relaying;

pub struct Switchboard {
    pub names: Names,
    pub limits: Limits,
    pub timings: Timings,
    pub wires: tls::Wires,
    pub metrics: Metrics,
    pub connections: Connections,
    /// Those that we make.
    pub(crate) lines: Lines,
    pub(crate) oversize: Oversize,
    pub origins: Origins,
    /// Of each public listener, where it takes datagrams.
    pub(crate) ports: Vec<Option<UdpPort>>,
    pub(crate) members: ArcSwap<Members>,
    pub(crate) callers: Callers,
    pub(crate) upstream: Option<Upstream>,
    pub(crate) forwarder: Forwarder,
    pub(crate) deliverer: Deliverer,
    pub(crate) window: Mutex<Window>,
    pub(crate) throttle: Mutex<Throttle>,
    pub(crate) draining: AtomicBool,
    pub(crate) health: Health,
    pub(crate) started: tokio::time::Instant,
}

/// Messages that came together are being handled; what they cause leaves together.
pub struct Batch<'a>(&'a [Option<UdpPort>]);

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.0.iter().flatten().for_each(UdpPort::end_batch);
    }
}

impl Switchboard {
    pub fn now(&self) -> Instant {
        Instant(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// The moment on the runtime's clock.
    pub fn at(&self, instant: Instant) -> tokio::time::Instant {
        self.started + std::time::Duration::from_millis(instant.0)
    }

    /// A message that came to a public listener, from a phone or from the upstream. False if it was not SIP.
    pub fn from_phone(&self, framed: Framed, leg: &Leg) -> bool {
        self.metrics.from_phones.increment(1);
        if leg.transport == Transport::Udp
            && let Some(answer) = stun::answer(framed.bytes(), leg.remote)
        {
            self.keep_alive(leg, answer);
            return true;
        }
        let message = match framed.parse(&self.limits.message) {
            Ok(message) => message,
            Err(sip::NotSip::Empty) => return true,
            Err(reason) => {
                debug!(remote = %leg.remote, %reason, "Dropped");
                self.metrics.dropped(Dropped::NotSip);
                return false;
            }
        };
        trace!(remote = %leg.remote, ?message, "From a phone");
        match message.is_request() {
            true => self.phone_request(&message, leg),
            false => self.phone_answer(&message, leg),
        }
        true
    }

    /// A message from a manager, on a connection of ours (`peer`) or on one of its own.
    pub fn from_peer(&self, message: &Message, peer: Option<Peer>, reply: &Outbox) {
        self.metrics.from_managers.increment(1);
        trace!(?peer, ?message, "From a manager");
        match message.is_request() {
            true => {
                let queue = if peer.is_some() { Queue::Link } else { Queue::Inner };
                self.manager_request(message, reply, queue);
            }
            false => self.peer_answer(message, peer),
        }
    }

    /// What is sent by datagram while this is held leaves when it is dropped.
    pub fn batch(&self) -> Batch<'_> {
        self.ports.iter().flatten().for_each(UdpPort::begin_batch);
        Batch(&self.ports)
    }

    /// From now on only requests that are already in flight are forwarded.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    fn phone_request(&self, request: &Message, leg: &Leg) {
        if !self.is_admitted(request, leg) {
            return;
        }
        if let Some(upstream) = &self.upstream
            && self.relayed(upstream, request, leg)
        {
            return;
        }
        if request.method() == Method::Ack {
            return self.acknowledge(request, leg);
        }
        if request.method() == Method::Cancel {
            return self.cancel(request, leg);
        }
        if !self.passes(request, leg) {
            return;
        }
        let forwarded = match self.forwarder.request(request, leg, &self.names) {
            Ok(forwarded) => forwarded,
            Err(refusal) => return self.refuse(request, leg, refusal),
        };
        let order = self.members.load().order(request);
        let (key, priority) = (forwarded.key, forwarded.priority);
        let admitted = self.with_window(|window, standings, now| {
            let is_new = !window.holds(key);
            if self.is_draining() && is_new {
                // The phone will repeat it, and somebody else will be there.
                self.metrics.dropped(Dropped::Draining);
                return Ok(());
            }
            if is_new {
                self.connections.owe(leg);
            }
            window.admit(key, forwarded.bytes, order, priority, standings, now)
        });
        if admitted.is_err() {
            self.metrics.full(Queue::Window);
            self.refuse(request, leg, Refusal::Unavailable(self.timings.retry_after));
            self.connections.answered(leg);
        }
    }

    /// The throttle's word about it, told to the sender if that is no.
    fn passes(&self, request: &Message, leg: &Leg) -> bool {
        let ruling = self.ruling(request, leg);
        self.abide(request, leg, ruling, Excess::Refusals)
    }

    /// Whether its source may ask at all, told to it if not.
    fn is_admitted(&self, request: &Message, leg: &Leg) -> bool {
        self.abide(request, leg, self.admission(leg), Excess::Requests)
    }

    /// Whether a source may ask at all, for whatever it is.
    fn admission(&self, leg: &Leg) -> Ruling {
        match self.forwarder.is_trusted(leg.remote.ip()) {
            true => Ruling::Pass,
            false => self.throttle.lock().admit(Source::of(leg), self.now()),
        }
    }

    fn abide(&self, request: &Message, leg: &Leg, ruling: Ruling, excess: Excess) -> bool {
        match ruling {
            Ruling::Pass => return true,
            Ruling::Refuse => {
                self.metrics.throttled(excess, "refused");
                self.refuse(request, leg, Refusal::Throttled(excess.reason(), self.timings.retry_after));
            }
            Ruling::Drop => self.metrics.throttled(excess, "dropped"),
        }
        false
    }

    /// What its source may still ask, be it a phone or a stranger.
    fn ruling(&self, request: &Message, leg: &Leg) -> Ruling {
        if self.forwarder.is_trusted(leg.remote.ip()) {
            return Ruling::Pass;
        }
        let shown = [Name::Authorization, Name::ProxyAuthorization].map(|name| request.header(name));
        let shown = if shown == [None, None] { Shown::Nothing } else { Shown::Credentials };
        let ruling = self.throttle.lock().rule(Source::of(leg), shown, self.now());
        // Everybody can write a To-tag; our Route is signed. It is looked at only where it matters, for that takes time.
        if ruling == Ruling::Pass || self.forwarder.is_in_dialog(request) { Ruling::Pass } else { ruling }
    }

    /// Passes on the ACK of a 200, which goes the way of its dialog. Any other ends an INVITE that was refused, and nobody
    /// waits for it.
    fn acknowledge(&self, ack: &Message, leg: &Leg) {
        if !self.forwarder.is_in_dialog(ack) {
            return;
        }
        match self.forwarder.request(ack, leg, &self.names) {
            Ok(forwarded) => self.send_to_first_live(&self.members.load().order(ack), forwarded.bytes),
            Err(_) => self.metrics.dropped(Dropped::Malformed),
        }
    }

    fn cancel(&self, cancel: &Message, leg: &Leg) {
        let checked = match cancel.checked() {
            Ok(checked) => checked,
            Err(fault) => return self.refuse(cancel, leg, fault.into()),
        };
        let is_held = {
            let window = self.window.lock();
            branch::cancelled(cancel, &checked, leg).any(|key| window.holds(key))
        };
        match is_held {
            true => self.reply(cancel, leg, 200, |noted| Some(refusal::cancelled(noted))),
            false => self.refuse(cancel, leg, Refusal::NothingToCancel),
        }
    }

    fn phone_answer(&self, answer: &Message, leg: &Leg) {
        // Two readers might see two messages in it. Its manager or the upstream knows best what else it needs of it.
        if answer.fault().is_some() {
            return self.metrics.dropped(Dropped::Malformed);
        }
        if let Some(upstream) = &self.upstream
            && self.relayed_answer(upstream, answer, leg)
        {
            return;
        }
        match self.deliverer.answer(answer, &self.names) {
            Ok((manager, bytes)) => self.send_to_manager(manager, bytes),
            Err(reason) => self.metrics.dropped(reason),
        }
    }

    fn manager_request(&self, request: &Message, reply: &Outbox, queue: Queue) {
        let delivery = self.deliverer.request(request, &self.names);
        let sent = delivery.and_then(|delivery| self.deliver(delivery));
        let Err(refusal) = sent else { return };
        debug!(%refusal, "Refused a manager's request");
        self.metrics.answered(refusal.status());
        if let Some(answer) = refusal.answer(request)
            && let Err(unsent) = reply.push(answer)
        {
            self.lost(unsent, queue);
        }
    }

    /// An answer to a request in flight; the manager's 503 sends the request to the next one.
    fn peer_answer(&self, answer: &Message, peer: Option<Peer>) {
        let back = match (answer.status(), forward::return_path(answer, &self.names)) {
            // Trying goes no further than one hop (RFC 3261 16.7).
            (Some(100), _) => return,
            (_, Ok(back)) => back,
            (_, Err(reason)) => return self.metrics.dropped(reason),
        };
        let now = self.now();
        match (answer.status(), peer) {
            (Some(503), Some(manager)) => {
                return self.with_window(|window, standings, now| {
                    window.refused(back.key, manager, standings, now);
                });
            }
            // On a connection that somebody else made it says that one manager refused, not which.
            (Some(503), None) => return self.metrics.dropped(Dropped::NotOurs),
            // The request may have gone to several managers, and its sender hears the first of them only.
            (Some(200..), _) if !self.window.lock().answered(back.key, now) => {
                return self.metrics.dropped(Dropped::Late);
            }
            _ => {}
        }
        if let Some(status) = answer.status() {
            self.throttle.lock().told(Source::of(&back.to), status, answer.method(), now);
        }
        self.send_back(&back.to, forward::returned(answer));
        if let Some(200..) = answer.status() {
            self.connections.answered(&back.to);
        }
    }

    /// Says to the phone what every manager has said. The request has our Via on top, so the answer is taken back as a
    /// manager's would be.
    fn refuse_forwarded(&self, request: Bytes) {
        let refusal = Refusal::Unavailable(self.timings.retry_after);
        let parse = |bytes| Message::parse(bytes, &self.limits.inner_message).ok();
        let answer = parse(request).and_then(|request| refusal.answer(&request)).and_then(parse);
        let Some(answer) = answer else { return };
        self.metrics.answered(refusal.status());
        match forward::return_path(&answer, &self.names) {
            Ok(back) => {
                self.send_back(&back.to, forward::returned(&answer));
                self.connections.answered(&back.to);
            }
            Err(reason) => self.metrics.dropped(reason),
        }
    }

    fn refuse(&self, request: &Message, leg: &Leg, refusal: Refusal) {
        debug!(remote = %leg.remote, %refusal, "Refused a phone's request");
        self.reply(request, leg, refusal.status(), |noted| refusal.answer(noted));
    }

    /// Answers a phone's request here.
    fn reply(
        &self,
        request: &Message,
        leg: &Leg,
        status: u16,
        answer: impl FnOnce(&Message) -> Option<Bytes>,
    ) {
        let noted = forward::noted(request, leg.remote, &self.limits.inner_message);
        let Some((noted, answer)) = noted.and_then(|noted| answer(&noted).map(|answer| (noted, answer)))
        else {
            return self.metrics.dropped(Dropped::Unanswerable);
        };
        self.metrics.answered(status);
        let remote = noted.via().ok().and_then(|via| forward::sender(&via)).unwrap_or(leg.remote);
        self.send_back(&Leg { remote, ..*leg }, answer);
    }

    /// A phone keeps its flow open.
    fn keep_alive(&self, leg: &Leg, answer: Bytes) {
        match self.admission(leg) {
            Ruling::Pass => self.send_back(leg, answer),
            _ => self.metrics.throttled(Excess::Requests, "dropped"),
        }
    }

    fn send_back(&self, to: &Leg, answer: Bytes) {
        // Refused to be sent, it is counted; the phone will ask again.
        let _ = self.send_to_phone(to, answer, Connections::answer);
    }

    fn ask_phone(&self, to: &Leg, request: Bytes) -> Result<(), Unsent> {
        self.send_to_phone(to, request, Connections::ask)
    }

    fn send_to_phone(
        &self,
        to: &Leg,
        bytes: Bytes,
        over: impl FnOnce(&Connections, u64, Bytes) -> Result<(), Unsent>,
    ) -> Result<(), Unsent> {
        let sent = match to.transport {
            Transport::Udp => {
                if self.send_datagram(to.listener, bytes, to.remote) == Err(Unsent::Full) {
                    // As if lost on the way: whoever waits for it repeats it.
                    self.lost(Unsent::Full, Queue::Udp);
                }
                Ok(())
            }
            _ => over(&self.connections, to.connection, bytes),
        };
        match sent {
            Ok(()) => self.metrics.to_phones.increment(1),
            Err(unsent) => self.lost(unsent, Queue::Connection),
        }
        sent
    }

    fn send_datagram(&self, listener: usize, bytes: Bytes, to: SocketAddr) -> Result<(), Unsent> {
        let port = self.ports[listener].as_ref().ok_or(Unsent::Gone)?;
        port.send(bytes, to).map_err(|_| Unsent::Full)
    }

    /// A message found no way to the next hop.
    fn lost(&self, unsent: Unsent, queue: Queue) {
        match unsent {
            Unsent::Gone => self.metrics.dropped(Dropped::FlowGone),
            Unsent::Full => {
                self.metrics.full(queue);
                self.metrics.dropped(Dropped::QueueFull);
            }
        }
    }
}
