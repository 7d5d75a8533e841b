//! RFC 5626: the flow that a phone opened is the way back to it.

use crate::phone::{OPEN, PHONE, publish, statuses, subscribe, to_tag};
use crate::server::{Server, stream, udp};

const PRESENCE: &str = "Event: presence\nExpires: 600\n";

#[test]
fn a_flow_that_is_gone_ends_no_subscription() {
    let mut server = Server::open();
    let told = server.hears(&stream(PHONE, 7), &subscribe(1, "", PRESENCE));

    assert!(server.flow_is_gone(&told[1]).is_empty(), "it is not tried at once");

    assert_eq!(server.subscriptions(), 1);
    assert_eq!(server.pass(33_000).len(), 1, "but later");
}

#[test]
fn a_phone_that_reconnects_gets_what_it_missed_over_its_new_flow() {
    let mut server = Server::open();
    let told = server.hears(&stream(PHONE, 7), &subscribe(1, "", PRESENCE));
    server.flow_is_gone(&told[1]);
    let again = subscribe(2, &to_tag(&told[0]), PRESENCE);

    let legs = server.legs(&stream("198.51.100.7:41000", 8), &again);

    assert_eq!(legs, [stream("198.51.100.7:41000", 8); 2]);
}

#[test]
fn a_phone_on_another_transport_is_notified_over_its_newest_flow() {
    let mut server = Server::open();
    let told = server.hears(&stream(PHONE, 7), &subscribe(1, "", PRESENCE));
    server.replies(&stream(PHONE, 7), &told[1], 200);
    let told = server.hears(&udp("203.0.113.5:5060"), &subscribe(2, &to_tag(&told[0]), PRESENCE));
    assert_eq!(statuses(&told), [200]);
    server.replies(&udp("203.0.113.5:5060"), &told[1], 200);

    let legs = server.legs(&udp("198.51.100.8:5060"), &publish(1, PRESENCE, OPEN));

    assert_eq!(legs[1], udp("203.0.113.5:5060"));
}

#[test]
fn the_ob_of_a_contact_comes_back_in_the_request_uri() {
    let request = subscribe(1, "", PRESENCE).replace("10.0.0.7:5062>", "10.0.0.7:5062;ob>");

    let told = Server::open().hears(&udp(PHONE), &request);

    assert_eq!(told[1].request_uri(), "sip:bob@10.0.0.7:5062;ob");
}
