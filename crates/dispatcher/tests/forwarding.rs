//! The rules of forwarding, with values: what a manager sees of a phone's request, what the phone sees of the answer,
//! and the way of a NOTIFY. No socket is opened.

use std::net::SocketAddr;

use bytes::Bytes;
use dispatcher::Speaks;
use dispatcher::branch::InnerBranch;
use dispatcher::deliver::Deliverer;
use dispatcher::forward::{self, Forwarder};
use dispatcher::metrics::Dropped;
use dispatcher::names::{Leg, Names};
use dispatcher::refusal::Refusal;
use dispatcher::window::Priority;
use sip::{Flow, Limits, Message, Method, Name, ResponseWriter, Scheme, Secret, Transport};

const INNER: &str = "10.0.0.1:7060";
const PUBLIC: &str = "192.0.2.1:5060";
const MANAGER: &str = "10.0.0.11:7070";
const PHONE: &str = "198.51.100.7:40000";

const SUBSCRIBE: &str = "SUBSCRIBE sip:bob@lab.test SIP/2.0\r\n\
    Via: SIP/2.0/UDP 172.16.0.5:5062;branch=z9hG4bKphone;rport\r\n\
    Max-Forwards: 70\r\n\
    From: <sip:alice@lab.test>;tag=a\r\n\
    To: <sip:bob@lab.test>\r\n\
    Call-ID: call-1\r\n\
    CSeq: 1 SUBSCRIBE\r\n\
    X-Odd :  as it came\r\n\
    Contact: <sip:alice@172.16.0.5:5062>\r\n\
    Event: presence\r\n\
    Content-Length: 0\r\n\r\n";

// Towards the manager

#[test]
fn the_manager_sees_our_via_on_top_and_the_phones_with_its_source() {
    let request = forwarded(SUBSCRIBE, &udp());

    let vias = values(&request, Name::Via);
    assert!(vias[0].starts_with("SIP/2.0/TCP 10.0.0.1:7060;alias;branch=z9hG4bK"), "{}", vias[0]);
    assert_eq!(vias[1], "SIP/2.0/UDP 172.16.0.5:5062;branch=z9hG4bKphone;rport=40000;received=198.51.100.7");
    assert_eq!(request.check(), Ok(()));
}

#[test]
fn lines_that_concern_nobody_travel_as_they_came() {
    let request = forwarded(SUBSCRIBE, &udp());

    assert!(text(&request).contains("X-Odd :  as it came\r\n"));
}

#[test]
fn a_hop_is_counted_and_a_missing_count_starts_at_70() {
    let counted = forwarded(SUBSCRIBE, &udp());
    let started = forwarded(&SUBSCRIBE.replace("Max-Forwards: 70\r\n", ""), &udp());

    assert_eq!(counted.max_forwards(), Ok(Some(69)));
    assert_eq!(started.max_forwards(), Ok(Some(70)));
}

#[test]
fn a_subscribe_records_the_listener_and_above_it_the_signed_flow() {
    for (leg, listener) in
        [(udp(), "<sip:192.0.2.1:5060;lr>"), (tcp(), "<sip:192.0.2.1:5060;transport=tcp;lr>")]
    {
        let request = forwarded(SUBSCRIBE, &leg);

        let records = values(&request, Name::RecordRoute);
        assert_eq!(records, [inner_route(&leg).as_str(), listener]);
    }
}

#[test]
fn a_subscribe_inside_a_dialog_records_them_again() {
    let refresh = SUBSCRIBE.replace("To: <sip:bob@lab.test>", "To: <sip:bob@lab.test>;tag=b");

    assert_eq!(values(&forwarded(&refresh, &udp()), Name::RecordRoute).len(), 2);
}

#[test]
fn other_requests_record_nothing() {
    for method in ["PUBLISH", "REGISTER", "OPTIONS", "MESSAGE"] {
        let request = forwarded(&SUBSCRIBE.replace("SUBSCRIBE", method), &udp());

        assert_eq!(values(&request, Name::RecordRoute), [""; 0], "{method}");
    }
}

#[test]
fn a_repeat_has_the_same_branch_and_another_request_has_another() {
    let branch = |text: &str, leg: &Leg| {
        let request = forwarded(text, leg);
        request.via().unwrap().branch.unwrap().to_owned()
    };
    let first = branch(SUBSCRIBE, &udp());

    assert_eq!(branch(SUBSCRIBE, &udp()), first);
    assert_ne!(branch(&SUBSCRIBE.replace("CSeq: 1", "CSeq: 2"), &udp()), first);
    assert_ne!(branch(&SUBSCRIBE.replace("z9hG4bKphone", "z9hG4bKother"), &udp()), first);
    let twin = Leg { remote: "198.51.100.8:40000".parse().unwrap(), ..udp() };
    assert_ne!(branch(SUBSCRIBE, &twin), first, "another phone behind another NAT");
}

#[test]
fn a_request_inside_a_dialog_goes_before_new_ones() {
    let inside = SUBSCRIBE.replace("To: <sip:bob@lab.test>", "To: <sip:bob@lab.test>;tag=b");

    assert_eq!(forward(SUBSCRIBE, &udp()).unwrap().priority, Priority::New);
    assert_eq!(forward(&inside, &udp()).unwrap().priority, Priority::InDialog);
}

#[test]
fn a_claimed_identity_is_passed_on_only_from_who_is_trusted() {
    let claiming = SUBSCRIBE.replace("Event:", "P-Asserted-Identity: <sip:boss@lab.test>\r\nEvent:");
    let trusted = Leg { remote: "203.0.113.1:5060".parse().unwrap(), ..udp() };

    assert_eq!(forwarded(&claiming, &udp()).header(Name::PAssertedIdentity), None);
    assert!(forwarded(&claiming, &trusted).header(Name::PAssertedIdentity).is_some());
    let mapped = Leg { remote: "[::ffff:203.0.113.9]:5060".parse().unwrap(), ..udp() };
    assert!(forwarded(&claiming, &mapped).header(Name::PAssertedIdentity).is_some());
}

// Routes

#[test]
fn the_routes_of_a_dialog_are_popped() {
    let routes = ["<sip:192.0.2.1:5060;lr>".to_owned(), inner_route(&udp())];

    let request = forwarded(&routed(&routes), &udp());

    assert_eq!(request.header(Name::Route), None);
    assert_eq!(request.request_uri(), "sip:bob@lab.test");
}

#[test]
fn the_inner_name_of_another_dispatcher_is_popped_by_its_token() {
    let elsewhere = inner_route(&udp()).replace(INNER, "10.0.0.2:7060");

    let request = forwarded(&routed(&["<sip:192.0.2.1:5060;lr>".to_owned(), elsewhere]), &udp());

    assert_eq!(request.header(Name::Route), None);
}

#[test]
fn a_preloaded_route_to_our_domain_is_popped_and_one_behind_it_stays() {
    let routes = ["<sip:lab.test;lr>".to_owned(), "<sip:elsewhere.test;lr>".to_owned()];

    let request = forwarded(&routed(&routes), &udp());

    assert_eq!(values(&request, Name::Route), ["<sip:elsewhere.test;lr>"]);
}

#[test]
fn a_forged_token_is_popped_but_its_flow_is_not_used() {
    let forged = inner_route(&udp()).replace("<sip:", "<sip:A");

    let request = forwarded(&routed(&[forged]), &tcp());

    assert_eq!(request.header(Name::Route), None);
    assert_eq!(values(&request, Name::RecordRoute)[0], inner_route(&tcp()));
}

#[test]
fn a_strict_router_gets_its_request_uri_back() {
    let strict = routed(&[inner_route(&udp()), "<sip:10.0.0.11:7070>".to_owned()])
        .replace("SUBSCRIBE sip:bob@lab.test SIP", "SUBSCRIBE sip:192.0.2.1:5060;lr SIP");

    let request = forwarded(&strict, &udp());

    assert_eq!(request.request_uri(), "sip:10.0.0.11:7070");
    assert_eq!(request.header(Name::Route), None);
}

// Refusals

#[test]
fn a_request_without_hops_left_is_answered_483() {
    let spent = SUBSCRIBE.replace("Max-Forwards: 70", "Max-Forwards: 0");

    assert_eq!(refusal(&spent).status(), 483);
}

#[test]
fn an_extension_asked_of_proxies_is_answered_420_and_named() {
    let demanding = SUBSCRIBE.replace("Event:", "Proxy-Require: privacy, foo\r\nEvent:");

    let answer = parse(refusal(&demanding).answer(&parse(demanding.clone())).unwrap());

    assert_eq!(answer.status(), Some(420));
    assert_eq!(values(&answer, Name::Unsupported), ["privacy", "foo"]);
}

#[test]
fn a_flaw_is_answered_with_its_own_status() {
    assert_eq!(refusal(&SUBSCRIBE.replace("CSeq: 1 SUBSCRIBE", "CSeq: 1 PUBLISH")).status(), 400);
    assert_eq!(refusal(&SUBSCRIBE.replace("lab.test SIP/2.0", "lab.test SIP/7.0")).status(), 505);
    assert_eq!(refusal(&SUBSCRIBE.replace("Content-Length: 0", "Content-Length: 9")).status(), 400);
}

#[test]
fn a_cancel_is_answered_481() {
    assert_eq!(refusal(&SUBSCRIBE.replace("SUBSCRIBE", "CANCEL")).status(), 481);
}

#[test]
fn an_ack_is_never_answered() {
    let ack = parse(SUBSCRIBE.replace("SUBSCRIBE", "ACK"));

    for refusal in [Refusal::TooManyHops, Refusal::Unavailable(std::time::Duration::from_secs(5))] {
        assert_eq!(refusal.answer(&ack), None);
    }
}

#[test]
fn the_ack_of_a_200_is_known_by_the_routes_that_we_recorded() {
    let recorded = format!("Route: <sip:192.0.2.1:5060;lr>, {}\r\n", inner_route(&udp()));
    let sent = |method: &str, routes: &str| {
        let dialog = SUBSCRIBE.replace("To: <sip:bob@lab.test>", "To: <sip:bob@lab.test>;tag=ours");
        assert_ne!(dialog, SUBSCRIBE);
        parse(dialog.replace("SUBSCRIBE", method).replace("Event:", &format!("{routes}Event:")))
    };
    let ack = |routes: &str| sent("ACK", routes);
    let in_dialog = ack(&recorded);
    let registration = sent("REGISTER", &recorded);
    let without_dialog = parse(SUBSCRIBE.replace("Event:", &format!("{recorded}Event:")));
    let of_a_refusal = ack("Route: <sip:192.0.2.1:5060;lr>\r\n");
    let forged = ack("Route: <sip:deadbeef@10.0.0.1:7060;transport=tcp;lr>\r\n");

    assert_eq!(
        [in_dialog, of_a_refusal, forged, registration, without_dialog]
            .map(|request| forwarder().is_in_dialog(&request)),
        [true, false, false, false, false]
    );
}

#[test]
fn our_own_answer_says_when_to_come_again_and_has_the_same_tag_each_time() {
    let request = parse(SUBSCRIBE);
    let refusal = Refusal::Unavailable(std::time::Duration::from_secs(5));

    let answer = parse(refusal.answer(&request).unwrap());

    assert_eq!((answer.status(), answer.text(Name::RetryAfter)), (Some(503), Some("5")));
    assert!(answer.to().unwrap().tag().is_some());
    assert_eq!(refusal.answer(&request).unwrap(), answer.bytes());
}

// Back to the phone

#[test]
fn an_answer_goes_to_the_port_that_the_phone_sent_from_without_our_via() {
    let request = forwarded(SUBSCRIBE, &udp());
    let answer = parse(ResponseWriter::new(&request, 200).to_tag("b").copy(Name::RecordRoute).finish());

    let back = forward::return_path(&answer, &names()).unwrap();
    let returned = parse(forward::returned(&answer));

    assert_eq!(back.to, udp());
    assert_eq!(back.key, forward(SUBSCRIBE, &udp()).unwrap().key);
    assert_eq!(returned.vias().count(), 1);
    assert_eq!(returned.via().unwrap().branch, Some("z9hG4bKphone"));
    assert_eq!(values(&returned, Name::RecordRoute).len(), 2);
}

#[test]
fn without_rport_an_answer_goes_to_the_source_and_the_port_of_sent_by() {
    let back = |sent_by: &str| {
        let plain = SUBSCRIBE.replace("172.16.0.5:5062;branch=z9hG4bKphone;rport", sent_by);
        answered(&plain, &udp()).unwrap().to.remote.to_string()
    };

    assert_eq!(back("172.16.0.5:5062;branch=z9hG4bKphone"), "198.51.100.7:5062");
    assert_eq!(back("phone.invalid;branch=z9hG4bKphone"), "198.51.100.7:5060");
}

#[test]
fn what_a_phone_claims_as_its_source_is_not_believed() {
    let lying = SUBSCRIBE.replace(";rport", ";rport=9;received=203.0.113.99");

    assert_eq!(answered(&lying, &udp()).unwrap().to, udp());
}

#[test]
fn an_answer_for_a_stream_goes_to_its_connection() {
    let back = answered(SUBSCRIBE, &tcp()).unwrap();

    assert_eq!((back.to.transport, back.to.connection), (Transport::Tcp, tcp().connection));
}

#[test]
fn an_ipv6_phone_is_answered_at_its_address() {
    let phone = Leg { listener: 1, remote: "[2001:db8::7]:40000".parse().unwrap(), ..udp() };
    let six = SUBSCRIBE.replace("172.16.0.5:5062", "[2001:db8::5]:5062");

    assert_eq!(answered(&six, &phone).unwrap().to, phone);
}

#[test]
fn an_answer_whose_top_via_is_not_ours_goes_nowhere() {
    let foreign = parse(ResponseWriter::new(&parse(SUBSCRIBE), 200).finish());
    let request = forwarded(SUBSCRIBE, &udp());
    let no_such_listener = text(&request).replace(".0.0\r\n", ".9.0\r\n");
    let no_such_listener = parse(ResponseWriter::new(&parse(no_such_listener), 200).finish());

    assert_eq!(forward::return_path(&foreign, &names()), Err(Dropped::NotOurs));
    assert_eq!(forward::return_path(&no_such_listener, &names()), Err(Dropped::NotOurs));
}

// NOTIFY

#[test]
fn a_notify_goes_to_the_flow_in_its_top_route() {
    for leg in [udp(), tcp()] {
        let delivery = deliver(&notify(&leg)).unwrap();

        let request = parse(delivery.bytes);
        assert_eq!(delivery.to, leg);
        assert_eq!(request.header(Name::Route), None);
        assert_eq!(request.max_forwards(), Ok(Some(69)));
        let via = request.via().unwrap();
        assert_eq!((via.transport, via.host, via.port), (leg.transport.as_str(), "192.0.2.1", Some(5060)));
    }
}

#[test]
fn a_notify_finds_a_strict_router_in_its_request_uri_and_the_target_in_its_last_route() {
    let behind = |routes: &str| {
        let notify = notify(&udp()).replace("From:", &format!("{routes}From:"));
        let request = parse(deliver(&notify).unwrap().bytes);
        (request.request_uri().to_owned(), values(&request, Name::Route).join(" "))
    };
    let (target, loose) = ("<sip:alice@172.16.0.5:5062>", "<sip:p2.lab.test;lr>");

    let through = behind(&format!("Route: <sip:p1.lab.test;x=1?y=2>, {loose}\r\n"));
    let straight = behind(&format!("Route: {loose}, <sip:p1.lab.test>\r\n"));

    assert_eq!(through, ("sip:p1.lab.test;x=1".into(), format!("{loose} {target}")));
    assert_eq!(straight, ("sip:alice@172.16.0.5:5062".into(), format!("{loose} <sip:p1.lab.test>")));
}

#[test]
fn a_notify_names_the_listener_for_a_dialog_that_begins_with_it() {
    let request = parse(deliver(&notify(&tcp())).unwrap().bytes);

    assert_eq!(values(&request, Name::RecordRoute), ["<sip:192.0.2.1:5060;transport=tcp;lr>"]);
}

#[test]
fn a_repeated_notify_has_the_same_branch_towards_the_phone() {
    let branch = || {
        let request = parse(deliver(&notify(&udp())).unwrap().bytes);
        request.via().unwrap().branch.unwrap().to_owned()
    };

    assert_eq!(branch(), branch());
    assert_eq!(InnerBranch::parse(&branch()), None, "not to be mistaken for one towards the registrar");
}

#[test]
fn the_answer_to_a_notify_goes_to_the_manager_that_sent_it() {
    let (manager, answer) = notify_answered(&notify(&udp())).unwrap();

    let answer = parse(answer);
    assert_eq!(manager, address(MANAGER));
    assert_eq!(answer.method(), Method::Notify);
    assert_eq!(values(&answer, Name::Via), ["SIP/2.0/TCP 10.0.0.11:7070;branch=z9hG4bKmanager"]);
}

#[test]
fn the_answer_may_come_to_another_dispatcher_of_the_listener() {
    let elsewhere = Names::new(address("10.0.0.2:7060"), &listeners(), &[]);
    let delivered = parse(deliver(&notify(&udp())).unwrap().bytes);
    let answer = parse(ResponseWriter::new(&delivered, 200).finish());

    let manager = Deliverer::new(&secret()).answer(&answer, &elsewhere).map(|(manager, _)| manager);

    assert_eq!(manager, Ok(address(MANAGER)));
}

#[test]
fn an_answer_to_a_notify_that_no_manager_sent_goes_nowhere() {
    let delivered =
        text(&parse(deliver(&notify(&udp())).unwrap().bytes)).replace("z9hG4bKmanager", "z9hG4bKguessed");
    let forged = parse(ResponseWriter::new(&parse(delivered), 481).finish());

    let manager = Deliverer::new(&secret()).answer(&forged, &names());

    assert_eq!(manager, Err(Dropped::NotOurs));
}

#[test]
fn a_notify_for_a_listener_that_is_not_here_is_answered_430() {
    let elsewhere = Names::new(address(INNER), &[(address("192.0.2.2:5060"), Speaks::UdpAndTcp)], &[]);

    let refusal = Deliverer::new(&secret()).request(&parse(notify(&udp())), &elsewhere);

    assert_eq!(refusal.map_err(|refusal| refusal.status()), Err(430));
}

#[test]
fn a_notify_without_a_token_of_ours_is_refused() {
    let bare = notify(&udp()).replace(&format!("Route: {}\r\n", inner_route(&udp())), "");
    let forged = notify(&udp()).replace("Route: <sip:", "Route: <sip:A");

    assert_eq!(deliver(&bare), Err(Refusal::NoFlow));
    assert_eq!(deliver(&forged), Err(Refusal::NoFlow));
}

#[test]
fn a_notify_that_no_datagram_can_carry_is_answered_513() {
    let body = "x".repeat(66_000);
    let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
    let large = notify(&udp()).replace("Content-Length: 0\r\n\r\n", &length);
    let large = Message::parse(large.into(), &Limits { message: 100_000, ..Limits::default() }).unwrap();

    assert_eq!(Deliverer::new(&secret()).request(&large, &names()), Err(Refusal::TooLarge));
}

#[test]
fn a_notify_without_hops_left_is_answered_483() {
    assert_eq!(
        deliver(&notify(&udp()).replace("Max-Forwards: 70", "Max-Forwards: 0")),
        Err(Refusal::TooManyHops)
    );
}

// Helpers

fn udp() -> Leg {
    Leg { transport: Transport::Udp, listener: 0, remote: address(PHONE), connection: 0 }
}

fn tcp() -> Leg {
    Leg { transport: Transport::Tcp, connection: 77, ..udp() }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn secret() -> Secret {
    Secret::new("lab")
}

fn listeners() -> [(SocketAddr, Speaks); 2] {
    [PUBLIC, "[2001:db8::1]:5060"].map(|text| (address(text), Speaks::UdpAndTcp))
}

fn names() -> Names {
    Names::new(address(INNER), &listeners(), &["lab.test".to_owned()])
}

fn forwarder() -> Forwarder {
    Forwarder::new(&secret(), &["203.0.113.0/24".parse().unwrap()])
}

fn parse(bytes: impl Into<Bytes>) -> Message {
    Message::parse(bytes.into(), &Limits::default()).unwrap()
}

fn text(message: &Message) -> String {
    String::from_utf8(message.bytes().to_vec()).unwrap()
}

fn values(message: &Message, name: Name) -> Vec<&str> {
    message.values(name).map(|value| std::str::from_utf8(value).unwrap()).collect()
}

fn forward(request: &str, leg: &Leg) -> Result<forward::Forwarded, Refusal> {
    forwarder().request(&parse(request.to_owned()), leg, &names())
}

fn forwarded(request: &str, leg: &Leg) -> Message {
    parse(forward(request, leg).unwrap().bytes)
}

fn refusal(request: &str) -> Refusal {
    forward(request, &udp()).unwrap_err()
}

/// Where a manager's answer to the request goes.
fn answered(request: &str, leg: &Leg) -> Result<forward::Return, Dropped> {
    let answer = ResponseWriter::new(&forwarded(request, leg), 200).to_tag("b").finish();
    forward::return_path(&parse(answer), &names())
}

/// The SUBSCRIBE with these Routes, one line each.
fn routed(routes: &[String]) -> String {
    let lines: String = routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
    SUBSCRIBE.replace("Event:", &format!("{lines}Event:"))
}

fn inner_route(leg: &Leg) -> String {
    let flow = Flow {
        transport: leg.transport,
        listener: address(PUBLIC),
        remote: leg.remote,
        connection: leg.connection,
    };
    format!("<sip:{}@{INNER};transport=tcp;lr>", flow.seal(&secret().derive("flow")))
}

/// What a manager sends to a phone that subscribed over this leg.
fn notify(leg: &Leg) -> String {
    let public = names().public_record_route(leg.listener, leg.transport, Scheme::Sip).to_owned();
    format!(
        "NOTIFY sip:alice@172.16.0.5:5062 SIP/2.0\r\n\
         Via: SIP/2.0/TCP {MANAGER};branch=z9hG4bKmanager\r\n\
         Max-Forwards: 70\r\n\
         Route: {}\r\n\
         Route: {public}\r\n\
         From: <sip:bob@lab.test>;tag=b\r\n\
         To: <sip:alice@lab.test>;tag=a\r\n\
         Call-ID: call-1\r\n\
         CSeq: 1 NOTIFY\r\n\
         Event: presence\r\n\
         Subscription-State: active;expires=600\r\n\
         Content-Length: 0\r\n\r\n",
        inner_route(leg)
    )
}

fn deliver(request: &str) -> Result<dispatcher::deliver::Delivery, Refusal> {
    Deliverer::new(&secret()).request(&parse(request.to_owned()), &names())
}

/// The phone's answer to a manager's request, on its way back.
fn notify_answered(request: &str) -> Result<(SocketAddr, Bytes), Dropped> {
    let delivered = parse(deliver(request).unwrap().bytes);
    let answer = parse(ResponseWriter::new(&delivered, 200).finish());
    Deliverer::new(&secret()).answer(&answer, &names())
}
