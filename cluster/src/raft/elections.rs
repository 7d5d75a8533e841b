//! Runs a group's heartbeats and elections: openraft's own are switched off.
//!
//! openraft stands for election on its own silence alone, and looks whether a heartbeat is due only every one and a
//! half intervals. When to stand is decided in `liveness`; here the voters are asked and openraft is told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::metrics::RaftServerMetrics;
use openraft::{EmptyNode, ServerState};
use placement::NodeId;
use proto::v1::HearsReply;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tracing::{debug, info};

use super::LogId;
use super::group::{CALLS_AT_ONCE, RaftGroup};
use super::network::Network;
use super::wire;
use crate::config::Timings;
use crate::leadership::liveness::Step;
use crate::leadership::pulse::Pulse;
use crate::leadership::standing::{Standing, Voters};
use crate::metrics::ElectionMetrics;

/// Answers that wait to be read. A round brings one of each voter, and one that finds no room counts as a refusal.
const ANSWERS: usize = 64;

pub struct Elections {
    group: RaftGroup,
    network: Network,
    pulse: Arc<Pulse>,
    metrics: Arc<ElectionMetrics>,
    heartbeat: Duration,
    answer_wait: Duration,
    watch: watch::Receiver<RaftServerMetrics<u64, EmptyNode>>,
    agreed: mpsc::Receiver<(u64, NodeId)>,
    sender: mpsc::Sender<(u64, NodeId)>,
    held_lease: bool,
}

impl Elections {
    pub fn new(
        group: RaftGroup,
        network: Network,
        metrics: Arc<ElectionMetrics>,
        timings: &Timings,
    ) -> Elections {
        let (sender, agreed) = mpsc::channel(ANSWERS);
        Elections {
            watch: group.server_metrics(),
            pulse: network.pulse.clone(),
            group,
            network,
            metrics,
            heartbeat: timings.heartbeat,
            answer_wait: timings.answer_wait(),
            agreed,
            sender,
            held_lease: false,
        }
    }

    /// Ends when the group does.
    pub async fn run(mut self) {
        let mut beat = tokio::time::interval(self.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let log_end = self.group.last_log().map_or(0, |id| id.index);
            let standing = standing(&self.watch.borrow_and_update(), log_end);
            let leading = standing.is_leading();
            self.pulse.stand(standing);
            let wake = self.step().await.min(self.watch_lease());
            tokio::select! {
                changed = self.watch.changed() => if changed.is_err() { return },
                Some((round, voter)) = self.agreed.recv() => if self.pulse.agree(round, voter) {
                    self.elect().await;
                },
                _ = beat.tick(), if leading => self.group.beat().await,
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
    }

    /// Does what is due, and says when to look again.
    async fn step(&mut self) -> Instant {
        self.group.note_appending();
        let retry = Instant::now() + self.answer_wait;
        match self.pulse.step() {
            _ if self.group.is_leaving() => retry,
            Step::Wait { until } => until,
            Step::Ask { round } => {
                self.ask(round);
                retry
            }
            Step::Elect => {
                self.elect().await;
                retry
            }
        }
    }

    /// Each voter is asked by a task of its own, which ends with the time for answers.
    fn ask(&self, round: u64) {
        debug!(group = %self.network.group, "Hears no leader and asks the others");
        let last = self.group.last_log();
        for voter in self.pulse.standing().voters.all() {
            if voter == self.network.letterhead.node {
                continue;
            }
            let (link, wait, sender) = (self.network.link(voter), self.answer_wait, self.sender.clone());
            tokio::spawn(async move {
                if link.agrees_to_election(last, wait).await {
                    let _ = sender.try_send((round, voter));
                }
            });
        }
    }

    async fn elect(&self) {
        info!(group = %self.network.group, "Stands for election");
        self.metrics.elections.increment(1);
        self.group.stand().await;
    }

    /// Counts a lease that ran out, and says when the present one will.
    fn watch_lease(&mut self) -> Instant {
        let until = self.pulse.lease_until(u64::MAX);
        if self.held_lease && until.is_none() {
            self.metrics.leases_lost.increment(1);
        }
        self.held_lease = until.is_some();
        until.unwrap_or_else(|| Instant::now() + self.answer_wait)
    }
}

impl RaftGroup {
    /// What this node tells another that would stand for election; `last` is the end of its log.
    pub fn hears(&self, last: Option<LogId>) -> HearsReply {
        self.note_appending();
        let reply = HearsReply { leader: self.pulse().hears_leader(), longer_log: self.last_log() > last };
        if reply.leader || reply.longer_log {
            self.0.elections.prevotes_refused.increment(1);
        }
        reply
    }

    /// An append that openraft still works on is a word of the leader too, however slow the disk.
    pub fn note_appending(&self) {
        if self.0.appends.available_permits() < CALLS_AT_ONCE {
            self.pulse().hear_leader_still();
        }
    }

    /// Stands for election; openraft takes no notice of it if this node leads or does not vote.
    pub async fn stand(&self) {
        // It fails only if openraft has ended, which the log tells; so does `beat`.
        let _ = self.0.raft.trigger().elect().await;
    }

    /// Sends a heartbeat to everyone, if this node leads.
    pub async fn beat(&self) {
        let _ = self.0.raft.trigger().heartbeat().await;
    }
}

fn standing(metrics: &RaftServerMetrics<u64, EmptyNode>, log_end: u64) -> Standing {
    let members = metrics.membership_config.membership();
    let voters = |set: &BTreeSet<u64>| set.iter().copied().map(NodeId).collect();
    Standing {
        voters: Voters::new(members.get_joint_config().iter().map(voters).collect()),
        members: members.nodes().map(|(id, _)| NodeId(*id)).collect(),
        reign: metrics.vote.is_committed().then(|| wire::reign(&metrics.vote)),
        leading_since: (metrics.state == ServerState::Leader).then(Instant::now),
        led_from: log_end,
        followed: None,
    }
}
