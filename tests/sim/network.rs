//! The wires: what is lost, doubled, late or out of order between phones and dispatchers, and which of the streams
//! inside are open.

use std::collections::BTreeMap;

use dispatcher::names::Leg;
use presence_agent::LinkId;

use crate::coverage::{Coverage, Seen};
use crate::event::Event;
use crate::rng::Rng;

#[derive(Debug)]
pub struct Network {
    /// Of a hundred datagrams.
    pub loss: u64,
    pub doubled: u64,
    /// The longest time that a datagram is under way, in ms.
    pub slowest: u64,
    /// Of a hundred heartbeats between nodes.
    pub heartbeat_loss: u64,
    pub seen: Coverage,
    nodes: Vec<Running>,
    /// Whether two nodes can not talk about the log, and when the last message between them arrives.
    log: Vec<Vec<Stream>>,
    /// By dispatcher and node.
    links: Vec<Vec<Link>>,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    Yes,
    Paused,
    Dead,
}

#[derive(Clone, Debug, Default)]
struct Stream {
    cut: bool,
    last: u64,
}

/// The connection between a dispatcher and a node. While it is cut and not broken, what is sent waits.
#[derive(Debug, Default)]
struct Link {
    generation: u64,
    up: bool,
    cut: bool,
    to_node: u64,
    to_dispatcher: u64,
    held: Vec<Event>,
}

/// A phone's connection to a dispatcher.
#[derive(Debug)]
pub struct Connection {
    pub dispatcher: usize,
    to_phone: u64,
    to_dispatcher: u64,
}

impl Network {
    pub fn new(dispatchers: usize, nodes: usize, rng: &mut Rng) -> Network {
        let calm = rng.percent(20);
        Network {
            loss: if calm { 0 } else { rng.between(0, 25) },
            doubled: rng.between(0, 15),
            slowest: if rng.percent(30) { rng.between(200, 1_500) } else { rng.between(5, 60) },
            heartbeat_loss: rng.between(0, 25),
            seen: Coverage::default(),
            nodes: vec![Running::Dead; nodes],
            log: vec![vec![Stream::default(); nodes]; nodes],
            links: (0..dispatchers).map(|_| (0..nodes).map(|_| Link::default()).collect()).collect(),
            connections: BTreeMap::new(),
            next_connection: 1,
        }
    }

    /// From here on nothing is lost.
    pub fn calm(&mut self) {
        (self.loss, self.doubled, self.slowest, self.heartbeat_loss) = (0, 0, 20, 0);
    }

    pub fn set_running(&mut self, node: usize, running: Running) {
        self.nodes[node] = running;
    }

    pub fn running(&self, node: usize) -> Running {
        self.nodes[node]
    }

    pub fn runs(&self, node: usize) -> bool {
        self.nodes[node] == Running::Yes
    }

    // ---- between nodes ----

    pub fn cut_log(&mut self, one: usize, other: usize, cut: bool) {
        self.log[one][other].cut = cut;
        self.log[other][one].cut = cut;
    }

    pub fn log_is_open(&self, one: usize, other: usize) -> bool {
        !self.log[one][other].cut
    }

    /// When a message of the log arrives; never, if the way is cut.
    pub fn log_message(&mut self, from: usize, to: usize, now: u64, rng: &mut Rng) -> Option<u64> {
        if from == to {
            return Some(now + rng.between(0, 3));
        }
        let delay = if rng.percent(3) { rng.between(20, 300) } else { rng.between(1, 5) };
        let stream = &mut self.log[from][to];
        stream.last = stream.last.max(now + delay);
        (!stream.cut).then_some(stream.last)
    }

    // ---- between dispatchers and nodes ----

    pub fn link(&self, dispatcher: usize, node: usize) -> Option<LinkId> {
        let link = &self.links[dispatcher][node];
        link.up.then_some(LinkId(link.generation << 8 | (dispatcher as u64) << 4 | node as u64))
    }

    /// The dispatcher of a link that is still open.
    pub fn dispatcher_of(&self, link: LinkId) -> Option<usize> {
        let (dispatcher, node) = ((link.0 >> 4 & 0xf) as usize, (link.0 & 0xf) as usize);
        (self.link(dispatcher, node) == Some(link)).then_some(dispatcher)
    }

    pub fn node_of(link: LinkId) -> usize {
        (link.0 & 0xf) as usize
    }

    pub fn is_cut(&self, dispatcher: usize, node: usize) -> bool {
        self.links[dispatcher][node].cut
    }

    pub fn connect(&mut self, dispatcher: usize, node: usize) {
        let link = &mut self.links[dispatcher][node];
        link.up = true;
        link.generation += 1;
    }

    pub fn disconnect(&mut self, dispatcher: usize, node: usize) {
        let link = &mut self.links[dispatcher][node];
        link.up = false;
        link.held.clear();
    }

    pub fn cut_link(&mut self, dispatcher: usize, node: usize) {
        self.links[dispatcher][node].cut = true;
    }

    /// Opens the way again; gives what waited meanwhile.
    pub fn heal_link(&mut self, dispatcher: usize, node: usize) -> Vec<Event> {
        let link = &mut self.links[dispatcher][node];
        link.cut = false;
        std::mem::take(&mut link.held)
    }

    /// When something sent over a link arrives. Given back if the way is open; else it waits.
    pub fn over_link(
        &mut self,
        link: LinkId,
        towards_node: bool,
        event: Event,
        now: u64,
        rng: &mut Rng,
    ) -> Option<(u64, Event)> {
        let dispatcher = self.dispatcher_of(link)?;
        let link = &mut self.links[dispatcher][Network::node_of(link)];
        if link.cut {
            link.held.push(event);
            return None;
        }
        let last = if towards_node { &mut link.to_node } else { &mut link.to_dispatcher };
        *last = (*last).max(now + rng.between(0, 4));
        Some((*last, event))
    }

    // ---- between phones and dispatchers ----

    pub fn phone_connects(&mut self, dispatcher: usize) -> u64 {
        let connection = self.next_connection;
        self.next_connection += 1;
        let open = Connection { dispatcher, to_phone: 0, to_dispatcher: 0 };
        self.connections.insert(connection, open);
        connection
    }

    pub fn phone_disconnects(&mut self, connection: u64) {
        self.connections.remove(&connection);
    }

    pub fn connection(&self, connection: u64) -> Option<&Connection> {
        self.connections.get(&connection)
    }

    /// When the copies of a message between a phone and a dispatcher arrive.
    pub fn over_the_air(&mut self, leg: &Leg, towards_phone: bool, now: u64, rng: &mut Rng) -> Vec<u64> {
        if leg.transport.reliable() {
            let delay = rng.between(1, 10);
            let Some(connection) = self.connections.get_mut(&leg.connection) else { return Vec::new() };
            let last = if towards_phone { &mut connection.to_phone } else { &mut connection.to_dispatcher };
            *last = (*last).max(now + delay);
            return vec![*last];
        }
        if rng.percent(self.loss) {
            self.seen.note(Seen::DatagramLost);
            return Vec::new();
        }
        let copies = if rng.percent(self.doubled) { 2 } else { 1 };
        if copies == 2 {
            self.seen.note(Seen::DatagramDoubled);
        }
        (0..copies).map(|_| now + rng.between(1, self.slowest)).collect()
    }
}
