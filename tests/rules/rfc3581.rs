//! RFC 3581: phones behind a NAT, answered where they really are.

use crate::phone::{OPEN, PHONE, header, publish, subscribe};
use crate::server::{Server, udp};
use sip::Name;

#[test]
fn the_phone_is_told_the_address_and_port_it_was_seen_at() {
    let answer = Server::open().answers(&udp(PHONE), &publish(1, "Event: presence\n", OPEN));

    let via = answer.via().unwrap();
    assert_eq!(via.rport, Some(Some(40_000)), "{}", header(&answer, Name::Via));
    assert_eq!(via.received, Some("198.51.100.7"));
}

#[test]
fn answers_and_notifies_go_to_the_source_and_not_to_what_the_phone_names() {
    let mut server = Server::open();

    let legs = server.legs(&udp(PHONE), &subscribe(1, "", "Event: presence\n"));

    assert_eq!(legs, [udp(PHONE), udp(PHONE)]);
}
