//! One running group: openraft with its log and state machine, asked only through here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use openraft::error::{InitializeError, RaftError};
use openraft::metrics::RaftServerMetrics;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, ClientWriteResult, VoteRequest, VoteResponse,
};
use openraft::storage::Snapshot as RaftSnapshot;
use openraft::{EmptyNode, ServerState, SnapshotPolicy};
use placement::{GroupId, NodeId};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;

use super::applier::{Applier, Progress};
use super::elections::Elections;
use super::network::Network;
use super::storage::GroupLog;
use super::{LogId, Payload, Raft, SnapshotMeta, TypeConfig, Vote};
use crate::config::{Limits, Timings};
use crate::groups::{GroupStatus, Role};
use crate::leadership::clocks::SharedClock;
use crate::leadership::pulse::{Pulse, Word};
use crate::metrics::ElectionMetrics;
use crate::snapshots::format::SnapshotError;
use crate::snapshots::{SnapshotData, Snapshots};

/// Records in one AppendEntries; their bytes are limited by the log.
const APPEND_RECORDS: u64 = 64;
/// Sending, checking and installing a snapshot may take this long (milliseconds).
const SNAPSHOT_WAIT: u64 = 10 * 60 * 1000;
/// Calls of each kind from other nodes that openraft works on at a time; the others wait at the door.
pub(super) const CALLS_AT_ONCE: usize = 2;
/// Committed entries that wait for a slow consumer; more are not taken from the leader until it reads on.
const UNAPPLIED: u64 = 1024;

/// Clones are the same group.
#[derive(Clone)]
pub struct RaftGroup(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) raft: Raft,
    log: GroupLog,
    progress: Arc<Progress>,
    snapshots: Arc<Snapshots>,
    clock: SharedClock,
    pub(super) appends: Arc<Semaphore>,
    votes: Arc<Semaphore>,
    installs: Arc<Semaphore>,
    pub(super) elections: Arc<ElectionMetrics>,
    pub(super) network: Network,
    /// The node stops: it takes no proposals as leader, and stands for no election.
    pub(super) leaving: AtomicBool,
}

/// Who leads, in which term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    pub leader: Option<NodeId>,
    pub term: u64,
    pub mine: bool,
}

pub struct LeadershipWatch(watch::Receiver<RaftServerMetrics<u64, EmptyNode>>);

/// An entry that was handed to openraft.
pub struct InFlight(oneshot::Receiver<ClientWriteResult<TypeConfig>>);

/// openraft has ended; the log says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the group has stopped")]
pub struct Stopped;

impl RaftGroup {
    /// Recovers from the log and begins to answer; `name` is for openraft's messages.
    pub async fn start(
        network: Network,
        applier: Applier,
        snapshots: Arc<Snapshots>,
        timings: &Timings,
        limits: &Limits,
        tasks: &mut JoinSet<()>,
    ) -> Result<RaftGroup, String> {
        let config = config(network.group, timings, limits).validate().map_err(|error| error.to_string())?;
        let (node, clock) = (network.letterhead.node, network.clock.clone());
        let (progress, log) = (applier.progress(), network.log.clone());
        let raft = Raft::new(node.0, Arc::new(config), network.clone(), log.clone(), applier).await;
        let raft = raft.map_err(|error| error.to_string())?;
        tasks.spawn(snapshot_when_due(raft.clone(), progress.clone()));
        let [appends, votes, installs] =
            [CALLS_AT_ONCE, CALLS_AT_ONCE, 1].map(|n| Arc::new(Semaphore::new(n)));
        let (elections, leaving) = (Arc::new(ElectionMetrics::new(network.group)), AtomicBool::new(false));
        let inner = Inner {
            raft,
            log,
            progress,
            snapshots,
            clock,
            appends,
            votes,
            installs,
            elections: elections.clone(),
            network: network.clone(),
            leaving,
        };
        let group = RaftGroup(Arc::new(inner));
        tasks.spawn(Elections::new(group.clone(), network, elections, timings).run());
        Ok(group)
    }

    /// Gives the group its first members, unless it has had some.
    pub async fn initialise(&self, members: impl Iterator<Item = NodeId>) -> Result<(), String> {
        let members: BTreeMap<u64, EmptyNode> = members.map(|id| (id.0, EmptyNode {})).collect();
        match self.0.raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Hands openraft the next entry; entries keep the order of these calls. `None` once the group has stopped.
    pub async fn submit(&self, entry: Bytes) -> Option<InFlight> {
        self.0.raft.client_write_ff(Payload(entry)).await.ok().map(InFlight)
    }

    pub fn leadership(&self) -> LeadershipWatch {
        LeadershipWatch(self.server_metrics())
    }

    pub fn is_leader(&self) -> bool {
        self.server_metrics().borrow().state == ServerState::Leader
    }

    pub fn server_metrics(&self) -> watch::Receiver<RaftServerMetrics<u64, EmptyNode>> {
        self.0.raft.server_metrics()
    }

    pub fn status(&self) -> GroupStatus {
        let metrics = self.0.raft.metrics();
        let metrics = metrics.borrow();
        let applied = self.0.progress.applied();
        GroupStatus {
            role: role(metrics.state),
            leader: metrics.current_leader.map(NodeId),
            term: metrics.current_term,
            last_log: metrics.last_log_index.unwrap_or(0),
            committed: self.0.log.committed().max(applied),
            applied,
            snapshot: metrics.snapshot.map_or(0, |id| id.index),
        }
    }

    /// From a leader, with its word about itself. `log_now` is its log time, 0 if it has none.
    pub async fn append(
        &self,
        mut request: AppendEntriesRequest<TypeConfig>,
        word: Word,
        log_now: u64,
    ) -> Result<AppendEntriesResponse<u64>, Stopped> {
        self.pulse().hear_leader(word.reign);
        let permit = self.0.appends.clone().acquire_owned().await.map_err(|_| Stopped)?;
        let group = self.clone();
        // openraft keeps a call that its caller gave up, so it must keep its permit too.
        let call = tokio::spawn(async move {
            let _permit = permit;
            let backlog = group.0.log.committed().saturating_sub(group.0.progress.applied());
            let previous = request.prev_log_id;
            let turned_away = backlog > UNAPPLIED && !request.entries.is_empty();
            if turned_away {
                request.entries.clear();
            }
            let response = group.0.raft.append_entries(request).await.map_err(|_| Stopped)?;
            if !matches!(response, AppendEntriesResponse::HigherVote(_)) {
                group.pulse().follow(word);
                if log_now > 0 {
                    group.0.clock.hear(log_now);
                }
            }
            Ok(match response {
                AppendEntriesResponse::Success if turned_away => {
                    AppendEntriesResponse::PartialSuccess(previous)
                }
                response => response,
            })
        });
        call.await.map_err(|_| Stopped)?
    }

    pub async fn vote(&self, request: VoteRequest<u64>) -> Result<VoteResponse<u64>, Stopped> {
        self.note_appending();
        self.pulse().see_candidate();
        let permit = self.0.votes.clone().acquire_owned().await.map_err(|_| Stopped)?;
        let raft = self.0.raft.clone();
        let call = tokio::spawn(async move {
            let _permit = permit;
            raft.vote(request).await.map_err(|_| Stopped)
        });
        call.await.map_err(|_| Stopped)?
    }

    pub fn pulse(&self) -> &Pulse {
        &self.0.network.pulse
    }

    pub fn last_log(&self) -> Option<LogId> {
        self.0.raft.data_metrics().borrow().last_log
    }

    /// An empty file for a snapshot, unless one is being received already.
    pub fn receive(&self) -> Option<(Receiving, Result<SnapshotData, SnapshotError>)> {
        let permit = self.0.installs.clone().try_acquire_owned().ok()?;
        Some((Receiving { _permit: permit }, self.0.snapshots.receive()))
    }

    /// A received snapshot, checked. Blocks.
    pub fn check(&self, data: SnapshotData) -> Result<SnapshotData, SnapshotError> {
        self.0.snapshots.check(data)
    }

    pub async fn install(&self, vote: Vote, meta: SnapshotMeta, data: SnapshotData) -> Result<Vote, Stopped> {
        let snapshot = RaftSnapshot { meta, snapshot: Box::new(data) };
        let installed = self.0.raft.install_full_snapshot(vote, snapshot).await;
        installed.map(|response| response.vote).map_err(|_| Stopped)
    }

    pub(super) fn raft(&self) -> &Raft {
        &self.0.raft
    }

    pub async fn shutdown(&self) {
        // It fails only if openraft's task panicked, which the log tells.
        let _ = self.0.raft.shutdown().await;
    }
}

/// Held while a snapshot is being received; there is one at a time.
pub struct Receiving {
    _permit: tokio::sync::OwnedSemaphorePermit,
}

impl LeadershipWatch {
    /// The next state, the present one at first. `None` once the group has stopped.
    pub async fn changed(&mut self) -> Option<Leadership> {
        self.0.changed().await.ok()?;
        let metrics = self.0.borrow_and_update();
        Some(Leadership {
            leader: metrics.current_leader.map(NodeId),
            term: metrics.vote.leader_id.term,
            mine: metrics.state == ServerState::Leader,
        })
    }
}

impl InFlight {
    /// Returns when the entry is applied here (true), or was refused or overruled.
    pub async fn applied(&mut self) -> bool {
        matches!((&mut self.0).await, Ok(Ok(_)))
    }
}

async fn snapshot_when_due(raft: Raft, progress: Arc<Progress>) {
    loop {
        progress.snapshot_due.notified().await;
        if raft.trigger().snapshot().await.is_err() {
            return;
        }
    }
}

fn config(group: GroupId, timings: &Timings, limits: &Limits) -> openraft::Config {
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    openraft::Config {
        cluster_name: format!("group-{group}"),
        heartbeat_interval: millis(timings.heartbeat),
        // The elections and the heartbeats are those of `elections`.
        enable_elect: false,
        enable_heartbeat: false,
        // What is left of these two: for the larger one, since the last append of a leader, a voter refuses every
        // candidate, which is the promise that leases rest on; the smaller one is the time-out of asking for a vote.
        election_timeout_min: millis(timings.lease).saturating_sub(1),
        election_timeout_max: millis(timings.lease),
        install_snapshot_timeout: SNAPSHOT_WAIT,
        max_payload_entries: APPEND_RECORDS,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(limits.snapshot_every),
        max_in_snapshot_log_to_keep: limits.log_kept,
        purge_batch_size: 1,
        ..openraft::Config::default()
    }
}

fn role(state: ServerState) -> Role {
    match state {
        ServerState::Leader => Role::Leader,
        ServerState::Candidate => Role::Candidate,
        ServerState::Follower => Role::Follower,
        ServerState::Learner => Role::Learner,
        ServerState::Shutdown => Role::Stopped,
    }
}
