//! What an agent does unasked: its Boot, the sweep of what expired, and the claim of what was delivered.

use std::collections::BTreeSet;
use std::time::Duration;

use placement::NodeId;
use proto::v1;
use proto::v1::command::Kind;
use sip::Instant;

use super::{Agent, Now, Silence};
use crate::bound::Bound;
use crate::pending::Waiting;
use crate::shard::NodeState;

/// When what is due next. Each command is proposed once at a time.
#[derive(Debug)]
pub(super) struct Upkeep {
    next: Instant,
    next_claim: Instant,
    boot_failed: bool,
    expiring: bool,
    claiming: bool,
    /// Nodes whose TakeOver is on its way.
    taking_over: BTreeSet<NodeId>,
    /// Since when this node has been without the lease, and whether that is too long.
    leaseless: Option<Instant>,
    cut_off: bool,
}

/// How often the leader looks for what has expired and who is silent.
const SWEEP: Duration = Duration::from_millis(100);
/// How often an owner claims what it delivered.
const CLAIM: Duration = Duration::from_secs(1);
/// How many subscriptions one claim may name; the rest waits for the next.
const NAMED: usize = 512;
/// A manager that the leader has not heard for so long loses what it owns. It is well above the lease, so that it has
/// stopped sending by then.
const SILENT: Duration = Duration::from_millis(750);
/// An heir must have been heard lately: within three heartbeats.
const ALIVE: Duration = Duration::from_millis(300);
/// Without the lease for so long, this is no election any more: the node is cut off and takes no requests.
const CUT_OFF: Duration = Duration::from_secs(2);

impl Upkeep {
    pub fn new(now: Instant) -> Upkeep {
        Upkeep {
            next: now,
            next_claim: now + CLAIM,
            boot_failed: false,
            expiring: false,
            claiming: false,
            taking_over: BTreeSet::new(),
            leaseless: None,
            cut_off: false,
        }
    }

    pub fn next(&self) -> Instant {
        self.next
    }

    pub fn is_cut_off(&self) -> bool {
        self.cut_off
    }

    fn note_lease(&mut self, now: Now) {
        self.leaseless = match now.has_lease() {
            true => None,
            false => self.leaseless.or(Some(now.monotonic)),
        };
        self.cut_off = self.leaseless.is_some_and(|since| now.monotonic - since >= CUT_OFF);
    }
}

impl Agent {
    pub(super) fn propose_boot(&mut self) {
        let boot = v1::Boot { node: self.config.node.0, incarnation: self.config.incarnation };
        self.propose(Waiting::Boot, Kind::Boot(boot));
    }

    pub(super) fn keep_up(&mut self, now: Now, leading: Option<&[Silence]>) {
        if now.monotonic < self.upkeep.next {
            return;
        }
        self.upkeep.next = now.monotonic + SWEEP;
        if std::mem::take(&mut self.upkeep.boot_failed) {
            self.propose_boot();
        }
        self.upkeep.note_lease(now);
        self.note_overflows();
        self.documents.forget_old(now.monotonic);
        self.review(now);
        if let Some(silences) = leading {
            self.sweep(now);
            self.take_over_the_silent(silences);
        }
        if self.booted && now.monotonic >= self.upkeep.next_claim {
            self.upkeep.next_claim = now.monotonic + CLAIM;
            self.claim_delivered();
        }
    }

    /// What is only remembered is let go without a word; an operator may want to know.
    fn note_overflows(&mut self) {
        let overflowed = [
            (Bound::Verdicts, self.verdicts.take_overflowed()),
            (Bound::Documents, self.documents.take_overflowed()),
            (Bound::NonceCounts, self.identification.take_overflowed()),
            (Bound::RequestingAccounts, self.rates.take_overflowed()),
        ];
        for (bound, _) in overflowed.into_iter().filter(|(_, overflowed)| *overflowed) {
            self.full(bound);
        }
    }

    fn sweep(&mut self, now: Now) {
        let due = self.shard.next_deadline().is_some_and(|at| at <= now.log);
        if due && !self.upkeep.expiring {
            self.upkeep.expiring = true;
            self.propose(Waiting::Expire, Kind::Expire(v1::Expire { upto: now.log.0 }));
        }
    }

    /// Proposes heirs for what silent managers own. One that is no member any more is silent for good, and so is the
    /// earlier life of one that has started anew: until its Boot is in the log it serves nobody.
    fn take_over_the_silent(&mut self, silences: &[Silence]) {
        let recorded = |node| self.shard.node(node).map_or(0, |state| state.incarnation);
        let silence = |node: NodeId| match silences.iter().find(|of| of.node == node) {
            _ if node == self.config.node => Duration::ZERO,
            Some(of) if of.incarnation <= recorded(node) => of.lasted,
            _ => Duration::MAX,
        };
        let survivors: Vec<u64> =
            self.shard.nodes().filter(|(node, _)| silence(*node) < ALIVE).map(|(node, _)| node.0).collect();
        if survivors.is_empty() {
            return;
        }
        let silent: Vec<_> = self
            .shard
            .owners()
            .filter(|node| silence(*node) >= SILENT && !self.upkeep.taking_over.contains(node))
            .map(|node| (node, recorded(node)))
            .collect();
        for (node, incarnation) in silent {
            let take = v1::TakeOver { node: node.0, incarnation, survivors: survivors.clone() };
            self.upkeep.taking_over.insert(node);
            self.propose(Waiting::TakeOver(node), Kind::TakeOver(take));
        }
    }

    /// Commits what has been delivered, so that an heir, or this node after a restart, knows where to go on. Where there
    /// are too many to name, this time some are named and nothing more is claimed, which is always true.
    fn claim_delivered(&mut self) {
        if self.upkeep.claiming || !self.deliveries.has_moved() {
            return;
        }
        let (dirty, unknown) = (self.deliveries.dirty(), NodeState::default());
        let known = self.shard.node(self.config.node).unwrap_or(&unknown);
        let mut now_pending: Vec<_> =
            dirty.difference(&known.pending).map(|id| id.0).take(NAMED + 1).collect();
        let complete = now_pending.len() <= NAMED;
        now_pending.truncate(NAMED);
        let upto = if complete { self.shard.position() } else { known.delivered_upto };
        let delivered = v1::Delivered {
            node: self.config.node.0,
            upto: upto.0,
            now_pending,
            no_longer_pending: known.pending.difference(dirty).map(|id| id.0).take(NAMED).collect(),
        };
        self.upkeep.claiming = true;
        if complete {
            self.deliveries.claimed();
        }
        self.propose(Waiting::Delivered, Kind::Delivered(delivered));
    }

    pub(super) fn own_command_done(&mut self, waiting: Waiting) {
        match waiting {
            // If more is due than one command drops, the next look is now.
            Waiting::Expire => {
                self.upkeep.expiring = false;
                if self.shard.next_deadline().is_some_and(|at| at <= self.shard.stamp()) {
                    self.upkeep.next = Instant(0);
                }
            }
            Waiting::Delivered => self.upkeep.claiming = false,
            Waiting::TakeOver(node) => drop(self.upkeep.taking_over.remove(&node)),
            Waiting::Boot if self.is_outdated() => {
                let node = self.config.node;
                self.stop(format!(
                    "the log knows a later start of node {node}: its data folder is an old or a new one"
                ));
            }
            _ => {}
        }
    }

    /// Whether the log has seen a later start of this node than this one.
    fn is_outdated(&self) -> bool {
        let known = self.shard.node(self.config.node);
        known.is_some_and(|state| state.incarnation > self.config.incarnation)
    }

    /// A command of our own did not get into the log, or nobody knows: each is safe to propose again.
    pub(super) fn own_command_failed(&mut self, waiting: Waiting, now: Now) {
        match waiting {
            Waiting::Boot => self.upkeep.boot_failed = true,
            Waiting::Expire => self.upkeep.expiring = false,
            Waiting::TakeOver(node) => drop(self.upkeep.taking_over.remove(&node)),
            Waiting::Delivered => {
                self.upkeep.claiming = false;
                self.deliveries.claim_failed();
            }
            Waiting::EndSubscription(id) | Waiting::RaiseEpoch(id) => self.undelivered(id, None, now),
            Waiting::Judge(id) => self.reviews.add(id),
            // The others of the same position are compared all the same.
            Waiting::Checksum => {}
            Waiting::Verdict { .. } | Waiting::Commit { .. } | Waiting::Api(_) => {}
        }
    }
}
