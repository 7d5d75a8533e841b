//! One node: its storage, its groups, its links to the other members.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use placement::{Directory, GroupId, NodeId};
use proto::v1::AppendRequest;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tracing::info;

use crate::calls::Calls;
use crate::config::NodeConfig;
use crate::directory::Keeper;
use crate::events::{self, GroupEvents};
use crate::groups::Group;
use crate::leadership::clocks::SharedClock;
use crate::leadership::pulse::Pulse;
use crate::membership::admission::Admission;
use crate::membership::door::Door;
use crate::membership::front::Front;
use crate::membership::hello::Asker;
pub use crate::membership::start_error::StartError;
use crate::peers::Peers;
use crate::propose::Proposals;
use crate::propose::courier::Courier;
use crate::propose::forward::Forward;
use crate::propose::intake::Intake;
use crate::propose::proposer::Proposer;
use crate::raft::applier::Applier;
use crate::raft::group::RaftGroup;
use crate::raft::members;
use crate::raft::network::{CONNECTION_WINDOW, Network, STREAM_WINDOW};
use crate::raft::storage::GroupLog;
use crate::snapshots::Snapshots;
use crate::store::Store;
use crate::watchman;

pub struct Node {
    front: Front,
    system: Group,
    groups: Vec<RaftGroup>,
    tasks: Tasks,
    store: Store,
    /// Why this node must not go on.
    ended: watch::Sender<Option<String>>,
}

/// What runs for this node until it is told to stop, and who watches over it.
struct Tasks {
    stop: oneshot::Sender<()>,
    watched: JoinHandle<JoinSet<()>>,
}

impl Node {
    /// Recovers what the disk holds and starts every group of the directory that the node came in with.
    pub(crate) async fn start(door: &Door) -> Result<(Node, Vec<(Group, GroupEvents)>), StartError> {
        let (config, front) = (door.config.clone(), door.front.clone());
        let store = Store::open(&config.data).await?;
        let directory = front.directory();
        let peers = Peers::new(front.clone());
        let forward = Forward::new(front.letterhead(), peers.clone());
        let appends = Calls::new(peers.clone());
        let tasks = JoinSet::new();
        let mut starting = Starting { config, front, directory, store, peers, forward, appends, tasks };

        let mut served = BTreeMap::new();
        let mut handles = Vec::new();
        // The system group comes last: once the birth is committed in it, a majority has begun every other group.
        let presence = starting.directory.slots.groups();
        for group in presence.into_iter().chain([GroupId::SYSTEM]) {
            match starting.group(group).await {
                Ok((raft, intake, handle)) => {
                    served.insert(group, (raft, intake));
                    handles.push(handle);
                }
                Err(error) => {
                    starting.abandon(served.into_values().map(|(raft, _)| raft)).await;
                    return Err(error);
                }
            }
        }
        let system = handles.pop().expect("the system group was started last");
        Ok((starting.into_node(door, served, system), handles))
    }

    pub fn id(&self) -> NodeId {
        self.front.identity().id
    }

    /// The directory as this node knows it, and every later one.
    pub fn directory(&self) -> watch::Receiver<Arc<Directory>> {
        self.front.watch()
    }

    /// The group that holds the directory.
    pub fn system(&self) -> Group {
        self.system.clone()
    }

    /// Returns, with the reason, when this node must not go on: it was replaced, belongs to
    /// nobody, or a part of it failed.
    pub fn ended(&self) -> impl Future<Output = String> + Send + use<> {
        let mut ended = self.ended.subscribe();
        async move {
            let reason = ended.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
            match reason {
                Some(reason) => reason,
                // The node was shut down meanwhile, and that was no such reason.
                None => std::future::pending().await,
            }
        }
    }

    /// Leaves the lead of every group to another node, if there is one; waits shortly for that. Best before the
    /// gRPC server stops: the others need an answer of this node then.
    pub async fn hand_over(&self) {
        futures_util::future::join_all(self.groups.iter().map(RaftGroup::hand_over)).await;
    }

    /// Hands over, stops every group and closes the storage. Commands with an open fate get no event any more.
    pub async fn shutdown(self) {
        self.hand_over().await;
        // From here on the tasks may end.
        let _ = self.tasks.stop.send(());
        let tasks = self.tasks.watched.await;
        for group in &self.groups {
            group.shutdown().await;
        }
        // Watching over them does not panic; if it did they were aborted with it.
        if let Ok(mut tasks) = tasks {
            tasks.shutdown().await;
        }
        self.store.close().await;
        info!(name = self.front.identity().name, "Stopped");
    }
}

/// A gRPC server with windows wide enough for replication; what it serves comes from [`tls::Wires::accept`].
pub fn server() -> tonic::transport::Server {
    tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
}

/// A node whose groups are being started.
struct Starting {
    config: NodeConfig,
    front: Front,
    directory: Arc<Directory>,
    store: Store,
    peers: Peers,
    forward: Forward,
    appends: Calls<AppendRequest>,
    tasks: JoinSet<()>,
}

impl Starting {
    async fn group(&mut self, id: GroupId) -> Result<(RaftGroup, Intake, (Group, GroupEvents)), StartError> {
        let NodeConfig { limits, timings, .. } = &self.config;
        let letterhead = self.front.letterhead();
        let clock = SharedClock::new();
        let proposals = Arc::new(Proposals::new(id, letterhead.node, letterhead.incarnation, limits));
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
        let pulse = Arc::new(Pulse::new(letterhead.node, id, timings));
        let (peers, appends, clock_) = (self.peers.clone(), self.appends.clone(), clock.clone());
        let network = Network { group: id, letterhead, peers, appends, clock: clock_, pulse, log };
        let raft = RaftGroup::start(network, applier, snapshots, timings, limits, &mut self.tasks);
        let raft = raft.await.map_err(not_started)?;

        let (intake, items) =
            Intake::new(raft.clone(), proposals.clone(), limits.proposals.max(limits.entry_commands));
        let (forward, watch) = (self.forward.clone(), raft.leadership());
        let courier = Courier::new(proposals.clone(), intake.clone(), forward, sender, watch, limits);
        self.tasks.spawn(courier.run());
        let proposer = Proposer {
            raft: raft.clone(),
            proposals: proposals.clone(),
            clock: clock.clone(),
            limits: limits.clone(),
            items,
            watch: raft.leadership(),
        };
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
        let (disk, writer, clock) = (self.store.disk.clone(), self.store.writer.clone(), clock.clone());
        let mark = self.store.marks.get(&group).copied().unwrap_or_default();
        let (logs, folder) = (self.store.folder.clone(), self.store.snapshots.clone());
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
        swept.map_err(|error| StartError::Storage { path: self.store.folder.clone(), error })?;
        Ok((log, snapshots, chunks))
    }

    /// Every founder gives a group that never had members its first ones; it is harmless that they are several, since
    /// they all give the same.
    async fn give_birth(&self, raft: &RaftGroup) -> Result<(), String> {
        match self.directory.is_born() {
            true => Ok(()),
            false => raft.initialise(self.directory.members.keys().copied()).await,
        }
    }

    fn into_node(
        mut self,
        door: &Door,
        served: BTreeMap<GroupId, (RaftGroup, Intake)>,
        (system, events): (Group, GroupEvents),
    ) -> Node {
        let (front, data) = (self.front, self.config.data);
        let ended = watch::Sender::new(None);
        let (keeper, requests) = Keeper::new(system.clone(), events, front.clone(), data);
        self.tasks.spawn(watchman::keep(keeper, ended.clone()));
        self.tasks.spawn(watchman::look_out(front.clone(), self.config.declared, ended.clone()));
        for (id, (raft, _)) in &served {
            self.tasks.spawn(members::follow_directory(raft.clone(), front.clone(), id.to_string()));
        }
        let groups: Vec<_> = served.values().map(|(raft, _)| raft.clone()).collect();
        door.service.open(served);
        let asker = Asker::default();
        door.reception.open(Admission { front: front.clone(), requests, groups: groups.clone(), asker });
        let (stop, stopped) = oneshot::channel();
        let watched = tokio::spawn(watchman::stand_by(self.tasks, stopped, ended.clone()));
        Node { front, system, groups, tasks: Tasks { stop, watched }, store: self.store, ended }
    }

    /// One group does not start, so none does.
    async fn abandon(mut self, groups: impl Iterator<Item = RaftGroup>) {
        for group in groups {
            group.shutdown().await;
        }
        self.tasks.shutdown().await;
        self.store.close().await;
    }
}
