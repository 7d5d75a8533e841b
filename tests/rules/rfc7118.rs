//! RFC 7118: a browser has no address, so everything goes back over its connection.

use dispatcher::names::Leg;
use sip::Transport;

use crate::phone::{OPEN, PHONE, publish, subscribe};
use crate::server::{Server, websocket};

#[test]
fn a_via_and_contact_in_invalid_are_answered_and_notified_over_the_connection() {
    let browser = websocket(PHONE, 9);
    let request = subscribe(1, "", "Event: presence\n")
        .replace("SIP/2.0/UDP 10.0.0.7:5062", "SIP/2.0/WS x1.invalid")
        .replace(";rport", "")
        .replace("bob@10.0.0.7:5062", "u1@x1.invalid;transport=ws");
    let mut server = Server::open();

    assert_eq!(connections(server.legs(&browser, &request)), [(Transport::Ws, 9); 2]);
}

#[test]
fn a_publish_from_invalid_is_answered_over_the_connection() {
    let browser = websocket(PHONE, 9);
    let request = publish(1, "Event: presence\n", OPEN)
        .replace("SIP/2.0/UDP 10.0.0.8:5062", "SIP/2.0/WS x1.invalid")
        .replace(";rport", "");

    assert_eq!(connections(Server::open().legs(&browser, &request)), [(Transport::Ws, 9)]);
}

fn connections(legs: Vec<Leg>) -> Vec<(Transport, u64)> {
    legs.into_iter().map(|leg| (leg.transport, leg.connection)).collect()
}
