//! What a change costs its owner: a hundred watchers woken, a NOTIFY written for each and its answer taken, in an agent
//! without a wire.

use std::cell::RefCell;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use placement::{GroupId, NodeId, PresentityKey, Slot};
use presence::time::Timestamp;
use presence_agent::agent::Entry;
use presence_agent::{Agent, Config, Now, Output};
use prost::Message as _;
use proto::v1;
use proto::v1::command::Kind;
use sip::digest::Algorithm;
use sip::{Flow, Instant, Limits, Message, ResponseWriter, Secret, Transport};

const WATCHERS: u64 = 100;
const ALICE: &str = "alice@lab.test";
const DOCUMENT: &str = r#"<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:alice@lab.test"><tuple id="t1"><status><basic>open</basic></status><note></note></tuple></presence>"#;
const SECRET: &str = "the secret of the benches";
const NOW: Now =
    Now { monotonic: Instant(0), log: Timestamp(1_000_000), unix: 1_000, lease: Instant(u64::MAX) };

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
            owner.commit(subscribe(n));
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

/// A phone on UDP behind NAT.
fn subscribe(n: u64) -> Kind {
    let slot = Slot::of(&PresentityKey::restored(ALICE));
    let flow = Flow {
        transport: Transport::Udp,
        listener: ([192, 0, 2, 1], 5060).into(),
        remote: ([198, 51, 100, n as u8], 40_000).into(),
        connection: 0,
    };
    let token = flow.seal(&Secret::new(SECRET).derive("flow"));
    Kind::Subscribe(v1::Subscribe {
        repeat_key: [n.to_be_bytes(); 2].concat().into(),
        presentity: ALICE.into(),
        event: "presence".into(),
        watcher: format!("user{n}@lab.test"),
        call_id: format!("0_{n}@10.20.30.40"),
        remote_tag: "3735928559".into(),
        local_tag: format!("{slot}-{n}"),
        remote_party: format!("sip:user{n}@lab.test"),
        local_party: "sip:alice@lab.test".into(),
        remote_target: "sip:bob@10.20.30.40:5062".into(),
        route_set: vec![
            format!("<sip:{token}@127.0.0.1:7000;transport=tcp;lr>"),
            "<sip:192.0.2.1:5060;lr>".into(),
        ],
        contact: "sip:192.0.2.1:5060".into(),
        accept: vec!["application/pidf+xml".into()],
        cseq: 1,
        expires: 3600,
        owner: 1,
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
