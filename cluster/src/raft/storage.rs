//! One group's log as openraft sees it: appended through the writer thread, read from memory or the disk.
//!
//! The newest records stay in memory: they are what followers and the state machine ask for. Older ones are read
//! from the disk, on a thread that may block. At the start every record is checked, so a damaged log is refused
//! before the node votes; it is checked again whenever it is read.

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
use super::log_view::{View, next};
use super::record;
use super::recovery::{self, BadLog};
use super::watermark::{Mark, Reach};
use super::writer::Writer;
use super::{LogId, Payload, RaftEntry, StorageError, TypeConfig, Vote};
use crate::entry;
use crate::leadership::clocks::SharedClock;

/// What one AppendEntries may carry, unless a single record is larger: it must arrive within a heartbeat interval.
const APPEND_BYTES: usize = 1024 * 1024;

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

impl GroupLog {
    /// Reads and checks everything that the disk holds of this group; `mark` is what it must hold at least.
    pub fn open(
        group: GroupId,
        disk: Arc<dyn Disk>,
        writer: Writer,
        clock: SharedClock,
        mark: Mark,
    ) -> Result<GroupLog, BadLog> {
        let view = recovery::recover(&*disk, group, &clock, mark)?;
        let shared =
            Shared { group, disk, writer, clock, committed: AtomicU64::new(0), view: Mutex::new(view) };
        Ok(GroupLog(Arc::new(shared)))
    }

    /// The last record that was purged.
    pub fn purged(&self) -> Option<LogId> {
        self.0.view.lock().purged
    }

    /// The last record, which may still be on its way to the disk.
    pub fn last(&self) -> Option<LogId> {
        self.0.view.lock().last
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
            first = recovery::index_of(key);
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
        let read = move || recovery::scan_entries(&*shared.disk, shared.group, start, end, max_bytes);
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
                writes.push(Write::Put(key, record::seal_entry(key, &entry, view.last)));
                if let EntryPayload::Normal(Payload(bytes)) = &entry.payload {
                    self.0.clock.saw(entry::stamp(bytes));
                }
                view.push(entry);
            }
            Reach::Grown(self.0.group, view.last)
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
            // From the end: however much of it is done, no gap is left.
            (since.index..end).rev().map(|index| Write::Remove(Key::entry(group, index))).collect()
        };
        let reach = Reach::Cut(group, before);
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
