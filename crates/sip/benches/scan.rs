//! What it costs to read a message in place: every message of every phone passes here, and each hop does it again.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sip::{Limits, Message};

/// A desk phone behind NAT that answers a challenge.
const SUBSCRIBE: &str = "\
SUBSCRIBE sip:alice@lab.test SIP/2.0\r
Via: SIP/2.0/UDP 10.20.30.40:5062;branch=z9hG4bK1727365842;rport\r
From: \"Bob\" <sip:bob@lab.test>;tag=3735928559\r
To: <sip:alice@lab.test>\r
Call-ID: 0_2882400001@10.20.30.40\r
CSeq: 2 SUBSCRIBE\r
Contact: <sip:bob@10.20.30.40:5062;line=a1b2c3>;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-0004f2a1b2c3>\"\r
Authorization: Digest username=\"bob\", realm=\"lab.test\", nonce=\"AAAAAGZ4mBtPq0mfRk3Wm2eWv8vO3bQy\", \
uri=\"sip:alice@lab.test\", response=\"6629fae49393a05397450978507c4ef1\", algorithm=MD5, cnonce=\"0a4f113b\", \
qop=auth, nc=00000001\r
Accept: application/pidf+xml\r
Max-Forwards: 70\r
User-Agent: Desk Phone 5.7 66.86.0.15\r
Expires: 3600\r
Supported: eventlist, gruu\r
Event: presence\r
Allow-Events: presence, dialog, message-summary\r
Content-Length: 0\r
\r
";

/// A softphone that has gone online.
const PUBLISH: &str = "\
PUBLISH sip:alice@lab.test SIP/2.0\r
Via: SIP/2.0/TCP 192.0.2.40:49152;alias;branch=z9hG4bK.pQ8s2Jx1W\r
From: <sip:alice@lab.test>;tag=Hz7YqLq3N\r
To: sip:alice@lab.test\r
CSeq: 20 PUBLISH\r
Call-ID: kR3vW1xYzA\r
Max-Forwards: 70\r
Event: presence\r
Expires: 600\r
SIP-If-Match: 1f3-4c2-0\r
User-Agent: Soft Phone/5.2.1\r
Content-Type: application/pidf+xml\r
Content-Length: 426\r
\r
<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" \
entity=\"sip:alice@lab.test\"><tuple id=\"q7x1\"><status><basic>open</basic></status>\
<contact priority=\"0.8\">sip:alice@lab.test</contact><timestamp>2026-01-05T09:30:00Z</timestamp></tuple>\
<dm:person id=\"p1\"><rpid:activities><rpid:away/></rpid:activities></dm:person></presence>";

/// What comes back for each NOTIFY, through a dispatcher.
const ANSWER: &str = "\
SIP/2.0 200 OK\r
Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK9aVrtm2c\r
Via: SIP/2.0/TCP 127.0.0.1:7101;branch=z9hG4bK1-2-3-4d2\r
From: <sip:alice@lab.test>;tag=1f3-Jm2xq0-8sW1\r
To: \"Bob\" <sip:bob@lab.test>;tag=3735928559\r
Call-ID: 0_2882400001@10.20.30.40\r
CSeq: 4097 NOTIFY\r
User-Agent: Desk Phone 5.7 66.86.0.15\r
Content-Length: 0\r
\r
";

fn scan(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scan");
    for (name, text) in [("subscribe", SUBSCRIBE), ("publish", PUBLISH), ("answer", ANSWER)] {
        let (bytes, limits) = (Bytes::from_static(text.as_bytes()), Limits::default());
        let message = Message::parse(bytes.clone(), &limits).expect("it is SIP");
        assert!(message.check().is_ok(), "{name}: {:?}", message.check());
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| Message::parse(black_box(bytes.clone()), &limits));
        });
        group.bench_function(format!("{name}, checked"), |bencher| {
            let parse = || Message::parse(bytes.clone(), &limits).expect("it is SIP");
            bencher.iter_batched(parse, |message| message.check(), BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, scan);
criterion_main!(benches);
