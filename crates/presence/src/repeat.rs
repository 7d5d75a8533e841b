//! What makes two requests the same request, whichever way they came.

use std::fmt;

/// A 128-bit hash of what a repeat shares with its original. The Via is not in it: a retry may come through another
/// dispatcher.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RepeatKey(pub [u8; 16]);

impl RepeatKey {
    pub fn from_bytes(bytes: &[u8]) -> RepeatKey {
        let mut key = [0; 16];
        let length = bytes.len().min(16);
        key[..length].copy_from_slice(&bytes[..length]);
        RepeatKey(key)
    }
}

impl fmt::Debug for RepeatKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
