//! Reads a group's log from the disk, and refuses one that is not what was written.

use std::io;

use openraft::EntryPayload;
use placement::GroupId;

use super::disk::{Disk, Key};
use super::log_view::View;
use super::record::{self, Damaged};
use super::watermark::Mark;
use super::{Payload, RaftEntry, Vote};
use crate::clocks::SharedClock;
use crate::entry;

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

/// Reads and checks everything that the disk holds of a group, and tells the clock the last stamp. `mark` is what it
/// must hold at least.
pub fn recover(disk: &dyn Disk, group: GroupId, clock: &SharedClock, mark: Mark) -> Result<View, BadLog> {
    let purged = read_sealed(disk, group, Key::purged(group), "the purge mark", record::open_log_id)?;
    let vote = read_sealed(disk, group, Key::vote(group), "the vote", record::open_vote)?;
    let mut view = View::new(vote, purged);
    read_entries(disk, group, &mut view, clock)?;

    let found = view.last.map_or(0, |id| id.index);
    if found < mark.last {
        return Err(BadLog::Short { group, wanted: mark.last, found });
    }
    match mark.vote {
        Some(wanted) if view.vote < mark.vote => Err(BadLog::StaleVote { group, wanted }),
        _ => Ok(view),
    }
}

fn read_entries(disk: &dyn Disk, group: GroupId, view: &mut View, clock: &SharedClock) -> Result<(), BadLog> {
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
            Ok(entry) => entries.push(entry),
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
