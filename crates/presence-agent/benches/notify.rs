//! What a change costs its owner: a hundred watchers woken, a NOTIFY written for each and its answer taken, in an agent
//! without a wire.

use std::cell::RefCell;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use presence_agent::agent::Entry;
use presence_agent::{Agent, Output};
use prost::Message as _;
use proto::v1;
use proto::v1::command::Kind;
use sip::{Limits, Message, ResponseWriter};

mod lab;

use lab::{NOW, config, subscribe};

const WATCHERS: u64 = 100;
const ALICE: &str = "alice@lab.test";
const DOCUMENT: &str = r#"<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:alice@lab.test"><tuple id="t1"><status><basic>open</basic></status><note></note></tuple></presence>"#;

/// An agent that owns all watchers of alice, and the log it reads.
struct Owner {
    agent: Agent,
    index: u64,
    /// NOTIFYs that nobody has answered yet.
    sent: Vec<Bytes>,
}

impl Owner {
    fn new() -> Owner {
        let mut owner = Owner { agent: Agent::new(config(), NOW), index: 0, sent: Vec::new() };
        owner.commit(Kind::Boot(v1::Boot { node: 1, incarnation: 1 }));
        for n in 0..WATCHERS {
            owner.commit(Kind::Subscribe(subscribe(n, ALICE, 1)));
        }
        assert_eq!(owner.sent.len() as u64, WATCHERS);
        owner
    }

    /// Alice says something new, and her watchers hear of it.
    fn change(&mut self) {
        let document = DOCUMENT.replace("<note>", &format!("<note>{}", self.index));
        self.commit(Kind::SetSource(v1::SetSource {
            presentity: ALICE.into(),
            source: "bench".into(),
            document: document.into(),
            repeat_key: [self.index.to_be_bytes(); 2].concat().into(),
            ..v1::SetSource::default()
        }));
    }

    fn commit(&mut self, command: Kind) {
        self.index += 1;
        let command = v1::Command { kind: Some(command) }.encode_to_vec().into();
        let entry = Entry { index: self.index, stamp: NOW.log, commands: vec![(None, command)] };
        self.agent.handle_entry(entry, NOW);
        while let Some(output) = self.agent.poll_output() {
            if let Output::Send { bytes, .. } = output {
                self.sent.push(bytes);
            }
        }
    }

    /// What the phones say to what was sent.
    fn answers(&mut self) -> Vec<Message> {
        let parse = |bytes| Message::parse(bytes, &Limits::default()).expect("it is SIP");
        let sent = self.sent.drain(..).map(parse);
        sent.map(|notify| parse(ResponseWriter::new(&notify, 200).finish())).collect()
    }

    fn accept(&mut self, answers: &[Message]) {
        for answer in answers {
            self.agent.handle_response(answer, NOW);
        }
    }

    /// Nothing is on its way any more.
    fn settle(&mut self) {
        let answers = self.answers();
        self.accept(&answers);
    }
}

fn notifying(criterion: &mut Criterion) {
    let owner = RefCell::new(Owner::new());
    let mut group = criterion.benchmark_group("notify");
    group.throughput(Throughput::Elements(WATCHERS));
    group.bench_function("a change for a hundred watchers", |bencher| {
        let settle = || owner.borrow_mut().settle();
        bencher.iter_batched(settle, |()| owner.borrow_mut().change(), BatchSize::PerIteration);
    });
    group.bench_function("their hundred answers", |bencher| {
        let change = || {
            let mut owner = owner.borrow_mut();
            owner.settle();
            owner.change();
            owner.answers()
        };
        let accept = |answers: Vec<Message>| owner.borrow_mut().accept(&answers);
        bencher.iter_batched(change, accept, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, notifying);
criterion_main!(benches);
