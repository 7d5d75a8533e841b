//! Before a planned stop the leader hands over: another voter stands for election at its word, without asking anybody.
//!
//! The voters refuse every candidate while the promise to their leader lasts, but a leader renews no promise to itself
//! after it was elected: its vote and the candidate's are a majority of three at once. Among five voters one more is
//! needed, so another one is asked to stand too. That frees it from its promise, and the one with the higher id wins
//! the votes of both.
//!
//! Deliberately absent: waiting for the leases to end. The owners that hold one keep what they own until somebody has
//! been silent under the new leader for longer than a lease.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use placement::NodeId;
use tracing::info;

use super::group::RaftGroup;

/// A handover that takes longer is given up: the others elect then as they do after a crash.
const PATIENCE: Duration = Duration::from_millis(750);
/// How long one heir has to win.
const ONE_HEIR: Duration = Duration::from_millis(100);
/// Between two looks at how far the others are.
const LOOK: Duration = Duration::from_millis(5);

impl RaftGroup {
    /// Takes no more proposals and, if this node leads, waits until another one does, or for a short time. One that was
    /// elected a moment ago goes on until it could vote for another.
    pub async fn hand_over(&self) {
        if let Some(until) = self.pulse().own_promise_until() {
            tokio::time::sleep_until(until.into()).await;
        }
        self.0.leaving.store(true, Ordering::Relaxed);
        if !self.is_leader() {
            return;
        }
        let started = Instant::now();
        let handed_over = tokio::time::timeout(PATIENCE, self.find_successor()).await.unwrap_or(false);
        info!(group = %self.0.network.group, handed_over, took = ?started.elapsed(), "Left the lead");
    }

    pub fn is_leaving(&self) -> bool {
        self.0.leaving.load(Ordering::Relaxed)
    }

    /// The leader asks this node to follow it. Whether this node stands now.
    pub async fn take_over(&self, from: NodeId) -> bool {
        let leader = self.server_metrics().borrow().current_leader.map(NodeId);
        let stands = !self.is_leaving() && leader.is_none_or(|leader| leader == from);
        if stands {
            self.pulse().stand_for_election();
            self.stand().await;
        }
        stands
    }

    async fn find_successor(&self) -> bool {
        while self.heirs().is_empty() && !self.live_voters().is_empty() {
            tokio::time::sleep(LOOK).await;
        }
        let heirs = self.heirs();
        // Twice round: who could not win at first has freed itself from its promise, and votes for the next one.
        for heir in heirs.iter().cycle().take(2 * heirs.len()) {
            let asked = self.0.network.link(*heir).hand_over(ONE_HEIR).await;
            if asked && tokio::time::timeout(ONE_HEIR, self.see_successor()).await.is_ok() {
                return true;
            }
        }
        false
    }

    /// The others that vote and were heard lately, the lowest id first.
    fn live_voters(&self) -> Vec<NodeId> {
        let pulse = self.pulse();
        let lately = |node: &NodeId| pulse.heard(*node).is_some_and(|at| at.elapsed() < PATIENCE);
        let others =
            pulse.standing().voters.all().into_iter().filter(|node| *node != self.0.network.letterhead.node);
        others.filter(lately).collect()
    }

    /// Those of them that have the whole log: nobody votes for one who lacks a part.
    fn heirs(&self) -> Vec<NodeId> {
        let metrics = self.0.raft.data_metrics();
        let metrics = metrics.borrow();
        let matching = |node: &NodeId| metrics.replication.as_ref().and_then(|all| *all.get(&node.0)?);
        self.live_voters().into_iter().filter(|node| matching(node) == metrics.last_log).collect()
    }

    async fn see_successor(&self) {
        let (mut watch, me) = (self.server_metrics(), self.0.network.letterhead.node.0);
        // It fails only if openraft has ended; then there is nothing to wait for.
        let _ = watch.wait_for(|now| now.current_leader.is_some_and(|leader| leader != me)).await;
    }
}
