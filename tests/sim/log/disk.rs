//! What a node's disk holds of the log: it outlives every kill.

use std::rc::Rc;

use bytes::Bytes;
use placement::NodeId;

/// A command as its origin submitted it.
#[derive(Clone, Debug)]
pub struct Submitted {
    pub origin: NodeId,
    pub incarnation: u64,
    pub ticket: u64,
    pub command: Bytes,
}

/// An entry of some leader's log. Whether it is ever committed is another matter.
#[derive(Debug)]
pub struct Entry {
    pub term: u64,
    pub index: u64,
    pub stamp: u64,
    pub commands: Vec<Submitted>,
}

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub index: u64,
    pub term: u64,
    pub stamp: u64,
    pub chunks: Rc<Vec<Bytes>>,
}

#[derive(Debug, Default)]
pub struct Disk {
    /// The latest term this node took part in.
    pub term: u64,
    pub snapshot: Option<Snapshot>,
    /// Index and term of what stands before the first entry kept; a snapshot covers it.
    base: (u64, u64),
    entries: Vec<Rc<Entry>>,
}

impl Disk {
    pub fn last(&self) -> u64 {
        self.base.0 + self.entries.len() as u64
    }

    /// By this a candidate is measured.
    pub fn last_term(&self) -> u64 {
        self.entries.last().map_or(self.base.1, |entry| entry.term)
    }

    /// No stamp in this log is later.
    pub fn last_stamp(&self) -> u64 {
        let snapshot = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.stamp);
        self.entries.iter().map(|entry| entry.stamp).fold(snapshot, u64::max)
    }

    pub fn entry(&self, index: u64) -> Option<&Rc<Entry>> {
        let place = index.checked_sub(self.base.0 + 1)?;
        self.entries.get(place as usize)
    }

    pub fn entries_after(&self, index: u64) -> Vec<Rc<Entry>> {
        self.entries.iter().filter(|entry| entry.index > index).cloned().collect()
    }

    pub fn term_at(&self, index: u64) -> Option<u64> {
        if index == self.base.0 { Some(self.base.1) } else { self.entry(index).map(|entry| entry.term) }
    }

    /// The last index up to which `other` holds the same log (an index and a term name all that is before them); `None`
    /// if `self` no longer keeps what `other` needs next.
    pub fn common_with(&self, other: &Disk) -> Option<u64> {
        let lowest = self.base.0.max(other.base.0);
        let same = |index: &u64| self.term_at(*index) == other.term_at(*index);
        (lowest..=self.last().min(other.last())).rev().find(same)
    }

    /// Puts `entries` in their places. What contradicts them goes; gives the first that went.
    pub fn append(&mut self, entries: &[Rc<Entry>]) -> Option<Rc<Entry>> {
        let mut gone = None;
        for entry in entries {
            if entry.index <= self.base.0 || self.term_at(entry.index) == Some(entry.term) {
                continue;
            }
            if let Some(held) = self.entry(entry.index).cloned() {
                gone = gone.or(Some(held));
                self.entries.truncate((entry.index - self.base.0 - 1) as usize);
            }
            if entry.index == self.last() + 1 {
                self.entries.push(entry.clone());
            }
        }
        gone
    }

    /// Takes a snapshot of itself and keeps `kept` entries before it, for those that lag a little.
    pub fn compact(&mut self, snapshot: Snapshot, kept: u64) {
        let base = snapshot.index.saturating_sub(kept).max(self.base.0);
        self.base = (base, self.term_at(base).unwrap_or(snapshot.term));
        self.entries.retain(|entry| entry.index > base);
        self.snapshot = Some(snapshot);
    }

    /// A leader's snapshot takes the place of a log that ends before it or contradicts it.
    pub fn install(&mut self, snapshot: Snapshot) {
        if self.term_at(snapshot.index) == Some(snapshot.term) {
            self.entries.retain(|entry| entry.index > snapshot.index);
        } else {
            self.entries.clear();
        }
        self.base = (snapshot.index, snapshot.term);
        self.snapshot = Some(snapshot);
    }
}
