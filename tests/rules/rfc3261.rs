//! RFC 3261 where the dispatcher and the agent keep a rule together: transactions, dialogs and capabilities.

use sip::{Message, Method, Name};

use crate::phone::{OPEN, PHONE, cseq, header, publish, statuses, subscribe, text, to_tag};
use crate::server::{Server, stream, tls, udp};

const PRESENCE: &str = "Event: presence\nExpires: 600\n";

/// The answer, and the NOTIFY that the phone has accepted.
fn subscribed(server: &mut Server, request: &str) -> (Message, Message) {
    let told = server.hears(&udp(PHONE), request);
    assert_eq!(statuses(&told), [200], "{told:?}");
    server.replies(&udp(PHONE), &told[1], 200);
    (told[0].clone(), told[1].clone())
}

fn of_method(method: &str) -> String {
    subscribe(1, "", PRESENCE).replace("SUBSCRIBE", method)
}

#[test]
fn an_unknown_method_is_answered_405_with_allow() {
    for method in ["UPDATE", "NOTIFY", "subscribe", "DANCE"] {
        let answer = Server::open().answers(&udp(PHONE), &of_method(method));

        assert_eq!(answer.status(), Some(405), "{method}");
        assert!(header(&answer, Name::Allow).contains("SUBSCRIBE, PUBLISH"), "{method}");
    }
}

#[test]
fn an_extension_that_nobody_has_is_answered_420_and_named() {
    let require = "Require: 100rel, gruu, x-unknown\n";
    for request in [
        subscribe(1, "", &format!("{PRESENCE}{require}")),
        publish(1, &format!("{PRESENCE}{require}").replace("gruu, ", ""), OPEN),
    ] {
        let answer = Server::open().answers(&udp(PHONE), &request);

        assert_eq!(answer.status(), Some(420));
        assert_eq!(answer.extension("Unsupported"), Some(&b"100rel, x-unknown"[..]), "{}", text(&answer));
    }
}

#[test]
fn options_tells_what_is_really_built() {
    let mut server = Server::open();

    let answer = server.answers(&udp(PHONE), &of_method("OPTIONS"));

    assert_eq!(answer.status(), Some(200));
    assert_eq!(header(&answer, Name::AllowEvents), "presence");
    assert_eq!(header(&answer, Name::Accept), "application/pidf+xml");
    assert_eq!(header(&answer, Name::Supported), "gruu");
    let allowed: Vec<_> = answer.values(Name::Allow).map(String::from_utf8_lossy).collect();
    for method in allowed.iter().filter(|method| !["ACK", "CANCEL"].contains(&method.as_ref())) {
        let told = server.hears(&udp(PHONE), &of_method(method).replace("bKs1", &format!("bK{method}")));
        assert!(!statuses(&told).contains(&405), "{method} is allowed");
    }
}

#[test]
fn options_is_answered_as_an_invite_would_be() {
    for (whom, status) in [
        ("sip:alice@lab.test", 200),
        ("sip:alice@LAB.test", 200),
        ("sip:192.0.2.1", 200),
        ("sip:ping@192.0.2.1:5060", 200),
        ("sip:proxy.test", 200),
        ("sip:alice@other.test", 404),
    ] {
        let request = of_method("OPTIONS").replacen("sip:alice@lab.test", whom, 1);
        assert!(request.starts_with(&format!("OPTIONS {whom} ")), "{request}");

        assert_eq!(Server::open().answers(&udp(PHONE), &request).status(), Some(status), "{whom}");
    }
}

#[test]
fn a_bye_does_not_end_a_subscription() {
    let mut server = Server::open();
    let (answer, _) = subscribed(&mut server, &subscribe(1, "", PRESENCE));
    let tag = to_tag(&answer);
    let bye = subscribe(2, &tag, PRESENCE).replace("SUBSCRIBE", "BYE");

    assert_eq!(server.answers(&udp(PHONE), &bye).status(), Some(481));
    subscribed(&mut server, &subscribe(3, &tag, PRESENCE));
}

#[test]
fn headers_and_method_of_a_contact_are_not_in_the_uri_of_a_notify() {
    let mut server = Server::open();
    let contact = "sip:bob@198.51.100.7;method=INVITE;x=1?Route=%3Csip:e%3E";
    let request = subscribe(1, "", PRESENCE);
    let from = request.find("Contact: <").expect("it has a Contact") + "Contact: <".len();
    let to = from + request[from..].find('>').expect("it is whole");
    let request = format!("{}{contact}{}", &request[..from], &request[to..]);

    let (_, notify) = subscribed(&mut server, &request);

    assert_eq!(notify.request_uri(), "sip:bob@198.51.100.7;x=1");
}

#[test]
fn a_non_invite_request_is_never_answered_100_nor_408() {
    let mut server = Server::open();
    server.log_waits = true;

    let mut told = server.hears(&udp(PHONE), &publish(1, PRESENCE, OPEN));
    told.extend(server.pass(10_000));
    told.extend(server.hears(&udp(PHONE), &publish(1, PRESENCE, OPEN)));
    told.extend(server.log_is_lost());
    told.extend(server.pass(40_000));

    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn a_repeat_while_the_log_is_busy_is_absorbed_and_both_get_one_answer() {
    let mut server = Server::open();
    server.log_waits = true;
    server.hears(&udp(PHONE), &publish(1, PRESENCE, OPEN));
    server.hears(&udp(PHONE), &publish(1, PRESENCE, OPEN));

    let told = server.commits();

    assert_eq!(statuses(&told), [200]);
}

#[test]
fn a_repeat_over_another_way_gets_the_first_answer_and_not_482() {
    let mut server = Server::open();
    let (first, _) = subscribed(&mut server, &subscribe(1, "", PRESENCE));

    let told = server.hears(&udp("198.51.100.7:40001"), &subscribe(1, "", PRESENCE));

    assert_eq!(statuses(&told), [200]);
    assert_eq!(to_tag(&told[0]), to_tag(&first));
    assert_eq!(server.subscriptions(), 1);
}

#[test]
fn a_gap_in_cseq_is_accepted_and_a_lower_one_is_answered_500() {
    let mut server = Server::open();
    let (answer, _) = subscribed(&mut server, &subscribe(10, "", PRESENCE));
    let tag = to_tag(&answer);

    subscribed(&mut server, &subscribe(4_000, &tag, PRESENCE));
    let lower = server.answers(&udp(PHONE), &subscribe(3_999, &tag, PRESENCE));

    assert_eq!(lower.status(), Some(500));
    subscribed(&mut server, &subscribe(4_001, &tag, PRESENCE));
}

#[test]
fn a_request_inside_a_dialog_that_is_not_known_is_answered_481() {
    for method in ["SUBSCRIBE", "BYE", "MESSAGE", "INVITE"] {
        let request = subscribe(1, "unknown", PRESENCE).replace("SUBSCRIBE", method);

        assert_eq!(Server::open().answers(&udp(PHONE), &request).status(), Some(481), "{method}");
    }
}

#[test]
fn a_notify_has_the_next_cseq() {
    let mut server = Server::open();
    let (answer, first) = subscribed(&mut server, &subscribe(1, "", PRESENCE));
    let tag = to_tag(&answer);

    let (_, second) = subscribed(&mut server, &subscribe(2, &tag, PRESENCE));
    let (_, third) = subscribed(&mut server, &subscribe(3, &tag, PRESENCE));

    assert_eq!([cseq(&second), cseq(&third)], [cseq(&first) + 1, cseq(&first) + 2]);
}

#[test]
fn an_answer_gives_back_the_record_routes_and_a_refresh_along_them_is_served() {
    let mut server = Server::open();
    let (answer, notify) = subscribed(&mut server, &subscribe(1, "", PRESENCE));
    let recorded: Vec<_> = answer.values(Name::RecordRoute).map(String::from_utf8_lossy).collect();
    assert_eq!(recorded.len(), 2);
    assert!(notify.header(Name::Route).is_none(), "the phone is the last hop");

    let routes: String = recorded.iter().rev().map(|route| format!("Route: {route}\n")).collect();
    let contact = answer.contact().unwrap().unwrap().uri.to_owned();
    let refresh = subscribe(2, &to_tag(&answer), &format!("{PRESENCE}{routes}"))
        .replace("SUBSCRIBE sip:alice@lab.test", &format!("SUBSCRIBE {contact}"));

    let (_, notify) = subscribed(&mut server, &refresh);
    assert_eq!(notify.request_uri(), "sip:bob@10.0.0.7:5062");
}

#[test]
fn a_new_contact_in_a_refresh_is_the_target_from_then_on() {
    let mut server = Server::open();
    let (answer, before) = subscribed(&mut server, &subscribe(1, "", PRESENCE));
    let moved = subscribe(2, &to_tag(&answer), PRESENCE).replace("bob@10.0.0.7", "bob@10.0.0.70");

    let (_, after) = subscribed(&mut server, &moved);

    assert_eq!(
        [before.request_uri(), after.request_uri()],
        ["sip:bob@10.0.0.7:5062", "sip:bob@10.0.0.70:5062"]
    );
}

#[test]
fn a_dialog_asked_for_with_sips_over_tls_has_a_sips_contact_in_answers_and_notifies() {
    let sips = |cseq, tag: &str| {
        subscribe(cseq, tag, PRESENCE)
            .replace("SUBSCRIBE sip:", "SUBSCRIBE sips:")
            .replace("UDP 10", "TLS 10")
    };
    let contact = "Contact: <sip:bob";
    for (leg, expected) in [(tls(PHONE, 9), "<sips:192.0.2.1:5061>"), (udp(PHONE), "<sip:192.0.2.1:5060>")] {
        let mut server = Server::open();

        let told = server.hears(&leg, &sips(1, "").replace(contact, "Contact: <sips:bob"));
        server.replies(&leg, &told[1], 200);
        let again = server.hears(&leg, &sips(2, &to_tag(&told[0])).replace(contact, "Contact: <sips:bob"));

        assert_eq!(statuses(&again), [200]);
        assert!(told.iter().chain(&again).all(|each| header(each, Name::Contact) == expected), "{told:?}");
    }
}

#[test]
fn a_notify_is_sent_again_over_udp_and_only_once_over_a_stream() {
    for (leg, copies) in [(udp(PHONE), 3), (stream(PHONE, 7), 0)] {
        let mut server = Server::open();
        let told = server.hears(&leg, &subscribe(1, "", PRESENCE));

        let again = [500, 1_000, 2_000].map(|pause| server.pass(pause)).concat();

        assert_eq!(again.len(), copies, "{leg:?}");
        assert!(again.iter().all(|copy| copy.bytes() == told[1].bytes()), "the very same request");
    }
}

#[test]
fn a_repeated_answer_to_a_notify_changes_nothing() {
    let mut server = Server::open();
    let (_, notify) = subscribed(&mut server, &subscribe(1, "", PRESENCE));

    let told = server.replies(&udp(PHONE), &notify, 481);

    assert!(told.is_empty());
    assert_eq!(server.subscriptions(), 1);
}

#[test]
fn a_request_in_compact_form_without_a_length_is_served() {
    let request = subscribe(1, "", "o: presence\n")
        .replace("Via:", "v:")
        .replace("From:", "f :")
        .replace("To:", "t:")
        .replace("Call-ID:", "i:")
        .replace("Contact:", "m:")
        .replace("Content-Length: 0\n", "");

    let told = Server::open().hears(&udp(PHONE), &request);

    assert_eq!(statuses(&told), [200]);
    assert_eq!(told[1].method(), Method::Notify);
}

#[test]
fn a_datagram_shorter_than_its_length_is_answered_400_and_a_surplus_is_ignored() {
    let short = publish(1, PRESENCE, OPEN).replace("Length: ?", "Length: 9000");
    let long =
        publish(1, PRESENCE, &format!("{OPEN}rest")).replace("Length: ?", &format!("Length: {}", OPEN.len()));

    assert_eq!(Server::open().answers(&udp(PHONE), &short).status(), Some(400));
    assert_eq!(Server::open().answers(&udp(PHONE), &long).status(), Some(200));
}

#[test]
fn an_answer_repeats_from_call_id_cseq_and_via_and_adds_a_tag_to_to() {
    let answer = Server::open().answers(&udp(PHONE), &publish(7, PRESENCE, OPEN));

    assert_eq!(header(&answer, Name::From), "<sip:alice@lab.test>;tag=a");
    assert_eq!(header(&answer, Name::CallId), "publish");
    assert_eq!(header(&answer, Name::CSeq), "7 PUBLISH");
    assert_eq!(answer.vias().count(), 1);
    assert!(!to_tag(&answer).is_empty());
}

#[test]
fn an_answer_to_nothing_is_dropped() {
    let mut server = Server::open();
    let (_, notify) = subscribed(&mut server, &subscribe(1, "", PRESENCE));
    let invented = text(&notify).replace("z9hG4bK", "z9hG4bKinvented");
    let invented = Message::parse(invented.into(), &sip::Limits::default()).unwrap();

    assert!(server.replies(&udp(PHONE), &invented, 481).is_empty());
    assert_eq!(server.subscriptions(), 1);
}

#[test]
fn what_an_sbc_recorded_stays_below_ours_in_its_order() {
    let mut server = Server::open();
    let theirs = ["<sip:inside.sbc.test;lr>", "<sip:198.51.100.7:40000;lr>", "<sip:10.0.0.7;lr>"];
    let recorded = format!("Record-Route: {}, {}\nRecord-Route: {}\n", theirs[0], theirs[1], theirs[2]);

    let (answer, notify) = subscribed(&mut server, &subscribe(1, "", &format!("{PRESENCE}{recorded}")));

    let routes: Vec<_> = answer.values(Name::RecordRoute).map(String::from_utf8_lossy).collect();
    assert!(routes[0].contains("@127.0.0.1:7060;transport=tcp;lr>"), "{routes:?}");
    assert_eq!(routes[1], "<sip:192.0.2.1:5060;lr>");
    assert_eq!(routes[2..], theirs);
    let way_back: Vec<_> = notify.values(Name::Route).map(String::from_utf8_lossy).collect();
    assert_eq!(way_back, theirs, "the NOTIFY goes through the SBC's own hops");
}
