//! The directory: who is in the cluster, where each node is reached, and which group holds which slot.
//!
//! It is the state of the system group: every member applies the same changes at the same positions of its log. Only
//! `apply` changes it. A change that the state does not allow is refused, and that is the same on every node.
//!
//! An id that was replaced or removed never comes back. The last such ids are kept, so that a node that was away is told
//! what became of it.

use std::collections::BTreeMap;

use crate::{ClusterId, NodeId, SlotTable};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    pub cluster: ClusterId,
    /// The position of the last change; 0 until the birth stands in the log.
    pub version: u64,
    /// The position of the last change of who is a member.
    pub members_version: u64,
    /// What every member supports; it never falls.
    pub level: u32,
    pub slots: SlotTable,
    pub members: BTreeMap<NodeId, Member>,
    /// Ids that are members no more, with the position at which they ceased to be.
    pub gone: BTreeMap<NodeId, u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    /// `host:port` of its gRPC server, and of its SIP link.
    pub grpc: String,
    pub sip: String,
    /// Its present start.
    pub incarnation: u64,
    /// What its build supports.
    pub level: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Born { cluster: ClusterId, slots: SlotTable, members: BTreeMap<NodeId, Member> },
    NodeUp { node: NodeId, member: Member },
    MemberReplaced { seen: Seen, old: NodeId, new: NodeId, member: Member },
    MemberAdded { seen: Seen, node: NodeId, member: Member },
    MemberRemoved { seen: Seen, node: NodeId },
}

/// The `members_version` that a change of the members was decided on: of two that were decided on the same one, the
/// second is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(pub u64);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the cluster is born already")]
    BornAlready,
    #[error("the cluster is not born yet")]
    Unborn,
    #[error("a cluster is born with 1 to {MAX_MEMBERS} members, each with a name of its own")]
    BadBirth,
    #[error("the members changed meanwhile")]
    Overtaken,
    #[error("node {0} is no member")]
    NoMember(NodeId),
    #[error("node {0} is a member already, or was one")]
    UsedId(NodeId),
    #[error("the name {0:?} is another member's")]
    UsedName(String),
    #[error("node {node} has started {held} times before, not {said}")]
    OldStart { node: NodeId, held: u64, said: u64 },
    #[error("there are {MAX_MEMBERS} members already")]
    Full,
    #[error("the last member cannot be removed")]
    LastMember,
}

pub const MAX_MEMBERS: usize = 64;
/// Ids kept in `gone`; the longest gone is forgotten first.
pub const MAX_GONE: usize = 256;

impl Default for Directory {
    /// Before anything stands in the log.
    fn default() -> Directory {
        Directory::certificate(ClusterId(0), SlotTable::dealt(1), BTreeMap::new())
    }
}

impl Directory {
    /// What founders agree on before the birth stands in the log.
    pub fn certificate(cluster: ClusterId, slots: SlotTable, members: BTreeMap<NodeId, Member>) -> Directory {
        let level = lowest_level(&members);
        let (version, members_version, gone) = (0, 0, BTreeMap::new());
        Directory { cluster, version, members_version, level, slots, members, gone }
    }

    /// Whether the birth stands in the log.
    pub fn is_born(&self) -> bool {
        self.version > 0
    }

    pub fn id_of(&self, name: &str) -> Option<NodeId> {
        self.members.iter().find(|(_, member)| member.name == name).map(|(id, _)| *id)
    }

    /// For people: the name of a member, the number of anybody else.
    pub fn name_of(&self, node: NodeId) -> String {
        self.members.get(&node).map_or_else(|| node.to_string(), |member| member.name.clone())
    }

    /// Performs the change that stands at `position`, or refuses it and changes nothing.
    pub fn apply(&mut self, position: u64, change: Change) -> Result<(), Refused> {
        let before = self.members.clone();
        match change {
            Change::Born { cluster, slots, members } => {
                return self.be_born(position, cluster, slots, members);
            }
            _ if !self.is_born() => return Err(Refused::Unborn),
            Change::NodeUp { node, member } => self.node_up(node, member)?,
            Change::MemberReplaced { seen, old, new, member } => {
                self.may_change(seen)?;
                self.is_new(new, &member, Some(old))?;
                self.remove(position, old)?;
                self.add(position, new, member);
            }
            Change::MemberAdded { seen, node, member } => {
                self.may_change(seen)?;
                self.is_new(node, &member, None)?;
                if self.members.len() >= MAX_MEMBERS {
                    return Err(Refused::Full);
                }
                self.add(position, node, member);
            }
            Change::MemberRemoved { seen, node } => {
                self.may_change(seen)?;
                if self.members.len() == 1 {
                    return Err(Refused::LastMember);
                }
                self.remove(position, node)?;
            }
        }
        if self.members != before {
            self.version = position;
            self.level = self.level.max(lowest_level(&self.members));
        }
        Ok(())
    }

    fn be_born(
        &mut self,
        position: u64,
        cluster: ClusterId,
        slots: SlotTable,
        members: BTreeMap<NodeId, Member>,
    ) -> Result<(), Refused> {
        if self.is_born() {
            return Err(Refused::BornAlready);
        }
        let mut names: Vec<_> = members.values().map(|member| &member.name).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() != members.len() || members.is_empty() || members.len() > MAX_MEMBERS {
            return Err(Refused::BadBirth);
        }
        *self = Directory::certificate(cluster, slots, members);
        (self.version, self.members_version) = (position, position);
        Ok(())
    }

    fn node_up(&mut self, node: NodeId, said: Member) -> Result<(), Refused> {
        let held = self.members.get_mut(&node).ok_or(Refused::NoMember(node))?;
        if held.name != said.name {
            return Err(Refused::UsedName(held.name.clone()));
        }
        if said.incarnation < held.incarnation {
            return Err(Refused::OldStart { node, held: held.incarnation, said: said.incarnation });
        }
        *held = said;
        Ok(())
    }

    fn may_change(&self, seen: Seen) -> Result<(), Refused> {
        if seen.0 == self.members_version { Ok(()) } else { Err(Refused::Overtaken) }
    }

    fn is_new(&self, node: NodeId, member: &Member, instead_of: Option<NodeId>) -> Result<(), Refused> {
        if self.members.contains_key(&node) || self.gone.contains_key(&node) {
            return Err(Refused::UsedId(node));
        }
        match self.id_of(&member.name) {
            Some(holder) if Some(holder) != instead_of => Err(Refused::UsedName(member.name.clone())),
            _ => Ok(()),
        }
    }

    fn add(&mut self, position: u64, node: NodeId, member: Member) {
        self.members.insert(node, member);
        self.members_version = position;
    }

    fn remove(&mut self, position: u64, node: NodeId) -> Result<(), Refused> {
        self.members.remove(&node).ok_or(Refused::NoMember(node))?;
        self.gone.insert(node, position);
        self.members_version = position;
        if self.gone.len() > MAX_GONE
            && let Some(oldest) = self.gone.iter().min_by_key(|(_, at)| **at).map(|(id, _)| *id)
        {
            self.gone.remove(&oldest);
        }
        Ok(())
    }
}

fn lowest_level(members: &BTreeMap<NodeId, Member>) -> u32 {
    members.values().map(|member| member.level).min().unwrap_or(0)
}

#[cfg(test)]
mod tests;
