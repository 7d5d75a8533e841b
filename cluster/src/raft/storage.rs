//! One group's log as openraft sees it: appended through the writer thread, read from memory or the disk.
//!
//! The newest records stay in memory: they are what followers and the state machine ask for. Older ones are read
//! from the disk, on a thread that may block. At the start every record is checked, so a damaged log is refused
//! before the node votes; it is checked again whenever it is read.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{EntryPayload, LogState, OptionalSend, RaftLogReader, StorageIOError};
use parking_lot::Mutex;
use placement::GroupId;

use super::disk::{Disk, Key, Write};
use super::record::{self, Damaged};
use super::watermark::{Mark, Reach};
use super::writer::Writer;
use super::{LogId, Payload, RaftEntry, StorageError, TypeConfig, Vote};
use crate::clocks::SharedClock;
use crate::entry;

/// What one AppendEntries may carry, unless a single record is larger: it must arrive within a heartbeat interval.
const APPEND_BYTES: usize = 1024 * 1024;
/// The newest records kept in memory, per group.
const TAIL_BYTES: usize = 4 * 1024 * 1024;

/// Clones are the same log.
#[derive(Clone)]
pub struct GroupLog(Arc<Shared>);

struct Shared {
    group: GroupId,
    disk: Arc<dyn Disk>,
    writer: Writer,
    clock: SharedClock,
    committed: AtomicU64,
    view: Mutex<View>,
}

/// What the log holds, with everything that is still on its way to the disk.
#[derive(Default)]
struct View {
    vote: Option<Vote>,
    purged: Option<LogId>,
    last: Option<LogId>,
    /// The newest records, without a gap, up to `last`.
    tail: VecDeque<RaftEntry>,
    tail_bytes: usize,
}

/// The log on the disk is not the one that was written.
#[derive(Debug, thiserror::Error)]
pub enum BadLog {
    #[error("cannot read the log of group {group}: {error}")]
    Io { group: GroupId, error: io::Error },
    #[error("{what} of group {group} is damaged: {damage}")]
    Damaged { group: GroupId, what: String, damage: Damaged },
    #[error("the log of group {group} ends at {found}, but record {wanted} was on the disk")]
    Short { group: GroupId, wanted: u64, found: u64 },
    #[error("a vote of group {group} is missing: {wanted} was on the disk")]
    StaleVote { group: GroupId, wanted: Vote },
    #[error("the log of group {group} has record {found} where {wanted} belongs")]
    Gap { group: GroupId, wanted: u64, found: u64 },
}

impl GroupLog {
    /// Reads and checks everything that the disk holds of this group; `mark` is what it must hold at least.
    pub fn open(
        group: GroupId,
        disk: Arc<dyn Disk>,
        writer: Writer,
        clock: SharedClock,
        mark: Mark,
    ) -> Result<GroupLog, BadLog> {
        let purged = read_sealed(&*disk, group, Key::purged(group), "the purge mark", record::open_log_id)?;
        let vote = read_sealed(&*disk, group, Key::vote(group), "the vote", record::open_vote)?;
        let mut view = View { vote, purged, last: purged, ..View::default() };
        recover(&*disk, group, &mut view, &clock)?;
        let found = view.last.map_or(0, |id| id.index);
        if found < mark.last {
            return Err(BadLog::Short { group, wanted: mark.last, found });
        }
        if let Some(wanted) = mark.vote
            && view.vote < mark.vote
        {
            return Err(BadLog::StaleVote { group, wanted });
        }
        let shared =
            Shared { group, disk, writer, clock, committed: AtomicU64::new(0), view: Mutex::new(view) };
        Ok(GroupLog(Arc::new(shared)))
    }

    /// The last record that was purged.
    pub fn purged(&self) -> Option<LogId> {
        self.0.view.lock().purged
    }

    /// The last position that openraft was told to apply since the start; 0 before.
    pub fn committed(&self) -> u64 {
        self.0.committed.load(Ordering::Relaxed)
    }

    /// Removes what a purge left behind when the node stopped in the middle of it.
    pub async fn sweep(&self) -> io::Result<()> {
        let Some(purged) = self.purged() else {
            return Ok(());
        };
        let group = self.0.group;
        let mut first = None;
        self.0.disk.scan(Key::entry(group, 0), Key::entry(group, purged.index), &mut |key, _| {
            first = index_of(key);
            false
        })?;
        match first {
            Some(first) => self.0.writer.purge(group, first, purged.index).await,
            None => Ok(()),
        }
    }

    /// Records from `start` up to, not including, `end`; fewer once they exceed `max_bytes`, but at least one.
    async fn read(&self, start: u64, end: u64, max_bytes: usize) -> Result<Vec<RaftEntry>, StorageError> {
        let (start, end, from_tail) = {
            let view = self.0.view.lock();
            let start = start.max(next(view.purged));
            let end = end.min(next(view.last));
            (start, end, view.tail_since(start, end, max_bytes))
        };
        match from_tail {
            Some(entries) => Ok(entries),
            None => self.read_disk(start, end, max_bytes).await,
        }
    }

    async fn read_disk(
        &self,
        start: u64,
        end: u64,
        max_bytes: usize,
    ) -> Result<Vec<RaftEntry>, StorageError> {
        let shared = self.0.clone();
        let read = move || scan_entries(&*shared.disk, shared.group, start, end, max_bytes);
        match tokio::task::spawn_blocking(read).await {
            Ok(Ok(entries)) => Ok(entries),
            Ok(Err(error)) => Err(StorageIOError::read_log_at_index(start, &error).into()),
            Err(error) => Err(StorageIOError::read_log_at_index(start, &error).into()),
        }
    }

    async fn log_id(&self, index: u64) -> Result<Option<LogId>, StorageError> {
        match self.0.view.lock().purged {
            Some(purged) if purged.index == index => return Ok(Some(purged)),
            _ => {}
        }
        let entries = self.read(index, index.saturating_add(1), 0).await?;
        Ok(entries.first().map(|entry| entry.log_id))
    }
}

impl RaftLogReader<TypeConfig> for GroupLog {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> Result<Vec<RaftEntry>, StorageError>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (start, end) = half_open(range);
        self.read(start, end, usize::MAX).await
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<RaftEntry>, StorageError> {
        self.read(start, end, APPEND_BYTES).await
    }
}

impl RaftLogStorage<TypeConfig> for GroupLog {
    type LogReader = GroupLog;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, StorageError> {
        let view = self.0.view.lock();
        Ok(LogState { last_purged_log_id: view.purged, last_log_id: view.last })
    }

    async fn get_log_reader(&mut self) -> GroupLog {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let key = Key::vote(self.0.group);
        let write = Write::Put(key, record::seal_vote(key, vote));
        let saved = self.0.writer.save(vec![write], Reach::Vote(self.0.group, *vote)).await;
        saved.map_err(|error| StorageIOError::write_vote(&error))?;
        self.0.view.lock().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.0.view.lock().vote)
    }

    /// Only remembered: after a restart the leader says again what is committed.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.0.committed.store(committed.map_or(0, |id| id.index), Ordering::Relaxed);
        Ok(())
    }

    async fn append<I>(&mut self, entries: I, flushed: LogFlushed<TypeConfig>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut writes = Vec::new();
        let reach = {
            let mut view = self.0.view.lock();
            view.trim();
            for entry in entries {
                let key = Key::entry(self.0.group, entry.log_id.index);
                writes.push(Write::Put(key, record::seal_entry(key, &entry)));
                if let EntryPayload::Normal(Payload(bytes)) = &entry.payload {
                    self.0.clock.saw(entry::stamp(bytes));
                }
                view.push(entry);
            }
            Reach::Grown(self.0.group, view.last.map_or(0, |id| id.index))
        };
        let queued = self.0.writer.append(writes, reach, flushed).await;
        queued.map_err(|error| StorageIOError::write_logs(&error).into())
    }

    async fn truncate(&mut self, since: LogId) -> Result<(), StorageError> {
        let before = match since.index.checked_sub(1) {
            Some(index) => self.log_id(index).await?,
            None => None,
        };
        let group = self.0.group;
        let writes: Vec<Write> = {
            let mut view = self.0.view.lock();
            let end = next(view.last);
            view.truncate(since.index, before);
            (since.index..end).map(|index| Write::Remove(Key::entry(group, index))).collect()
        };
        let reach = Reach::Cut(group, since.index.saturating_sub(1));
        let saved = self.0.writer.save(writes, reach).await;
        saved.map_err(|error| StorageIOError::write_logs(&error).into())
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        let group = self.0.group;
        let stale = {
            let mut view = self.0.view.lock();
            // Behind a snapshot from the leader the log may end before the mark.
            let stale = next(view.purged)..=upto.index.min(view.last.map_or(0, |last| last.index));
            view.purge(upto);
            stale
        };
        let key = Key::purged(group);
        let mark = Write::Put(key, record::seal_log_id(key, &upto));
        let failed = |error: io::Error| StorageIOError::write_logs(&error);
        self.0.writer.save(vec![mark], Reach::Same).await.map_err(failed)?;
        if !stale.is_empty() {
            self.0.writer.purge(group, *stale.start(), *stale.end()).await.map_err(failed)?;
        }
        Ok(())
    }
}

impl View {
    fn push(&mut self, entry: RaftEntry) {
        self.last = Some(entry.log_id);
        self.tail_bytes += weight(&entry);
        self.tail.push_back(entry);
    }

    /// Called before records are added: those already there are on the disk by then.
    fn trim(&mut self) {
        while self.tail_bytes > TAIL_BYTES
            && let Some(entry) = self.tail.pop_front()
        {
            self.tail_bytes -= weight(&entry);
        }
    }

    fn truncate(&mut self, since: u64, before: Option<LogId>) {
        while self.tail.back().is_some_and(|entry| entry.log_id.index >= since)
            && let Some(entry) = self.tail.pop_back()
        {
            self.tail_bytes -= weight(&entry);
        }
        self.last = before;
    }

    fn purge(&mut self, upto: LogId) {
        while self.tail.front().is_some_and(|entry| entry.log_id.index <= upto.index)
            && let Some(entry) = self.tail.pop_front()
        {
            self.tail_bytes -= weight(&entry);
        }
        self.purged = self.purged.max(Some(upto));
        self.last = self.last.max(self.purged);
    }

    /// The records from memory, unless the first one is not there.
    fn tail_since(&self, start: u64, end: u64, max_bytes: usize) -> Option<Vec<RaftEntry>> {
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

/// Fills the view from the disk, checking each record, and tells the clock the last stamp.
fn recover(disk: &dyn Disk, group: GroupId, view: &mut View, clock: &SharedClock) -> Result<(), BadLog> {
    let mut bad = None;
    // Without a purge mark the log begins wherever its first record is.
    let mut wanted = view.purged.map(|id| id.index + 1);
    let from = wanted.unwrap_or(0);
    let scanned =
        disk.scan(Key::entry(group, from), Key::entry(group, u64::MAX), &mut |key, value| match check(
            group, key, value, wanted,
        ) {
            Ok(entry) => {
                wanted = Some(entry.log_id.index + 1);
                if let EntryPayload::Normal(Payload(bytes)) = &entry.payload {
                    clock.saw(entry::stamp(bytes));
                }
                view.trim();
                view.push(entry);
                true
            }
            Err(error) => {
                bad = Some(error);
                false
            }
        });
    scanned.map_err(|error| BadLog::Io { group, error })?;
    bad.map_or(Ok(()), Err)
}

fn check(group: GroupId, key: &[u8], value: &[u8], wanted: Option<u64>) -> Result<RaftEntry, BadLog> {
    let found = index_of(key).unwrap_or_default();
    match wanted {
        Some(wanted) if wanted != found => return Err(BadLog::Gap { group, wanted, found }),
        _ => {}
    }
    record::open_entry(Key::entry(group, found), found, value).map_err(|damage| BadLog::Damaged {
        group,
        what: format!("record {found}"),
        damage,
    })
}

fn read_sealed<T>(
    disk: &dyn Disk,
    group: GroupId,
    key: Key,
    what: &str,
    open: impl Fn(Key, &[u8]) -> Result<T, Damaged>,
) -> Result<Option<T>, BadLog> {
    let mut found = None;
    let scanned = disk.scan(key, key, &mut |_, value| {
        found = Some(open(key, value));
        false
    });
    scanned.map_err(|error| BadLog::Io { group, error })?;
    found.transpose().map_err(|damage| BadLog::Damaged { group, what: what.to_owned(), damage })
}

fn scan_entries(
    disk: &dyn Disk,
    group: GroupId,
    start: u64,
    end: u64,
    max_bytes: usize,
) -> io::Result<Vec<RaftEntry>> {
    let mut entries = Vec::new();
    let mut damage = None;
    let mut bytes = 0;
    let to = Key::entry(group, end.saturating_sub(1));
    disk.scan(Key::entry(group, start), to, &mut |key, value| {
        bytes += value.len();
        if !entries.is_empty() && bytes > max_bytes {
            return false;
        }
        let index = index_of(key).unwrap_or_default();
        match record::open_entry(Key::entry(group, index), index, value) {
            Ok(entry) => entries.push(entry),
            Err(damaged) => damage = Some(io::Error::other(format!("record {index}: {damaged}"))),
        }
        damage.is_none()
    })?;
    damage.map_or(Ok(entries), Err)
}

fn index_of(key: &[u8]) -> Option<u64> {
    key.last_chunk().map(|index| u64::from_be_bytes(*index))
}

fn next(id: Option<LogId>) -> u64 {
    id.map_or(0, |id| id.index + 1)
}

fn half_open(range: impl RangeBounds<u64>) -> (u64, u64) {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    (start, end)
}

/// What a record takes in memory or on the wire, roughly.
fn weight(entry: &RaftEntry) -> usize {
    const OVERHEAD: usize = 64;
    match &entry.payload {
        EntryPayload::Normal(Payload(bytes)) => bytes.len() + OVERHEAD,
        _ => OVERHEAD,
    }
}
