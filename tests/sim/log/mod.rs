//! The model log: what the crate `cluster` promises about a group's log, as a value, with every freedom that the
//! promise leaves used against the agents.
//!
//! There is one order of committed entries, which each node is handed at its own pace. A node's own command ends as
//! *committed* (seen in its own log, with its ticket), *failed* (no leader ever had it, and none will) or *lost*
//! (nobody knows; it may still be committed). It may be committed twice, for it is proposed again when a leader falls. A
//! leader that was cut off believes in itself until somebody tells it of a later term: nothing that it appends is
//! committed, and its lease runs out. A node that lags too far gets a snapshot in place of entries.
//!
//! Elections are not voted but decided, by [`Log::heartbeat`]: never sooner than 500 ms after a leader last had a
//! majority behind it, and up to four seconds later. The rest is Raft's: terms, a majority of disks, logs overruled.

mod clock;
mod disk;
mod heartbeat;
mod outbox;
mod replica;

use std::rc::Rc;

use bytes::Bytes;
use placement::NodeId;
use prost::Message as _;
use proto::v1;
use proto::v1::command::Kind;

use crate::coverage::{Coverage, Seen};
use crate::network::Network;
use crate::rng::Rng;

use disk::Disk;
pub use disk::{Entry, Snapshot, Submitted};
pub use outbox::Patience;
use replica::Replica;

/// How long a lease lasts after the leader last had a majority behind it.
const LEASE: u64 = 450;
/// So many words of the leader are kept; older ones are no lease any more.
const GRANTS: usize = 6;
/// No new leader sooner than this after the old one last had a majority.
const NO_LEADER_BEFORE: u64 = 500;

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub patience: Patience,
    /// Entries between two snapshots of a node, and how many stay behind one.
    pub snapshot_every: u64,
    pub kept: u64,
    /// A leader says *committed* before a majority has the entry: the fault that the rules must catch.
    pub hasty: bool,
}

pub struct Log {
    settings: Settings,
    disks: Vec<Disk>,
    replicas: Vec<Replica>,
    rng: Rng,
    pub seen: Coverage,
    outputs: Vec<Output>,
    /// What a majority holds, and so for good.
    committed: Vec<Rc<Entry>>,
    /// When any leader last had a majority behind it.
    quorum_at: u64,
    /// How long the present or next spell without a leader lasts.
    spell: u64,
}

/// What nodes say to each other about the log.
#[derive(Debug)]
pub enum Message {
    /// Commands for the leader.
    Batch {
        from: usize,
        id: u64,
        items: Vec<Submitted>,
    },
    BatchAnswer {
        id: u64,
        taken: bool,
    },
    /// The leader makes an entry of what it has taken in.
    Flush,
    /// `after` is index and term of the entry before the first.
    Append {
        from: usize,
        term: u64,
        after: (u64, u64),
        entries: Vec<Rc<Entry>>,
        commit: u64,
    },
    Snapshot {
        from: usize,
        term: u64,
        snapshot: Snapshot,
    },
    Matched {
        from: usize,
        term: u64,
        upto: u64,
    },
    /// There has been a later term.
    Overruled {
        term: u64,
    },
}

#[derive(Debug)]
pub enum Output {
    Send {
        from: usize,
        to: usize,
        message: Message,
    },
    /// There is something to hand to this node's agent.
    Apply {
        node: usize,
    },
    Failed {
        node: usize,
        ticket: u64,
    },
    Lost {
        node: usize,
        ticket: u64,
    },
    /// A majority holds it: it stands for ever.
    Committed(Rc<Entry>),
    /// An entry that a majority held has been overruled.
    Vanished(Rc<Entry>),
}

/// What a command says.
pub fn read(command: &Bytes) -> Kind {
    let command = v1::Command::decode(command.clone()).expect("agents propose commands");
    command.kind.expect("a command is of some kind")
}

/// What an agent is handed next.
pub enum Step {
    Entry(Rc<Entry>),
    Restore(Snapshot),
}

impl Log {
    pub fn new(nodes: usize, settings: Settings, rng: Rng) -> Log {
        Log {
            settings,
            disks: (0..nodes).map(|_| Disk::default()).collect(),
            replicas: (0..nodes).map(|_| Replica::new(settings.patience)).collect(),
            rng,
            seen: Coverage::default(),
            outputs: Vec::new(),
            committed: Vec::new(),
            quorum_at: 0,
            spell: 0,
        }
    }

    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// A start of a node: what it knew is gone, what its disk holds is not. Gives what its agent begins with.
    pub fn start(&mut self, node: usize) -> Option<Snapshot> {
        self.replicas[node] = Replica::new(self.settings.patience);
        let snapshot = self.disks[node].snapshot.clone();
        if let Some(snapshot) = &snapshot {
            let replica = &mut self.replicas[node];
            (replica.applied, replica.commit) = (snapshot.index, snapshot.index);
            replica.clock.saw(snapshot.stamp);
        }
        snapshot
    }

    /// A node is killed.
    pub fn stop(&mut self, node: usize) {
        self.replicas[node] = Replica::new(self.settings.patience);
    }

    pub fn propose(&mut self, node: usize, ticket: u64, command: Bytes, origin: (NodeId, u64), now: u64) {
        let replica = &mut self.replicas[node];
        replica.origin = origin;
        replica.outbox.add(ticket, command, now);
        self.courier(node, now);
    }

    /// The next step of a node's agent, if it may go on.
    pub fn step(&mut self, node: usize) -> Option<Step> {
        let (disk, replica) = (&self.disks[node], &mut self.replicas[node]);
        if let Some(snapshot) = replica.to_restore.take() {
            replica.applied = snapshot.index;
            replica.clock.saw(snapshot.stamp);
            return Some(Step::Restore(snapshot));
        }
        if replica.applied < replica.commit {
            let entry = disk.entry(replica.applied + 1)?.clone();
            replica.applied += 1;
            replica.clock.saw(entry.stamp);
            for command in &entry.commands {
                if (command.origin, command.incarnation) == replica.origin {
                    replica.outbox.committed(command.ticket);
                }
            }
            return Some(Step::Entry(entry));
        }
        None
    }

    pub fn has_more(&self, node: usize) -> bool {
        let replica = &self.replicas[node];
        replica.to_restore.is_some() || replica.applied < replica.commit
    }

    pub fn applied(&self, node: usize) -> u64 {
        self.replicas[node].applied
    }

    pub fn committed(&self) -> u64 {
        self.committed.len() as u64
    }

    /// Whether this node is due to take a snapshot of what it has applied.
    pub fn wants_snapshot(&self, node: usize) -> bool {
        let covered = self.disks[node].snapshot.as_ref().map_or(0, |snapshot| snapshot.index);
        self.replicas[node].applied >= covered + self.settings.snapshot_every
    }

    pub fn keep_snapshot(&mut self, node: usize, stamp: u64, chunks: Vec<Bytes>) {
        let index = self.replicas[node].applied;
        let Some(entry) = self.disks[node].entry(index) else { return };
        let snapshot = Snapshot { index, term: entry.term, stamp, chunks: Rc::new(chunks) };
        self.disks[node].compact(snapshot, self.settings.kept);
    }

    pub fn log_time(&self, node: usize, now: u64, wall: u64) -> u64 {
        self.replicas[node].clock.estimate(now, wall)
    }

    /// Until when this node may send NOTIFYs: a lease is for one who has applied what was committed when it was given.
    pub fn lease(&self, node: usize) -> u64 {
        let replica = &self.replicas[node];
        let quorum_at = match replica.leads {
            true => (replica.applied >= replica.led_from).then_some(replica.quorum_at),
            false => replica.grants.iter().find(|grant| grant.1 <= replica.applied).map(|grant| grant.0),
        };
        quorum_at.map_or(0, |at| at + LEASE)
    }

    /// How long a node that believes to lead has not heard each of the others.
    pub fn silences(&self, node: usize, now: u64) -> Option<Vec<(usize, u64)>> {
        let replica = &self.replicas[node];
        let others = (0..self.disks.len()).filter(|other| *other != node);
        replica.leads.then(|| others.map(|other| (other, now - replica.heard[other])).collect())
    }

    /// The leader of the latest term, and since when it has had a majority behind it without a break.
    pub fn established(&self, network: &Network) -> Option<(usize, u64)> {
        let leaders = (0..self.disks.len()).filter(|node| self.replicas[*node].leads);
        let leader = leaders.max_by_key(|node| self.disks[*node].term).filter(|node| network.runs(*node))?;
        Some((leader, self.replicas[leader].steady_since?))
    }

    /// Takes a node's waiting commands to the leader that it believes in.
    fn courier(&mut self, node: usize, now: u64) {
        let replica = &mut self.replicas[node];
        let Some(leader) = replica.leader else { return };
        let Some((id, commands)) = replica.outbox.take(8, now) else { return };
        let (origin, incarnation) = replica.origin;
        let items = commands.into_iter();
        let items = items.map(|(ticket, command)| Submitted { origin, incarnation, ticket, command });
        let items = items.collect();
        self.send(node, leader, Message::Batch { from: node, id, items });
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        self.outputs.push(Output::Send { from, to, message });
    }

    fn note(&mut self, seen: Seen) {
        self.seen.note(seen);
    }

    /// Whether `one` and `other` can talk about the log, and both run.
    fn reach(network: &Network, one: usize, other: usize) -> bool {
        network.runs(one) && network.runs(other) && network.log_is_open(one, other)
    }
}
