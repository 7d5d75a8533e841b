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
    pub fn certificate(
        cluster: ClusterId,
        slots: SlotTable,
        members: BTreeMap<NodeId, Member>,
    ) -> Directory {
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
            Change::Born { cluster, slots, members } => return self.be_born(position, cluster, slots, members),
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
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_born_once() {
        let mut directory = born(&[(1, "a"), (2, "b")]);
        let before = directory.clone();

        let again = Change::Born {
            cluster: ClusterId(8),
            slots: SlotTable::dealt(4),
            members: BTreeMap::from([(NodeId(9), member("z"))]),
        };

        assert_eq!(directory.apply(11, again), Err(Refused::BornAlready));
        assert_eq!(directory, before);
        assert_eq!((directory.cluster, directory.version, directory.level), (ClusterId(7), 10, 1));
    }

    #[test]
    fn a_birth_of_nobody_or_of_two_with_one_name_is_refused() {
        for members in [vec![], vec![(1, "a"), (2, "a")]] {
            let mut directory = Directory::default();

            assert_eq!(directory.apply(10, birth(&members)), Err(Refused::BadBirth));
            assert_eq!(directory, Directory::default());
        }
    }

    #[test]
    fn nothing_changes_before_the_birth() {
        let mut directory = Directory::default();

        let up = Change::NodeUp { node: NodeId(1), member: member("a") };

        assert_eq!(directory.apply(3, up), Err(Refused::Unborn));
    }

    #[test]
    fn a_node_that_starts_anew_is_reached_where_it_says() {
        let mut directory = born(&[(1, "a"), (2, "b")]);
        let moved = Member { grpc: "elsewhere:1".into(), incarnation: 2, ..member("b") };

        directory.apply(12, Change::NodeUp { node: NodeId(2), member: moved.clone() }).unwrap();

        assert_eq!((directory.version, directory.members_version), (12, 10));
        assert_eq!(directory.members[&NodeId(2)], moved);
    }

    #[test]
    fn what_a_node_says_twice_is_no_change() {
        let mut directory = born(&[(1, "a")]);
        let up = Change::NodeUp { node: NodeId(1), member: Member { incarnation: 2, ..member("a") } };
        directory.apply(12, up.clone()).unwrap();

        directory.apply(13, up).unwrap();

        assert_eq!(directory.version, 12);
    }

    #[test]
    fn a_start_that_lies_before_the_known_one_is_refused() {
        let mut directory = born(&[(1, "a")]);
        let up = |incarnation| Change::NodeUp {
            node: NodeId(1),
            member: Member { incarnation, ..member("a") },
        };
        directory.apply(12, up(5)).unwrap();

        assert_eq!(directory.apply(13, up(4)), Err(Refused::OldStart { node: NodeId(1), held: 5, said: 4 }));
        assert_eq!(directory.version, 12);
    }

    #[test]
    fn a_new_id_takes_the_place_of_the_old_one_which_never_comes_back() {
        let mut directory = born(&[(1, "a"), (2, "b")]);

        directory.apply(12, replace(10, 2, 5, "b")).unwrap();

        assert_eq!(directory.members.keys().copied().collect::<Vec<_>>(), [NodeId(1), NodeId(5)]);
        assert_eq!(directory.gone, BTreeMap::from([(NodeId(2), 12)]));
        assert_eq!(directory.apply(13, replace(12, 5, 2, "b")), Err(Refused::UsedId(NodeId(2))));
        let up = Change::NodeUp { node: NodeId(2), member: member("b") };
        assert_eq!(directory.apply(14, up), Err(Refused::NoMember(NodeId(2))));
    }

    #[test]
    fn of_two_changes_decided_on_the_same_members_the_second_is_refused() {
        let mut directory = born(&[(1, "a"), (2, "b"), (3, "c")]);

        directory.apply(12, replace(10, 2, 5, "b")).unwrap();

        assert_eq!(directory.apply(13, replace(10, 3, 6, "c")), Err(Refused::Overtaken));
        assert_eq!(directory.apply(14, replace(12, 3, 6, "c")), Ok(()));
    }

    #[test]
    fn a_name_stays_with_one_member() {
        let mut directory = born(&[(1, "a"), (2, "b")]);

        assert_eq!(directory.apply(12, replace(10, 2, 5, "a")), Err(Refused::UsedName("a".into())));
        assert_eq!(directory.apply(13, replace(10, 9, 5, "c")), Err(Refused::NoMember(NodeId(9))));
        let added = Change::MemberAdded { seen: Seen(10), node: NodeId(5), member: member("b") };
        assert_eq!(directory.apply(14, added), Err(Refused::UsedName("b".into())));
        assert!(directory.gone.is_empty() && directory.version == 10);
    }

    #[test]
    fn members_come_and_go_but_the_last_one_stays() {
        let mut directory = born(&[(1, "a")]);
        let added = Change::MemberAdded { seen: Seen(10), node: NodeId(2), member: member("b") };
        let removed = |seen, node| Change::MemberRemoved { seen: Seen(seen), node: NodeId(node) };

        directory.apply(11, added).unwrap();
        directory.apply(12, removed(11, 1)).unwrap();

        assert_eq!(directory.apply(13, removed(12, 2)), Err(Refused::LastMember));
        assert_eq!(directory.id_of("b"), Some(NodeId(2)));
        assert_eq!(directory.id_of("a"), None);
    }

    #[test]
    fn the_level_rises_when_every_member_supports_it_and_never_falls() {
        let mut directory = born(&[(1, "a"), (2, "b")]);
        let up = |node, name, incarnation, level| Change::NodeUp {
            node: NodeId(node),
            member: Member { incarnation, level, ..member(name) },
        };

        directory.apply(11, up(1, "a", 2, 3)).unwrap();
        assert_eq!(directory.level, 1);
        directory.apply(12, up(2, "b", 2, 2)).unwrap();
        assert_eq!(directory.level, 2);
        directory.apply(13, up(2, "b", 3, 1)).unwrap();
        assert_eq!(directory.level, 2);
    }

    #[test]
    fn only_the_last_ids_that_went_are_kept() {
        let mut directory = born(&[(1, "a")]);
        for n in 0..MAX_GONE as u64 + 10 {
            directory.apply(11 + n, replace(10 + n, 1 + n, 2 + n, "a")).unwrap();
        }

        assert_eq!(directory.gone.len(), MAX_GONE);
        assert_eq!(directory.gone.first_key_value(), Some((&NodeId(11), &21)));
    }

    fn born(members: &[(u64, &str)]) -> Directory {
        let mut directory = Directory::default();
        directory.apply(10, birth(members)).unwrap();
        directory
    }

    fn birth(members: &[(u64, &str)]) -> Change {
        let members = members.iter().map(|(id, name)| (NodeId(*id), member(name))).collect();
        Change::Born { cluster: ClusterId(7), slots: SlotTable::dealt(1), members }
    }

    fn replace(seen: u64, old: u64, new: u64, name: &str) -> Change {
        let (old, new) = (NodeId(old), NodeId(new));
        Change::MemberReplaced { seen: Seen(seen), old, new, member: member(name) }
    }

    fn member(name: &str) -> Member {
        Member { name: name.into(), grpc: format!("{name}:1"), sip: format!("{name}:2"), incarnation: 1, level: 1 }
    }
}
