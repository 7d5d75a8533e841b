//! The only folder that speaks openraft.
//!
//! One openraft `Raft` per group. Its log lies on the node's disk behind the narrow trait `disk::Disk`, written by one
//! thread for all groups (`writer`); its state machine is a channel to the group's consumer (`applier`).

pub mod applier;
pub mod disk;
pub mod elections;
pub mod group;
pub mod handover;
mod journal;
pub mod log_store;
pub mod log_view;
pub mod members;
pub mod network;
pub mod news;
pub mod record;
pub mod recovery;
pub mod service;
pub mod storage;
pub mod watermark;
pub mod wire;
pub mod writer;

#[cfg(test)]
mod crash_test;
#[cfg(test)]
mod storage_test;
#[cfg(test)]
mod suite_test;
#[cfg(test)]
mod writer_test;

use bytes::Bytes;
use openraft::EmptyNode;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::snapshots::SnapshotData;

openraft::declare_raft_types!(
    pub TypeConfig:
        D = Payload,
        R = (),
        NodeId = u64,
        Node = EmptyNode,
        Entry = openraft::Entry<TypeConfig>,
        SnapshotData = SnapshotData,
        AsyncRuntime = openraft::TokioRuntime,
);

pub type Raft = openraft::Raft<TypeConfig>;
pub type RaftEntry = openraft::Entry<TypeConfig>;
pub type LogId = openraft::LogId<u64>;
pub type Vote = openraft::Vote<u64>;
pub type Membership = openraft::Membership<u64, EmptyNode>;
pub type StoredMembership = openraft::StoredMembership<u64, EmptyNode>;
pub type SnapshotMeta = openraft::SnapshotMeta<u64, EmptyNode>;
pub type StorageError = openraft::StorageError<u64>;

/// An encoded `LogEntry`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload(pub Bytes);

// openraft asks for serde; what is stored and sent goes through `wire` and never comes here.
impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Payload, D::Error> {
        Vec::deserialize(deserializer).map(|bytes| Payload(Bytes::from(bytes)))
    }
}
