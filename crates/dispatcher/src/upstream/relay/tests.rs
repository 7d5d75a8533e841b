//! What the upstream sees of phones, and phones of the upstream.

use sip::{Limits, ResponseWriter, Transport};

use super::*;
use crate::config::Speaks;

const INVITE: &str = "INVITE sip:bob@lab.test SIP/2.0\r\n\
    Via: SIP/2.0/TLS phone.invalid;branch=z9hG4bKphone\r\n\
    Max-Forwards: 70\r\n\
    Route: <sip:192.0.2.1:5061;transport=tls;lr>, <sip:203.0.113.1;lr>\r\n\
    From: <sip:alice@lab.test>;tag=a\r\n\
    To: <sip:bob@lab.test>\r\n\
    Call-ID: call\r\n\
    CSeq: 1 INVITE\r\n\
    P-Asserted-Identity: <sip:boss@lab.test>\r\n\
    Supported: Path\r\n\
    Content-Length: 0\r\n\r\n";

#[test]
fn the_upstream_sees_our_public_name_and_hears_nothing_that_the_phone_only_claims() {
    let call = relayed(INVITE);

    let via = call.via().unwrap();
    assert_eq!((via.transport, via.host, via.port), ("TCP", "192.0.2.1", Some(5060)));
    assert_eq!(call.max_forwards(), Ok(Some(69)));
    assert_eq!(values(&call, Name::Route), ["<sip:203.0.113.1;lr>"], "ours is popped");
    assert_eq!(call.header(Name::PAssertedIdentity), None);
}

#[test]
fn a_dialog_records_the_flow_for_the_upstream_and_the_listener_for_the_phone() {
    let token = leg_flow().seal(relay(Path::Never).flow_key());
    let ours = format!("<sip:{token}@192.0.2.1:5060;transport=tcp;lr>");
    let listener = "<sip:192.0.2.1:5061;transport=tls;lr>";

    assert_eq!(values(&relayed(INVITE), Name::RecordRoute), [ours.as_str(), listener]);
    assert_eq!(values(&relayed(&INVITE.replace("INVITE", "MESSAGE")), Name::RecordRoute), [""; 0]);

    let back = to_phone(&format!("Route: {ours}, {listener}"));
    assert_eq!(values(&back, Name::RecordRoute), [listener, ours.as_str()], "the other way round");
    assert_eq!(back.header(Name::Route), None);
}

#[test]
fn the_answer_goes_back_over_the_flow_of_the_request_and_only_with_our_signature() {
    let call = relayed(INVITE);
    let answer = parse(ResponseWriter::new(&call, 180).finish());
    let text = String::from_utf8(answer.bytes().to_vec()).unwrap();
    let at = text.find(";branch=z9hG4bK").unwrap() + 60;
    let forged = parse(format!("{}{}{}", &text[..at], "A", &text[at + 1..]).into());

    let branch = relay(Path::Never).branch_of(&answer, &names()).unwrap();

    assert_eq!((branch.back, branch.towards), (leg(), Towards::Upstream));
    assert_eq!(relay(Path::Never).branch_of(&forged, &names()), None);
}

#[test]
fn over_udp_an_answer_goes_where_the_via_says_unless_rport_is_asked_for() {
    let back = |via: &str| {
        let text = INVITE.replace("SIP/2.0/TLS phone.invalid", via);
        let from = Leg { transport: Transport::Udp, listener: 0, connection: 0, ..leg() };
        answered_at(&parse(text.into()), &from).remote.to_string()
    };

    assert_eq!(back("SIP/2.0/UDP 10.0.0.1:5070"), "198.51.100.7:5070");
    assert_eq!(back("SIP/2.0/UDP 10.0.0.1:5070;rport"), "198.51.100.7:40000");
}

#[test]
fn a_path_is_told_of_phones_that_know_it_or_of_all_or_of_none() {
    let register = INVITE.replace("INVITE", "REGISTER");
    let silent = register.replace("Supported: Path", "Supported: gruu");
    let paths = |path: Path, text: &str| relayed_with(path, text).extension("Path").is_some();

    assert!(paths(Path::Supported, &register) && !paths(Path::Supported, &silent));
    assert!(paths(Path::Always, &silent));
    assert!(!paths(Path::Never, &register));
    assert!(!paths(Path::Always, INVITE));
}

#[test]
fn what_has_passed_us_on_its_way_to_the_upstream_is_answered_482() {
    let (relay, names) = (relay(Path::Never), names());
    let once = relayed(INVITE);

    assert_eq!(relay.vet(&parse(INVITE.into()), &names), Ok(()));
    assert_eq!(relay.vet(&once, &names).map_err(|refusal| refusal.status()), Err(482));
    let turned_round = to_phone("Max-Breadth: 60");
    assert_eq!(relay.vet(&turned_round, &names), Ok(()), "a phone that forwards its calls");
}

#[test]
fn what_asks_for_tls_on_the_whole_way_does_not_leave_without_it() {
    let secure = parse(INVITE.replace("INVITE sip:", "INVITE sips:").into());

    let refusal = relay(Path::Never).vet(&secure, &names()).unwrap_err();

    assert_eq!(refusal.status(), 480);
    let ours =
        parse(INVITE.replace("<sip:192.0.2.1:5061;transport=tls;lr>", "<sips:192.0.2.1:5061;lr>").into());
    assert_eq!(relay(Path::Never).vet(&ours, &names()), Ok(()), "that was the way to us");
    assert_eq!(parse(refusal.answer(&secure).unwrap()).status(), Some(480));
}

#[test]
fn without_hops_left_nothing_goes_on_either_way() {
    let spent = parse(INVITE.replace("Max-Forwards: 70", "Max-Forwards: 0").into());
    let delivery = relay(Path::Never).to_phone(&spent, &leg(), &leg_flow(), &names(), &forwarder());

    assert_eq!(relay(Path::Never).vet(&spent, &names()).map_err(|refusal| refusal.status()), Err(483));
    assert_eq!(delivery.map_err(|refusal| refusal.status()), Err(483));
}

#[test]
fn the_server_that_recorded_itself_in_a_dialog_comes_first() {
    let server = |last: u8| Target {
        transport: Transport::Udp,
        address: SocketAddr::from(([203, 0, 113, last], 5060)),
    };
    let preferred = |text: &str| {
        let mut targets = Targets::from_slice(&[server(3), server(2), server(1)]);
        prefer(&mut targets, &parse(text.to_owned().into()), &forwarder(), &names());
        targets.iter().map(|target| target.address.ip().to_string()).collect::<Vec<_>>()
    };

    assert_eq!(preferred(INVITE), ["203.0.113.1", "203.0.113.3", "203.0.113.2"]);
    let new =
        INVITE.replace(", <sip:203.0.113.1;lr>", "").replace("sip:bob@lab.test SIP", "sip:203.0.113.1 SIP");
    assert_eq!(preferred(&new)[0], "203.0.113.3", "a target outside a dialog says nothing of servers");
    let inside = new.replace("To: <sip:bob@lab.test>", "To: <sip:bob@lab.test>;tag=b");
    assert_eq!(preferred(&inside)[0], "203.0.113.1");
    let tls = INVITE.replace("sip:203.0.113.1;lr", "sip:203.0.113.1:5061;transport=tls;lr");
    assert_eq!(preferred(&tls)[0], "203.0.113.1", "it is the same server at another port");
}

#[test]
fn the_path_of_a_phone_that_registers_a_flow_says_so() {
    let path = |supported: &str, contact: &str| {
        let text = INVITE
            .replace("INVITE", "REGISTER")
            .replace("Supported: Path", &format!("Supported: {supported}\r\nContact: {contact}"));
        let register = relayed_with(Path::Supported, &text);
        String::from_utf8(register.extension("Path").unwrap().to_vec()).unwrap()
    };
    let flow = "<sip:alice@10.0.0.7>;reg-id=1;+sip.instance=\"<urn:uuid:1>\"";

    assert!(path("path, outbound", flow).ends_with(";transport=tcp;lr;ob>"));
    assert!(path("path, outbound", "<sip:alice@10.0.0.7>").ends_with(";transport=tcp;lr>"));
    assert!(path("path", flow).ends_with(";transport=tcp;lr>"));
}

#[test]
fn a_flow_over_a_listener_that_is_not_here_is_answered_430() {
    let elsewhere = Flow { listener: "192.0.2.99:5060".parse().unwrap(), ..leg_flow() };

    let refusal =
        relay(Path::Never).to_phone(&parse(INVITE.into()), &leg(), &elsewhere, &names(), &forwarder());

    assert_eq!(refusal.map_err(|refusal| refusal.status()), Err(430));
}

fn relayed(text: &str) -> Message {
    relayed_with(Path::Never, text)
}

fn relayed_with(path: Path, text: &str) -> Message {
    let relayed = Relayed { request: parse(text.to_owned().into()), from: leg() };
    let target = Target { transport: Transport::Tcp, address: "203.0.113.1:5060".parse().unwrap() };
    let key = branch::key(&relayed.request, &relayed.from);
    let edited = relay(path).to_upstream(&relayed, key, 0, &target, &names(), &forwarder());
    parse(edited.unwrap().1)
}

fn to_phone(route: &str) -> Message {
    let text = INVITE.replace("Route: <sip:192.0.2.1:5061;transport=tls;lr>, <sip:203.0.113.1;lr>", route);
    let upstream = Leg {
        transport: Transport::Tcp,
        listener: 0,
        remote: "203.0.113.1:5060".parse().unwrap(),
        connection: 9,
    };
    let relay = relay(Path::Never);
    let delivery =
        relay.to_phone(&parse(text.into()), &upstream, &leg_flow(), &names(), &forwarder()).unwrap();
    assert_eq!(delivery.to, leg());
    parse(delivery.bytes)
}

fn relay(path: Path) -> Relay {
    Relay::new(&Secret::new("test"), path, false)
}

fn forwarder() -> Forwarder {
    Forwarder::new(&Secret::new("test"), &[])
}

fn names() -> Names {
    let listeners = [("192.0.2.1:5060", Speaks::UdpAndTcp), ("192.0.2.1:5061", Speaks::Tls)];
    Names::new(
        "10.0.0.1:7060".parse().unwrap(),
        &listeners.map(|(address, speaks)| (address.parse().unwrap(), speaks)),
        &["lab.test".to_owned()],
    )
}

/// Of a phone over TLS.
fn leg() -> Leg {
    let remote = "198.51.100.7:40000".parse().unwrap();
    Leg { transport: Transport::Tls, listener: 1, remote, connection: 77 }
}

fn leg_flow() -> Flow {
    flow(&leg(), &names())
}

fn values(message: &Message, name: Name) -> Vec<&str> {
    message.values(name).map(|value| std::str::from_utf8(value).unwrap()).collect()
}

fn parse(bytes: Bytes) -> Message {
    Message::parse(bytes, &Limits::default()).unwrap()
}
