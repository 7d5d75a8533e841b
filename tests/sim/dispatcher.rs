//! A dispatcher: the real rules of routing, with the wires of the world in place of sockets. What it does here is what
//! the switchboard does there.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use dispatcher::Speaks;
use dispatcher::deliver::Deliverer;
use dispatcher::forward::{self, Forwarder};
use dispatcher::names::{Leg, Names};
use dispatcher::refusal::Refusal;
use dispatcher::route::{Liveness, Peer, Ranking, Standing, Standings};
use dispatcher::window::{Bounds, Output, Window};
use sip::{Instant, Limits, Message, Method, Secret};

use crate::coverage::{Coverage, Seen};

pub struct Dispatcher {
    names: Names,
    forwarder: Forwarder,
    deliverer: Deliverer,
    ranking: Ranking,
    managers: Vec<SocketAddr>,
    window: Window,
    liveness: Vec<Liveness>,
    limits: Limits,
    /// When the world wakes it next.
    pub timer_at: u64,
    outgoing: Vec<Outgoing>,
    pub seen: Coverage,
}

pub enum Outgoing {
    ToNode {
        node: usize,
        bytes: Bytes,
    },
    /// `from` is the node, if it is a request of one.
    ToPhone {
        leg: Leg,
        bytes: Bytes,
        from: Option<usize>,
    },
}

/// Without any word for this long a node is passed over.
const LIVE: Duration = Duration::from_millis(750);
/// Without any word for this long a connection is closed.
const LINK_SILENCE: Duration = Duration::from_secs(5);
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Dispatcher {
    pub fn new(
        inner: SocketAddr,
        listener: SocketAddr,
        domain: &str,
        managers: &[(String, SocketAddr)],
        secret: &Secret,
    ) -> Dispatcher {
        let bounds = Bounds {
            requests: 1_000,
            bytes: 1 << 20,
            patience: Duration::from_secs(1),
            hold: Duration::from_secs(3),
            pause: Duration::from_millis(500),
            give_up: Duration::from_secs(32),
            answered: 1_000,
        };
        let ranked = managers.iter().enumerate().map(|(node, (name, _))| (name.as_str(), peer(node)));
        Dispatcher {
            names: Names::new(inner, &[(listener, Speaks::UdpAndTcp)], &[domain.to_owned()]),
            forwarder: Forwarder::new(secret, &[]),
            deliverer: Deliverer::new(secret),
            ranking: Ranking::new(ranked),
            managers: managers.iter().map(|(_, address)| *address).collect(),
            window: Window::new(bounds),
            liveness: vec![Liveness::default(); managers.len()],
            limits: Limits::default(),
            timer_at: u64::MAX,
            outgoing: Vec::new(),
            seen: Coverage::default(),
        }
    }

    pub fn take_outgoing(&mut self) -> Vec<Outgoing> {
        std::mem::take(&mut self.outgoing)
    }

    pub fn poll_timeout(&self) -> Option<u64> {
        self.window.poll_timeout().map(|at| at.0)
    }

    pub fn handle_timeout(&mut self, now: u64) {
        self.with_window(now, |window, standings, now| window.handle_timeout(standings, now));
    }

    pub fn connected(&mut self, node: usize) {
        self.liveness[node].connected();
    }

    pub fn lost(&mut self, node: usize, now: u64) {
        self.liveness[node].lost();
        self.with_window(now, |window, standings, now| window.lost(peer(node), standings, now));
    }

    /// A node answered a ping.
    pub fn pong(&mut self, node: usize, serving: bool, now: u64) {
        let liveness = &mut self.liveness[node];
        let before = liveness.standing(LIVE, Instant(now));
        match serving {
            true => liveness.serving(Instant(now)),
            false => liveness.declined(Instant(now)),
        }
        if serving && before != Standing::Live {
            self.with_window(now, |window, standings, now| window.serving(peer(node), standings, now));
        }
    }

    /// Whether a connection has been silent for so long that it should be closed.
    pub fn is_silent(&self, node: usize, now: u64) -> bool {
        self.liveness[node].heard().is_some_and(|heard| Instant(now) - heard >= LINK_SILENCE)
    }

    pub fn take_from_phone(&mut self, message: &Message, leg: &Leg, now: u64) {
        if !message.is_request() {
            let Ok((address, bytes)) = self.deliverer.answer(message, &self.names) else { return };
            let node = self.managers.iter().position(|manager| *manager == address);
            return self.outgoing.extend(node.map(|node| Outgoing::ToNode { node, bytes }));
        }
        let forwarded = match self.forwarder.request(message, leg, &self.names) {
            Ok(forwarded) => forwarded,
            Err(refusal) => return self.refuse(message, leg, refusal),
        };
        let order = self.ranking.order(message);
        let (key, bytes, priority) = (forwarded.key, forwarded.bytes, forwarded.priority);
        let admitted = self.with_window(now, |window, standings, now| {
            window.admit(key, bytes, order, priority, standings, now)
        });
        if admitted.is_err() {
            self.refuse(message, leg, Refusal::Unavailable(RETRY_AFTER));
        }
    }

    /// A message from a node; gives the answer to a request that can not be delivered.
    pub fn take_from_node(&mut self, node: usize, message: &Message, now: u64) -> Option<Bytes> {
        if !message.is_request() {
            self.answer(node, message, now);
            return None;
        }
        match self.deliverer.request(message, &self.names) {
            Ok(delivery) => {
                self.outgoing.push(Outgoing::ToPhone {
                    leg: delivery.to,
                    bytes: delivery.bytes,
                    from: Some(node),
                });
                None
            }
            Err(refusal) => refusal.answer(message),
        }
    }

    /// The connection that a node's request was for has gone.
    pub fn flow_failed(&mut self, request: Bytes) -> Option<Bytes> {
        let request = Message::parse(request, &self.limits).ok()?;
        (request.method() == Method::Notify).then(|| Refusal::FlowFailed.answer(&request))?
    }

    fn answer(&mut self, node: usize, answer: &Message, now: u64) {
        let Ok(back) = forward::return_path(answer, &self.names) else { return };
        match answer.status() {
            Some(100) => return,
            Some(503) => {
                self.seen.note(Seen::RequestRefusedByNode);
                return self.with_window(now, |window, standings, now| {
                    window.refused(back.key, peer(node), standings, now);
                });
            }
            // It may have gone to several nodes, and its sender hears the first of them only.
            _ if !self.window.answered(back.key, Instant(now)) => return,
            _ => {}
        }
        self.outgoing.push(Outgoing::ToPhone { leg: back.to, bytes: forward::returned(answer), from: None });
    }

    fn refuse(&mut self, request: &Message, leg: &Leg, refusal: Refusal) {
        let Some(noted) = forward::noted(request, leg.remote, &self.limits) else { return };
        if let Some(bytes) = refusal.answer(&noted) {
            self.outgoing.push(Outgoing::ToPhone { leg: *leg, bytes, from: None });
        }
    }

    /// Says to the phone what every node has said.
    fn refuse_forwarded(&mut self, request: Bytes) {
        self.seen.note(Seen::RequestRefusedByAll);
        let parse = |bytes| Message::parse(bytes, &self.limits).ok();
        let refusal = Refusal::Unavailable(RETRY_AFTER);
        let answer = parse(request).and_then(|request| refusal.answer(&request)).and_then(parse);
        let Some(answer) = answer else { return };
        if let Ok(back) = forward::return_path(&answer, &self.names) {
            self.outgoing.push(Outgoing::ToPhone {
                leg: back.to,
                bytes: forward::returned(&answer),
                from: None,
            });
        }
    }

    fn with_window<T>(&mut self, now: u64, act: impl FnOnce(&mut Window, &Standings, Instant) -> T) -> T {
        let now = Instant(now);
        let standings = self.liveness.iter().enumerate();
        let standings = standings.map(|(node, liveness)| (peer(node), liveness.standing(LIVE, now)));
        let standings: Standings = standings.collect();
        let result = act(&mut self.window, &standings, now);
        while let Some(output) = self.window.poll_output() {
            match output {
                Output::Send { key, peer, request, retry } => {
                    if retry {
                        self.seen.note(Seen::RequestTriedElsewhere);
                    }
                    let node = peer.0 as usize - 1;
                    match self.liveness[node].is_connected() {
                        false => self.window.unsent(key, peer, &standings, now),
                        true => self.outgoing.push(Outgoing::ToNode { node, bytes: request }),
                    }
                }
                Output::Refuse { request } => self.refuse_forwarded(request),
                Output::GaveUp => {}
            }
        }
        result
    }
}

fn peer(node: usize) -> Peer {
    Peer(node as u64 + 1)
}
