//! The state machine as openraft sees it: a channel to the group's consumer, and snapshot files.
//!
//! The state itself is the consumer's. What is kept here is how far it was told, and the members at that point. A
//! snapshot that cannot be made is not the end of the group: the log stays longer, and it is tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use openraft::storage::{RaftStateMachine, Snapshot as RaftSnapshot};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, StorageIOError};
use proto::v1::SnapshotHeader;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot};
use tracing::{error, info};

use super::wire::{self, Malformed};
use super::{LogId, Payload, RaftEntry, SnapshotMeta, StorageError, StoredMembership, TypeConfig};
use crate::entry;
use crate::events::{self, Encode, Entry, Event};
use crate::leadership::clocks::SharedClock;
use crate::propose::Proposals;
use crate::snapshots::format::{Snapshot, SnapshotError};
use crate::snapshots::{SnapshotData, Snapshots};

/// Pause before a snapshot that could not be made is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

pub struct Applier {
    proposals: Arc<Proposals>,
    snapshots: Arc<Snapshots>,
    clock: SharedClock,
    events: mpsc::Sender<Event>,
    progress: Arc<Progress>,
    snapshot_bytes: u64,
    position: Position,
    /// Bytes of commands since the last snapshot.
    since_snapshot: u64,
}

/// How far the consumer was told, for those who only watch.
#[derive(Default)]
pub struct Progress {
    applied: AtomicU64,
    /// The commands since the last snapshot have become many.
    pub snapshot_due: Notify,
}

#[derive(Clone, Default)]
struct Position {
    last: Option<LogId>,
    members: StoredMembership,
    stamp: u64,
}

/// The state at a position, about to become a file.
pub struct Builder {
    proposals: Arc<Proposals>,
    snapshots: Arc<Snapshots>,
    position: Position,
    picture: oneshot::Receiver<Encode>,
}

#[derive(Debug, thiserror::Error)]
enum NotBuilt {
    #[error("the consumer took no picture of its state")]
    NoPicture,
    #[error("encoding the state failed: {0}")]
    Encoding(#[from] tokio::task::JoinError),
    #[error(transparent)]
    File(#[from] SnapshotError),
}

impl Progress {
    /// Position of the last entry handed over; 0 before the first.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }
}

impl Applier {
    /// `chunks` are those of the current snapshot; the consumer gets them first.
    pub async fn new(
        proposals: Arc<Proposals>,
        snapshots: Arc<Snapshots>,
        chunks: Vec<Bytes>,
        clock: SharedClock,
        events: mpsc::Sender<Event>,
        snapshot_bytes: u64,
    ) -> Result<Applier, Malformed> {
        let mut applier = Applier {
            proposals,
            snapshots,
            clock,
            events,
            progress: Arc::default(),
            snapshot_bytes,
            position: Position::default(),
            since_snapshot: 0,
        };
        if let Some(snapshot) = applier.snapshots.current() {
            let position = Position::of(&snapshot.header)?;
            // A consumer that is gone already makes itself known at the first entry.
            let _ = applier.restore(position, chunks).await;
        }
        Ok(applier)
    }

    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    async fn restore(&mut self, position: Position, chunks: Vec<Bytes>) -> Result<(), StorageError> {
        let index = position.last.map_or(0, |id| id.index);
        self.clock.saw(position.stamp);
        self.progress.applied.store(index, Ordering::Relaxed);
        self.since_snapshot = 0;
        let restore = Event::Restore { index, stamp: position.stamp, chunks };
        self.position = position;
        self.tell(restore).await
    }

    async fn perform(&mut self, log_id: LogId, bytes: Bytes) -> Result<(), StorageError> {
        let entry = entry::decode(log_id.index, bytes);
        let entry = entry.map_err(|error| StorageIOError::apply(log_id, &error))?;
        // Unpacked: that is what a start has to do again.
        self.since_snapshot +=
            entry.commands.iter().map(|submitted| submitted.command.len() as u64).sum::<u64>();
        self.position.stamp = entry.stamp;
        self.proposals.committed(&entry);
        self.proposals.metrics.entries_applied.increment(1);
        self.tell(Event::Committed(entry)).await
    }

    /// An entry without commands: the consumer hears of it, so that it knows how far it is.
    async fn pass(&self, index: u64) -> Result<(), StorageError> {
        self.tell(Event::Committed(Entry { index, stamp: self.position.stamp, commands: Vec::new() })).await
    }

    async fn tell(&self, event: Event) -> Result<(), StorageError> {
        let told = match self.events.try_send(event) {
            Err(TrySendError::Full(event)) => {
                self.proposals.metrics.events_full.increment(1);
                self.events.send(event).await.map_err(drop)
            }
            told => told.map_err(drop),
        };
        told.map_err(|_| StorageIOError::write_state_machine(&Gone).into())
    }
}

impl RaftStateMachine<TypeConfig> for Applier {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        Ok((self.position.last, self.position.members.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, StorageError>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut results = Vec::new();
        for entry in entries {
            match entry.payload {
                EntryPayload::Blank => self.pass(entry.log_id.index).await?,
                EntryPayload::Normal(Payload(bytes)) => self.perform(entry.log_id, bytes).await?,
                EntryPayload::Membership(members) => {
                    self.position.members = StoredMembership::new(Some(entry.log_id), members);
                    self.pass(entry.log_id.index).await?;
                }
            }
            self.position.last = Some(entry.log_id);
            self.progress.applied.store(entry.log_id.index, Ordering::Relaxed);
            results.push(());
        }
        if self.since_snapshot > self.snapshot_bytes {
            self.since_snapshot = 0;
            self.progress.snapshot_due.notify_one();
        }
        Ok(results)
    }

    /// Asks for the picture here, between two entries; the builder waits for it beside them.
    async fn get_snapshot_builder(&mut self) -> Builder {
        let (reply, picture) = events::capture();
        self.since_snapshot = 0;
        // If the consumer is gone the reply goes with the event, and the builder sees that.
        let _ = self.events.send(Event::Capture(reply)).await;
        Builder {
            proposals: self.proposals.clone(),
            snapshots: self.snapshots.clone(),
            position: self.position.clone(),
            picture,
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotData>, StorageError> {
        let data = self.snapshots.receive();
        Ok(Box::new(data.map_err(|error| StorageIOError::write_snapshot(None, &error))?))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        data: Box<SnapshotData>,
    ) -> Result<(), StorageError> {
        let failed = |error: &(dyn std::error::Error + 'static)| -> StorageError {
            StorageIOError::write_snapshot(Some(meta.signature()), openraft::AnyError::from_dyn(error, None))
                .into()
        };
        let snapshots = self.snapshots.clone();
        let adopted = tokio::task::spawn_blocking(move || snapshots.adopt(*data)).await;
        let adopted = adopted.map_err(|error| failed(&error))?;
        let (snapshot, chunks) = adopted.map_err(|error| failed(&error))?;
        let position = Position::of(&snapshot.header).map_err(|error| failed(&error))?;
        info!(group = %self.proposals.group, index = snapshot.index(), bytes = snapshot.bytes, "Installed a snapshot");
        self.proposals.metrics.snapshots_installed.increment(1);
        self.restore(position, chunks).await
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<RaftSnapshot<TypeConfig>>, StorageError> {
        let Some(snapshot) = self.snapshots.current() else {
            return Ok(None);
        };
        let snapshot = as_raft(&snapshot).map_err(|error| StorageIOError::read_snapshot(None, &error))?;
        Ok(Some(snapshot))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Builder {
    async fn build_snapshot(&mut self) -> Result<RaftSnapshot<TypeConfig>, StorageError> {
        let proposals = self.proposals.clone();
        let (group, metrics) = (proposals.group, &proposals.metrics);
        let started = Instant::now();
        let failure = match self.build().await {
            Ok(snapshot) => {
                metrics.snapshots_written.increment(1);
                metrics.snapshot_seconds.record(started.elapsed());
                metrics.snapshot_bytes.set(snapshot.bytes as f64);
                info!(%group, index = snapshot.index(), bytes = snapshot.bytes, "Wrote a snapshot");
                return as_raft(&snapshot)
                    .map_err(|error| StorageIOError::write_snapshot(None, &error).into());
            }
            Err(failure) => failure,
        };
        metrics.snapshots_failed.increment(1);
        error!(%group, %failure, "Cannot write a snapshot; the log is kept");
        // openraft asks again as soon as it has an answer.
        tokio::time::sleep(RETRY_AFTER).await;
        match self.snapshots.current().as_ref().map(as_raft) {
            Some(Ok(snapshot)) => Ok(snapshot),
            // openraft takes no notice of a snapshot that is not newer than the one it knows.
            _ => Ok(RaftSnapshot {
                meta: SnapshotMeta::default(),
                snapshot: Box::new(SnapshotData::nothing()),
            }),
        }
    }
}

impl Builder {
    async fn build(&mut self) -> Result<Snapshot, NotBuilt> {
        let encode = (&mut self.picture).await.map_err(|_| NotBuilt::NoPicture)?;
        let (snapshots, header) = (self.snapshots.clone(), self.position.header(self.proposals.group.0));
        let write = move || snapshots.write(header, &encode());
        Ok(tokio::task::spawn_blocking(write).await??)
    }
}

impl Position {
    fn of(header: &SnapshotHeader) -> Result<Position, Malformed> {
        Ok(Position {
            last: header.last.map(wire::read_log_id),
            members: wire::read_stored_members(header.members.clone())?,
            stamp: header.stamp_ms,
        })
    }

    fn header(&self, group: u32) -> SnapshotHeader {
        SnapshotHeader {
            group,
            last: self.last.as_ref().map(wire::log_id),
            members: Some(wire::stored_members(&self.members)),
            stamp_ms: self.stamp,
            chunks: 0,
            snapshot_id: self.last.map_or_else(String::new, |id| id.to_string()),
        }
    }
}

/// openraft's view of a snapshot file.
pub fn as_raft(snapshot: &Snapshot) -> Result<RaftSnapshot<TypeConfig>, Malformed> {
    let position = Position::of(&snapshot.header)?;
    let meta = SnapshotMeta {
        last_log_id: position.last,
        last_membership: position.members,
        snapshot_id: snapshot.header.snapshot_id.clone(),
    };
    Ok(RaftSnapshot { meta, snapshot: Box::new(SnapshotData::of(snapshot)) })
}

#[derive(Debug, thiserror::Error)]
#[error("the consumer of the group is gone")]
struct Gone;
