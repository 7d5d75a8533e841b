//! An agent without a wire, and phones that watch: what the benches and the test of memory share.

use placement::{GroupId, NodeId, PresentityKey, Slot};
use presence::time::Timestamp;
use presence_agent::shard::{Parts, Words};
use presence_agent::{Config, Now};
use proto::v1;
use sip::digest::Algorithm;
use sip::{Flow, Instant, Secret, Transport};

const SECRET: &str = "the secret of the lab";
pub const NOW: Now =
    Now { monotonic: Instant(0), log: Timestamp(1_000_000), unix: 1_000, lease: Instant(u64::MAX) };

/// A phone on UDP behind NAT, the `n`th that watches.
pub fn subscribe(n: u64, presentity: &str, owner: u64) -> v1::Subscribe {
    let slot = Slot::of(&PresentityKey::restored(presentity));
    let flow = Flow {
        transport: Transport::Udp,
        listener: ([192, 0, 2, 1], 5060).into(),
        remote: ([198, 51, 100, n as u8], 40_000).into(),
        connection: 0,
    };
    let token = flow.seal(&Secret::new(SECRET).derive("flow"));
    let route = format!("<sip:{token}@127.0.0.1:7000;transport=tcp;lr>");
    let said = Parts {
        presentity,
        watcher: &format!("watcher{n}@lab.test"),
        call_id: &format!("{n:032x}@10.20.30.40"),
        remote_tag: "3735928559",
        local_tag: &format!("{slot}-{n:016x}-{n:016x}"),
        remote_party: &format!("sip:watcher{n}@lab.test"),
        local_party: &format!("sip:{presentity}"),
        remote_target: &format!("sip:watcher{n}@10.20.30.40:5062;transport=udp"),
        route_set: [&*route, "<sip:192.0.2.1:5060;lr>"].into_iter().collect(),
        words: WORDS,
        ..Parts::default()
    };
    v1::Subscribe {
        repeat_key: [n.to_be_bytes(); 2].concat().into(),
        dialog: said.lines(),
        cseq: 1,
        expires: 3600,
        owner,
        ..v1::Subscribe::default()
    }
}

/// What all of them say in the same words.
pub const WORDS: Words<'static> = Words {
    contact: "sip:192.0.2.1:5060",
    event: "presence",
    content_type: "application/pidf+xml",
    tenant: "",
};

pub fn config() -> Config {
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
