//! openraft's own storage suite over the log, on sled and on a disk in memory, and the state machine.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use openraft::testing::{StoreBuilder, Suite};
use placement::{GroupId, NodeId};
use tempfile::TempDir;

use super::applier::Applier;
use super::crash_test::crash_disk::{CrashDisk, Habit};
use super::disk::Disk;
use super::log_store::SledDisk;
use super::storage::GroupLog;
use super::watermark::{Mark, Watermark};
use super::writer::Writer;
use super::{StorageError, TypeConfig};
use crate::config::Limits;
use crate::events::{self, Event};
use crate::leadership::clocks::SharedClock;
use crate::propose::Proposals;
use crate::snapshots::Snapshots;

const GROUP: GroupId = GroupId(1);

#[test]
fn openrafts_storage_suite_passes_over_every_disk() {
    let on_sled = Builder(Box::new(|folder| Arc::new(SledDisk::open(&folder.join("log")).unwrap())));
    let in_memory = Builder(Box::new(|_| CrashDisk::new(Habit::Honest)));

    // The suite sleeps for seconds, so both sleep at once.
    std::thread::scope(|scope| {
        for builder in [on_sled, in_memory] {
            scope.spawn(move || Suite::test_all(builder).unwrap());
        }
    });
}

type OpenDisk = dyn Fn(&Path) -> Arc<dyn Disk> + Send + Sync;

pub struct Builder(Box<OpenDisk>);

impl Builder {
    /// Logs on this disk, all of them.
    pub fn over(disk: Arc<dyn Disk>) -> Builder {
        Builder(Box::new(move |_| disk.clone()))
    }
}

/// Lets the folder go, and with it the writer thread.
pub struct Guard {
    _folder: TempDir,
}

impl StoreBuilder<TypeConfig, GroupLog, Applier, Guard> for Builder {
    async fn build(&self) -> Result<(Guard, GroupLog, Applier), StorageError> {
        let folder = tempfile::tempdir().unwrap();
        let disk = (self.0)(folder.path());
        let (writer, _thread) = Writer::start(disk.clone(), Watermark::open(folder.path()).unwrap()).unwrap();
        let clock = SharedClock::new();
        let log = GroupLog::open(GROUP, disk, writer, clock.clone(), Mark::default()).unwrap();

        let limits = Limits::default();
        let proposals = Arc::new(Proposals::new(GROUP, NodeId(0), 1, &limits));
        let (snapshots, chunks) = Snapshots::open(folder.path(), GROUP).unwrap();
        let (sender, mut events) = events::channel(limits.events);
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let Event::Capture(reply) = event {
                    reply.send(Box::new(|| vec![Bytes::from_static(b"state")]));
                }
            }
        });
        let applier =
            Applier::new(proposals, Arc::new(snapshots), chunks, clock, sender, limits.snapshot_bytes);
        Ok((Guard { _folder: folder }, log, applier.await.unwrap()))
    }
}
