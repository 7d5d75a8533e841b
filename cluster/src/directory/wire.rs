//! The directory and its changes as the messages of `directory.proto` and `membership.proto`, and back.

use std::collections::BTreeMap;

use bytes::Bytes;
use placement::directory::{Change, Member, Seen};
use placement::{ClusterId, Directory, GroupId, NodeId, SlotTable};
use prost::Message;
use proto::v1::{self, directory_change::Kind};

/// The bytes are no change that this build knows, or lack a part of it. Only the unknown kind may make sense to others.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("a change of the directory cannot be read: {0}")]
    Bytes(#[from] prost::DecodeError),
    #[error("a change of the directory is of a kind that this build does not know")]
    UnknownKind,
    #[error("{0} of the directory is missing or makes no sense")]
    Part(&'static str),
}

pub fn state(directory: &Directory) -> v1::DirectoryState {
    v1::DirectoryState {
        cluster: directory.cluster.0,
        version: directory.version,
        level: directory.level,
        slots: slots(&directory.slots),
        members: members(&directory.members),
    }
}

pub fn record(directory: &Directory) -> v1::DirectoryRecord {
    let gone = directory.gone.iter().map(|(node, at)| v1::GoneNode { node: node.0, at: *at });
    v1::DirectoryRecord {
        state: Some(state(directory)),
        members_version: directory.members_version,
        gone: gone.collect(),
    }
}

pub fn read_record(record: v1::DirectoryRecord) -> Result<Directory, Unreadable> {
    let state = record.state.ok_or(Unreadable::Part("the state"))?;
    Ok(Directory {
        cluster: ClusterId(state.cluster),
        version: state.version,
        members_version: record.members_version,
        level: state.level,
        slots: read_slots(state.slots)?,
        members: read_members(state.members),
        gone: record.gone.into_iter().map(|gone| (NodeId(gone.node), gone.at)).collect(),
    })
}

pub fn member(node: NodeId, member: &Member) -> v1::DirectoryMember {
    let Member { name, grpc, sip, incarnation, level } = member.clone();
    v1::DirectoryMember { node: node.0, name, grpc, sip, incarnation, level }
}

pub fn read_member(member: v1::DirectoryMember) -> (NodeId, Member) {
    let v1::DirectoryMember { node, name, grpc, sip, incarnation, level } = member;
    (NodeId(node), Member { name, grpc, sip, incarnation, level })
}

pub fn change(change: &Change) -> Bytes {
    let kind = match change {
        Change::Born { cluster, slots: table, members: founders } => {
            Kind::Born(v1::Born { cluster: cluster.0, slots: slots(table), members: members(founders) })
        }
        Change::NodeUp { node, member: said } => Kind::NodeUp(member(*node, said)),
        Change::MemberReplaced { seen, old, new, member: said } => {
            let member = Some(member(*new, said));
            Kind::Replaced(v1::MemberReplaced { seen: seen.0, old: old.0, member })
        }
        Change::MemberAdded { seen, node, member: said } => {
            Kind::Added(v1::MemberAdded { seen: seen.0, member: Some(member(*node, said)) })
        }
        Change::MemberRemoved { seen, node } => {
            Kind::Removed(v1::MemberRemoved { seen: seen.0, node: node.0 })
        }
    };
    v1::DirectoryChange { kind: Some(kind) }.encode_to_vec().into()
}

pub fn read_change(bytes: Bytes) -> Result<Change, Unreadable> {
    let named =
        |member: Option<v1::DirectoryMember>| member.map(read_member).ok_or(Unreadable::Part("a member"));
    // A kind that is not known here leaves some bytes at least.
    if bytes.is_empty() {
        return Err(Unreadable::Part("a change"));
    }
    Ok(match v1::DirectoryChange::decode(bytes)?.kind.ok_or(Unreadable::UnknownKind)? {
        Kind::Born(born) => Change::Born {
            cluster: ClusterId(born.cluster),
            slots: read_slots(born.slots)?,
            members: read_members(born.members),
        },
        Kind::NodeUp(said) => {
            let (node, member) = read_member(said);
            Change::NodeUp { node, member }
        }
        Kind::Replaced(replaced) => {
            let (new, member) = named(replaced.member)?;
            Change::MemberReplaced { seen: Seen(replaced.seen), old: NodeId(replaced.old), new, member }
        }
        Kind::Added(added) => {
            let (node, member) = named(added.member)?;
            Change::MemberAdded { seen: Seen(added.seen), node, member }
        }
        Kind::Removed(removed) => {
            Change::MemberRemoved { seen: Seen(removed.seen), node: NodeId(removed.node) }
        }
    })
}

fn slots(table: &SlotTable) -> Vec<u32> {
    table.iter().map(|group| group.0).collect()
}

fn read_slots(slots: Vec<u32>) -> Result<SlotTable, Unreadable> {
    SlotTable::of(slots.into_iter().map(GroupId)).ok_or(Unreadable::Part("the slot table"))
}

fn members(members: &BTreeMap<NodeId, Member>) -> Vec<v1::DirectoryMember> {
    members.iter().map(|(node, said)| member(*node, said)).collect()
}

fn read_members(members: Vec<v1::DirectoryMember>) -> BTreeMap<NodeId, Member> {
    members.into_iter().map(read_member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_survives_the_wire() {
        let directory = Directory {
            version: 40,
            members_version: 30,
            level: 2,
            gone: [(NodeId(4), 30)].into(),
            ..Directory::certificate(ClusterId(7), SlotTable::dealt(3), founders())
        };

        assert_eq!(read_record(record(&directory)).unwrap(), directory);
    }

    #[test]
    fn every_change_survives_the_wire() {
        let (seen, node, said) = (Seen(9), NodeId(1 << 47), founders()[&NodeId(1)].clone());
        let changes = [
            Change::Born { cluster: ClusterId(7), slots: SlotTable::dealt(2), members: founders() },
            Change::NodeUp { node, member: said.clone() },
            Change::MemberReplaced { seen, old: NodeId(1), new: node, member: said.clone() },
            Change::MemberAdded { seen, node, member: said },
            Change::MemberRemoved { seen, node },
        ];
        for it in changes {
            assert_eq!(read_change(change(&it)).unwrap(), it);
        }
    }

    #[test]
    fn what_this_build_does_not_know_is_said_so() {
        // Field 99 of a later build.
        let unknown = Bytes::from_static(&[0x9a, 0x06, 0x00]);

        assert!(matches!(read_change(unknown), Err(Unreadable::UnknownKind)));
        assert!(matches!(read_change(Bytes::from_static(&[0xff])), Err(Unreadable::Bytes(_))));
        let short = v1::Born { cluster: 7, slots: vec![1; 1023], members: vec![] };
        let short = v1::DirectoryChange { kind: Some(Kind::Born(short)) }.encode_to_vec();
        assert!(matches!(read_change(short.into()), Err(Unreadable::Part("the slot table"))));
    }

    fn founders() -> BTreeMap<NodeId, Member> {
        let member = |name: &str| Member {
            name: name.into(),
            grpc: format!("{name}:1"),
            sip: format!("{name}:2"),
            incarnation: 3,
            level: 1,
        };
        [(NodeId(1), member("a")), (NodeId(2), member("b"))].into()
    }
}
