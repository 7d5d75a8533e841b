//! Next hops as the DNS tells them, over a real socket. The rules are tested where they live, in `upstream::locate`.

use std::time::Duration;

use dispatcher::upstream::dns::{Bounds, Dns};
use dispatcher::upstream::locate::Destination;
use sip::Transport;

use crate::nameserver::NameServer;
use crate::support::soon;

const SPEAKS: [Transport; 2] = [Transport::Udp, Transport::Tcp];
const BOUNDS: Bounds = Bounds { parallel: 4, answers: 64, timeout: Duration::from_secs(5) };

#[tokio::test]
async fn a_next_hop_is_found_by_naptr_srv_and_a_in_their_order() {
    let server = NameServer::start().await;
    server.naptr("pbx.test", 20, "SIP+D2U", "_sip._udp.pbx.test");
    server.naptr("pbx.test", 10, "SIP+D2T", "_sip._tcp.pbx.test");
    server.srv("_sip._tcp.pbx.test", 20, "two.pbx.test", 5062);
    server.srv("_sip._tcp.pbx.test", 10, "one.pbx.test", 5061);
    server.srv("_sip._udp.pbx.test", 10, "one.pbx.test", 5060);
    server.a("one.pbx.test", [127, 0, 0, 1]);
    server.a("two.pbx.test", [127, 0, 0, 2]);
    let dns = Dns::new(&[server.address], BOUNDS).unwrap();

    let located = soon(dns.locate(&Destination::parse("sip:pbx.test").unwrap(), &SPEAKS)).await;

    let targets = located.found.targets(0);
    let targets: Vec<_> =
        targets.iter().map(|target| (target.transport, target.address.to_string())).collect();
    assert_eq!(
        targets,
        [
            (Transport::Tcp, "127.0.0.1:5061".into()),
            (Transport::Tcp, "127.0.0.2:5062".into()),
            (Transport::Udp, "127.0.0.1:5060".into()),
        ]
    );
    assert!(located.complete && located.good_for.is_some());
    assert_eq!(server.asked()[0], "NAPTR pbx.test.");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_told_from_one_that_knows_nothing() {
    let server = NameServer::start().await;
    server.a("pbx.test", [127, 0, 0, 1]);
    let quick = Bounds { timeout: Duration::from_millis(100), ..BOUNDS };
    let dns = Dns::new(&[server.address], BOUNDS).unwrap();
    let destination = Destination::parse("sip:pbx.test:5070").unwrap();
    let unknown = Destination::parse("sip:nobody.test:5070").unwrap();

    let known = soon(dns.locate(&destination, &SPEAKS)).await;
    let nobody = soon(dns.locate(&unknown, &SPEAKS)).await;
    let address = server.address;
    server.stop().await;
    let gone = soon(Dns::new(&[address], quick).unwrap().locate(&destination, &SPEAKS)).await;

    assert_eq!(known.found.addresses().collect::<Vec<_>>(), ["127.0.0.1:5070".parse().unwrap()]);
    assert!(known.complete && nobody.complete && nobody.found.is_empty());
    assert!(!gone.complete && gone.found.is_empty());
}
