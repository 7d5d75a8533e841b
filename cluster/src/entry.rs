//! The bytes of a log entry: encoded once by the leader, then stored, shipped and replayed untouched.
//!
//! Commands of one entry resemble each other (documents of the same phones), so many of them are packed: an entry is
//! written to three disks, by a store that moves every record some times, and sent to two nodes.

use bytes::Bytes;
use lz4_flex::block;
use placement::NodeId;
use prost::Message;
use proto::v1::log_entry::Content;
use proto::v1::{LogEntry, LogItem, LogItems, PackedItems};

use crate::config::MAX_UNPACKED_BYTES;
use crate::events::{Entry, Submitted};

/// What a command costs in an entry besides its own bytes, at most, its part of the stamp included.
pub const ITEM_OVERHEAD: usize = 64;
/// A shorter entry is not worth the work.
const WORTH_PACKING: usize = 2048;

/// The bytes in a log record are not an entry that this build knows.
#[derive(Debug, thiserror::Error)]
#[error("entry {index} cannot be read: {reason}")]
pub struct Unreadable {
    index: u64,
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error(transparent)]
    Message(#[from] prost::DecodeError),
    #[error(transparent)]
    Block(#[from] block::DecompressError),
    #[error("it has no content")]
    Empty,
    #[error("{0} bytes of commands are too many")]
    TooLong(u32),
}

pub fn encode(stamp_ms: u64, items: Vec<LogItem>) -> Bytes {
    let content = pack(LogItems { items });
    LogEntry { stamp_ms, content: Some(content) }.encode_to_vec().into()
}

fn pack(items: LogItems) -> Content {
    let length = items.encoded_len();
    if length < WORTH_PACKING {
        return Content::Items(items);
    }
    let block = block::compress(&items.encode_to_vec());
    match u32::try_from(length) {
        Ok(whole) if block.len() < length => {
            Content::Packed(PackedItems { length: whole, block: block.into() })
        }
        _ => Content::Items(items),
    }
}

pub fn decode(index: u64, bytes: Bytes) -> Result<Entry, Unreadable> {
    let unreadable = |reason| Unreadable { index, reason };
    let entry = LogEntry::decode(bytes).map_err(|error| unreadable(error.into()))?;
    let items = unpack(entry.content).map_err(unreadable)?;
    let commands = items.items.into_iter().map(submitted).collect();
    Ok(Entry { index, stamp: entry.stamp_ms, commands })
}

fn unpack(content: Option<Content>) -> Result<LogItems, Reason> {
    match content.ok_or(Reason::Empty)? {
        Content::Items(items) => Ok(items),
        Content::Packed(PackedItems { length, .. }) if length as usize > MAX_UNPACKED_BYTES => {
            Err(Reason::TooLong(length))
        }
        Content::Packed(PackedItems { length, block }) => {
            let items = block::decompress(&block, length as usize)?;
            Ok(LogItems::decode(Bytes::from(items))?)
        }
    }
}

/// The stamp alone; 0 if there is none.
pub fn stamp(bytes: &[u8]) -> u64 {
    // The stamp is the first field, and a fixed64 has nine bytes with its tag.
    match bytes {
        [0x09, rest @ ..] => rest.first_chunk().map_or(0, |stamp| u64::from_le_bytes(*stamp)),
        _ => 0,
    }
}

fn submitted(item: LogItem) -> Submitted {
    Submitted {
        origin: NodeId(item.origin),
        incarnation: item.incarnation,
        ticket: item.ticket,
        command: item.command,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_back_as_it_was_written() {
        let item =
            LogItem { origin: 3, incarnation: 7, ticket: u64::MAX, command: Bytes::from_static(b"boot") };
        let bytes = encode(1_700_000_000_123, vec![item]);

        let entry = decode(42, bytes.clone()).unwrap();

        assert_eq!((entry.index, entry.stamp), (42, 1_700_000_000_123));
        assert_eq!(entry.commands[0].command, "boot");
        assert_eq!(stamp(&bytes), 1_700_000_000_123);
    }

    #[test]
    fn commands_that_resemble_each_other_take_little_room() {
        let item = |ticket| LogItem { origin: 3, incarnation: 7, ticket, command: vec![b'c'; 1000].into() };
        let items: Vec<_> = (0..100).map(item).collect();

        let bytes = encode(1, items.clone());

        assert!(bytes.len() < 10_000, "{}", bytes.len());
        let entry = decode(42, bytes).unwrap();
        let read: Vec<_> = entry.commands.into_iter().map(|read| (read.ticket, read.command)).collect();
        assert_eq!(read, items.into_iter().map(|item| (item.ticket, item.command)).collect::<Vec<_>>());
    }

    #[test]
    fn an_entry_cannot_claim_more_room_than_entries_take() {
        let refused = |length| {
            let packed = PackedItems { length, block: block::compress(&[0; 4000]).into() };
            let entry = LogEntry { stamp_ms: 1, content: Some(Content::Packed(packed)) };
            decode(1, entry.encode_to_vec().into()).unwrap_err().reason
        };

        assert!(matches!(refused(u32::MAX), Reason::TooLong(u32::MAX)));
        assert!(matches!(refused(3999), Reason::Block(_)));
    }

    #[test]
    fn a_command_never_costs_more_than_its_bytes_and_the_overhead() {
        let command = Bytes::from(vec![0; 60_000]);
        let item = LogItem { origin: u64::MAX, incarnation: u64::MAX, ticket: u64::MAX, command };

        assert!(encode(u64::MAX, vec![item]).len() <= 60_000 + ITEM_OVERHEAD);
    }

    #[test]
    fn bytes_that_are_no_entry_are_refused() {
        assert!(decode(1, Bytes::from_static(&[0xff; 5])).is_err());
        assert_eq!(stamp(&[0x09, 1, 2]), 0);
    }
}
