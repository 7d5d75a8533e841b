//! The log on a disk that holds something else than what was written.

use std::path::Path;
use std::sync::Arc;

use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::{CommittedLeaderId, EntryPayload, RaftLogReader};
use placement::GroupId;

use super::disk::{Disk, Key, Write};
use super::log_store::SledDisk;
use super::record;
use super::recovery::BadLog;
use super::storage::GroupLog;
use super::watermark::{Mark, Watermark};
use super::writer::Writer;
use super::{LogId, Payload, RaftEntry, Vote};
use crate::config::MAX_ENTRY_BYTES;
use crate::entry;
use crate::leadership::clocks::SharedClock;

const GROUP: GroupId = GroupId(1);

#[tokio::test]
async fn what_was_appended_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 0..=50, 100).await;

    let (mut log, _) = open(folder.path(), Mark::default()).unwrap();

    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (None, Some(id(50))));
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new(3, 1)));
    assert_eq!(log.try_get_log_entries(20..25).await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_damaged_record_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 0..=50, 100).await;
    change(folder.path(), |disk| {
        let key = Key::entry(GROUP, 20);
        let mut value = value(disk, key);
        value[30] ^= 1;
        Write::Put(key, value)
    });

    let refused = open(folder.path(), Mark::default()).err().unwrap();

    assert!(matches!(refused, BadLog::Damaged { .. }), "{refused}");
    assert!(refused.to_string().contains("record 20"), "{refused}");
}

#[tokio::test]
async fn a_missing_record_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 0..=50, 100).await;
    change(folder.path(), |_| Write::Remove(Key::entry(GROUP, 20)));

    let refused = open(folder.path(), Mark::default()).err().unwrap();

    assert!(matches!(refused, BadLog::Gap { wanted: 20, index: 21, .. }), "{refused}");
}

#[tokio::test]
async fn a_log_or_a_vote_behind_its_mark_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 0..=50, 100).await;
    let vote = Some(Vote::new(3, 1));

    let other = Some(LogId::new(CommittedLeaderId::new(4, 1), 50));

    let short = open(folder.path(), Mark { last: Some(id(51)), vote }).err().unwrap();
    let stale = open(folder.path(), Mark { last: other, vote }).err().unwrap();
    let vote_ = Some(Vote::new_committed(3, 1));
    let stale_vote = open(folder.path(), Mark { last: Some(id(50)), vote: vote_ }).err().unwrap();

    assert!(matches!(short, BadLog::Short { .. }), "{short}");
    assert!(matches!(stale, BadLog::Stale { .. }), "{stale}");
    assert!(matches!(stale_vote, BadLog::StaleVote { .. }), "{stale_vote}");
    assert!(open(folder.path(), Mark { last: Some(id(50)), vote }).is_ok());
}

#[tokio::test]
async fn a_record_that_was_overwritten_and_is_back_is_refused_at_the_start() {
    for lost in [30, 40, 50] {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path(), 0..=50, 100).await;
        let key = Key::entry(GROUP, lost);
        let mut before = Vec::new();
        change(folder.path(), |disk| {
            before = value(disk, key);
            Write::Put(key, before.clone())
        });
        overwrite(folder.path(), 30..=50).await;
        assert!(open(folder.path(), Mark::default()).is_ok());

        change(folder.path(), |_| Write::Put(key, before));

        let refused = open(folder.path(), Mark::default()).err().unwrap();
        assert!(matches!(refused, BadLog::Unlinked { .. }), "{refused}");
    }
}

#[tokio::test]
async fn records_beyond_the_memory_are_read_from_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 0..=200, 60_000).await;
    let (mut log, _) = open(folder.path(), Mark::default()).unwrap();

    let all = log.try_get_log_entries(0..=200).await.unwrap();
    let some = log.limited_get_log_entries(1, 200).await.unwrap();
    let last = log.limited_get_log_entries(195, 201).await.unwrap();

    assert!(all.iter().map(|entry| entry.log_id.index).eq(0..=200));
    assert!((10..20).contains(&some.len()), "about 1 MiB: {}", some.len());
    assert_eq!(last.len(), 6);
}

#[tokio::test]
async fn a_purge_that_was_interrupted_is_finished_by_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), 0..=50, 100).await;
    change(folder.path(), |_| {
        let mark = Key::purged(GROUP);
        Write::Put(mark, record::seal_log_id(mark, &id(40)))
    });
    let (mut log, disk) = open(folder.path(), Mark::default()).unwrap();

    log.sweep().await.unwrap();

    // Each vote is saved after a slice of what the sweep asked for, or with it.
    for term in 9..20 {
        log.save_vote(&Vote::new(term, 1)).await.unwrap();
    }
    let mut first = None;
    let everything = (Key::entry(GROUP, 0), Key::entry(GROUP, u64::MAX));
    disk.scan(everything.0, everything.1, &mut |key, _| {
        first = Some(key.to_vec());
        false
    })
    .unwrap();
    assert_eq!(first, Some(Key::entry(GROUP, 41).bytes().to_vec()));
}

/// A leaf of sled's tree holds up to 17 values before it is split, all of the largest size here: a command that fills its
/// entry, and what the entry says beside it.
#[tokio::test]
async fn the_largest_values_stay_in_the_file_that_is_synced() {
    let folder = tempfile::tempdir().unwrap();

    fill(folder.path(), 0..=300, MAX_ENTRY_BYTES + 128).await;

    assert_eq!(std::fs::read_dir(folder.path().join("log/blobs")).unwrap().count(), 0);
}

fn open(folder: &Path, mark: Mark) -> Result<(GroupLog, Arc<dyn Disk>), BadLog> {
    let disk: Arc<dyn Disk> = Arc::new(SledDisk::open(&folder.join("log")).unwrap());
    let (writer, _thread) = Writer::start(disk.clone(), Watermark::open(folder).unwrap()).unwrap();
    let opened = GroupLog::open(GROUP, disk.clone(), writer, SharedClock::new(), mark);
    if opened.is_err() {
        disk.close();
    }
    opened.map(|log| (log, disk))
}

/// Writes a vote and entries of this size, and closes the disk.
async fn fill(folder: &Path, indices: std::ops::RangeInclusive<u64>, size: usize) {
    let disk: Arc<dyn Disk> = Arc::new(SledDisk::open(&folder.join("log")).unwrap());
    let (writer, thread) = Writer::start(disk.clone(), Watermark::open(folder).unwrap()).unwrap();
    let mut log =
        GroupLog::open(GROUP, disk.clone(), writer.clone(), SharedClock::new(), Mark::default()).unwrap();
    log.save_vote(&Vote::new(3, 1)).await.unwrap();
    let payload = Payload(entry::encode(7, Vec::new()).into_iter().chain(vec![0; size]).collect());
    for index in indices {
        let entry = RaftEntry { log_id: id(index), payload: EntryPayload::Normal(payload.clone()) };
        log.blocking_append([entry]).await.unwrap();
    }
    writer.stop().await;
    thread.join().unwrap();
    disk.close();
}

fn change(folder: &Path, write: impl FnOnce(&SledDisk) -> Write) {
    let disk = SledDisk::open(&folder.join("log")).unwrap();
    disk.write(vec![write(&disk)]).unwrap();
    disk.close();
}

/// Replaces the last records by those of another leader.
async fn overwrite(folder: &Path, indices: std::ops::RangeInclusive<u64>) {
    let (mut log, disk) = open(folder, Mark::default()).unwrap();
    log.truncate(id(*indices.start())).await.unwrap();
    for index in indices {
        let log_id = LogId::new(CommittedLeaderId::new(4, 2), index);
        log.blocking_append([RaftEntry { log_id, payload: EntryPayload::Blank }]).await.unwrap();
    }
    disk.close();
}

fn value(disk: &SledDisk, key: Key) -> Vec<u8> {
    let mut value = None;
    disk.scan(key, key, &mut |_, found| {
        value = Some(found.to_vec());
        true
    })
    .unwrap();
    value.unwrap()
}

fn id(index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(3, 1), index)
}
