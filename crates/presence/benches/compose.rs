//! What it costs to make the one document that all watchers of a presentity see: once for each change.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use presence::compositor::{Contribution, compose};

/// A phone that says it is there.
const DESK: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:alice@lab.test">
  <tuple id="desk"><status><basic>open</basic></status><contact>sip:alice@10.20.30.40:5062</contact></tuple>
</presence>"#;

/// A softphone with a person, an activity and a note.
const SOFT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"
  xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:alice@lab.test">
  <tuple id="soft"><status><basic>open</basic></status><contact priority="0.8">sip:alice@lab.test</contact>
    <timestamp>2026-01-05T09:30:00Z</timestamp></tuple>
  <dm:person id="p1"><rpid:activities><rpid:meeting/></rpid:activities><dm:note xml:lang="en">Back at noon</dm:note>
  </dm:person>
</presence>"#;

/// What a calendar says through the API.
const CALENDAR: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"
  xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:alice@lab.test">
  <dm:person id="cal"><rpid:activities><rpid:appointment/></rpid:activities></dm:person>
  <note>Project review until 10:30</note>
</presence>"#;

fn composing(criterion: &mut Criterion) {
    let sources = [("desk", 7, DESK), ("soft", 9, SOFT), ("calendar", 8, CALENDAR)];
    let contributions = sources.map(|(scope, newest, document)| Contribution {
        scope,
        newest,
        document: document.as_bytes(),
    });
    let mut group = criterion.benchmark_group("compose");
    for (name, sources) in
        [("nobody", 0), ("one phone", 1), ("two phones", 2), ("two phones and a calendar", 3)]
    {
        group.bench_function(name, |bencher| {
            bencher.iter(|| compose("sip:alice@lab.test", black_box(&contributions[..sources]), true));
        });
    }
    group.finish();
}

criterion_group!(benches, composing);
criterion_main!(benches);
