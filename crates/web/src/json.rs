//! The shapes of what the API says, in one place for those who write them (`api`) and those who read them (`vedette ctl`).
//!
//! The field names are a contract with other people's programs: fields are added, never renamed.

use std::fmt;

use placement::ClusterId;
use proto::v1;
use serde::{Deserialize, Serialize};

/// `GET /v1/status`: every configured manager, whether it answers or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterStatus {
    pub managers: Vec<ManagerStatus>,
}

/// Exactly one of `status` and `error` is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManagerStatus {
    pub address: String,
    pub reachable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<NodeStatus>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub node: u64,
    pub name: String,
    /// Sixteen hexadecimal digits.
    #[serde(default)]
    pub cluster: String,
    /// What every member supports.
    #[serde(default)]
    pub level: u32,
    /// Seconds since the process started.
    pub uptime: u64,
    pub members: Vec<Member>,
    pub groups: Vec<GroupStatus>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    pub node: u64,
    pub name: String,
    pub grpc: String,
    #[serde(default)]
    pub sip: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// 0 is the system group.
    pub group: u32,
    pub role: String,
    /// 0 while there is none.
    pub leader: u64,
    pub term: u64,
    pub last_log: u64,
    pub committed: u64,
    pub applied: u64,
    pub snapshot: u64,
    /// Nodes whose votes count.
    #[serde(default)]
    pub voters: Vec<u64>,
    pub counts: GroupCounts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupCounts {
    pub presentities: u64,
    pub publications: u64,
    pub sources: u64,
    pub bindings: u64,
    pub subscriptions: u64,
    /// Those this node notifies.
    pub owned: u64,
    pub dirty: u64,
}

/// `GET /v1/presence/{uri}`, and each event of `GET /v1/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PresentityState {
    pub presentity: String,
    pub position: String,
    /// `open` or `closed`.
    pub basic: String,
    pub notes: Vec<String>,
    pub activities: Vec<String>,
    pub counts: PresentityCounts,
    /// The composed document, application/pidf+xml.
    pub document: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PresentityCounts {
    pub publications: u32,
    pub sources: u32,
    pub bindings: u32,
}

/// `GET /v1/watchers/{uri}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watchers {
    pub presentity: String,
    pub watchers: Vec<Watcher>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watcher {
    pub watcher: String,
    pub event: String,
    pub state: String,
    /// Seconds left.
    pub expires: u32,
    /// The node that notifies this watcher.
    pub owner: u64,
    #[serde(default)]
    pub owner_name: String,
    pub call_id: String,
    /// As billing said; empty when it did not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant: String,
}

/// The body of `PUT /v1/presence/{uri}/sources/{id}`. An unknown field is refused: a misspelt `expires` would otherwise
/// keep the source for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSource {
    pub status: String,
    #[serde(default)]
    pub note: String,
    /// Seconds until the source is dropped; 0, as when absent, keeps it until it is removed.
    #[serde(default)]
    pub expires: u32,
}

/// The answer to a PUT or DELETE of a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceChanged {
    pub presentity: String,
    pub source: String,
    pub position: String,
}

/// The body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    pub error: String,
    pub hint: String,
}

/// A log position, which managers write as "index.offset"; a larger one is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub index: u64,
    pub offset: u64,
}

impl Position {
    pub fn parse(text: &str) -> Option<Position> {
        let (index, offset) = text.split_once('.')?;
        Some(Position { index: index.parse().ok()?, offset: offset.parse().ok()? })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.offset)
    }
}

impl From<v1::PresentityState> for PresentityState {
    fn from(state: v1::PresentityState) -> Self {
        let counts = PresentityCounts {
            publications: state.publications,
            sources: state.sources,
            bindings: state.bindings,
        };
        PresentityState {
            presentity: state.presentity,
            position: state.position,
            basic: state.basic,
            notes: state.notes,
            activities: state.activities,
            counts,
            document: String::from_utf8_lossy(&state.document).into_owned(),
        }
    }
}

impl From<v1::Watcher> for Watcher {
    fn from(watcher: v1::Watcher) -> Self {
        let v1::Watcher { watcher, event, state, expires, owner, call_id, owner_name, tenant } = watcher;
        Watcher { watcher, event, state, expires, owner, owner_name, call_id, tenant }
    }
}

impl From<v1::NodeStatus> for NodeStatus {
    fn from(status: v1::NodeStatus) -> Self {
        let v1::NodeStatus { node, name, uptime, groups, members, cluster, level } = status;
        NodeStatus {
            node,
            name,
            cluster: ClusterId(cluster).to_string(),
            level,
            uptime,
            members: members.into_iter().map(Into::into).collect(),
            groups: groups.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<v1::Member> for Member {
    fn from(member: v1::Member) -> Self {
        let v1::Member { node, name, grpc, sip } = member;
        Member { node, name, grpc, sip }
    }
}

impl From<v1::GroupStatus> for GroupStatus {
    fn from(status: v1::GroupStatus) -> Self {
        GroupStatus {
            group: status.group,
            role: status.role,
            leader: status.leader,
            term: status.term,
            last_log: status.last_log,
            committed: status.committed,
            applied: status.applied,
            snapshot: status.snapshot,
            voters: status.voters,
            counts: status.counts.unwrap_or_default().into(),
        }
    }
}

impl From<v1::Counts> for GroupCounts {
    fn from(counts: v1::Counts) -> Self {
        let v1::Counts { presentities, publications, sources, bindings, subscriptions, owned, dirty } =
            counts;
        GroupCounts { presentities, publications, sources, bindings, subscriptions, owned, dirty }
    }
}
