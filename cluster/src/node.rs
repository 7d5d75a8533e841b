//! One node: its storage, its groups, its links to the other members.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use placement::{GroupId, NodeId};
use tokio::task::JoinSet;
use tonic::service::Routes;
use tracing::info;

use crate::clocks::SharedClock;
use crate::config::{BadTimings, NodeConfig};
use crate::events::{self, GroupEvents};
use crate::groups::Group;
use crate::identity::{self, IdentityError};
use crate::propose::Proposals;
use crate::propose::courier::Courier;
use crate::propose::forward::Forward;
use crate::propose::intake::Intake;
use crate::propose::proposer::Proposer;
use crate::pulse::Pulse;
use crate::raft::applier::Applier;
use crate::raft::disk::Disk;
use crate::raft::group::RaftGroup;
use crate::raft::log_store::SledDisk;
use crate::raft::network::{CONNECTION_WINDOW, Network, Peer, STREAM_WINDOW};
use crate::raft::recovery::BadLog;
use crate::raft::service::Service;
use crate::raft::storage::GroupLog;
use crate::raft::watermark::{Mark, Watermark};
use crate::raft::writer::Writer;
use crate::snapshot_file::SnapshotError;
use crate::snapshots::Snapshots;

pub struct Node {
    id: NodeId,
    service: Service,
    groups: Vec<RaftGroup>,
    tasks: JoinSet<()>,
    storage: Storage,
}

/// The disk and the thread that writes it.
struct Storage {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    writer: Writer,
    /// How far the log reached, by what was noted of an earlier run.
    marks: BTreeMap<GroupId, Mark>,
    thread: std::thread::JoinHandle<()>,
}

/// Why a node refuses to start. None of these heals by itself.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the members do not name this node, {0}")]
    NotAMember(NodeId),
    #[error("{address} is no address of a member: {error}")]
    Address { address: String, error: tonic::transport::Error },
    #[error(transparent)]
    Timings(#[from] BadTimings),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("cannot open {path}: {error}", path = .path.display())]
    Storage { path: PathBuf, error: io::Error },
    #[error("{path}: {error}", path = .path.display())]
    Log { path: PathBuf, error: BadLog },
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("the log of group {group} begins after {purged}, its snapshot ends at {snapshot}: {path}", path = .path.display())]
    Apart { group: GroupId, purged: u64, snapshot: u64, path: PathBuf },
    #[error("group {group} does not start: {reason}")]
    Group { group: GroupId, reason: String },
}

impl Node {
    /// Recovers what the disk holds and starts every group. Someone must read the events of each group.
    pub async fn start(config: NodeConfig) -> Result<(Node, Vec<(Group, GroupEvents)>), StartError> {
        if !config.members.iter().any(|member| member.id == config.id) {
            return Err(StartError::NotAMember(config.id));
        }
        config.timings.check()?;
        let peers = Arc::new(peers(&config)?);
        let (incarnation, storage) = open_storage(&config).await?;
        info!(node = %config.id, incarnation, groups = config.groups.len(), "Opened the log");

        let mut tasks = JoinSet::new();
        let channels = peers.iter().map(|(id, peer)| (*id, peer.proposals.clone())).collect();
        let forward = Forward::start(config.id, channels, &mut tasks);
        let mut starting = Starting { config, incarnation, storage, peers, forward, tasks };
        let mut served = BTreeMap::new();
        let mut handles = Vec::new();
        for group in starting.config.groups.clone() {
            match starting.group(group).await {
                Ok((raft, intake, handle)) => {
                    served.insert(group, (raft, intake));
                    handles.push(handle);
                }
                Err(error) => {
                    let groups = served.into_values().map(|(raft, _)| raft).collect();
                    starting.into_node(groups, BTreeMap::new()).shutdown().await;
                    return Err(error);
                }
            }
        }
        let groups = served.values().map(|(raft, _)| raft.clone()).collect();
        Ok((starting.into_node(groups, served), handles))
    }

    pub fn id(&self) -> NodeId {
        self.id
    }

    /// What this node answers to the other members; mount it on the gRPC server (see `server`).
    pub fn routes(&self) -> Routes {
        Routes::new(self.service.clone().into_server())
    }

    /// Leaves the lead of every group to another node, if there is one; waits shortly for that. Best before the
    /// gRPC server stops: the others need an answer of this node then.
    pub async fn hand_over(&self) {
        futures_util::future::join_all(self.groups.iter().map(RaftGroup::hand_over)).await;
    }

    /// Hands over, stops every group and closes the storage. Commands with an open fate get no event any more.
    pub async fn shutdown(mut self) {
        self.hand_over().await;
        for group in &self.groups {
            group.shutdown().await;
        }
        self.tasks.shutdown().await;
        self.storage.close().await;
        info!(node = %self.id, "Stopped");
    }
}

/// A gRPC server with windows wide enough for replication.
pub fn server() -> tonic::transport::Server {
    tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .tcp_nodelay(true)
}

/// A node whose groups are being started.
struct Starting {
    config: NodeConfig,
    incarnation: u64,
    storage: Storage,
    peers: Arc<BTreeMap<NodeId, Peer>>,
    forward: Forward,
    tasks: JoinSet<()>,
}

impl Starting {
    async fn group(&mut self, id: GroupId) -> Result<(RaftGroup, Intake, (Group, GroupEvents)), StartError> {
        let NodeConfig { id: node, limits, timings, .. } = &self.config;
        let clock = SharedClock::new();
        let proposals = Arc::new(Proposals::new(id, *node, self.incarnation, limits));
        let (sender, events) = events::channel(limits.events);

        let (log, snapshots, chunks) = self.recover(id, &clock).await?;
        let applier = Applier::new(
            proposals.clone(),
            snapshots.clone(),
            chunks,
            clock.clone(),
            sender.clone(),
            limits.snapshot_bytes,
        );
        let not_started = |reason| StartError::Group { group: id, reason };
        let applier = applier.await.map_err(|error| not_started(error.to_string()))?;
        let pulse = Arc::new(Pulse::new(*node, id, timings));
        let network =
            Network { group: id, node: *node, peers: self.peers.clone(), clock: clock.clone(), pulse };
        let raft = RaftGroup::start(network, log, applier, snapshots, timings, limits, &mut self.tasks);
        let raft = raft.await.map_err(not_started)?;

        let (intake, items) =
            Intake::new(raft.clone(), proposals.clone(), limits.proposals.max(limits.entry_commands));
        let (forward, watch) = (self.forward.clone(), raft.leadership());
        let courier = Courier::new(proposals.clone(), intake.clone(), forward, sender, watch, limits);
        self.tasks.spawn(courier.run());
        let (limits, clock_) = (limits.clone(), clock.clone());
        let proposer =
            Proposer { raft: raft.clone(), proposals: proposals.clone(), clock: clock_, limits, items };
        self.tasks.spawn(proposer.run());
        if let Err(reason) = self.give_birth(&raft).await {
            raft.shutdown().await;
            return Err(not_started(reason));
        }
        Ok((raft.clone(), intake, (Group::new(proposals, raft, clock), events)))
    }

    /// Reads what the disk holds of a group; the snapshot and the log must meet.
    async fn recover(
        &self,
        group: GroupId,
        clock: &SharedClock,
    ) -> Result<(GroupLog, Arc<Snapshots>, Vec<bytes::Bytes>), StartError> {
        let (disk, writer, clock) = (self.storage.disk.clone(), self.storage.writer.clone(), clock.clone());
        let mark = self.storage.marks.get(&group).copied().unwrap_or_default();
        let (logs, folder) = (self.storage.folder.clone(), snapshot_folder(&self.config));
        let recover = move || {
            let log = GroupLog::open(group, disk, writer, clock, mark)
                .map_err(|error| StartError::Log { path: logs.clone(), error })?;
            let (snapshots, chunks) = Snapshots::open(&folder, group)?;
            let purged = log.purged().map_or(0, |id| id.index);
            let snapshot = snapshots.current().map_or(0, |snapshot| snapshot.index());
            match purged > snapshot {
                true => Err(StartError::Apart { group, purged, snapshot, path: folder }),
                false => Ok((log, Arc::new(snapshots), chunks)),
            }
        };
        let recovered = tokio::task::spawn_blocking(recover).await;
        let (log, snapshots, chunks) =
            recovered.unwrap_or_else(|error| Err(StartError::Group { group, reason: error.to_string() }))?;
        let swept = log.sweep().await;
        swept.map_err(|error| StartError::Storage { path: self.storage.folder.clone(), error })?;
        Ok((log, snapshots, chunks))
    }

    /// The member with the lowest id gives a group that never had members its first ones; the others wait for it.
    async fn give_birth(&self, raft: &RaftGroup) -> Result<(), String> {
        let members = || self.config.members.iter().map(|member| member.id);
        match members().min() == Some(self.config.id) {
            true => raft.initialise(members()).await,
            false => Ok(()),
        }
    }

    fn into_node(self, groups: Vec<RaftGroup>, served: BTreeMap<GroupId, (RaftGroup, Intake)>) -> Node {
        let id = self.config.id;
        Node { id, service: Service::new(id, served), groups, tasks: self.tasks, storage: self.storage }
    }
}

impl Storage {
    async fn close(self) {
        self.writer.stop().await;
        let close = move || {
            // A writer that panicked has said so, and has nothing left to write.
            let _ = self.thread.join();
            self.disk.close();
        };
        // Only a panic could fail it, and the node is stopping.
        let _ = tokio::task::spawn_blocking(close).await;
    }
}

async fn open_storage(config: &NodeConfig) -> Result<(u64, Storage), StartError> {
    let (id, data, snapshots) = (config.id, config.data.clone(), snapshot_folder(config));
    let folder = data.join("log");
    let failed = |path: &PathBuf| {
        let path = path.clone();
        move |error| StartError::Storage { path, error }
    };
    let open = {
        let folder = folder.clone();
        move || -> Result<(u64, Storage), StartError> {
            fs::create_dir_all(&snapshots).map_err(failed(&snapshots))?;
            let incarnation = identity::take(&data, id)?;
            let disk: Arc<dyn Disk> = Arc::new(SledDisk::open(&folder).map_err(failed(&folder))?);
            let watermark = Watermark::open(&data).map_err(failed(&data))?;
            let marks = watermark.marks().clone();
            let (writer, thread) = Writer::start(disk.clone(), watermark).map_err(failed(&folder))?;
            Ok((incarnation, Storage { folder, disk, writer, marks, thread }))
        }
    };
    let opened = tokio::task::spawn_blocking(open).await;
    opened.unwrap_or_else(|error| Err(failed(&folder)(io::Error::other(error))))
}

fn snapshot_folder(config: &NodeConfig) -> PathBuf {
    config.data.join("snapshots")
}

fn peers(config: &NodeConfig) -> Result<BTreeMap<NodeId, Peer>, StartError> {
    let others = config.members.iter().filter(|member| member.id != config.id);
    let peer = |member: &crate::config::Member| match Peer::new(member) {
        Ok(peer) => Ok((member.id, peer)),
        Err(error) => Err(StartError::Address { address: member.grpc.clone(), error }),
    };
    others.map(peer).collect()
}
