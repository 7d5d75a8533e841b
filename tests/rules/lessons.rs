//! What users of other presence servers suffered from, where it concerns transport, transactions, CSeq, retransmission,
//! the order of NOTIFYs, and dead connections: each a test that would catch it here.

use presence_agent::Config;
use sip::{Message, Method, Name};

use crate::phone::{OPEN, PHONE, body, cseq, header, publish, statuses, subscribe, to_tag};
use crate::server::{Server, config, stream, udp};

const PRESENCE: &str = "Event: presence\nExpires: 600\n";
const PUBLISHER: &str = "198.51.100.8:40000";

fn notifies(told: &[Message]) -> Vec<&Message> {
    told.iter().filter(|message| message.is_request() && message.method() == Method::Notify).collect()
}

fn noted(note: u32) -> String {
    OPEN.replace("</tuple>", &format!("<note>n{note}</note></tuple>"))
}

/// Publishes, and gives the entity-tag and what watchers are sent.
fn published(server: &mut Server, cseq: u32, tag: &str, body: &str) -> (String, Vec<Message>) {
    let if_match = if tag.is_empty() { String::new() } else { format!("SIP-If-Match: {tag}\n") };
    let told = server.hears(&udp(PUBLISHER), &publish(cseq, &format!("{PRESENCE}{if_match}"), body));
    assert_eq!(statuses(&told), [200]);
    (header(&told[0], Name::SipEtag).to_owned(), told[1..].to_vec())
}

#[test]
fn while_a_notify_is_unanswered_changes_wait_and_only_the_newest_is_sent() {
    let mut server = Server::open();
    let first = server.hears(&udp(PHONE), &subscribe(1, "", PRESENCE));
    let mut tag = String::new();
    for cseq in 1..=50 {
        let (next, sent) = published(&mut server, cseq, &tag, &noted(cseq));
        assert!(sent.is_empty(), "one NOTIFY is in flight");
        tag = next;
    }

    let told = server.replies(&udp(PHONE), &first[1], 200);

    assert_eq!(told.len(), 1, "fifty changes, one NOTIFY");
    assert!(body(&told[0]).contains("n50"), "{}", body(&told[0]));
    assert!(server.replies(&udp(PHONE), &told[0], 200).is_empty());
}

#[test]
fn no_two_notifies_of_a_dialog_have_one_cseq_and_each_is_higher_than_the_last() {
    let mut server = Server::open();
    let told = server.hears(&udp(PHONE), &subscribe(1, "", PRESENCE));
    let dialog = to_tag(&told[0]);
    let (mut last, mut tag) = (told[1].clone(), String::new());
    for round in 1..=30 {
        let status = if round % 3 == 0 { 500 } else { 200 };
        server.replies(&udp(PHONE), &last, status);
        let mut sent = published(&mut server, round, &tag, &noted(round));
        if round % 7 == 0 {
            sent.1.extend(server.hears(&udp(PHONE), &subscribe(round + 1, &dialog, PRESENCE)));
        }
        tag = sent.0;
        for notify in notifies(&sent.1) {
            assert!(cseq(notify) > cseq(&last), "round {round}");
            last = notify.clone();
        }
    }
}

#[test]
fn a_notify_that_the_phone_finds_out_of_order_is_replaced_by_the_newest_state() {
    let mut server = Server::open();
    let told = server.hears(&udp(PHONE), &subscribe(1, "", PRESENCE));
    published(&mut server, 1, "", &noted(1));

    let told = server.replies(&udp(PHONE), &told[1], 500);

    assert_eq!(told.len(), 1, "what changed meanwhile is sent at once");
    assert!(body(&told[0]).contains("n1"));
}

#[test]
fn a_repeated_publish_with_one_entity_tag_is_answered_alike_and_blocks_nobody() {
    let mut server = Server::open();
    let (tag, _) = published(&mut server, 1, "", &noted(1));
    let (second, _) = published(&mut server, 2, &tag, &noted(2));

    let (repeated, _) = published(&mut server, 2, &tag, &noted(2));
    published(&mut server, 3, &second, &noted(3));

    assert_eq!(repeated, second);
}

#[test]
fn of_two_publishes_with_one_entity_tag_the_second_is_refused_and_nothing_runs_in_circles() {
    let mut server = Server::open();
    let (tag, _) = published(&mut server, 1, "", &noted(1));
    server.log_waits = true;
    let more = format!("{PRESENCE}SIP-If-Match: {tag}\n");
    server.hears(&udp(PUBLISHER), &publish(2, &more, &noted(2)));
    server.hears(&udp(PUBLISHER), &publish(3, &more, &noted(3)));

    let told = server.commits();

    assert_eq!(statuses(&told), [200, 412], "in the order they came");
}

#[test]
fn one_lost_notify_kills_no_lamp() {
    let mut server = Server::open();
    server.hears(&udp(PHONE), &subscribe(1, "", PRESENCE));
    for _ in 0..33 {
        server.pass(1_000);
    }
    let (_, sent) = published(&mut server, 1, "", &noted(1));

    assert_eq!(notifies(&sent).len(), 1, "the next change is told");
    assert!(body(&sent[0]).contains("n1"));
}

#[test]
fn where_it_is_so_configured_one_that_does_not_answer_loses_its_subscription() {
    for away in [None, Some(408), Some(480)] {
        let mut server = Server::with(Config { end_on_timeout: true, ..config(true) });
        let told = server.hears(&udp(PHONE), &subscribe(1, "", PRESENCE));

        match away {
            Some(status) => drop(server.replies(&udp(PHONE), &told[1], status)),
            None => (0..33).for_each(|_| drop(server.pass(1_000))),
        }

        let refresh = server.answers(&udp(PHONE), &subscribe(2, &to_tag(&told[0]), PRESENCE));
        assert_eq!(refresh.status(), Some(481), "{away:?}");
    }
}

#[test]
fn where_it_is_so_configured_a_lost_flow_still_ends_nothing() {
    let mut server = Server::with(Config { end_on_timeout: true, ..config(true) });
    let told = server.hears(&stream(PHONE, 7), &subscribe(1, "", PRESENCE));

    server.flow_is_gone(&told[1]);

    assert_eq!(server.subscriptions(), 1);
    assert_eq!(server.pass(33_000).len(), 1);
}

#[test]
fn a_481_to_the_first_notify_of_a_dialog_is_believed_only_the_second_time() {
    let mut server = Server::open();
    let told = server.hears(&udp(PHONE), &subscribe(1, "", PRESENCE));

    assert!(server.replies(&udp(PHONE), &told[1], 481).is_empty());
    let again = server.pass(1_000);
    assert_eq!(notifies(&again).len(), 1, "the 200 has arrived by now");
    assert!(cseq(&again[0]) > cseq(&told[1]));
    server.replies(&udp(PHONE), &again[0], 481);

    let refresh = server.answers(&udp(PHONE), &subscribe(2, &to_tag(&told[0]), PRESENCE));
    assert_eq!(refresh.status(), Some(481));
    assert!(server.pass(120_000).is_empty(), "nothing more is sent");
}

#[test]
fn a_watcher_that_never_answers_is_tried_ever_more_seldom() {
    let mut server = Server::open();
    server.hears(&udp(PHONE), &subscribe(1, "", "Event: presence\nExpires: 86400\n"));
    let sent = |server: &mut Server| -> usize { (0..600).map(|_| server.pass(1_000).len()).sum() };

    let (first, later) = (sent(&mut server), (0..3).map(|_| sent(&mut server)).last().unwrap());

    assert!(later < first, "{later} in the last ten minutes, {first} in the first");
    assert_eq!(server.subscriptions(), 1);
}

#[test]
fn phones_that_come_back_under_a_new_call_id_leave_what_expires_by_itself() {
    let mut server = Server::open();
    for call in 0..100 {
        let request = subscribe(1, "", "Event: presence\nExpires: 60\n")
            .replace("Call-ID: watch", &format!("Call-ID: watch-{call}"))
            .replace("bKs1", &format!("bKs{call}x"));
        let told = server.hears(&udp(PHONE), &request);
        server.replies(&udp(PHONE), &told[1], 200);
    }
    assert_eq!(server.subscriptions(), 100);

    for _ in 0..130 {
        for notify in server.pass(1_000) {
            server.replies(&udp(PHONE), &notify, 200);
        }
    }

    assert_eq!(server.subscriptions(), 0);
}

#[test]
fn a_notify_goes_over_the_connection_of_its_watcher_and_no_other() {
    let mut server = Server::open();
    let second = subscribe(1, "", PRESENCE).replace("Call-ID: watch", "Call-ID: other");
    for (leg, request) in [(stream(PHONE, 7), subscribe(1, "", PRESENCE)), (stream(PHONE, 8), second)] {
        let told = server.hears(&leg, &request);
        server.replies(&leg, &told[1], 200);
    }

    let mut legs = server.legs(&udp(PUBLISHER), &publish(1, PRESENCE, OPEN));

    legs.sort_by_key(|leg| leg.connection);
    assert_eq!(legs, [udp(PUBLISHER), stream(PHONE, 7), stream(PHONE, 8)]);
}

#[test]
fn a_flood_of_subscribes_without_credentials_leaves_nothing() {
    let mut server = Server::asking();
    for call in 0..2_000 {
        let request = subscribe(1, "", "Event: presence\n")
            .replace("Call-ID: watch", &format!("Call-ID: c{call}"))
            .replace("bKs1", &format!("bKf{call}"));
        assert_eq!(statuses(&server.hears(&udp(PHONE), &request)), [401]);
    }

    assert_eq!(server.subscriptions(), 0);
    assert!(server.pass(60_000).is_empty());
}
