//! A value on the disk: a checksum over key and content, then the content as a protobuf message.
//!
//! The content of a log record names its index and term, and the record before it; that and the checksum are checked
//! whenever it is read.

use prost::Message;
use proto::v1;

use super::disk::Key;
use super::wire;
use super::{LogId, RaftEntry, Vote};

/// What was read is not what was written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    #[error("checksum does not match")]
    Checksum,
    #[error("content cannot be read: {0}")]
    Content(String),
    #[error("record {found} lies at the place of record {wanted}")]
    Misplaced { wanted: u64, found: u64 },
}

/// A record as it lies on the disk.
#[derive(Debug, PartialEq)]
pub struct Opened {
    pub entry: RaftEntry,
    pub previous: Option<LogId>,
}

pub fn seal_entry(key: Key, entry: &RaftEntry, previous: Option<LogId>) -> Vec<u8> {
    let previous = previous.as_ref().map(wire::log_id);
    seal(key, &v1::StoredRecord { record: Some(wire::record(entry)), previous })
}

pub fn open_entry(key: Key, index: u64, value: &[u8]) -> Result<Opened, Damaged> {
    let stored: v1::StoredRecord = open(key, value)?;
    let previous = stored.previous.map(wire::read_log_id);
    let entry = wire::read_record(stored.record.unwrap_or_default());
    let entry = entry.map_err(|malformed| Damaged::Content(malformed.to_string()))?;
    match entry.log_id.index {
        found if found != index => Err(Damaged::Misplaced { wanted: index, found }),
        _ => Ok(Opened { entry, previous }),
    }
}

pub fn seal_log_id(key: Key, id: &LogId) -> Vec<u8> {
    seal(key, &wire::log_id(id))
}

pub fn open_log_id(key: Key, value: &[u8]) -> Result<LogId, Damaged> {
    open(key, value).map(wire::read_log_id)
}

pub fn seal_vote(key: Key, vote: &Vote) -> Vec<u8> {
    seal(key, &wire::vote(vote))
}

pub fn open_vote(key: Key, value: &[u8]) -> Result<Vote, Damaged> {
    let ballot: v1::Ballot = open(key, value)?;
    wire::read_vote(Some(ballot)).map_err(|malformed| Damaged::Content(malformed.to_string()))
}

fn seal(key: Key, content: &impl Message) -> Vec<u8> {
    let mut value = Vec::with_capacity(4 + content.encoded_len());
    value.extend_from_slice(&[0; 4]);
    content.encode_raw(&mut value);
    let checksum = checksum(key, &value[4..]);
    value[..4].copy_from_slice(&checksum.to_le_bytes());
    value
}

fn open<M: Message + Default>(key: Key, value: &[u8]) -> Result<M, Damaged> {
    let (stored, content) = value.split_first_chunk::<4>().ok_or(Damaged::Checksum)?;
    if u32::from_le_bytes(*stored) != checksum(key, content) {
        return Err(Damaged::Checksum);
    }
    // One copy, so that the commands in it can be handed on without another.
    let content = bytes::Bytes::copy_from_slice(content);
    M::decode(content).map_err(|error| Damaged::Content(error.to_string()))
}

fn checksum(key: Key, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key.bytes());
    hasher.update(content);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use openraft::{CommittedLeaderId, EntryPayload};
    use placement::GroupId;

    use super::super::Payload;
    use super::*;

    const GROUP: GroupId = GroupId(4);

    #[test]
    fn a_sealed_entry_opens_at_its_place() {
        let (key, value) = sealed(7);

        let opened = open_entry(key, 7, &value).unwrap();

        assert_eq!((opened.entry.log_id.index, opened.previous.unwrap().index), (7, 6));
    }

    #[test]
    fn every_flipped_byte_is_seen() {
        let (key, value) = sealed(7);
        for at in 0..value.len() {
            let mut value = value.clone();
            value[at] ^= 0x10;

            assert_eq!(open_entry(key, 7, &value), Err(Damaged::Checksum));
        }
    }

    #[test]
    fn a_torn_value_is_seen() {
        let (key, value) = sealed(7);
        for len in 0..value.len() {
            assert_eq!(open_entry(key, 7, &value[..len]), Err(Damaged::Checksum));
        }
    }

    #[test]
    fn a_value_under_another_key_is_seen() {
        let (_, value) = sealed(7);

        assert_eq!(open_entry(Key::entry(GROUP, 8), 8, &value), Err(Damaged::Checksum));
        assert_eq!(open_entry(Key::entry(GroupId(5), 7), 7, &value), Err(Damaged::Checksum));
    }

    fn sealed(index: u64) -> (Key, Vec<u8>) {
        let key = Key::entry(GROUP, index);
        let id = |index| LogId::new(CommittedLeaderId::new(3, 1), index);
        let payload = EntryPayload::Normal(Payload("payload".into()));
        let entry = RaftEntry { log_id: id(index), payload };
        (key, seal_entry(key, &entry, Some(id(index - 1))))
    }
}
