//! Names of clusters, nodes and Raft groups.

use std::fmt;

/// A cluster. Drawn by chance at its birth, and in every message between its nodes: two clusters never mix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u64);

/// A manager. Minted once, kept in its data folder, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// A Raft group: a log with its replicas. It stands in every message between nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

impl GroupId {
    /// The group that holds the directory, on every member. It holds no slots.
    pub const SYSTEM: GroupId = GroupId(0);
}

impl ClusterId {
    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<ClusterId> {
        let number = u64::from_str_radix(text, 16).ok()?;
        (text.len() == 16 && number != 0).then_some(ClusterId(number))
    }
}

/// Sixteen hexadecimal digits.
impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
