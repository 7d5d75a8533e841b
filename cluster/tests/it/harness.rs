//! Three nodes, each with a runtime of its own, so that one can be killed like a process: nothing of it lives on but
//! its folder. A consumer on each writes down what its groups tell it; tests wait for what stands there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cluster::{
    Declared, DeclaredMember, Door, Event, Group, GroupEvents, Limits, Node, NodeConfig, StartError, Timings,
};
use parking_lot::{Condvar, Mutex};
use placement::{Directory, GroupId, NodeId};
use proto::v1::raft_client::RaftClient;
use proto::v1::{Ballot, Envelope, VoteReply, VoteRequest};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::transport::Endpoint;

use crate::ports::free_address;
use crate::wires::Wires;

/// Generous: these tests share their machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
pub const GROUP: GroupId = GroupId(1);
/// Of each node.
const THREADS: usize = 2;

pub struct Cluster {
    pub nodes: Vec<Place>,
    /// How many founders there are.
    count: usize,
    groups: u32,
    limits: Limits,
    /// Set if the nodes reach each other over wires that can be cut.
    wires: Option<Wires>,
}

/// A node's name, folder and address, and the node while it runs.
pub struct Place {
    pub name: String,
    pub folder: TempDir,
    /// Where it says that it is.
    pub address: SocketAddr,
    /// Where it really is, if that is another place: then nobody finds it.
    pub hidden: Option<SocketAddr>,
    pub wires: tls::Wires,
    running: Option<Running>,
}

struct Running {
    runtime: Runtime,
    waiting: watch::Receiver<String>,
    entering: Option<JoinHandle<Result<Entered, StartError>>>,
    entered: Option<Entered>,
}

struct Entered {
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

/// A busy machine may have no leader for a while, and no command is to fail for that.
pub fn patient() -> Limits {
    Limits { leaderless_wait: PATIENCE, give_up: PATIENCE, ..Limits::default() }
}

/// A node whose threads are all held.
pub struct Paused {
    _releases: Vec<std::sync::mpsc::Sender<()>>,
}

impl Cluster {
    /// Three empty nodes become a cluster with this many groups.
    pub fn start(groups: u32, limits: Limits) -> Cluster {
        let mut cluster = Cluster::prepare(groups, limits);
        cluster.be_born();
        cluster
    }

    /// Starts all nodes and waits until they are a cluster.
    pub fn be_born(&mut self) {
        for at in 0..self.count {
            self.begin(at).unwrap();
        }
        for at in 0..self.count {
            self.entered(at).unwrap();
        }
        until("all know of the birth", || (0..self.count).all(|at| self.directory(at).is_born()));
    }

    /// Three places with nobody there yet.
    pub fn prepare(groups: u32, limits: Limits) -> Cluster {
        Cluster::prepare_many(3, groups, limits)
    }

    pub fn prepare_many(count: usize, groups: u32, limits: Limits) -> Cluster {
        let place = |number| {
            let address = free_address();
            let folder = tempfile::tempdir().unwrap();
            let (name, wires) = (format!("manager-{number}"), tls::Wires::plain());
            Place { name, folder, address, hidden: None, wires, running: None }
        };
        Cluster { nodes: (1..=count).map(place).collect(), count, groups, limits, wires: None }
    }

    /// Three nodes, and the wires between them.
    pub fn start_wired(groups: u32, limits: Limits) -> Cluster {
        let mut cluster = Cluster::prepare(groups, limits);
        let places: Vec<_> = cluster.nodes.iter().map(|place| place.address).collect();
        cluster.wires = Some(Wires::between(&places));
        cluster.be_born();
        cluster
    }

    pub fn wires(&self) -> &Wires {
        self.wires.as_ref().expect("the test has wires")
    }

    /// Starts a member and waits until it takes part.
    pub fn run(&mut self, at: usize) {
        self.try_run(at).unwrap();
    }

    pub fn try_run(&mut self, at: usize) -> Result<(), StartError> {
        self.begin(at)?;
        self.entered(at)
    }

    /// Starts a node: it answers from now on, and looks for its place.
    pub fn begin(&mut self, at: usize) -> Result<(), StartError> {
        let config = self.config(at);
        let place = &mut self.nodes[at];
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build().unwrap();
        let door = runtime.block_on(Door::open(config))?;
        let listener = runtime.block_on(TcpListener::bind(place.hidden.unwrap_or(place.address))).unwrap();
        let wires = place.wires.clone();
        let routes = door.routes();
        runtime.spawn(async move {
            let incoming = wires.accept(listener, tls::Protocol::Grpc);
            cluster::server().add_routes(routes).serve_with_incoming(incoming).await
        });
        let waiting = door.waiting();
        let entering = Some(runtime.spawn(enter(door)));
        place.running = Some(Running { runtime, waiting, entering, entered: None });
        Ok(())
    }

    /// Waits until a node that was begun takes part.
    pub fn entered(&mut self, at: usize) -> Result<(), StartError> {
        let name = self.nodes[at].name.clone();
        let running = self.nodes[at].running.as_mut().expect("the test began it");
        let Some(entering) = running.entering.take() else { return Ok(()) };
        let entered = running.runtime.block_on(async { tokio::time::timeout(PATIENCE, entering).await });
        let waiting = running.waiting.borrow().clone();
        let entered = entered.unwrap_or_else(|_| panic!("{name} does not take part: {waiting}")).unwrap();
        match entered {
            Ok(entered) => {
                running.entered = Some(entered);
                Ok(())
            }
            Err(error) => {
                self.kill(at);
                Err(error)
            }
        }
    }

    pub fn config(&self, at: usize) -> NodeConfig {
        let member =
            |place: &Place| DeclaredMember { name: place.name.clone(), grpc: place.address.to_string() };
        let members = self.nodes.iter().take(self.count).map(member).collect();
        let detour = |wires: &Wires, to: usize| {
            (self.nodes[to].address.to_string(), wires.address(at, to).to_string())
        };
        let detours = self
            .wires
            .iter()
            .flat_map(|wires| (0..self.count).filter(|to| *to != at).map(move |to| detour(wires, to)));
        NodeConfig {
            name: self.nodes[at].name.clone(),
            declared: Declared { members, groups: self.groups },
            sip: "127.0.0.1:9".into(),
            data: self.nodes[at].folder.path().join("data"),
            detours: detours.collect(),
            wires: self.nodes[at].wires.clone(),
            timings: Timings::default(),
            limits: self.limits.clone(),
        }
    }

    /// Stops a node in an orderly way.
    pub fn stop(&mut self, at: usize) {
        let Some(Running { runtime, entering, entered, .. }) = self.nodes[at].running.take() else {
            return;
        };
        drop(entering);
        if let Some(Entered { node, groups }) = entered {
            runtime.block_on(node.shutdown());
            drop(groups);
        }
        runtime.shutdown_timeout(PATIENCE);
    }

    /// Stops a node in the middle of whatever it does.
    pub fn kill(&mut self, at: usize) {
        if let Some(Running { runtime, entered, .. }) = self.nodes[at].running.take() {
            runtime.shutdown_timeout(PATIENCE);
            drop(entered);
        }
    }

    /// Stops the node's time: nothing runs there until what is returned goes.
    pub fn pause(&self, at: usize) -> Paused {
        let (entered, threads) = std::sync::mpsc::channel();
        let releases = (0..THREADS).map(|_| {
            let (release, wait) = std::sync::mpsc::channel::<()>();
            let entered = entered.clone();
            self.nodes[at].running.as_ref().expect("it runs").runtime.spawn(async move {
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
        let running = self.nodes[at].running.as_ref().expect("it runs");
        running.runtime.block_on(self.node(at).hand_over());
    }

    /// The disk of a node that does not run is lost.
    pub fn wipe(&mut self, at: usize) {
        assert!(self.nodes[at].running.is_none(), "the test stops it first");
        self.nodes[at].folder = tempfile::tempdir().unwrap();
    }

    /// A place for another node under the same name, with an empty disk.
    pub fn twin(&mut self, at: usize) -> usize {
        let Place { name, address, wires, .. } = &self.nodes[at];
        let (name, address, wires) = (name.clone(), *address, wires.clone());
        let folder = tempfile::tempdir().unwrap();
        self.nodes.push(Place { name, folder, address, hidden: None, wires, running: None });
        self.nodes.len() - 1
    }

    pub fn copy_of_folder(&self, at: usize) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_all(self.nodes[at].folder.path(), copy.path());
        copy
    }

    pub fn id(&self, at: usize) -> NodeId {
        self.node(at).id()
    }

    pub fn node(&self, at: usize) -> &Node {
        &self.running(at).node
    }

    pub fn directory(&self, at: usize) -> Arc<Directory> {
        self.node(at).directory().borrow().clone()
    }

    /// Asks the node at a place for its vote as if it had that id, in the name of a member.
    pub fn asks_for_vote(&self, member: usize, at: usize, id: NodeId) -> Result<VoteReply, Status> {
        let source = self.id(member).0;
        let (cluster, target) = (self.directory(member).cluster.0, id.0);
        let to = Some(Envelope { group: GROUP.0, source, target, cluster, incarnation: u64::MAX });
        let vote = Some(Ballot { term: 99, node: source, committed: false });
        let endpoint = Endpoint::from_shared(format!("http://{}", self.nodes[at].address)).unwrap();
        let runtime = Runtime::new().unwrap();
        runtime.block_on(async {
            let mut client = RaftClient::new(endpoint.connect().await.unwrap());
            client.vote(VoteRequest { to, vote, last: None }).await.map(tonic::Response::into_inner)
        })
    }

    /// Waits until exactly these vote, in every group.
    pub fn until_voters(&self, nodes: &[usize]) {
        let mut ids: Vec<_> = nodes.iter().map(|at| self.id(*at)).collect();
        ids.sort_unstable();
        let at = nodes[0];
        let mut groups = vec![self.node(at).system()];
        groups.extend(self.directory(at).slots.groups().into_iter().map(|id| self.group(at, id)));
        until("the voters are these", || groups.iter().all(|group| group.voters() == ids));
    }

    /// Whether the present start of the node at `of` stands in the directory at `at`.
    pub fn knows_start_of(&self, at: usize, of: usize) -> bool {
        let start = self.group(of, GROUP).incarnation();
        self.directory(at).members.get(&self.id(of)).is_some_and(|member| member.incarnation == start)
    }

    /// Why a node that was begun does not take part yet.
    pub fn waiting(&self, at: usize) -> String {
        self.nodes[at].running.as_ref().expect("the test began it").waiting.borrow().clone()
    }

    /// Why a node must not go on.
    pub fn ended(&self, at: usize) -> String {
        let ended = self.node(at).ended();
        let runtime = &self.nodes[at].running.as_ref().expect("it runs").runtime;
        runtime.block_on(async { tokio::time::timeout(PATIENCE, ended).await }).expect("it is told in time")
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
            leader.is_some_and(|at| leaders == BTreeSet::from([Some(self.id(at))]))
        });
        leader.unwrap()
    }

    /// Waits until the leader, if it still leads, heard nothing of another node for so long.
    pub fn until_silent(&self, leader: usize, of: usize, long: Duration) {
        let of = self.id(of);
        let silence = |silences: Vec<(NodeId, Duration)>| silences.into_iter().find(|(node, _)| *node == of);
        until("a long silence", || {
            let silences = self.group(leader, GROUP).silences();
            silences.is_none_or(|silences| silence(silences).expect("it is a member").1 > long)
        });
    }

    /// Proposes `node-ticket` at a node, waiting while its queue is full.
    pub fn propose(&self, at: usize, id: GroupId, tickets: std::ops::Range<u64>) {
        let group = self.group(at, id);
        for ticket in tickets {
            let command = Bytes::from(format!("{}-{}-{ticket}", group.node(), group.incarnation()));
            until("room in the queue", || group.propose(ticket, command.clone()).is_ok());
        }
    }

    fn running(&self, at: usize) -> &Entered {
        let running = self.nodes[at].running.as_ref();
        running.and_then(|running| running.entered.as_ref()).expect("the test asks a node that takes part")
    }
}

impl Place {
    /// Whether its folder says that it belongs to a cluster.
    pub fn is_member_on_disk(&self) -> bool {
        let identity = fs::read_to_string(self.folder.path().join("data/node")).unwrap_or_default();
        identity.contains("cluster ") && !identity.contains("cluster none")
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

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

async fn enter(door: Door) -> Result<Entered, StartError> {
    let (node, groups) = door.enter().await?;
    let groups = groups.into_iter().map(|(group, events)| {
        let ledger = Arc::new(Ledger::default());
        tokio::spawn(write_down(group.clone(), events, ledger.clone()));
        (group.id(), (group, ledger))
    });
    Ok(Entered { node, groups: groups.collect() })
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
