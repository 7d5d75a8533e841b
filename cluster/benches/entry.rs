//! What a log entry costs: CPU time of three nodes, over loopback and real disks, by how many commands are under way.
//!
//! Nobody reads the commands, so this is what any consumer pays before it does anything of its own. Run it on one core
//! (`taskset -c 0 cargo bench -p cluster`), where nodes that wait for each other cost what they cost.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cluster::{Declared, DeclaredMember, Door, Event, Group, GroupEvents, Limits, Node, NodeConfig, Timings};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

const NODES: usize = 3;
const LONG: Duration = Duration::from_secs(3);

struct Member {
    group: Group,
    _node: Node,
    _runtime: Runtime,
    _folder: TempDir,
}

fn main() {
    let (committed, mut fates) = mpsc::unbounded_channel();
    let members = start(&committed);
    // The first ones wait for a leader.
    for member in &members {
        propose(&member.group, &mut 0);
        fates.blocking_recv().expect("the nodes run");
    }
    println!("commands under way   commands per entry   CPU us per entry   CPU us per command");
    for under_way in [1, 3, 16, 64, 256] {
        let (first, cpu, start) = (last_entry(&members), cpu(), Instant::now());
        let mut commands = 0;
        for at in 0..under_way {
            propose(&members[at % NODES].group, &mut commands);
        }
        while start.elapsed() < LONG {
            let at: usize = fates.blocking_recv().expect("the nodes run");
            propose(&members[at].group, &mut commands);
        }
        for _ in 0..under_way {
            fates.blocking_recv().expect("the nodes run");
        }
        let (entries, cpu) = ((last_entry(&members) - first) as f64, (self::cpu() - cpu).as_secs_f64() * 1e6);
        let commands = commands as f64;
        println!("{under_way:18} {:20.1} {:18.0} {:20.1}", commands / entries, cpu / entries, cpu / commands);
    }
}

fn propose(group: &Group, commands: &mut u64) {
    *commands += 1;
    group.propose(*commands, command(*commands)).expect("fewer are under way than are allowed");
}

/// Like what a PUBLISH becomes in the log, as long and with as much that differs.
fn command(number: u64) -> Bytes {
    let (random, note) = (blake3::hash(&number.to_le_bytes()), "On the phone");
    let tag = random.to_hex();
    let user = number.wrapping_mul(7919) % 10_000;
    format!(
        "sip:user{user}@example.com;{tag};presence;3600;<sip:user{user}@192.0.2.{}:5060;transport=udp>;{}\
         <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
         xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" \
         entity=\"sip:user{user}@example.com\"><tuple id=\"t{}\"><status><basic>open</basic></status>\
         <contact>sip:user{user}@example.com</contact></tuple><dm:person id=\"p{user}\"><rpid:activities>\
         <rpid:on-the-phone/></rpid:activities><dm:note>{note} {number}</dm:note></dm:person></presence>",
        user % 250,
        &tag[..32],
        &tag[8..16]
    )
    .into()
}

fn last_entry(members: &[Member]) -> u64 {
    members.iter().map(|member| member.group.status().last_log).max().unwrap_or(0)
}

/// User and system time of this process, all nodes in it.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux tells");
    let fields: Vec<i64> = stat.rsplit(')').next().unwrap_or("").split(' ').flat_map(str::parse).collect();
    // Behind the state: utime and stime, in hundredths of a second.
    Duration::from_millis(10 * fields[10..12].iter().sum::<i64>().unsigned_abs())
}

fn start(committed: &mpsc::UnboundedSender<usize>) -> Vec<Member> {
    let listeners =
        [(); NODES].map(|()| std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has room"));
    let addresses = listeners.each_ref().map(|listener| listener.local_addr().expect("it is bound"));
    let begun: Vec<_> =
        listeners.into_iter().enumerate().map(|(at, listener)| begin(at, listener, addresses)).collect();
    let mut members = Vec::new();
    for (at, (door, runtime, folder)) in begun.into_iter().enumerate() {
        let entering = runtime.spawn(door.enter());
        members.push((at, entering, runtime, folder));
    }
    let mut entered = Vec::new();
    for (at, entering, runtime, folder) in members {
        let (node, groups) = runtime.block_on(entering).expect("it does not panic").expect("it takes part");
        let (group, events) = groups.into_iter().next().expect("it has a group");
        runtime.spawn(follow(at, group.clone(), events, committed.clone()));
        entered.push(Member { group, _node: node, _runtime: runtime, _folder: folder });
    }
    entered
}

fn begin(
    at: usize,
    listener: std::net::TcpListener,
    addresses: [SocketAddr; NODES],
) -> (Door, Runtime, TempDir) {
    let name = |at: usize| format!("manager-{}", at + 1);
    let folder = tempfile::tempdir().expect("there is a disk");
    let member = |at: usize| DeclaredMember { name: name(at), grpc: addresses[at].to_string() };
    let config = NodeConfig {
        name: name(at),
        declared: Declared { members: (0..NODES).map(member).collect(), groups: 1 },
        sip: "127.0.0.1:9".into(),
        data: folder.path().join("data"),
        detours: Default::default(),
        wires: tls::Wires::plain(),
        timings: Timings::default(),
        limits: Limits { leaderless_wait: Duration::from_secs(60), ..Limits::default() },
    };
    let runtime = Runtime::new().expect("threads can be started");
    let wires = config.wires.clone();
    let door = runtime.block_on(Door::open(config)).expect("the folder is new");
    let routes = door.routes();
    runtime.spawn(async move {
        listener.set_nonblocking(true)?;
        let incoming = wires.accept(TcpListener::from_std(listener)?, tls::Protocol::Grpc);
        let served = cluster::server().add_routes(routes).serve_with_incoming(incoming).await;
        served.map_err(std::io::Error::other)
    });
    (door, runtime, folder)
}

/// Tells of each command of this node that is committed.
async fn follow(at: usize, group: Group, mut events: GroupEvents, committed: mpsc::UnboundedSender<usize>) {
    while let Some(event) = events.next().await {
        match event {
            Event::Committed(entry) => {
                for _ in entry.commands.iter().filter(|command| command.origin == group.node()) {
                    // Nobody counts at the very end.
                    let _ = committed.send(at);
                }
            }
            Event::Capture(reply) => reply.send(Box::new(Vec::new)),
            Event::Failed { .. } | Event::Lost { .. } => panic!("a command did not reach the log"),
            Event::Restore { .. } | Event::Leadership { .. } => {}
        }
    }
}
