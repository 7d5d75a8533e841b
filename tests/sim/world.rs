//! The world: one virtual clock, and everything that a run is made of. A seed says it all.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use presence_agent::verdict::Decision;
use sip::{Limits, Message, Transport};

use crate::billing::Billing;
use crate::coverage::Coverage;
use crate::dispatcher::Dispatcher;
use crate::event::{Event, Queue};
use crate::faults::{self, Cast};
use crate::invariants::{Broken, Check, Invariants, accounts, broken};
use crate::log::{self, Log, Patience};
use crate::names::{self, DISPATCHERS, NODES};
use crate::network::{Network, Running};
use crate::node::Node;
use crate::phone::{Phone, Script};
use crate::rng::Rng;

pub struct World {
    pub(crate) now: u64,
    pub(crate) rng: Rng,
    pub(crate) queue: Queue,
    pub(crate) network: Network,
    pub(crate) dispatchers: Vec<Dispatcher>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) log: Log,
    pub(crate) billing: Billing,
    pub(crate) phones: Vec<Phone>,
    /// Old addresses of phones that somebody else has now.
    pub(crate) strangers: BTreeSet<SocketAddr>,
    pub(crate) invariants: Invariants,
    pub(crate) seen: Coverage,
    pub(crate) lost: BTreeSet<(u64, u64, u64)>,
    pub(crate) submitted: BTreeSet<(u64, u64, u64)>,
    pub(crate) calm_since: Option<u64>,
    pub(crate) ends_at: u64,
    /// Leaders learn from the directory of each start of a node; else they know none.
    pub(crate) has_directory: bool,
    pub(crate) traced: bool,
}

/// How a run came out.
pub struct Run {
    pub seen: Coverage,
    pub broken: Option<(Broken, u64)>,
}

/// The longest that things may take to be as they should be once faults have stopped: a NOTIFY that was lost on a
/// reliable hop is given up after 32 s and tried again 64 s later.
pub(crate) const SETTLES_WITHIN: u64 = 110_000;

/// The longest that a change of billing's mind may take to stand in the log: nodes may have to listen anew, billing may
/// be slow, and a command may have to be proposed again.
const JUDGED_WITHIN: u64 = 20_000;

/// Runs one seed. `hasty`: the log says *committed* too early.
pub fn run(seed: u64, hasty: bool) -> Run {
    let mut world = World::new(seed, hasty);
    let broken = world.live().err().map(|broken| (broken, world.now));
    Run { seen: world.all_seen(), broken }
}

impl World {
    fn new(seed: u64, hasty: bool) -> World {
        let mut rng = Rng::new(seed);
        let mut network = Network::new(DISPATCHERS, NODES, &mut rng);
        let patience = Patience {
            leaderless: rng.between(1_000, 3_000),
            propose_again: rng.between(300, 4_000),
            give_up: rng.between(2_500, 12_000),
        };
        let (snapshot_every, kept) = (rng.between(4, 40), rng.between(0, 10));
        let settings = log::Settings { patience, snapshot_every, kept, hasty };
        let log = Log::new(NODES, settings, Rng::new(rng.next()));
        let managers: Vec<_> =
            (0..NODES).map(|node| (format!("manager-{node}"), names::manager(node))).collect();
        let dispatcher = |number| {
            let (inner, listener) = (names::inner(number), names::listener());
            Dispatcher::new(inner, listener, names::DOMAIN, &managers, &names::secret())
        };
        let dispatchers = (0..DISPATCHERS).map(dispatcher).collect();
        let skews: Vec<_> = (0..NODES).map(|_| skew(&mut rng)).collect();
        let nodes = skews.iter().enumerate().map(|(node, skew)| Node::start(node, 1, 0, *skew)).collect();
        (0..NODES).for_each(|node| network.set_running(node, Running::Yes));
        let phones = phones(&mut network, &mut rng);
        let watchers = phones.iter().filter(|phone| matches!(phone.script, Script::Watcher(_)));
        let billing = Billing::new(seed, watchers.map(Phone::account));
        let mut world = World {
            now: 0,
            queue: Queue::default(),
            network,
            dispatchers,
            nodes,
            log,
            billing,
            phones,
            strangers: BTreeSet::new(),
            invariants: Invariants::default(),
            seen: Coverage::default(),
            lost: BTreeSet::new(),
            submitted: BTreeSet::new(),
            calm_since: None,
            ends_at: 0,
            has_directory: !seed.is_multiple_of(4),
            traced: std::env::var_os("SIM_TRACE").is_some(),
            rng,
        };
        world.plan();
        world
    }

    fn plan(&mut self) {
        let calm_at = self.rng.between(5_000, 20_000);
        let cast = Cast { nodes: NODES, dispatchers: DISPATCHERS, phones: self.phones.len() };
        for (at, fault) in faults::plan(cast, 1_500, calm_at - 1, &mut self.rng) {
            self.queue.push(at, Event::Fault(fault));
        }
        for (at, account, opinion) in self.billing.plan(1_500, calm_at - 1) {
            self.queue.push(at, Event::Billing(account, opinion));
        }
        self.queue.push(calm_at, Event::Calm);
        self.queue.push(1, Event::Heartbeat);
        self.queue.push(2, Event::Ping);
        for phone in 0..self.phones.len() {
            self.queue.push(self.phones[phone].wakes_at(), Event::PhoneWakes(phone));
        }
    }

    fn live(&mut self) -> Check {
        for node in 0..NODES {
            self.listens_anew(node);
            self.perform(node)?;
        }
        while let Some((at, event)) = self.queue.pop() {
            self.now = at;
            if matches!(event, Event::Inspect) {
                if self.calm_since.is_some_and(|calm| self.now > calm + JUDGED_WITHIN) {
                    self.are_judged()?;
                }
                match self.inspect() {
                    Err(broken) if self.now >= self.ends_at => return Err(broken),
                    Err(_) => self.queue.push(self.now + 1_000, Event::Inspect),
                    Ok(()) => return Ok(()),
                }
                continue;
            }
            self.happen(event)?;
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Check {
        match event {
            Event::PhoneWakes(phone) => {
                let calm = self.calm_since.is_some();
                self.phones[phone].wake(self.now, calm, &mut self.rng);
                self.after_phone(phone)
            }
            Event::AtDispatcher { dispatcher, leg, bytes } => {
                let message = Message::parse(bytes, &Limits::default()).expect("phones write SIP");
                if message.is_request() {
                    self.invariants.answers.arrived(&message);
                }
                self.dispatchers[dispatcher].take_from_phone(&message, &leg, self.now);
                self.after_dispatcher(dispatcher)
            }
            Event::AtPhone { leg, bytes } => self.at_phone(leg, bytes),
            Event::AtNode { node, incarnation, input } => self.at_node(node, incarnation, input),
            Event::FromNode { dispatcher, link, message } => {
                if self.network.dispatcher_of(link) != Some(dispatcher) {
                    return Ok(());
                }
                let node = Network::node_of(link);
                if let Some(answer) = self.dispatchers[dispatcher].take_from_node(node, &message, self.now) {
                    self.send_to_node(link, answer);
                }
                self.after_dispatcher(dispatcher)
            }
            Event::DispatcherTimer(dispatcher) => {
                self.dispatchers[dispatcher].handle_timeout(self.now);
                self.after_dispatcher(dispatcher)
            }
            Event::Heartbeat => self.heartbeat(),
            Event::Ping => self.ping(),
            Event::Fault(fault) => self.suffer(fault),
            Event::Billing(account, opinion) => {
                self.billing_changes(account, opinion);
                Ok(())
            }
            Event::Calm => self.calm(),
            Event::Inspect => Ok(()),
        }
    }

    /// Is everything as it should be, now that faults have stopped?
    fn inspect(&mut self) -> Check {
        for node in 0..NODES {
            if self.log.applied(node) < self.log.committed() || !self.nodes[node].agent.is_serving() {
                return broken("P1 a node does not come back", format!("node {node}"));
            }
        }
        self.are_judged()?;
        for phone in &self.phones {
            if let Script::Watcher(watcher) = &phone.script
                && let Some(dialog) = watcher.current().filter(|dialog| dialog.is_live(self.now))
            {
                let pending = self.billing.opinion(&phone.account()) == Decision::Pending;
                accounts::is_told(pending, dialog)?;
                let invariants = &self.invariants;
                let (presentity, now) = (&watcher.presentity, self.now);
                let (history, publications) = (&invariants.history, &invariants.publications);
                if pending {
                    continue;
                }
                invariants.watchers.is_served(presentity, dialog, history, publications, now)?;
            }
        }
        Ok(())
    }

    fn are_judged(&self) -> Check {
        accounts::are_judged(|account| self.billing.opinion(account), &self.invariants.history)
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm_since.is_some()
    }

    fn all_seen(&mut self) -> Coverage {
        let mut seen = self.seen.clone();
        seen.add(&self.network.seen);
        seen.add(&self.log.seen);
        seen.add(&self.invariants.seen);
        self.dispatchers.iter().for_each(|dispatcher| seen.add(&dispatcher.seen));
        self.phones.iter().for_each(|phone| seen.add(&phone.seen));
        seen
    }

    pub(crate) fn trace(&self, what: impl FnOnce() -> String) {
        if self.traced {
            println!("{:>7} {}", self.now, what());
        }
    }
}

/// How far a wall clock is ahead of the others: mostly little.
pub(crate) fn skew(rng: &mut Rng) -> u64 {
    if rng.percent(80) { rng.between(0, 300) } else { rng.between(0, 20_000) }
}

fn phones(network: &mut Network, rng: &mut Rng) -> Vec<Phone> {
    let people = [format!("alice@{}", names::DOMAIN), format!("bob@{}", names::DOMAIN)];
    let mut scripts = Vec::new();
    for presentity in &people {
        let user = presentity.split('@').next().unwrap_or_default();
        scripts.push((user.to_owned(), Script::publisher(presentity)));
    }
    if rng.percent(50) {
        scripts.push(("alice".into(), Script::registrant(&people[0])));
    }
    for number in 0..rng.between(2, 5) as usize {
        let presentity = &people[rng.index(2)];
        scripts.push((format!("watcher{number}"), Script::watcher(presentity, number)));
    }
    let make = |(id, (user, script)): (usize, (String, Script))| {
        let transport = if rng.percent(25) { Transport::Tcp } else { Transport::Udp };
        let mut phone = Phone::new(id, user, transport, script, rng.between(1_000, 3_000));
        phone.dispatcher = rng.index(DISPATCHERS);
        if transport.reliable() {
            phone.connection = network.phone_connects(phone.dispatcher);
        }
        phone
    };
    scripts.into_iter().enumerate().map(make).collect()
}
