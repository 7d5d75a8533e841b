//! What the log asks of a disk: keys in order, batches that are whole and synced, nothing else.
//!
//! So another engine is one file, and judged by the same tests. Values stay near 60 KiB (see `Limits::entry_bytes`).

use std::io;

use placement::GroupId;

/// Ordered keys and values on a disk. Only the writer thread writes; anyone reads.
pub trait Disk: Send + Sync + 'static {
    /// Performs all of it or, if the node ends meanwhile, nothing; and returns when it is on the disk. After an error
    /// nobody knows.
    fn write(&self, batch: Vec<Write>) -> io::Result<()>;

    /// Shows the pairs of `from..=to` in order, until `each` answers false.
    fn scan(&self, from: Key, to: Key, each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> io::Result<()>;

    /// Lets go of the files. Afterwards everything fails.
    fn close(&self);
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Put(Key, Vec<u8>),
    Remove(Key),
}

/// Kind, group and index, big-endian: keys sort as the log does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key([u8; KEY_LENGTH]);

pub const KEY_LENGTH: usize = 13;

impl Key {
    pub fn entry(group: GroupId, index: u64) -> Key {
        Key::new(b'e', group, index)
    }

    /// The last record that was purged.
    pub fn purged(group: GroupId) -> Key {
        Key::new(b'p', group, 0)
    }

    pub fn vote(group: GroupId) -> Key {
        Key::new(b'v', group, 0)
    }

    pub fn from_bytes(bytes: [u8; KEY_LENGTH]) -> Key {
        Key(bytes)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn new(kind: u8, group: GroupId, index: u64) -> Key {
        let mut key = [kind; KEY_LENGTH];
        key[1..5].copy_from_slice(&group.0.to_be_bytes());
        key[5..].copy_from_slice(&index.to_be_bytes());
        Key(key)
    }
}
