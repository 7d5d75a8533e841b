//! What an agent does unasked: its Boot, the sweep of what expired, and the claim of what was delivered.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::v1;
use proto::v1::command::Kind;
use sip::Instant;

use super::{Agent, Now, Silence};
use crate::pending::Waiting;

/// When what is due next. Each command is proposed once at a time.
#[derive(Debug)]
pub(super) struct Upkeep {
    next: Instant,
    next_claim: Instant,
    boot_failed: bool,
    expiring: bool,
    claiming: bool,
}

/// How often the leader looks for what has expired.
const SWEEP: Duration = Duration::from_millis(250);
/// How often an owner claims what it delivered.
const CLAIM: Duration = Duration::from_secs(1);
/// How many subscriptions one claim may name; the rest waits for the next.
const NAMED: usize = 512;

impl Upkeep {
    pub fn new(now: Instant) -> Upkeep {
        Upkeep { next: now, next_claim: now + CLAIM, boot_failed: false, expiring: false, claiming: false }
    }

    pub fn next(&self) -> Instant {
        self.next
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
        if leading.is_some() {
            self.sweep(now);
        }
        if self.booted && now.monotonic >= self.upkeep.next_claim {
            self.upkeep.next_claim = now.monotonic + CLAIM;
            self.claim_delivered();
        }
    }

    fn sweep(&mut self, now: Now) {
        let due = self.shard.next_deadline().is_some_and(|at| at <= now.log);
        if due && !self.upkeep.expiring {
            self.upkeep.expiring = true;
            self.propose(Waiting::Expire, Kind::Expire(v1::Expire { upto: now.log.0 }));
        }
    }

    /// Commits what has been delivered, so that an heir, or this node after a restart, knows where to go on. Too many
    /// to name means no claim this time: claiming nothing new is always true.
    fn claim_delivered(&mut self) {
        if self.upkeep.claiming || !self.deliveries.has_moved() {
            return;
        }
        let (dirty, nobody) = (self.deliveries.dirty(), BTreeSet::new());
        let pending = self.shard.node(self.config.node).map_or(&nobody, |node| &node.pending);
        let now_pending: Vec<_> =
            dirty.difference(pending).take(NAMED + 1).map(ToString::to_string).collect();
        if now_pending.len() > NAMED {
            return;
        }
        let no_longer_pending = pending.difference(dirty).take(NAMED).map(ToString::to_string).collect();
        let (node, upto) = (self.config.node.0, self.shard.position().0);
        let delivered = v1::Delivered { node, upto, now_pending, no_longer_pending };
        self.upkeep.claiming = true;
        self.deliveries.claimed();
        self.propose(Waiting::Delivered, Kind::Delivered(delivered));
    }

    pub(super) fn own_command_done(&mut self, waiting: Waiting) {
        match waiting {
            // More may be due than one command drops, so the next look is now.
            Waiting::Expire => {
                self.upkeep.expiring = false;
                self.upkeep.next = Instant(0);
            }
            Waiting::Delivered => self.upkeep.claiming = false,
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
            Waiting::Delivered => {
                self.upkeep.claiming = false;
                self.deliveries.claim_failed();
            }
            Waiting::EndSubscription(id) | Waiting::RaiseEpoch(id) => self.undelivered(&id, now),
            Waiting::Verdict { .. } | Waiting::Commit { .. } | Waiting::Api(_) => {}
        }
    }
}
