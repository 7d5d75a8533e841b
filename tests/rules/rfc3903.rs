//! RFC 3903 section 6: what the compositor answers, step by step, and what its watchers see of it.

use presence_agent::Config;
use presence_agent::config::Expires;
use sip::{Message, Method, Name};

use crate::phone::{OPEN, PHONE, body, header, publish, statuses, subscribe, text};
use crate::server::{Server, config, udp};

const PRESENCE: &str = "Event: presence\n";

fn published(server: &mut Server, request: &str) -> Message {
    let told = server.hears(&udp(PHONE), request);
    let answer = told.into_iter().next().expect("an answer");
    assert_eq!(answer.status(), Some(200), "{}", text(&answer));
    answer
}

fn etag(answer: &Message) -> String {
    header(answer, Name::SipEtag).to_owned()
}

fn quoting(tag: &str, more: &str) -> String {
    format!("{PRESENCE}SIP-If-Match: {tag}\n{more}")
}

/// What a watcher is shown now.
fn seen(server: &mut Server, cseq: u32) -> String {
    let told = server.hears(&udp(PHONE), &subscribe(cseq, "", "Event: presence\nExpires: 0\n"));
    let notify = told.iter().find(|message| message.method() == Method::Notify && message.is_request());
    let notify = notify.expect("a fetch is notified").clone();
    server.replies(&udp(PHONE), &notify, 200);
    body(&notify)
}

#[test]
fn a_resource_that_is_not_ours_is_answered_404_before_anything_else_is_looked_at() {
    let foreign = publish(1, "Event: unknown\nExpires: 1\n", "x")
        .replace("PUBLISH sip:alice@lab.test", "PUBLISH sip:alice@far.test");

    assert_eq!(Server::open().answers(&udp(PHONE), &foreign).status(), Some(404));
}

#[test]
fn an_event_that_is_not_ours_is_answered_489_before_the_entity_tag_is_looked_at() {
    let answer =
        Server::open().answers(&udp(PHONE), &publish(1, "Event: unknown\nSIP-If-Match: a, b\n", "x"));

    assert_eq!((answer.status(), header(&answer, Name::AllowEvents)), (Some(489), "presence"));
}

#[test]
fn not_exactly_one_entity_tag_is_answered_400_before_expires_is_looked_at() {
    for tags in ["a, b", "*", "\"a\"", "a b"] {
        let answer = Server::open().answers(&udp(PHONE), &publish(1, &quoting(tags, "Expires: 1\n"), ""));

        assert_eq!(answer.status(), Some(400), "{tags}");
    }
}

#[test]
fn an_entity_tag_that_nobody_was_given_is_answered_412_and_stores_nothing() {
    let mut server = Server::open();
    let before = seen(&mut server, 1);

    let answer = server.answers(&udp(PHONE), &publish(1, &quoting("never", ""), OPEN));

    assert_eq!(answer.status(), Some(412));
    assert_eq!(answer.header(Name::SipEtag), None);
    assert_eq!(seen(&mut server, 2), before);
}

#[test]
fn an_entity_tag_that_is_not_good_is_answered_412_before_expires_and_body_are_looked_at() {
    let mut server =
        Server::with(Config { publish: Expires { min: 60, ..Expires::default() }, ..config(true) });
    let answer = published(&mut server, &publish(1, PRESENCE, OPEN));
    let flaws = [
        (publish(2, "Event: presence\nExpires: 59\n", OPEN), 423),
        (publish(2, PRESENCE, OPEN).replace("application/pidf+xml", "text/plain"), 415),
        (publish(2, PRESENCE, "<presence>"), 400),
        (publish(2, PRESENCE, &" ".repeat(40_000)), 413),
    ];

    for (number, (flawed, status)) in flaws.into_iter().enumerate() {
        for (tag, expected) in [("invented", 412), (&*etag(&answer), status)] {
            let request = flawed.replace("Event:", &format!("SIP-If-Match: {tag}\nEvent:"));
            let request = request.replace("z9hG4bK", &format!("z9hG4bK{number}{expected}"));

            let refused = server.answers(&udp(PHONE), &request);

            assert_eq!(refused.status(), Some(expected), "{request}");
        }
    }
}

#[test]
fn a_publisher_that_was_answered_412_starts_anew_and_is_let_in() {
    let mut server = Server::open();
    server.answers(&udp(PHONE), &publish(1, &quoting("never", ""), OPEN));

    published(&mut server, &publish(2, PRESENCE, OPEN));

    assert!(seen(&mut server, 1).contains("<basic>open</basic>"));
}

#[test]
fn a_lifetime_is_defaulted_shortened_refused_with_the_least_but_never_lengthened() {
    let server = || {
        let mut config = config(true);
        config.publish = Expires { min: 60, default: 1_800, max: 7_200 };
        Server::with(config)
    };
    for (asked, granted) in [("", "1800"), ("Expires: 60\n", "60"), ("Expires: 9999\n", "7200")] {
        let answer = published(&mut server(), &publish(1, &format!("{PRESENCE}{asked}"), OPEN));

        assert_eq!(header(&answer, Name::Expires), granted, "{asked}");
    }

    let brief = server().answers(&udp(PHONE), &publish(1, "Event: presence\nExpires: 59\n", OPEN));
    assert_eq!((brief.status(), header(&brief, Name::MinExpires)), (Some(423), "60"));
}

#[test]
fn a_body_of_another_type_is_answered_415_with_what_is_taken() {
    let text_body = publish(1, PRESENCE, OPEN).replace("application/pidf+xml", "text/plain");
    let packed = publish(1, "Event: presence\nContent-Encoding: deflate\n", OPEN);

    let other = Server::open().answers(&udp(PHONE), &text_body);
    let packed = Server::open().answers(&udp(PHONE), &packed);

    assert_eq!((other.status(), header(&other, Name::Accept)), (Some(415), "application/pidf+xml"));
    assert_eq!((packed.status(), packed.extension("Accept-Encoding")), (Some(415), Some(&b"identity"[..])));
}

#[test]
fn an_initial_publication_without_a_body_is_answered_400() {
    assert_eq!(Server::open().answers(&udp(PHONE), &publish(1, PRESENCE, "")).status(), Some(400));
}

#[test]
fn every_success_gives_expires_and_an_entity_tag_that_was_never_given_before() {
    let mut server = Server::open();
    let mut answers = vec![published(&mut server, &publish(1, PRESENCE, OPEN))];
    for cseq in 2..6 {
        let tag = etag(answers.last().unwrap());
        let body = if cseq % 2 == 0 { "" } else { OPEN };
        answers.push(published(&mut server, &publish(cseq, &quoting(&tag, ""), body)));
    }
    let last = etag(answers.last().unwrap());
    answers.push(published(&mut server, &publish(6, &quoting(&last, "Expires: 0\n"), "")));
    answers.push(published(&mut server, &publish(7, PRESENCE, OPEN)));

    assert!(answers.iter().all(|answer| answer.header(Name::Expires).is_some()));
    let mut tags: Vec<_> = answers.iter().map(etag).collect();
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), answers.len());
}

#[test]
fn a_refresh_that_carries_a_body_is_a_change() {
    let mut server = Server::open();
    let tag = etag(&published(&mut server, &publish(1, PRESENCE, OPEN)));

    published(&mut server, &publish(2, &quoting(&tag, ""), &OPEN.replace("open", "closed")));

    assert!(seen(&mut server, 1).contains("<basic>closed</basic>"));
}

#[test]
fn a_tuple_that_a_change_leaves_out_is_gone() {
    let mut server = Server::open();
    let two = OPEN
        .replace("</presence>", r#"<tuple id="t2"><status><basic>open</basic></status></tuple></presence>"#);
    let tag = etag(&published(&mut server, &publish(1, PRESENCE, &two)));
    assert_eq!(seen(&mut server, 1).matches("<tuple ").count(), 2);

    published(&mut server, &publish(2, &quoting(&tag, ""), OPEN));

    assert_eq!(seen(&mut server, 2).matches("<tuple ").count(), 1);
}

#[test]
fn a_removal_may_carry_a_body_and_stores_nothing_of_it() {
    let mut server = Server::open();
    let nothing = seen(&mut server, 1);
    let tag = etag(&published(&mut server, &publish(1, PRESENCE, OPEN)));

    let answer = published(&mut server, &publish(2, &quoting(&tag, "Expires: 0\n"), OPEN));

    assert_eq!(header(&answer, Name::Expires), "0");
    assert_eq!(seen(&mut server, 2), nothing);
}

#[test]
fn watchers_hear_of_a_change_of_a_removal_and_of_an_expiry() {
    let mut server = Server::open();
    let told = server.hears(&udp(PHONE), &subscribe(1, "", "Event: presence\nExpires: 6000\n"));
    server.replies(&udp(PHONE), &told[1], 200);
    let mut told = server.hears(&udp(PHONE), &publish(1, "Event: presence\nExpires: 120\n", OPEN));
    let (shown, answer) = (told.pop().unwrap(), told.pop().unwrap());
    assert!(body(&shown).contains("<basic>open</basic>"));
    server.replies(&udp(PHONE), &shown, 200);

    let removal = server.hears(&udp(PHONE), &publish(2, &quoting(&etag(&answer), "Expires: 0\n"), ""));
    server.replies(&udp(PHONE), removal.last().unwrap(), 200);
    let again = server.hears(&udp(PHONE), &publish(3, "Event: presence\nExpires: 120\n", OPEN));
    server.replies(&udp(PHONE), again.last().unwrap(), 200);
    let mut expiry = server.pass(121_000);
    expiry.extend(server.pass(1_000));

    for notify in [removal.last().unwrap(), expiry.last().expect("an expiry is never silent")] {
        assert_eq!(notify.method(), Method::Notify);
        assert!(!body(notify).contains("<basic>open</basic>"), "{}", body(notify));
    }
}

#[test]
fn record_route_and_contact_mean_nothing_in_a_publish() {
    let more = "Event: presence\nRecord-Route: <sip:192.0.2.99;lr>\nContact: <sip:alice@10.0.0.8>\n";

    let answer = published(&mut Server::open(), &publish(1, more, OPEN));

    assert_eq!([Name::RecordRoute, Name::Contact].map(|name| answer.header(name)), [None, None]);
}

#[test]
fn a_publish_that_could_not_be_stored_is_answered_503_and_shows_nowhere() {
    let mut server = Server::open();
    let nothing = seen(&mut server, 1);
    server.log_waits = true;
    assert!(server.hears(&udp(PHONE), &publish(1, PRESENCE, OPEN)).is_empty(), "no answer before the log's");

    let failed = server.log_fails();

    assert_eq!(statuses(&failed), [503]);
    assert!(failed[0].extension("Retry-After").is_some());
    server.log_waits = false;
    assert_eq!(seen(&mut server, 2), nothing);
}

#[test]
fn a_repeat_gets_the_first_answer_through_whichever_branch_it_comes() {
    let mut server = Server::open();
    let first = published(&mut server, &publish(1, PRESENCE, OPEN));

    let repeat = published(&mut server, &publish(1, PRESENCE, OPEN));
    let elsewhere = published(&mut server, &publish(1, PRESENCE, OPEN).replace("bKp1", "bKother"));

    assert_eq!([etag(&repeat), etag(&elsewhere)], [etag(&first), etag(&first)]);
    assert_eq!(seen(&mut server, 1).matches("<tuple ").count(), 1);
}
