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

/// A follower that heard no leader for a while asks the others about an election; the while is drawn from
/// `election_min..election_max`. One AppendEntries may take as long as one heartbeat interval.
///
/// For `lease` from the last word of a leader on, a voter helps no other one, and for as long owners may rely on a
/// majority's acknowledgement. It is shorter than `election_min`, so that who asks finds the others free to vote.
#[derive(Clone, Debug)]
pub struct Timings {
    pub heartbeat: Duration,
    pub lease: Duration,
    pub election_min: Duration,
    pub election_max: Duration,
}

/// A lease must last over two heartbeats, since that is how old the leader's word may be, and end before an election.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the timings do not fit: 0 < 2 x heartbeat ({heartbeat:?}) < lease ({lease:?}) < election_min ({election_min:?}) \
     < election_max ({election_max:?}) must hold"
)]
pub struct BadTimings {
    heartbeat: Duration,
    lease: Duration,
    election_min: Duration,
    election_max: Duration,
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
            lease: Duration::from_millis(450),
            election_min: Duration::from_millis(500),
            election_max: Duration::from_millis(750),
        }
    }
}

impl Timings {
    pub(crate) fn check(&self) -> Result<(), BadTimings> {
        let Timings { heartbeat, lease, election_min, election_max } = *self;
        // openraft counts in milliseconds.
        let some = heartbeat >= Duration::from_millis(1);
        match some && 2 * heartbeat < lease && lease < election_min && election_min < election_max {
            true => Ok(()),
            false => Err(BadTimings { heartbeat, lease, election_min, election_max }),
        }
    }

    /// How long the answers about a leader are good, and how long a candidate is left alone.
    pub(crate) fn answer_wait(&self) -> Duration {
        2 * self.heartbeat
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_outlives_the_silence_before_an_election_is_refused() {
        let timings = Timings::default();
        assert_eq!(timings.check(), Ok(()));

        let long = Timings { lease: timings.election_min, ..timings.clone() };
        let short = Timings { lease: 2 * timings.heartbeat, ..timings.clone() };
        let turned = Timings { election_max: timings.election_min, ..timings.clone() };
        let still = Timings { heartbeat: Duration::ZERO, ..timings };

        for timings in [long, short, turned, still] {
            let refused = timings.check().unwrap_err().to_string();
            assert!(refused.contains("lease"), "{refused}");
        }
    }
}
