//! openraft's own storage suite over the log on sled and the state machine.

use std::sync::Arc;

use bytes::Bytes;
use openraft::testing::{StoreBuilder, Suite};
use placement::{GroupId, NodeId};
use tempfile::TempDir;

use super::applier::Applier;
use super::disk::Disk;
use super::log_store::SledDisk;
use super::storage::GroupLog;
use super::watermark::{Mark, Watermark};
use super::writer::Writer;
use super::{StorageError, TypeConfig};
use crate::clocks::SharedClock;
use crate::config::Limits;
use crate::events::{self, Event};
use crate::propose::Proposals;
use crate::snapshots::Snapshots;

const GROUP: GroupId = GroupId(1);

#[test]
fn openrafts_storage_suite_passes() {
    Suite::test_all(Builder).unwrap();
}

struct Builder;

/// Lets the folder go, and with it the writer thread.
struct Guard {
    _folder: TempDir,
}

impl StoreBuilder<TypeConfig, GroupLog, Applier, Guard> for Builder {
    async fn build(&self) -> Result<(Guard, GroupLog, Applier), StorageError> {
        let folder = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(SledDisk::open(&folder.path().join("log")).unwrap());
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
