//! What one account and one address may have of a server that serves many.

use presence_agent::config::Limits;
use presence_agent::{Config, Rate};
use sip::digest::Algorithm;
use sip::{Message, Name};

use crate::phone::{Login, PHONE, login, publish, response, statuses, subscribe};
use crate::server::{Server, config, udp};

const URI: &str = "sip:alice@lab.test";
const NEIGHBOUR: &str = "198.51.100.99:5062";

#[test]
fn an_account_that_asks_too_often_is_told_when_to_come_again_and_others_are_served() {
    let rate = Rate { per_second: 1, burst: 3, accounts: 16 };
    let mut server = with(Limits { requests_per_account: rate, ..Limits::default() });
    let nonce = nonce(&mut server);
    for call in 0..3 {
        assert_eq!(begin(&mut server, PHONE, &nonce, "bob", call).status(), Some(200));
    }

    let refused = begin(&mut server, PHONE, &nonce, "bob", 3);

    assert_eq!((refused.status(), refused.extension("Retry-After")), (Some(480), Some(&b"1"[..])));
    assert_eq!(server.subscriptions(), 3);
    assert_eq!(begin(&mut server, PHONE, &nonce, "carol", 4).status(), Some(200));
    server.pass(1_000);
    assert_eq!(begin(&mut server, PHONE, &nonce, "bob", 5).status(), Some(200));
}

#[test]
fn who_proves_nothing_uses_up_nobodys_rate() {
    let rate = Rate { per_second: 1, burst: 1, accounts: 16 };
    let mut server = with(Limits { requests_per_account: rate, ..Limits::default() });
    let nonce = nonce(&mut server);
    for call in 0..50 {
        let forged = request(&nonce, "bob", call).replace("response=\"", "response=\"0");
        assert_eq!(statuses(&server.hears(&udp(NEIGHBOUR), &forged)), [403]);
    }

    assert_eq!(begin(&mut server, PHONE, &nonce, "bob", 50).status(), Some(200));
}

#[test]
fn an_address_that_holds_too_many_subscriptions_gets_no_more_until_one_ends() {
    let mut server = with(Limits { subscriptions_per_source: 2, ..Limits::default() });
    let nonce = nonce(&mut server);
    let first = begin(&mut server, PHONE, &nonce, "bob", 0);
    assert_eq!(begin(&mut server, PHONE, &nonce, "carol", 1).status(), Some(200));

    let refused = begin(&mut server, PHONE, &nonce, "dave", 2);

    assert_eq!(refused.status(), Some(480));
    assert!(refused.extension("Retry-After").is_some());
    assert_eq!(begin(&mut server, NEIGHBOUR, &nonce, "dave", 3).status(), Some(200));
    let end = request(&nonce, "bob", 0)
        .replace("To: <sip:alice@lab.test>", &format!("To: <sip:alice@lab.test>;tag={}", tag(&first)))
        .replace("Expires: 600", "Expires: 0")
        .replace("CSeq: 1 ", "CSeq: 2 ")
        .replace("bKs0", "bKe0");
    assert_eq!(statuses(&server.hears(&udp(PHONE), &end)), [200]);
    assert_eq!(begin(&mut server, PHONE, &nonce, "dave", 4).status(), Some(200));
}

#[test]
fn a_document_that_is_nested_too_deep_is_refused_with_the_reason() {
    let deep = |levels: usize| {
        let (open, close) = ("<note>".repeat(levels), "</note>".repeat(levels));
        format!("<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{URI}\">{open}{close}</presence>")
    };
    let mut server = Server::open();

    let told = server.hears(&udp(PHONE), &publish(1, "Event: presence\nExpires: 600\n", &deep(40)));

    assert_eq!(statuses(&told), [400]);
    let warning = String::from_utf8_lossy(told[0].extension("Warning").unwrap()).into_owned();
    assert!(warning.contains("nested"), "{warning}");
}

fn with(limits: Limits) -> Server {
    Server::with(Config { limits, ..config(false) })
}

fn nonce(server: &mut Server) -> String {
    let challenged = server.answers(&udp(PHONE), &subscribe(1, "", "Event: presence\n"));
    let Login { nonce, .. } = login(&challenged, Algorithm::Md5, "bob", "SUBSCRIBE", URI, "00000001");
    nonce
}

/// Begins a dialog of this number; the answer.
fn begin(server: &mut Server, from: &str, nonce: &str, user: &str, call: u32) -> Message {
    let mut told = server.hears(&udp(from), &request(nonce, user, call));
    let answer = told.remove(0);
    for notify in told {
        server.replies(&udp(from), &notify, 200);
    }
    answer
}

fn request(nonce: &str, user: &str, call: u32) -> String {
    let response = response(nonce, Algorithm::Md5, user, "SUBSCRIBE", URI, "00000001");
    let more = format!(
        "Event: presence\nExpires: 600\nAuthorization: Digest username=\"{user}\", realm=\"lab.test\", \
         nonce=\"{nonce}\", uri=\"{URI}\", response=\"{response}\", cnonce=\"c\", nc=00000001, qop=auth\n"
    );
    subscribe(1, "", &more)
        .replace("<sip:bob@lab.test>", &format!("<sip:{user}@lab.test>"))
        .replace("Call-ID: watch", &format!("Call-ID: c{call}"))
        .replace("bKs1", &format!("bKs{call}"))
}

fn tag(answer: &Message) -> String {
    let to = answer.text(Name::To).expect("an answer has it");
    to.split("tag=").nth(1).expect("it begins a dialog").to_owned()
}
