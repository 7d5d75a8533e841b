//! From a consumer's command to an entry of the log.
//!
//! The `outbox` keeps a node's own commands until their fate is known. The `courier` takes them to whichever node leads:
//! through `forward` to another, or straight into the `intake` of this one. At the leader the `proposer` makes entries
//! of what the intake holds.

pub mod courier;
pub mod forward;
pub mod gather;
pub mod intake;
pub mod outbox;
pub mod proposer;

use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use placement::{GroupId, NodeId};
use tokio::sync::Notify;

use crate::config::Limits;
use crate::events::Entry;
use crate::groups::Full;
use crate::metrics::GroupMetrics;
use outbox::{Fate, Outbox, Patience, Taken};

/// A group's own commands, shared by who proposes, who takes them away and who sees them in the log.
pub struct Proposals {
    pub group: GroupId,
    pub node: NodeId,
    pub incarnation: u64,
    pub metrics: GroupMetrics,
    entry_bytes: usize,
    outbox: Mutex<Outbox>,
    waiting: Notify,
}

impl Proposals {
    pub fn new(group: GroupId, node: NodeId, incarnation: u64, limits: &Limits) -> Proposals {
        let patience = Patience {
            leaderless_wait: limits.leaderless_wait,
            repropose_after: limits.repropose_after,
            give_up: limits.give_up,
        };
        Proposals {
            group,
            node,
            incarnation,
            metrics: GroupMetrics::new(group),
            entry_bytes: limits.entry_bytes,
            outbox: Mutex::new(Outbox::new(limits.proposals, patience)),
            waiting: Notify::new(),
        }
    }

    pub fn propose(&self, ticket: u64, command: Bytes) -> Result<(), Full> {
        let proposed = match command.len() {
            len if len > self.entry_bytes => self.outbox.lock().doom(ticket),
            _ => self.outbox.lock().propose(ticket, command, Instant::now()),
        };
        match proposed {
            Ok(()) => self.waiting.notify_one(),
            Err(Full) => self.metrics.proposals_refused.increment(1),
        }
        proposed
    }

    /// The entry stands in the log: whatever it holds of our commands has its fate.
    pub fn committed(&self, entry: &Entry) {
        let mut outbox = self.outbox.lock();
        for command in &entry.commands {
            if command.origin == self.node && command.incarnation == self.incarnation {
                outbox.committed(command.ticket);
            }
        }
        self.metrics.proposals_open.set(outbox.len() as f64);
    }

    /// Returns once a command may be waiting.
    async fn wait(&self) {
        self.waiting.notified().await;
    }

    fn has_waiting(&self) -> bool {
        self.outbox.lock().has_waiting()
    }

    fn take(&self, max_commands: usize, max_bytes: usize) -> Vec<Taken> {
        self.outbox.lock().take(max_commands, max_bytes, Instant::now())
    }

    fn refused(&self, batch: &[Taken]) {
        self.outbox.lock().refused(batch);
    }

    fn unanswered(&self, batch: &[Taken]) {
        self.outbox.lock().unanswered(batch);
    }

    fn leader_changed(&self) {
        self.outbox.lock().leader_changed();
    }

    fn tick(&self) -> Vec<Fate> {
        let mut outbox = self.outbox.lock();
        let ended = outbox.tick(Instant::now());
        self.metrics.proposals_open.set(outbox.len() as f64);
        ended
    }
}
