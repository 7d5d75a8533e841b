//! What a replica keeps for a subscription that is held: its record, what is derived from it, and at one of three replicas
//! what its owner remembers of sending.

use std::time::Duration;

use presence_agent::agent::Entry;
use presence_agent::{Agent, Now, Output};
use prost::Message as _;
use proto::v1;
use proto::v1::command::Kind;
use sip::{Limits, Message, ResponseWriter};

#[path = "../benches/lab/mod.rs"]
mod lab;

use lab::{NOW, config, subscribe};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const SUBSCRIPTIONS: u64 = 3_000;
const WATCHERS_OF_EACH: u64 = 10;
const REPLICAS: u64 = 3;
/// By then no transaction is remembered any more, and no document that nobody was shown lately.
const FORGOTTEN_AFTER: [Duration; 2] = [Duration::from_secs(20), Duration::from_secs(40)];

#[test]
fn a_held_subscription_takes_at_most_640_bytes_of_a_replica() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let mut agent = Agent::new(config(), NOW);
    commit(&mut agent, 1, Kind::Boot(v1::Boot { node: 1, incarnation: 1 }));
    let before = dhat::HeapStats::get().curr_bytes;

    for n in 0..SUBSCRIPTIONS {
        let presentity = format!("user{}@lab.test", n / WATCHERS_OF_EACH);
        commit(&mut agent, 2 + n, Kind::Subscribe(subscribe(n, &presentity, 1 + n % REPLICAS)));
    }

    for later in FORGOTTEN_AFTER {
        let later = Now { monotonic: NOW.monotonic + later, ..NOW };
        agent.handle_timeout(later, None);
    }

    let (all, counts) = (SUBSCRIPTIONS as usize, agent.counts());
    assert_eq!((counts.subscriptions, counts.owned, counts.dirty), (all, all / REPLICAS as usize, 0));
    let each = (dhat::HeapStats::get().curr_bytes - before) / all;
    assert!(each <= 640, "{each} bytes for each");
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
