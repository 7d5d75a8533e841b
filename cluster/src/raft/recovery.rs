//! Reads a group's log from the disk, and refuses one that is not what was written.

use std::fmt;
use std::io;

use openraft::EntryPayload;
use placement::GroupId;

use super::disk::{Disk, Key};
use super::log_view::{View, next};
use super::record::{self, Damaged};
use super::watermark::Mark;
use super::{LogId, Payload, RaftEntry, Vote};
use crate::entry;
use crate::leadership::clocks::SharedClock;

/// The log on the disk is not the one that was written.
#[derive(Debug, thiserror::Error)]
pub enum BadLog {
    #[error("cannot read the log of group {group}: {error}")]
    Io { group: GroupId, error: io::Error },
    #[error("{what} of group {group} is damaged: {damage}")]
    Damaged { group: GroupId, what: String, damage: Damaged },
    #[error("the log of group {group} ends at {}, but {wanted} was on the disk", Shown(.found))]
    Short { group: GroupId, wanted: LogId, found: Option<LogId> },
    #[error("the log of group {group} has {found} where {wanted} was on the disk")]
    Stale { group: GroupId, wanted: LogId, found: LogId },
    #[error("the log of group {group} has record {index} where {wanted} belongs")]
    Gap { group: GroupId, wanted: u64, index: u64 },
    #[error("record {index} of group {group} follows {}, but behind it lies {}", Shown(.wanted), Shown(.found))]
    Unlinked { group: GroupId, index: u64, wanted: Option<LogId>, found: Option<LogId> },
    #[error("a vote of group {group} is missing: {wanted} was on the disk")]
    StaleVote { group: GroupId, wanted: Vote },
}

struct Shown<'a>(&'a Option<LogId>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => id.fmt(f),
            None => f.write_str("nothing"),
        }
    }
}

/// Reads and checks everything that the disk holds of a group, and tells the clock the last stamp. `mark` is what it
/// must hold at least.
pub fn recover(disk: &dyn Disk, group: GroupId, clock: &SharedClock, mark: Mark) -> Result<View, BadLog> {
    let purged = read_sealed(disk, group, Key::purged(group), "the purge mark", record::open_log_id)?;
    let vote = read_sealed(disk, group, Key::vote(group), "the vote", record::open_vote)?;
    let mut view = View::new(vote, purged);
    read_entries(disk, group, &mut view, clock, mark)?;

    match mark.last {
        Some(wanted) if next(view.last) <= wanted.index => {
            return Err(BadLog::Short { group, wanted, found: view.last });
        }
        _ => {}
    }
    match mark.vote {
        Some(wanted) if view.vote < mark.vote => Err(BadLog::StaleVote { group, wanted }),
        _ => Ok(view),
    }
}

fn read_entries(
    disk: &dyn Disk,
    group: GroupId,
    view: &mut View,
    clock: &SharedClock,
    mark: Mark,
) -> Result<(), BadLog> {
    let mut bad = None;
    let (from, to) = (Key::entry(group, next(view.purged)), Key::entry(group, u64::MAX));
    let scanned = disk.scan(from, to, &mut |key, value| match check(group, key, value, view.last, mark) {
        Ok(entry) => {
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

/// A record that follows `previous`. One and the same record, down to its content, is known by its term and index, so
/// the links between them and the mark at the end tell one log from another.
fn check(
    group: GroupId,
    key: &[u8],
    value: &[u8],
    previous: Option<LogId>,
    mark: Mark,
) -> Result<RaftEntry, BadLog> {
    let index = index_of(key).unwrap_or_default();
    let wanted = next(previous);
    if index != wanted {
        return Err(BadLog::Gap { group, wanted, index });
    }
    let opened = record::open_entry(Key::entry(group, index), index, value);
    let opened =
        opened.map_err(|damage| BadLog::Damaged { group, what: format!("record {index}"), damage })?;
    if opened.previous != previous {
        return Err(BadLog::Unlinked { group, index, wanted: opened.previous, found: previous });
    }
    let found = opened.entry.log_id;
    match mark.last {
        Some(wanted) if wanted.index == index && wanted != found => {
            Err(BadLog::Stale { group, wanted, found })
        }
        _ => Ok(opened.entry),
    }
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

/// Records of `start..end`; fewer once they exceed `max_bytes`, but at least one.
pub fn scan_entries(
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
            Ok(opened) => entries.push(opened.entry),
            Err(damaged) => damage = Some(io::Error::other(format!("record {index}: {damaged}"))),
        }
        damage.is_none()
    })?;
    damage.map_or(Ok(entries), Err)
}

/// The index in the key of a record.
pub fn index_of(key: &[u8]) -> Option<u64> {
    key.last_chunk().map(|index| u64::from_be_bytes(*index))
}
