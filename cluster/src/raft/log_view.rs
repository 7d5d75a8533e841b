//! What a group's log holds, as far as it is known without the disk: its ends, its vote, its newest records.

use std::collections::VecDeque;

use openraft::EntryPayload;

use super::{LogId, Payload, RaftEntry, Vote};

/// The newest records kept in memory, per group: what one AppendEntries may carry. Who lags more reads from the disk.
const TAIL_BYTES: usize = 1024 * 1024;

/// What the log holds, with everything that is still on its way to the disk.
#[derive(Default)]
pub struct View {
    pub vote: Option<Vote>,
    pub purged: Option<LogId>,
    pub last: Option<LogId>,
    /// The newest records, without a gap, up to `last`.
    tail: VecDeque<RaftEntry>,
    tail_bytes: usize,
}

impl View {
    /// Without any record.
    pub fn new(vote: Option<Vote>, purged: Option<LogId>) -> View {
        View { vote, purged, last: purged, ..View::default() }
    }

    pub fn push(&mut self, entry: RaftEntry) {
        self.last = Some(entry.log_id);
        self.tail_bytes += weight(&entry);
        self.tail.push_back(entry);
    }

    /// Called before records are added: those already there are on the disk by then.
    pub fn trim(&mut self) {
        while self.tail_bytes > TAIL_BYTES
            && let Some(entry) = self.tail.pop_front()
        {
            self.tail_bytes -= weight(&entry);
        }
    }

    pub fn truncate(&mut self, since: u64, before: Option<LogId>) {
        while self.tail.back().is_some_and(|entry| entry.log_id.index >= since)
            && let Some(entry) = self.tail.pop_back()
        {
            self.tail_bytes -= weight(&entry);
        }
        self.last = before;
    }

    pub fn purge(&mut self, upto: LogId) {
        while self.tail.front().is_some_and(|entry| entry.log_id.index <= upto.index)
            && let Some(entry) = self.tail.pop_front()
        {
            self.tail_bytes -= weight(&entry);
        }
        self.purged = self.purged.max(Some(upto));
        self.last = self.last.max(self.purged);
    }

    /// The records from memory, unless the first one is not there.
    pub fn tail_since(&self, start: u64, end: u64, max_bytes: usize) -> Option<Vec<RaftEntry>> {
        if start >= end {
            return Some(Vec::new());
        }
        let skip = start.checked_sub(self.tail.front()?.log_id.index)?;
        let mut bytes = 0;
        let within = |entry: &&RaftEntry| {
            let first = bytes == 0;
            bytes += weight(entry);
            first || bytes <= max_bytes
        };
        let count = usize::try_from(end - start).ok()?;
        Some(
            self.tail
                .iter()
                .skip(usize::try_from(skip).ok()?)
                .take(count)
                .take_while(within)
                .cloned()
                .collect(),
        )
    }
}

/// The index after this one.
pub fn next(id: Option<LogId>) -> u64 {
    id.map_or(0, |id| id.index + 1)
}

/// What a record takes in memory or on the wire, roughly.
fn weight(entry: &RaftEntry) -> usize {
    const OVERHEAD: usize = 64;
    match &entry.payload {
        EntryPayload::Normal(Payload(bytes)) => bytes.len() + OVERHEAD,
        _ => OVERHEAD,
    }
}
