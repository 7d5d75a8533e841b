//! What a command costs each replica: `Shard::apply` over a state of ten thousand presentities with a watcher each.

use std::cell::RefCell;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use placement::{PresentityKey, Slot};
use presence::position::Position;
use presence::time::Timestamp;
use presence_agent::shard::{Outcome, Parts, Shard, Words};
use proto::v1;
use proto::v1::command::Kind;

const PRESENTITIES: u64 = 10_000;
const OPEN: &str = r#"<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:alice@lab.test"><tuple id="t1"><status><basic>open</basic></status></tuple></presence>"#;
const NOW: Timestamp = Timestamp(1_000_000);

/// A log that goes on and on, and what it has made.
struct Log {
    shard: Shard,
    index: u64,
    /// The latest entity-tag of each presentity.
    tags: Vec<String>,
}

impl Log {
    fn new() -> Log {
        let mut log = Log { shard: Shard::default(), index: 0, tags: Vec::new() };
        log.apply(Kind::Boot(v1::Boot { node: 1, incarnation: 1 }));
        for n in 0..PRESENTITIES {
            let published = log.apply(publish(n, log.index, "", OPEN));
            log.tags.push(tag(published));
            log.apply(subscribe(n, n, 1));
        }
        log
    }

    fn apply(&mut self, command: Kind) -> Outcome {
        self.index += 1;
        self.shard.apply(command, Position::new(self.index, 0), NOW).outcome
    }

    /// Somebody whose turn it is.
    fn next(&self) -> u64 {
        self.index * 7_919 % PRESENTITIES
    }
}

fn tag(outcome: Outcome) -> String {
    match outcome {
        Outcome::Published { tag, .. } => tag.to_string(),
        other => panic!("not published: {other:?}"),
    }
}

fn presentity(n: u64) -> String {
    format!("user{n}@lab.test")
}

fn repeat_key(kind: u64, n: u64) -> bytes::Bytes {
    [kind.to_be_bytes(), n.to_be_bytes()].concat().into()
}

fn publish(n: u64, repeat: u64, if_match: &str, document: &'static str) -> Kind {
    Kind::Publish(v1::Publish {
        repeat_key: repeat_key(1, repeat),
        presentity: presentity(n),
        event: "presence".into(),
        if_match: if_match.into(),
        document: document.into(),
        expires: 3600,
        source: "192.0.2.7:5062".into(),
        ..v1::Publish::default()
    })
}

fn subscribe(n: u64, call: u64, cseq: u32) -> Kind {
    let presentity = presentity(n);
    let slot = Slot::of(&PresentityKey::restored(&presentity));
    let said = Parts {
        presentity: &presentity,
        watcher: &format!("watcher{n}@lab.test"),
        call_id: &format!("0_{call}@10.20.30.40"),
        remote_tag: "3735928559",
        local_tag: &format!("{slot}-{call}"),
        remote_party: &format!("sip:watcher{n}@lab.test"),
        local_party: &format!("sip:user{n}@lab.test"),
        remote_target: "sip:bob@10.20.30.40:5062",
        route_set: [
            "<sip:ABQPwAACAROxwKgAAQAAAABkZGRkZGRkZGRk@127.0.0.1:7000;transport=tcp;lr>",
            "<sip:192.0.2.1:5060;lr>",
        ]
        .into_iter()
        .collect(),
        words: Words {
            contact: "sip:192.0.2.1:5060",
            event: "presence",
            content_type: "application/pidf+xml",
            tenant: "",
        },
        ..Parts::default()
    };
    Kind::Subscribe(v1::Subscribe {
        repeat_key: repeat_key(2, call << 20 | u64::from(cseq)),
        dialog: said.lines(),
        cseq,
        expires: 3600,
        owner: 1,
        in_dialog: cseq > 1,
        ..v1::Subscribe::default()
    })
}

fn applying(criterion: &mut Criterion) {
    let log = RefCell::new(Log::new());
    let mut group = criterion.benchmark_group("apply");
    let run = |command| log.borrow_mut().apply(command);

    group.bench_function("a change", |bencher| {
        let change = || {
            let log = log.borrow();
            let n = log.next();
            (n, publish(n, log.index + PRESENTITIES, &log.tags[n as usize], OPEN))
        };
        let apply = |(n, command): (u64, Kind)| {
            let tag = tag(run(command));
            log.borrow_mut().tags[n as usize] = tag;
        };
        bencher.iter_batched(change, apply, BatchSize::PerIteration);
    });
    group.bench_function("a refresh of a subscription", |bencher| {
        let refresh = || {
            let log = log.borrow();
            let n = log.next();
            subscribe(n, n, log.index as u32)
        };
        bencher.iter_batched(refresh, run, BatchSize::PerIteration);
    });
    group.bench_function("a new subscription", |bencher| {
        let begin = || {
            let log = log.borrow();
            subscribe(log.next(), PRESENTITIES + log.index, 1)
        };
        bencher.iter_batched(begin, run, BatchSize::PerIteration);
    });
    group.bench_function("a read", |bencher| bencher.iter(|| run(Kind::Read(v1::Read {}))));
    group.finish();
}

criterion_group!(benches, applying);
criterion_main!(benches);
