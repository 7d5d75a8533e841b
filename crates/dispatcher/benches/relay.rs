//! What a dispatcher computes for one message, without sockets: a NOTIFY and its answer, a PUBLISH and its answer.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use dispatcher::Speaks;
use dispatcher::deliver::Deliverer;
use dispatcher::forward::{self, Forwarder};
use dispatcher::names::{Leg, Names};
use sip::{Edit, Flow, Limits, Message, ResponseWriter, Secret, Transport};

const PUBLIC: &str = "192.0.2.1:5060";
const PHONE: &str = "198.51.100.7:40000";

const PUBLISH: &str = "\
PUBLISH sip:alice@lab.test SIP/2.0\r
Via: SIP/2.0/UDP 198.51.100.7:40000;branch=z9hG4bK.pQ8s2Jx1W;rport\r
From: <sip:alice@lab.test>;tag=Hz7YqLq3N\r
To: <sip:alice@lab.test>\r
CSeq: 20 PUBLISH\r
Call-ID: kR3vW1xYzA\r
Max-Forwards: 70\r
Event: presence\r
Expires: 600\r
SIP-If-Match: 1f3-4c2-0\r
User-Agent: Soft Phone/5.2.1\r
Content-Type: application/pidf+xml\r
Content-Length: 302\r
\r
<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
entity=\"sip:alice@lab.test\"><tuple id=\"q7x1\"><status><basic>open</basic></status>\
<contact priority=\"0.8\">sip:alice@lab.test</contact><note>At my desk and ready to talk to you</note>\
<timestamp>2026-01-05T09:30:00Z</timestamp></tuple></presence>";

fn notify(token: &str) -> String {
    let body = &PUBLISH[PUBLISH.find("<?xml").expect("it has a body")..];
    format!(
        "NOTIFY sip:bob@198.51.100.7:40000 SIP/2.0\r\n\
         Via: SIP/2.0/TCP 10.0.0.11:7070;branch=z9hG4bK1-2-3-4d2\r\n\
         Max-Forwards: 70\r\n\
         Route: <sip:{token}@10.0.0.1:7060;transport=tcp;lr>\r\n\
         Route: <sip:{PUBLIC};lr>\r\n\
         From: <sip:alice@lab.test>;tag=1f3-Jm2xq0-8sW1\r\n\
         To: <sip:bob@lab.test>;tag=3735928559\r\n\
         Call-ID: 0_2882400001@198.51.100.7\r\n\
         CSeq: 4097 NOTIFY\r\n\
         Contact: <sip:10.0.0.11:7070;transport=tcp>\r\n\
         Event: presence\r\n\
         Subscription-State: active;expires=3540\r\n\
         Content-Type: application/pidf+xml\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn relay(criterion: &mut Criterion) {
    let secret = Secret::new("bench");
    let (inner, public) = ("10.0.0.1:7060".parse(), PUBLIC.parse());
    let (inner, public) = (inner.expect("an address"), public.expect("an address"));
    let names = Names::new(inner, &[(public, Speaks::UdpAndTcp)], &[]);
    let (forwarder, deliverer) = (Forwarder::new(&secret, &[]), Deliverer::new(&secret));
    let remote = PHONE.parse().expect("an address");
    let flow = Flow { transport: Transport::Udp, listener: public, remote, connection: 0 };
    let leg = Leg { transport: Transport::Udp, listener: 0, remote, connection: 0 };
    let limits = Limits { message: 128 << 10, headers: 160, ..Limits::default() };
    let parse = |bytes: &Bytes| Message::parse(bytes.clone(), &limits).expect("it is SIP");

    let notify = Bytes::from(notify(&flow.seal(&secret.derive("flow"))));
    let deliver = || deliverer.request(&parse(&notify), &names).expect("it has a flow");
    let answer = ResponseWriter::new(&parse(&deliver().bytes), 200).finish();
    let take_answer = || deliverer.answer(&parse(&answer), &names).expect("it is ours");
    take_answer();

    let publish = Bytes::from(PUBLISH);
    let forward = || forwarder.request(&parse(&publish), &leg, &names).expect("it is whole");
    let ok = ResponseWriter::new(&parse(&forward().bytes), 200).to_tag("x").finish();
    let send_back = || {
        let answer = parse(&ok);
        (forward::return_path(&answer, &names).expect("it is ours"), forward::returned(&answer))
    };
    send_back();

    let mut group = criterion.benchmark_group("relay");
    group.bench_function("a NOTIFY", |bencher| bencher.iter(|| black_box(deliver())));
    group.bench_function("its answer", |bencher| bencher.iter(|| black_box(take_answer())));
    group.bench_function("a PUBLISH", |bencher| bencher.iter(|| black_box(forward())));
    group.bench_function("its answer too", |bencher| bencher.iter(|| black_box(send_back())));
    group.bench_function("parsing a NOTIFY", |bencher| bencher.iter(|| black_box(parse(&notify))));
    group.bench_function("copying a NOTIFY", |bencher| {
        let message = parse(&notify);
        bencher.iter(|| black_box(Edit::new(&message).finish()));
    });
    group.finish();
}

criterion_group!(benches, relay);
criterion_main!(benches);
