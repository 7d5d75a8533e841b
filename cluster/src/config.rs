//! What a node is told at its start: its name, who should be there at a birth, where its disk is, and its limits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub name: String,
    pub declared: Declared,
    /// `host:port` that dispatchers reach this node at; told to all.
    pub sip: String,
    /// The folder of this node's identity, logs and snapshots; made at the first start.
    pub data: PathBuf,
    /// Addresses that this node dials elsewhere. None but where something stands between nodes that must not be seen,
    /// such as the wires of a test.
    pub detours: BTreeMap<String, String>,
    /// How the other nodes are reached.
    pub wires: tls::Wires,
    pub timings: Timings,
    pub limits: Limits,
}

/// What every member is configured with in the same words. A birth needs all of them; afterwards the directory counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    pub members: Vec<DeclaredMember>,
    /// How many groups the slots are dealt to at birth.
    pub groups: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredMember {
    pub name: String,
    /// `host:port` at which the others reach its gRPC server.
    pub grpc: String,
}

/// The configuration cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadConfig {
    #[error("the members do not name this node, {0:?}")]
    NotAMember(String),
    #[error("the members name {0:?} twice")]
    NameTwice(String),
    #[error("two members have the address {0}")]
    AddressTwice(String),
    #[error("{0:?} is no name of a member: 1 to {MAX_TEXT} bytes without spaces")]
    BadName(String),
    #[error("{0:?} is no address of a member: write it as host:port")]
    BadAddress(String),
    #[error("there are {0} members, more than {max}", max = placement::directory::MAX_MEMBERS)]
    TooMany(usize),
}

/// The longest name and the longest address.
const MAX_TEXT: usize = 255;

impl NodeConfig {
    /// Refuses what cannot be meant.
    pub fn check(&self) -> Result<(), BadConfig> {
        let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        for DeclaredMember { name, grpc } in &self.declared.members {
            let plain = |c: char| !c.is_whitespace() && !c.is_control();
            if name.is_empty() || name.len() > MAX_TEXT || !name.chars().all(plain) {
                return Err(BadConfig::BadName(name.clone()));
            }
            if !is_address(grpc) {
                return Err(BadConfig::BadAddress(grpc.clone()));
            }
            if !names.insert(name) {
                return Err(BadConfig::NameTwice(name.clone()));
            }
            if !addresses.insert(grpc) {
                return Err(BadConfig::AddressTwice(grpc.clone()));
            }
        }
        if !is_address(&self.sip) {
            return Err(BadConfig::BadAddress(self.sip.clone()));
        }
        if names.len() > placement::directory::MAX_MEMBERS {
            return Err(BadConfig::TooMany(names.len()));
        }
        self.grpc().map(drop).ok_or_else(|| BadConfig::NotAMember(self.name.clone()))
    }

    /// Where the others reach this node.
    pub fn grpc(&self) -> Option<&str> {
        let own = self.declared.members.iter().find(|member| member.name == self.name);
        own.map(|member| member.grpc.as_str())
    }
}

impl Declared {
    /// Equal for those who were configured alike, in whatever order.
    pub fn digest(&self) -> u64 {
        let mut lines: Vec<_> =
            self.members.iter().map(|member| format!("{} {}\n", member.name, member.grpc)).collect();
        lines.sort_unstable();
        placement::hash(format!("{}groups {}", lines.concat(), self.groups).as_bytes())
    }
}

/// A host, of which only a resolver knows whether it exists, and a port.
pub fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let strange = |c: char| c.is_whitespace() || c.is_control() || "/@?#".contains(c);
    let port = port.parse::<u16>().is_ok_and(|port| port > 0);
    port && !host.is_empty() && text.len() <= MAX_TEXT && !host.contains(strange)
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
pub(crate) const MAX_ENTRY_BYTES: usize = 60 * 1024;
/// Bytes of the commands in one entry before they are packed. Never lowered: logs hold entries of this size.
pub(crate) const MAX_UNPACKED_BYTES: usize = 256 * 1024;

#[derive(Clone, Debug)]
pub struct Limits {
    /// Own commands of a group whose fate is open, and commands of all nodes waiting at its leader. At the limit
    /// `Group::propose` answers `Full`.
    pub proposals: usize,
    /// Commands in one log entry.
    pub entry_commands: usize,
    /// Bytes in one log entry, packed; a single command may fill it even unpacked, a larger one is never proposed. Never
    /// above 60 KiB.
    pub entry_bytes: usize,
    /// Entries proposed and not yet applied. The leader waits at the limit, and its queue fills.
    pub entries_in_flight: usize,
    /// How long an entry waits at most for a few more commands after one that several shared; one that comes alone waits
    /// for nothing, and many are waited for longer.
    pub gather: Duration,
    /// How long a command waits for a leader that takes it before it is `Failed`.
    pub leaderless_wait: Duration,
    /// How long a command whose fate is open is tried before it is `Lost`.
    pub give_up: Duration,
    /// A command not seen committed after this time is proposed once more.
    pub repropose_after: Duration,
    /// Log entries between two snapshots.
    pub snapshot_every: u64,
    /// Bytes of commands after which a snapshot is taken even if they are few: that much is replayed at a start.
    pub snapshot_bytes: u64,
    /// Log entries kept behind a snapshot for followers that lag a little: as many as a node may miss that starts anew.
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
            entries_in_flight: 1,
            gather: Duration::from_millis(3),
            leaderless_wait: Duration::from_secs(3),
            give_up: Duration::from_secs(32),
            repropose_after: Duration::from_secs(4),
            snapshot_every: 10_000,
            snapshot_bytes: 64 * 1024 * 1024,
            log_kept: 1_000,
            events: 256,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_repeat_or_leave_us_out_are_refused() {
        let check = |name: &str, members: &[(&str, &str)]| config(name, members).check();

        assert_eq!(check("a", &[("a", "h:1"), ("b", "h:2")]), Ok(()));
        assert_eq!(check("c", &[("a", "h:1")]), Err(BadConfig::NotAMember("c".into())));
        assert_eq!(check("a", &[("a", "h:1"), ("a", "h:2")]), Err(BadConfig::NameTwice("a".into())));
        assert_eq!(check("a", &[("a", "h:1"), ("b", "h:1")]), Err(BadConfig::AddressTwice("h:1".into())));
        assert_eq!(check("", &[("", "h:1")]), Err(BadConfig::BadName(String::new())));
        for address in ["h", "h:", ":1", "h:0", "h:65536", "http://h:1/", "u@h:1", "h h:1", "1:2 "] {
            let refused = check("a", &[("a", address)]);
            assert_eq!(refused, Err(BadConfig::BadAddress(address.into())));
        }
        assert_eq!(check("a", &[("a", "[::1]:7")]), Ok(()));
    }

    #[test]
    fn the_digest_tells_lists_apart_but_not_orders() {
        let digest = |members: &[(&str, &str)]| config("a", members).declared.digest();

        assert_eq!(digest(&[("a", "h:1"), ("b", "h:2")]), digest(&[("b", "h:2"), ("a", "h:1")]));
        assert_ne!(digest(&[("a", "h:1"), ("b", "h:2")]), digest(&[("a", "h:2"), ("b", "h:1")]));
    }

    fn config(name: &str, members: &[(&str, &str)]) -> NodeConfig {
        let member =
            |(name, grpc): &(&str, &str)| DeclaredMember { name: (*name).into(), grpc: (*grpc).into() };
        NodeConfig {
            name: name.into(),
            declared: Declared { members: members.iter().map(member).collect(), groups: 1 },
            sip: "h:9".into(),
            data: PathBuf::new(),
            detours: BTreeMap::new(),
            wires: tls::Wires::plain(),
            timings: Timings::default(),
            limits: Limits::default(),
        }
    }

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
