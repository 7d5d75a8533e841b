//! Where in its log a fact stands.

use std::fmt;

/// A log entry and the command's place in it, in one number that grows along the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

impl Position {
    /// An entry holds fewer commands than this.
    const COMMANDS: u64 = 1 << 10;

    pub fn new(entry: u64, offset: usize) -> Position {
        debug_assert!((offset as u64) < Self::COMMANDS);
        Position(entry * Self::COMMANDS + offset as u64)
    }

    /// No command of `entry` stands after this.
    pub fn last_of(entry: u64) -> Position {
        Position(entry * Self::COMMANDS + Self::COMMANDS - 1)
    }

    pub fn entry(self) -> u64 {
        self.0 / Self::COMMANDS
    }

    pub fn offset(self) -> u64 {
        self.0 % Self::COMMANDS
    }
}

/// `entry.offset`
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.entry(), self.offset())
    }
}
