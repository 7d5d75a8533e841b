//! The state of the cluster.

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
