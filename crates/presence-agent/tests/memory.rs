//! What a replica keeps for a subscription that is held: its record, what is derived from it, and at one of three replicas
//! what its owner remembers of sending.

use std::time::Duration;

use placement::{GroupId, NodeId, PresentityKey, Slot};
use presence::time::Timestamp;
use presence_agent::agent::Entry;
use presence_agent::{Agent, Config, Now, Output};
use prost::Message as _;
use proto::v1;
use proto::v1::command::Kind;
use sip::digest::Algorithm;
use sip::{Flow, Instant, Limits, Message, ResponseWriter, Secret, Transport};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const SUBSCRIPTIONS: usize = 3_000;
const WATCHERS_OF_EACH: usize = 10;
const REPLICAS: u64 = 3;
const SECRET: &str = "the secret of this test";
/// By then no transaction is remembered any more.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(40);
const NOW: Now =
    Now { monotonic: Instant(0), log: Timestamp(1_000_000), unix: 1_000, lease: Instant(u64::MAX) };

#[test]
fn a_held_subscription_takes_less_than_a_kibibyte_of_a_replica() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let mut agent = Agent::new(config(), NOW);
    commit(&mut agent, 1, Kind::Boot(v1::Boot { node: 1, incarnation: 1 }));
    let before = dhat::HeapStats::get().curr_bytes;

    for n in 0..SUBSCRIPTIONS {
        commit(&mut agent, 2 + n as u64, subscribe(n));
    }

    let later = Now { monotonic: NOW.monotonic + FORGOTTEN_AFTER, ..NOW };
    agent.handle_timeout(later, None);

    assert_eq!(agent.counts().subscriptions, SUBSCRIPTIONS);
    assert_eq!((agent.counts().owned, agent.counts().dirty), (SUBSCRIPTIONS / REPLICAS as usize, 0));
    let each = (dhat::HeapStats::get().curr_bytes - before) / SUBSCRIPTIONS;
    assert!(each <= 1_024, "{each} bytes for each");
}

/// Applies a command, and has every NOTIFY accepted.
fn commit(agent: &mut Agent, index: u64, command: Kind) {
    let command = v1::Command { kind: Some(command) }.encode_to_vec().into();
    agent.handle_entry(Entry { index, stamp: NOW.log, commands: vec![(None, command)] }, NOW);
    while let Some(output) = agent.poll_output() {
        if let Output::Send { bytes, .. } = output {
            let notify = Message::parse(bytes, &Limits::default()).unwrap();
            let answer = ResponseWriter::new(&notify, 200).finish();
            agent.handle_response(&Message::parse(answer, &Limits::default()).unwrap(), NOW);
        }
    }
}

/// A phone on UDP behind NAT.
fn subscribe(n: usize) -> Kind {
    let presentity = format!("user{}@lab.test", n / WATCHERS_OF_EACH);
    let flow = Flow {
        transport: Transport::Udp,
        listener: ([192, 0, 2, 1], 5060).into(),
        remote: ([198, 51, 100, 7], 40_000).into(),
        connection: 0,
    };
    let token = flow.seal(&Secret::new(SECRET).derive("flow"));
    Kind::Subscribe(v1::Subscribe {
        repeat_key: [n.to_be_bytes(); 2].concat().into(),
        event: "presence".into(),
        watcher: format!("watcher{n}@lab.test"),
        call_id: format!("{n:032x}@10.20.30.40"),
        remote_tag: "3735928559".into(),
        local_tag: format!("{}-{n:022}-{n:011}", Slot::of(&PresentityKey::restored(&presentity))),
        remote_party: format!("sip:watcher{n}@lab.test"),
        local_party: format!("sip:{presentity}"),
        remote_target: format!("sip:watcher{n}@10.20.30.40:5062;transport=udp"),
        route_set: vec![
            format!("<sip:{token}@127.0.0.1:7000;transport=tcp;lr>"),
            "<sip:192.0.2.1:5060;lr>".into(),
        ],
        contact: "sip:192.0.2.1:5060".into(),
        accept: vec!["application/pidf+xml".into()],
        cseq: 1,
        expires: 3600,
        owner: 1 + n as u64 % REPLICAS,
        presentity,
        ..v1::Subscribe::default()
    })
}

fn config() -> Config {
    Config {
        node: NodeId(1),
        group: GroupId(1),
        incarnation: 1,
        domains: vec!["lab.test".into()],
        secret: Secret::new(SECRET),
        open: true,
        algorithms: vec![Algorithm::Md5],
        md5_only: Vec::new(),
        trust_asserted_identity: false,
        check_nc: false,
        end_on_timeout: false,
        sent_by: "127.0.0.1:7101".into(),
        feature_code: String::new(),
        subscribe: Default::default(),
        publish: Default::default(),
        register: Default::default(),
        limits: Default::default(),
    }
}
