//! Three nodes, each with a runtime of its own, so that one can be killed like a process: nothing of it lives on but
//! its folder. A consumer on each writes down what its groups tell it; tests wait for what stands there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cluster::{Event, Group, GroupEvents, Limits, Member, Node, NodeConfig, StartError, Timings};
use parking_lot::{Condvar, Mutex};
use placement::{GroupId, NodeId};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;

use crate::wires::Wires;

/// Generous: these tests share their machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const GROUP: GroupId = GroupId(1);
/// Of each node.
const THREADS: usize = 2;

pub struct Cluster {
    pub nodes: Vec<Place>,
    groups: Vec<GroupId>,
    limits: Limits,
    /// Set if the nodes reach each other over wires that can be cut.
    wires: Option<Wires>,
}

/// A node's folder and address, and the node while it runs.
pub struct Place {
    pub id: NodeId,
    pub folder: TempDir,
    pub address: SocketAddr,
    running: Option<Running>,
}

struct Running {
    runtime: Runtime,
    node: Node,
    groups: BTreeMap<GroupId, (Group, Arc<Ledger>)>,
}

/// What one group told one node.
#[derive(Default)]
pub struct Ledger {
    page: Mutex<Page>,
    changed: Condvar,
}

#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The commands, each once, in the order of the log.
    pub state: Vec<String>,
    known: BTreeSet<String>,
    /// Commands that stood in the log again.
    pub repeats: usize,
    /// Index and stamp of each entry with commands.
    pub entries: Vec<(u64, u64)>,
    /// Positions of the snapshots that were restored.
    pub restored: Vec<u64>,
    /// What became of this node's own tickets, in the order it was told.
    pub fates: BTreeMap<u64, Vec<Fate>>,
    pub leader: Option<NodeId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Committed,
    Failed,
    Lost,
}

/// A node whose threads are all held.
pub struct Paused {
    _releases: Vec<std::sync::mpsc::Sender<()>>,
}

impl Cluster {
    pub fn start(groups: &[GroupId], limits: Limits) -> Cluster {
        let mut cluster = Cluster::prepare(groups, limits);
        for at in 0..cluster.nodes.len() {
            cluster.run(at);
        }
        cluster
    }

    /// Three places with nobody there yet.
    pub fn prepare(groups: &[GroupId], limits: Limits) -> Cluster {
        Cluster::prepare_many(3, groups, limits)
    }

    pub fn prepare_many(count: u64, groups: &[GroupId], limits: Limits) -> Cluster {
        let place = |id| {
            let address = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            Place { id: NodeId(id), folder: tempfile::tempdir().unwrap(), address, running: None }
        };
        Cluster { nodes: (1..=count).map(place).collect(), groups: groups.to_vec(), limits, wires: None }
    }

    /// Three nodes, and the wires between them.
    pub fn start_wired(groups: &[GroupId]) -> Cluster {
        let mut cluster = Cluster::prepare(groups, Limits::default());
        let places: Vec<_> = cluster.nodes.iter().map(|place| place.address).collect();
        cluster.wires = Some(Wires::between(&places));
        for at in 0..cluster.nodes.len() {
            cluster.run(at);
        }
        cluster
    }

    pub fn wires(&self) -> &Wires {
        self.wires.as_ref().expect("the test has wires")
    }

    pub fn run(&mut self, at: usize) {
        self.try_run(at).unwrap();
    }

    pub fn try_run(&mut self, at: usize) -> Result<(), StartError> {
        let config = self.config(at);
        let place = &mut self.nodes[at];
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build().unwrap();
        let (node, groups) = runtime.block_on(Node::start(config))?;
        let listener = runtime.block_on(TcpListener::bind(place.address)).unwrap();
        let serve =
            cluster::server().add_routes(node.routes()).serve_with_incoming(TcpListenerStream::new(listener));
        runtime.spawn(serve);
        let groups = groups.into_iter().map(|(group, events)| {
            let ledger = Arc::new(Ledger::default());
            runtime.spawn(write_down(group.clone(), events, ledger.clone()));
            (group.id(), (group, ledger))
        });
        let groups = groups.collect();
        place.running = Some(Running { runtime, node, groups });
        Ok(())
    }

    pub fn config(&self, at: usize) -> NodeConfig {
        let address = |to: usize| match &self.wires {
            Some(wires) if to != at => wires.address(at, to),
            _ => self.nodes[to].address,
        };
        let members = self.nodes.iter().enumerate().map(|(to, place)| Member {
            id: place.id,
            name: format!("node-{}", place.id),
            grpc: address(to).to_string(),
        });
        NodeConfig {
            id: self.nodes[at].id,
            name: format!("node-{}", self.nodes[at].id),
            members: members.collect(),
            data: self.nodes[at].folder.path().join("data"),
            groups: self.groups.clone(),
            timings: Timings::default(),
            limits: self.limits.clone(),
        }
    }

    /// Stops a node in an orderly way.
    pub fn stop(&mut self, at: usize) {
        let Some(Running { runtime, node, groups }) = self.nodes[at].running.take() else {
            return;
        };
        runtime.block_on(node.shutdown());
        drop(groups);
        runtime.shutdown_timeout(PATIENCE);
    }

    /// Stops a node in the middle of whatever it does.
    pub fn kill(&mut self, at: usize) {
        if let Some(Running { runtime, node, groups }) = self.nodes[at].running.take() {
            runtime.shutdown_timeout(PATIENCE);
            drop((node, groups));
        }
    }

    /// Stops the node's time: nothing runs there until what is returned goes.
    pub fn pause(&self, at: usize) -> Paused {
        let (entered, threads) = std::sync::mpsc::channel();
        let releases = (0..THREADS).map(|_| {
            let (release, wait) = std::sync::mpsc::channel::<()>();
            let entered = entered.clone();
            self.running(at).runtime.spawn(async move {
                entered.send(()).unwrap();
                let _ = wait.recv();
            });
            release
        });
        let paused = Paused { _releases: releases.collect() };
        for _ in 0..THREADS {
            threads.recv_timeout(PATIENCE).expect("every thread of the node is stopped");
        }
        paused
    }

    pub fn hand_over(&self, at: usize) {
        let Running { runtime, node, .. } = self.running(at);
        runtime.block_on(node.hand_over());
    }

    pub fn group(&self, at: usize, id: GroupId) -> Group {
        self.running(at).groups[&id].0.clone()
    }

    pub fn ledger(&self, at: usize, id: GroupId) -> Arc<Ledger> {
        self.running(at).groups[&id].1.clone()
    }

    pub fn alive(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|at| self.nodes[*at].running.is_some()).collect()
    }

    /// Waits until all living nodes agree on a living leader, and says where it is.
    pub fn leader(&self, id: GroupId) -> usize {
        let alive = self.alive();
        let mut leader = None;
        until("a leader", || {
            let leaders: BTreeSet<_> = alive.iter().map(|at| self.group(*at, id).status().leader).collect();
            leader = alive.iter().copied().find(|at| self.group(*at, id).is_leader());
            leader.is_some_and(|at| leaders == BTreeSet::from([Some(self.nodes[at].id)]))
        });
        leader.unwrap()
    }

    /// How long the leader heard nothing of another node.
    pub fn silence(&self, leader: usize, of: usize, id: GroupId) -> Duration {
        let silences = self.group(leader, id).silences().expect("it leads");
        let of = self.nodes[of].id;
        silences.into_iter().find(|(node, _)| *node == of).expect("it is a member").1
    }

    /// Proposes `node-ticket` at a node, waiting while its queue is full.
    pub fn propose(&self, at: usize, id: GroupId, tickets: std::ops::Range<u64>) {
        let group = self.group(at, id);
        for ticket in tickets {
            let command = Bytes::from(format!("{}-{}-{ticket}", group.node(), group.incarnation()));
            until("room in the queue", || group.propose(ticket, command.clone()).is_ok());
        }
    }

    fn running(&self, at: usize) -> &Running {
        self.nodes[at].running.as_ref().expect("the test asks a node that runs")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for at in 0..self.nodes.len() {
            self.kill(at);
        }
    }
}

impl Ledger {
    pub fn page(&self) -> Page {
        self.page.lock().clone()
    }

    /// Waits until the page says so, and returns it.
    pub fn until(&self, what: &str, mut done: impl FnMut(&Page) -> bool) -> Page {
        let deadline = Instant::now() + PATIENCE;
        let mut page = self.page.lock();
        while !done(&page) {
            let late = self.changed.wait_until(&mut page, deadline).timed_out();
            assert!(!late, "waited for {what}; {} commands, fates {:?}", page.state.len(), page.fates);
        }
        page.clone()
    }

    /// Waits until each of these own tickets has a fate.
    pub fn until_fates(&self, tickets: std::ops::Range<u64>) -> Page {
        self.until("the fates", |page| tickets.clone().all(|ticket| page.fates.contains_key(&ticket)))
    }
}

impl Page {
    pub fn all_committed(&self, tickets: std::ops::Range<u64>) -> bool {
        tickets.into_iter().all(|ticket| self.fates.get(&ticket).is_some_and(|f| f[0] == Fate::Committed))
    }
}

/// For what no ledger tells.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

async fn write_down(group: Group, mut events: GroupEvents, ledger: Arc<Ledger>) {
    while let Some(event) = events.next().await {
        let mut page = ledger.page.lock();
        match event {
            Event::Committed(entry) => {
                // Raft's own are not the same after a restart.
                if !entry.commands.is_empty() {
                    page.entries.push((entry.index, entry.stamp));
                }
                for command in entry.commands {
                    let text = String::from_utf8(command.command.to_vec()).unwrap();
                    let ours = command.origin == group.node() && command.incarnation == group.incarnation();
                    if !page.known.insert(text.clone()) {
                        page.repeats += 1;
                        continue;
                    }
                    page.state.push(text);
                    if ours {
                        page.fates.entry(command.ticket).or_default().push(Fate::Committed);
                    }
                }
            }
            Event::Failed { ticket } => page.fates.entry(ticket).or_default().push(Fate::Failed),
            Event::Lost { ticket } => page.fates.entry(ticket).or_default().push(Fate::Lost),
            Event::Restore { index, chunks, .. } => {
                page.state = chunks.iter().map(|c| String::from_utf8(c.to_vec()).unwrap()).collect();
                page.known = page.state.iter().cloned().collect();
                page.restored.push(index);
            }
            Event::Capture(reply) => {
                let state = page.state.clone();
                reply.send(Box::new(move || state.into_iter().map(Bytes::from).collect()));
            }
            Event::Leadership { leader, .. } => page.leader = leader,
        }
        drop(page);
        ledger.changed.notify_all();
    }
}
