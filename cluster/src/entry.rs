//! The bytes of a log entry: encoded once by the leader, then stored, shipped and replayed untouched.

use bytes::Bytes;
use placement::NodeId;
use prost::Message;
use proto::v1::{LogEntry, LogItem};

use crate::events::{Entry, Submitted};

/// What a command costs in an entry besides its own bytes, at most, its part of the stamp included.
pub const ITEM_OVERHEAD: usize = 64;

/// The bytes in a log record are not an entry that this build knows.
#[derive(Debug, thiserror::Error)]
#[error("entry {index} cannot be read: {reason}")]
pub struct Unreadable {
    index: u64,
    reason: prost::DecodeError,
}

pub fn encode(stamp_ms: u64, items: Vec<LogItem>) -> Bytes {
    LogEntry { stamp_ms, items }.encode_to_vec().into()
}

pub fn decode(index: u64, bytes: Bytes) -> Result<Entry, Unreadable> {
    let entry = LogEntry::decode(bytes).map_err(|reason| Unreadable { index, reason })?;
    let commands = entry.items.into_iter().map(submitted).collect();
    Ok(Entry { index, stamp: entry.stamp_ms, commands })
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
