//! What a node is told at its start: who it is, who the others are, where its disk is, and its limits.

use std::path::PathBuf;
use std::time::Duration;

use placement::{GroupId, NodeId};

#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub id: NodeId,
    pub name: String,
    /// Everyone who holds these groups, this node included. Addresses may change between starts, ids may not.
    pub members: Vec<Member>,
    /// The folder of this node's logs and snapshots; made at the first start.
    pub data: PathBuf,
    pub groups: Vec<GroupId>,
    pub timings: Timings,
    pub limits: Limits,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: NodeId,
    pub name: String,
    /// `host:port` of its gRPC server.
    pub grpc: String,
}

/// A follower that heard no leader for a while stands for election; the while is drawn from
/// `election_min..election_max`. One AppendEntries may take as long as one heartbeat interval.
#[derive(Clone, Debug)]
pub struct Timings {
    pub heartbeat: Duration,
    pub election_min: Duration,
    pub election_max: Duration,
}

/// The store's values must not be larger; see `raft/log_store.rs`.
pub(crate) const MAX_ENTRY_BYTES: usize = 64 * 1024;

#[derive(Clone, Debug)]
pub struct Limits {
    /// Own commands of a group whose fate is open, and commands of all nodes waiting at its leader. At the limit
    /// `Group::propose` answers `Full`.
    pub proposals: usize,
    /// Commands in one log entry.
    pub entry_commands: usize,
    /// Bytes in one log entry; a single command may fill it, a larger one is never proposed. Never above 64 KiB.
    pub entry_bytes: usize,
    /// Entries proposed and not yet applied. The leader waits at the limit, and its queue fills.
    pub entries_in_flight: usize,
    /// How long a command waits for a leader that takes it before it is `Failed`.
    pub leaderless_wait: Duration,
    /// How long a command whose fate is open is tried before it is `Lost`.
    pub give_up: Duration,
    /// A command not seen committed after this time is proposed once more.
    pub repropose_after: Duration,
    /// Log entries between two snapshots.
    pub snapshot_every: u64,
    /// Bytes of entries after which a snapshot is taken even if they are few: that much is replayed at a start.
    pub snapshot_bytes: u64,
    /// Log entries kept behind a snapshot for followers that lag a little.
    pub log_kept: u64,
    /// Events waiting for the consumer of a group. At the limit the group stops applying.
    pub events: usize,
}

impl Default for Timings {
    fn default() -> Self {
        Timings {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(300),
            election_max: Duration::from_millis(600),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            proposals: 16_384,
            entry_commands: 512,
            entry_bytes: MAX_ENTRY_BYTES,
            entries_in_flight: 4,
            leaderless_wait: Duration::from_secs(3),
            give_up: Duration::from_secs(32),
            repropose_after: Duration::from_secs(4),
            snapshot_every: 10_000,
            snapshot_bytes: 64 * 1024 * 1024,
            log_kept: 2_000,
            events: 256,
        }
    }
}
