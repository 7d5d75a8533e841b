//! A node's part in the log, and what it makes of the messages of the others.

use std::collections::VecDeque;
use std::rc::Rc;

use placement::NodeId;

use super::clock::LogClock;
use super::outbox::{Outbox, Patience};
use super::{Entry, Log, Message, Output, Snapshot, Submitted};
use crate::coverage::Seen;

/// What a node forgets when it is killed.
#[derive(Debug)]
pub(super) struct Replica {
    /// It believes that it leads, in its disk's term.
    pub leads: bool,
    pub leader: Option<usize>,
    pub commit: u64,
    pub applied: u64,
    pub to_restore: Option<Snapshot>,
    pub outbox: Outbox,
    pub origin: (NodeId, u64),
    pub clock: LogClock,
    /// What it was told as a follower: when the leader last had a majority, and how far it had committed.
    pub grants: VecDeque<(u64, u64)>,
    /// As a leader: the last entry that was there before.
    pub led_from: u64,
    /// As a leader: taken in and not yet in an entry; what each node's disk surely holds; when each was last heard.
    pub intake: Vec<Submitted>,
    pub matched: Vec<u64>,
    pub heard: Vec<u64>,
    pub quorum_at: u64,
    pub steady_since: Option<u64>,
}

impl Replica {
    pub fn new(patience: Patience) -> Replica {
        Replica {
            leads: false,
            leader: None,
            commit: 0,
            applied: 0,
            to_restore: None,
            outbox: Outbox::new(patience),
            origin: (NodeId(0), 0),
            clock: LogClock::default(),
            grants: VecDeque::new(),
            led_from: 0,
            intake: Vec::new(),
            matched: vec![0; 3],
            heard: vec![0; 3],
            quorum_at: 0,
            steady_since: None,
        }
    }

    pub fn believe_in(&mut self, leader: usize) {
        if self.leader != Some(leader) {
            self.leader = Some(leader);
            self.grants.clear();
            self.outbox.leader_changed();
        }
    }
}

impl Log {
    /// A message of the log reaches a node. `wall` is what the node's wall clock says.
    pub fn receive(&mut self, node: usize, message: Message, now: u64, wall: u64) {
        match message {
            Message::Batch { from, id, items } => {
                let taken = self.replicas[node].leads;
                if taken {
                    if self.replicas[node].intake.is_empty() {
                        self.send(node, node, Message::Flush);
                    }
                    self.replicas[node].intake.extend(items);
                }
                self.send(node, from, Message::BatchAnswer { id, taken });
            }
            Message::BatchAnswer { id, taken } => {
                self.replicas[node].outbox.answered(id, taken, now);
                self.courier(node, now);
            }
            Message::Flush => self.flush(node, now, wall),
            Message::Append { from, term, after, entries, commit } => {
                if self.follows(node, from, term) && self.disks[node].term_at(after.0) == Some(after.1) {
                    let upto = after.0 + entries.len() as u64;
                    self.append(node, &entries);
                    self.send(node, from, Message::Matched { from: node, term, upto });
                    self.advance(node, commit.min(upto));
                }
            }
            Message::Snapshot { from, term, snapshot } => {
                if self.follows(node, from, term) {
                    let upto = snapshot.index;
                    self.install(node, snapshot);
                    self.send(node, from, Message::Matched { from: node, term, upto });
                }
            }
            Message::Matched { from, term, upto } => {
                if self.replicas[node].leads && self.disks[node].term == term {
                    let matched = &mut self.replicas[node].matched[from];
                    *matched = upto.max(*matched);
                    self.count(node);
                }
            }
            Message::Overruled { term } => self.step_down(node, term),
        }
    }

    pub(super) fn step_down(&mut self, node: usize, term: u64) {
        let (disk, replica) = (&mut self.disks[node], &mut self.replicas[node]);
        if disk.term >= term {
            return;
        }
        disk.term = term;
        (replica.steady_since, replica.leader) = (None, None);
        replica.grants.clear();
        replica.intake.clear();
        if std::mem::take(&mut replica.leads) {
            self.note(Seen::LeaderOverruled);
        }
    }

    /// Whether `node` takes `leader` for its leader in `term`; tells an overruled one so.
    pub(super) fn follows(&mut self, node: usize, leader: usize, term: u64) -> bool {
        if self.disks[node].term > term {
            let term = self.disks[node].term;
            self.send(node, leader, Message::Overruled { term });
            return false;
        }
        self.step_down(node, term);
        self.replicas[node].believe_in(leader);
        true
    }

    /// The leader makes an entry of what it has taken in.
    fn flush(&mut self, node: usize, now: u64, wall: u64) {
        let commands = std::mem::take(&mut self.replicas[node].intake);
        if self.replicas[node].leads && !commands.is_empty() {
            if now - self.replicas[node].quorum_at > super::NO_LEADER_BEFORE {
                self.note(Seen::StaleLeaderAppends);
            }
            self.write(node, commands, now, wall);
        }
    }

    pub(super) fn write(&mut self, leader: usize, commands: Vec<Submitted>, now: u64, wall: u64) {
        let disk = &mut self.disks[leader];
        let stamp = self.replicas[leader].clock.stamp(now, wall);
        let entry = Rc::new(Entry { term: disk.term, index: disk.last() + 1, stamp, commands });
        self.append(leader, &[entry]);
        self.count(leader);
        for follower in (0..self.disks.len()).filter(|node| *node != leader) {
            self.replicate(leader, follower);
        }
    }

    /// Sends a follower what it lacks.
    pub(super) fn replicate(&mut self, leader: usize, follower: usize) {
        let (disk, term) = (&self.disks[leader], self.disks[leader].term);
        let (led, own) = (&self.replicas[follower], &self.replicas[leader]);
        if own.matched[follower] == disk.last() && led.commit == own.commit {
            return;
        }
        let message = match disk.common_with(&self.disks[follower]) {
            Some(after) => {
                let (commit, entries) = (self.replicas[leader].commit, disk.entries_after(after));
                let after = (after, disk.term_at(after).unwrap_or_default());
                Message::Append { from: leader, term, after, entries, commit }
            }
            None => {
                let Some(snapshot) = disk.snapshot.clone() else { return };
                Message::Snapshot { from: leader, term, snapshot }
            }
        };
        self.send(leader, follower, message);
    }

    fn append(&mut self, node: usize, entries: &[Rc<Entry>]) {
        let gone = self.disks[node].append(entries);
        if let Some(gone) = gone {
            self.note(Seen::EntriesOverruled);
            let settled = self.committed.get(gone.index as usize - 1);
            if settled.is_some_and(|settled| Rc::ptr_eq(settled, &gone)) {
                self.outputs.push(Output::Vanished(gone));
            }
        }
    }

    fn install(&mut self, node: usize, snapshot: Snapshot) {
        let replica = &mut self.replicas[node];
        if snapshot.index <= replica.applied {
            return;
        }
        replica.commit = replica.commit.max(snapshot.index);
        replica.to_restore = Some(snapshot.clone());
        self.disks[node].install(snapshot);
        self.outputs.push(Output::Apply { node });
    }

    /// The leader looks how far a majority of the disks holds its log. Only an entry of its own term settles those before
    /// it (Raft, section 5.4.2).
    fn count(&mut self, leader: usize) {
        let disk = &self.disks[leader];
        let matched = &mut self.replicas[leader].matched;
        matched[leader] = disk.last();
        let mut sorted = matched.clone();
        sorted.sort_unstable();
        let held = sorted[sorted.len() / 2];
        if disk.entry(held).is_some_and(|entry| entry.term == disk.term) {
            for index in self.committed() + 1..=held {
                let entry = disk.entry(index).expect("a leader keeps what is not settled").clone();
                self.committed.push(entry.clone());
                self.outputs.push(Output::Committed(entry));
            }
            if self.replicas[leader].commit < held {
                self.advance(leader, held);
                (0..self.disks.len())
                    .filter(|node| *node != leader)
                    .for_each(|node| self.replicate(leader, node));
            }
        }
        if self.settings.hasty {
            self.advance(leader, self.disks[leader].last());
        }
    }

    fn advance(&mut self, node: usize, commit: u64) {
        let replica = &mut self.replicas[node];
        if commit > replica.commit {
            replica.commit = commit;
            self.outputs.push(Output::Apply { node });
        }
    }
}
