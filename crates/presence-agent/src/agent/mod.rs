//! The agent: one group's presence service as a value.
//!
//! It is entered three times for a request, once per real wait: with the request, with billing's verdict, and with the
//! committed entry. After each `handle_*`, drain `poll_output`.
//!
//! Shared state lives in the shard and changes only there. What the agent keeps besides is its own and may be lost:
//! transactions, what waits for an answer, and what it has delivered.

mod branches;
mod commits;
mod dialling;
mod fairness;
mod notifier;
mod programs;
mod requests;
mod reviews;
mod upkeep;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use placement::{NodeId, PresentityKey};
use presence::time::Timestamp;
use prost::Message as _;
use proto::v1;
use proto::v1::command::Kind;
use sip::Instant;
use sip::Secret;
use sip::transaction::{ClientTransactions, ServerTransactions};

use crate::api::{ApiReply, ApiTicket};
use crate::bound::Bound;
use crate::calls::Calls;
use crate::config::Config;
use crate::delivery::Deliveries;
use crate::documents::Documents;
use crate::identity::Identification;
use crate::mutants::{Mutant, broken};
use crate::pending::{Pending, Waiting};
use crate::rates::Rates;
use crate::reviews::Reviews;
use crate::said::with_history;
use crate::shard::{Picture, Shard};
use crate::tag::Tags;
use crate::verdict::Question;
use crate::verdict_cache::VerdictCache;

use branches::Branches;
pub(crate) use dialling::Dial;
use notifier::Notified;

pub struct Agent {
    config: Config,
    tags: Tags,
    flow_key: Secret,
    identification: Identification,
    shard: Shard,
    /// The last entry of the log that was handled.
    applied: u64,
    /// Our Boot of this start is in the log: from here on our NOTIFYs have CSeqs that nobody used.
    booted: bool,
    /// The node is on its way out: nothing new is taken.
    draining: bool,
    /// The log holds what this build does not understand. Nothing more is applied, or pictured as if it were.
    stopped: bool,
    servers: ServerTransactions,
    clients: ClientTransactions<Notified>,
    branches: Branches,
    pending: Pending,
    verdicts: VerdictCache,
    reviews: Reviews,
    rates: Rates,
    documents: Documents,
    deliveries: Deliveries,
    calls: Calls,
    upkeep: upkeep::Upkeep,
    outputs: VecDeque<Output>,
}

/// A connection of the SIP link; the answer to a request goes back over the one it came on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Names something that waits for billing or for the log. Valid for one start of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// The times of one moment.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For this node's own timers.
    pub monotonic: Instant,
    /// This node's estimate of log time, for what it tells others about expiry.
    pub log: Timestamp,
    /// Seconds since the Unix epoch, for nonces.
    pub unix: u64,
    /// Until when this node may send NOTIFYs: the leader had a majority behind it lately enough.
    pub lease: Instant,
}

impl Now {
    pub(crate) fn has_lease(&self) -> bool {
        self.monotonic < self.lease || broken(Mutant::NoLease)
    }
}

/// How long the leader has not heard another manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    pub node: NodeId,
    pub lasted: Duration,
    /// Its present start, as the directory knows it; 0 if it knows none.
    pub incarnation: u64,
}

#[derive(Debug)]
pub enum Output {
    /// An answer to a request.
    Respond {
        link: LinkId,
        bytes: Bytes,
    },
    /// A request of ours for the dispatcher at `next_hop`.
    Send {
        next_hop: SocketAddr,
        bytes: Bytes,
    },
    Authorise {
        ticket: Ticket,
        question: Question,
        source: String,
    },
    Propose {
        ticket: Ticket,
        command: Bytes,
    },
    Reply {
        ticket: ApiTicket,
        reply: ApiReply,
    },
    /// A presentity changed: followers may look again.
    Changed(PresentityKey),
    /// Something to be counted.
    Note(Note),
    /// Two replicas differ in a slot after entry `index`. Nothing is done about it but to say so.
    Diverged {
        index: u64,
        slot: u32,
        nodes: [NodeId; 2],
    },
    /// The log holds what this build does not understand: this shard must not go on here.
    Stop(String),
}

/// What an operator counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A SUBSCRIBE was accepted, and waits for approval.
    Pending,
    /// A SUBSCRIBE was refused because its account has as many as it may.
    QuotaUsedUp,
    /// A subscription of ours ended because billing changed its mind.
    Rejected,
    /// Billing is asked again about a subscription that lives.
    AskedAgain,
    /// There was no room for something; what happens then stands at the bound.
    Full(Bound),
}

/// One entry of the log. A command of this node's present start comes with its ticket.
#[derive(Debug)]
pub struct Entry {
    pub index: u64,
    pub stamp: Timestamp,
    pub commands: Vec<(Option<Ticket>, Bytes)>,
}

impl Entry {
    pub fn new(index: u64, stamp: u64) -> Entry {
        Entry { index, stamp: Timestamp(stamp), commands: Vec::new() }
    }
}

impl Agent {
    pub fn new(config: Config, now: Now) -> Agent {
        let mut agent = Agent {
            tags: Tags::new(&config.secret),
            flow_key: config.secret.derive("flow"),
            identification: Identification::new(&config),
            shard: Shard::default(),
            applied: 0,
            booted: false,
            draining: false,
            stopped: false,
            servers: ServerTransactions::new(
                config.limits.server_transactions,
                config.secret.derive("transaction"),
            ),
            clients: ClientTransactions::new(config.limits.client_transactions),
            branches: Branches::new(&config),
            pending: Pending::new(),
            verdicts: VerdictCache::new(config.limits.verdicts),
            reviews: Reviews::default(),
            rates: Rates::new(config.limits.requests_per_account),
            documents: Documents::new(config.limits.documents),
            deliveries: Deliveries::default(),
            calls: Calls::new(config.limits.calls),
            upkeep: upkeep::Upkeep::new(now.monotonic),
            outputs: VecDeque::new(),
            config,
        };
        agent.propose_boot();
        agent
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn poll_timeout(&self) -> Instant {
        let timers = [
            self.servers.poll_timeout(),
            self.clients.poll_timeout(),
            self.deliveries.next_retry(),
            self.calls.poll_timeout(),
        ];
        timers.into_iter().flatten().fold(self.upkeep.next(), Instant::min)
    }

    /// Runs what is due. `leading`: this node leads the group, so expiry and the silent ones are its task; how long it
    /// has not heard each of the others.
    pub fn handle_timeout(&mut self, now: Now, leading: Option<&[Silence]>) {
        self.servers.handle_timeout(now.monotonic);
        self.clients.handle_timeout(now.monotonic);
        self.drain_clients(now);
        self.keep_calls(now);
        for id in self.deliveries.take_retries(now.monotonic) {
            self.wake(id);
        }
        self.keep_up(now, leading);
        self.pump(now);
    }

    /// Whether requests are taken: not before our own start stands in the log, and not without a majority behind us for
    /// longer than an election takes.
    pub fn is_serving(&self) -> bool {
        self.booted && !self.draining && !self.stopped && !self.upkeep.is_cut_off()
    }

    /// The last entry of the log that was handled, or that of the snapshot that was restored.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// From now on new requests are refused; those under way are finished.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether no request waits for an answer.
    pub fn is_idle(&self) -> bool {
        self.pending.requests() == 0
    }

    /// Whether this agent must not go on; see [`Output::Stop`].
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Replaces the state by that of a snapshot as of log entry `index`.
    pub fn restore(&mut self, chunks: Vec<Bytes>, index: u64, now: Now) {
        match Shard::restore(chunks, index) {
            Ok(shard) => (self.shard, self.applied) = (shard, index),
            // The file's checksums were right, so another build wrote what this one cannot read.
            Err(error) => return self.stop(format!("the snapshot at {index} cannot be read: {error}")),
        }
        self.booted =
            self.shard.node(self.config.node).is_some_and(|node| node.incarnation == self.config.incarnation);
        if self.booted && !broken(Mutant::SnapshotUnscanned) {
            self.scan(now);
            self.pump(now);
        }
    }

    fn stop(&mut self, why: String) {
        self.stopped = true;
        self.outputs.push_back(Output::Stop(why));
    }

    /// A copy-on-write picture of the state as of the last entry handled.
    pub fn picture(&self) -> Picture {
        self.shard.picture()
    }

    fn full(&mut self, bound: Bound) {
        self.outputs.push_back(Output::Note(Note::Full(bound)));
    }

    fn propose(&mut self, waiting: Waiting, command: Kind) {
        let ticket = self.pending.add(waiting);
        let command = with_history(command, self.config.limits.history_seconds);
        let command = v1::Command { kind: Some(command) }.encode_to_vec().into();
        self.outputs.push_back(Output::Propose { ticket, command });
    }
}
