//! The handle of one group: its log as its consumer sees it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use placement::{GroupId, NodeId};

use crate::leadership::clocks::SharedClock;
use crate::propose::Proposals;
use crate::raft::group::RaftGroup;

/// A group on this node. Clones are the same group.
#[derive(Clone)]
pub struct Group {
    proposals: Arc<Proposals>,
    raft: RaftGroup,
    clock: SharedClock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Leader,
    Candidate,
    Follower,
    Learner,
    Stopped,
}

/// Where the group stands on this node. Positions are log indices; 0 also means "none yet".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    pub role: Role,
    pub leader: Option<NodeId>,
    pub term: u64,
    pub last_log: u64,
    pub committed: u64,
    /// What the consumer was given, though it may not have read it yet.
    pub applied: u64,
    pub snapshot: u64,
}

/// Too many commands of this group have an open fate; nothing was done with this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the group's queue of proposals is full")]
pub struct Full;

impl Group {
    pub(crate) fn new(proposals: Arc<Proposals>, raft: RaftGroup, clock: SharedClock) -> Group {
        Group { proposals, raft, clock }
    }

    pub fn id(&self) -> GroupId {
        self.proposals.group
    }

    /// This node, the `origin` of what is proposed here.
    pub fn node(&self) -> NodeId {
        self.proposals.node
    }

    /// Rises at every start of this node.
    pub fn incarnation(&self) -> u64 {
        self.proposals.incarnation
    }

    /// Proposes a command at whichever node leads; never blocks. One event tells its fate: `Committed` with this
    /// node's id, incarnation and `ticket` in it, `Failed`, or `Lost`. A ticket names one command of this
    /// incarnation, so it is never used twice. A command above `Limits::entry_bytes` is `Failed`.
    pub fn propose(&self, ticket: u64, command: Bytes) -> Result<(), Full> {
        self.proposals.propose(ticket, command)
    }

    pub fn status(&self) -> GroupStatus {
        self.raft.status()
    }

    /// Whose votes count at present, as far as this node's log says; during a change, those of before and after.
    pub fn voters(&self) -> Vec<NodeId> {
        self.raft.roster().voters.into_iter().flatten().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Estimate of the log's time on this node, in milliseconds since the Unix epoch: the leader's last word
    /// plus the monotonic time since, or this node's wall clock while it has heard nobody.
    pub fn log_now(&self) -> u64 {
        self.clock.estimate()
    }

    pub fn is_leader(&self) -> bool {
        self.raft.is_leader()
    }

    /// Until when a consumer that has handled all entries up to `applied` may act for what this node owns: no other
    /// leader can have given it away before. `None` without a lease; on this machine's monotonic clock.
    pub fn lease_until(&self, applied: u64) -> Option<Instant> {
        self.raft.pulse().lease_until(applied)
    }

    /// At the leader, for every other member, how long nothing was heard of it; counted from the beginning of this
    /// leadership at the earliest, but for the leader before it. Who is to lose what it owns must have been silent for
    /// longer than a lease.
    pub fn silences(&self) -> Option<Vec<(NodeId, Duration)>> {
        self.raft.pulse().silences()
    }
}
