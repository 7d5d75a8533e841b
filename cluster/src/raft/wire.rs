//! openraft's values as the messages of `raft.proto`, and back.
//!
//! What comes back is checked: a message without a part that it must have is `Malformed`, never a panic.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use openraft::{CommittedLeaderId, EmptyNode, EntryPayload};
use placement::NodeId;
use proto::v1;

use super::{LogId, Membership, Payload, RaftEntry, StoredMembership, Vote};
use crate::leadership::standing::Reign;

/// A message between nodes, or a record on the disk, lacks a part that it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is missing or makes no sense")]
pub struct Malformed(pub &'static str);

pub fn log_id(id: &LogId) -> v1::LogId {
    v1::LogId { term: id.leader_id.term, node: id.leader_id.node_id, index: id.index }
}

pub fn read_log_id(id: v1::LogId) -> LogId {
    LogId::new(CommittedLeaderId::new(id.term, id.node), id.index)
}

pub fn vote(vote: &Vote) -> v1::Ballot {
    v1::Ballot { term: vote.leader_id.term, node: vote.leader_id.node_id, committed: vote.committed }
}

pub fn read_vote(ballot: Option<v1::Ballot>) -> Result<Vote, Malformed> {
    let ballot = ballot.ok_or(Malformed("vote"))?;
    let mut vote = Vote::new(ballot.term, ballot.node);
    vote.committed = ballot.committed;
    Ok(vote)
}

/// An age that must not be told too small.
pub fn millis_up(age: Duration) -> u64 {
    u64::try_from(age.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// What a clock shows now, at least, that showed `clock` some time before `came`.
pub fn clock_at(clock: u64, came: Instant, now: Instant) -> u64 {
    let since = now.saturating_duration_since(came).as_millis();
    clock.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
}

/// The time of the leader that the vote names.
pub fn reign(vote: &Vote) -> Reign {
    Reign { term: vote.leader_id.term, leader: NodeId(vote.leader_id.node_id) }
}

pub fn members(membership: &Membership) -> v1::Members {
    let set = |ids: &BTreeSet<u64>| v1::VoterSet { nodes: ids.iter().copied().collect() };
    v1::Members {
        voters: membership.get_joint_config().iter().map(set).collect(),
        nodes: membership.nodes().map(|(id, _)| *id).collect(),
    }
}

pub fn read_members(members: v1::Members) -> Membership {
    let voters = members.voters.into_iter().map(|set| set.nodes.into_iter().collect()).collect();
    let nodes: BTreeMap<u64, EmptyNode> = members.nodes.into_iter().map(|id| (id, EmptyNode {})).collect();
    // `Membership::new` adds the voters that `nodes` does not name.
    Membership::new(voters, nodes)
}

pub fn stored_members(stored: &StoredMembership) -> v1::StoredMembers {
    v1::StoredMembers {
        id: stored.log_id().as_ref().map(log_id),
        members: Some(members(stored.membership())),
    }
}

pub fn read_stored_members(stored: Option<v1::StoredMembers>) -> Result<StoredMembership, Malformed> {
    let stored = stored.ok_or(Malformed("members"))?;
    let membership = read_members(stored.members.ok_or(Malformed("members"))?);
    Ok(StoredMembership::new(stored.id.map(read_log_id), membership))
}

pub fn record(entry: &RaftEntry) -> v1::LogRecord {
    let payload = match &entry.payload {
        EntryPayload::Blank => None,
        EntryPayload::Normal(Payload(bytes)) => Some(v1::log_record::Payload::Entry(bytes.clone())),
        EntryPayload::Membership(membership) => Some(v1::log_record::Payload::Members(members(membership))),
    };
    v1::LogRecord { id: Some(log_id(&entry.log_id)), payload }
}

pub fn read_record(record: v1::LogRecord) -> Result<RaftEntry, Malformed> {
    let log_id = read_log_id(record.id.ok_or(Malformed("log id"))?);
    let payload = match record.payload {
        None => EntryPayload::Blank,
        Some(v1::log_record::Payload::Entry(bytes)) => EntryPayload::Normal(Payload(bytes)),
        Some(v1::log_record::Payload::Members(members)) => EntryPayload::Membership(read_members(members)),
    };
    Ok(RaftEntry { log_id, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_each_kind_survives_the_wire() {
        let voters = vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([2, 3, 4])];
        let nodes: BTreeMap<u64, EmptyNode> = (1..=5).map(|id| (id, EmptyNode {})).collect();
        let payloads = [
            EntryPayload::Blank,
            EntryPayload::Normal(Payload("stamped".into())),
            EntryPayload::Normal(Payload("".into())),
            EntryPayload::Membership(Membership::new(voters, nodes)),
        ];
        for payload in payloads {
            let entry = RaftEntry { log_id: LogId::new(CommittedLeaderId::new(7, 2), 99), payload };

            assert_eq!(read_record(record(&entry)), Ok(entry));
        }
    }

    #[test]
    fn a_record_without_an_id_is_malformed() {
        assert_eq!(read_record(v1::LogRecord::default()), Err(Malformed("log id")));
    }

    #[test]
    fn an_age_is_told_rather_too_large_and_a_clock_rather_too_early() {
        let came = Instant::now();

        assert_eq!(millis_up(Duration::from_micros(2_001)), 3);
        assert_eq!(clock_at(500, came, came + Duration::from_micros(2_999)), 502);
        assert_eq!(clock_at(u64::MAX, came, came + Duration::from_secs(1)), u64::MAX);
    }

    #[test]
    fn a_vote_survives_the_wire() {
        for vote_ in [Vote::new(3, 9), Vote::new_committed(4, 1)] {
            assert_eq!(read_vote(Some(vote(&vote_))), Ok(vote_));
        }
    }
}
