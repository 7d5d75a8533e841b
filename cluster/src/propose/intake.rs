//! The leader's queue: commands of all nodes that wait for a place in an entry.
//!
//! A batch enters as a whole or not at all. When there is no room it waits a moment, so that a busy leader serves the
//! batches of all nodes in turn, and is refused after that.

use std::sync::Arc;
use std::time::Duration;

use proto::v1::{LogItem, ProposeOutcome};
use tokio::sync::mpsc;

use crate::propose::Proposals;
use crate::raft::group::RaftGroup;

const ROOM_WAIT: Duration = Duration::from_millis(300);

#[derive(Clone)]
pub struct Intake {
    raft: RaftGroup,
    proposals: Arc<Proposals>,
    queue: mpsc::Sender<LogItem>,
}

impl Intake {
    /// `capacity` is not below the commands of the largest batch.
    pub fn new(
        raft: RaftGroup,
        proposals: Arc<Proposals>,
        capacity: usize,
    ) -> (Intake, mpsc::Receiver<LogItem>) {
        let (queue, items) = mpsc::channel(capacity.max(1));
        (Intake { raft, proposals, queue }, items)
    }

    /// Takes the whole batch, or nothing of it.
    pub async fn accept(&self, batch: Vec<LogItem>) -> ProposeOutcome {
        // A leader that hands over would never have its whole log at another node otherwise.
        if !self.raft.is_leader() || self.raft.is_leaving() {
            return ProposeOutcome::NotLeader;
        }
        let Ok(Ok(room)) = tokio::time::timeout(ROOM_WAIT, self.queue.reserve_many(batch.len())).await else {
            return ProposeOutcome::Full;
        };
        for (room, item) in room.zip(batch) {
            room.send(item);
        }
        let queued = self.queue.max_capacity() - self.queue.capacity();
        self.proposals.metrics.proposals_queued.set(queued as f64);
        ProposeOutcome::Accepted
    }
}
