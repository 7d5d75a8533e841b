//! The conversations of real clients, in their own way of writing, answered as each of them needs.
//!
//! The messages are written after what was captured from the client that names the test, with other names and addresses:
//! order of headers, odd spaces and what is left out are the client's.

use std::path::Path;

use sip::digest::Algorithm;
use sip::{Message, Name};

use crate::phone::{OPEN, PHONE, body, header, login, response, statuses, text, to_tag};
use crate::server::{Server, stream, udp, websocket};

/// The nonce of a challenge, and what the client answers to it.
fn md5(challenged: &Message, user: &str, method: &str, uri: &str) -> (String, String) {
    assert_eq!(challenged.status(), Some(401), "{}", text(challenged));
    let login = login(challenged, Algorithm::Md5, user, method, uri, "00000001");
    (login.nonce, login.response)
}

fn etag(answer: &Message) -> &str {
    assert_eq!(answer.status(), Some(200), "{}", text(answer));
    header(answer, Name::SipEtag)
}

/// Linphone writes the length only where there is a body, and two blanks where one would do.
fn linphone(method: &str, target: &str, to: &str, cseq: u32, more: &str, body: &str) -> String {
    let length = if body.is_empty() { "" } else { "Content-Length: ?\n" };
    format!(
        "{method} {target} SIP/2.0\n\
         Via: SIP/2.0/UDP 10.1.0.5:5070;branch=z9hG4bK.{method}{cseq};rport\n\
         From: \"Ann\" <sip:ann@lab.test>;tag=f{method}\n\
         To: {to}\n\
         CSeq: {cseq} {method}\n\
         Call-ID: lin{method}\n\
         Max-Forwards: 70\n\
         Route: <sip:192.0.2.1:5060;transport=udp;lr>\n\
         Supported: replaces, outbound, gruu\n\
         {more}{length}User-Agent: Linphonec/5.1.65\n\n{body}"
    )
}

fn linphone_login(name: &str, nonce: &str, method: &str, uri: &str, nc: &str) -> String {
    let response = response(nonce, Algorithm::Md5, "ann", method, uri, nc);
    format!(
        "{name}:  Digest realm=\"lab.test\", nonce=\"{nonce}\", username=\"ann\",  uri=\"{uri}\", \
         response=\"{response}\", cnonce=\"c\", nc={nc}, qop=auth\n"
    )
}

const BEN: &str = "\"Ben\" <sip:ben@lab.test>";
const ANN: &str = "\"Ann\" <sip:ann@lab.test>";
const LINPHONE_CONTACT: &str =
    "Contact: <sip:ann@10.1.0.5:5070;transport=udp>;expires=300;+sip.instance=\"<urn:uuid:1f0c2a>\"\n";

#[test]
fn linphone_uses_one_nonce_for_everything_volunteers_credentials_and_leaves_lengths_out() {
    let mut server = Server::asking();
    let leg = udp(PHONE);
    let registration = format!("{LINPHONE_CONTACT}Expires: 300\n");
    let challenge = server.answers(&leg, &linphone("REGISTER", "sip:lab.test", ANN, 20, &registration, ""));
    let (nonce, _) = md5(&challenge, "ann", "REGISTER", "sip:lab.test");
    let authorized = linphone_login("Authorization", &nonce, "REGISTER", "sip:lab.test", "00000001");
    let registered =
        linphone("REGISTER", "sip:lab.test", ANN, 21, &format!("{registration}{authorized}"), "");
    assert_eq!(server.answers(&leg, &registered).status(), Some(200));

    // In Proxy-Authorization, before it was ever asked, twice under one count.
    let watched = linphone_login("Proxy-Authorization", &nonce, "SUBSCRIBE", "sip:ben@lab.test", "00000002");
    let subscribe = format!("Event: presence\nExpires: 120\n{LINPHONE_CONTACT}{watched}");
    let told = server.hears(&leg, &linphone("SUBSCRIBE", "sip:ben@lab.test", BEN, 20, &subscribe, ""));
    assert_eq!(statuses(&told), [200]);
    assert_eq!(header(&told[1], Name::ContentType), "application/pidf+xml", "it sends no Accept");
    assert_eq!(told[1].request_uri(), "sip:ann@10.1.0.5:5070;transport=udp");
    server.replies(&leg, &told[1], 200);

    let published = linphone_login("Proxy-Authorization", &nonce, "PUBLISH", "sip:ann@lab.test", "00000004");
    let document = OPEN.replace("sip:alice@", "sip:ann@");
    let more = format!("Event: presence\nContent-Type: application/pidf+xml\nExpires: 120\n{published}");
    let answer = server.answers(&leg, &linphone("PUBLISH", "sip:ann@lab.test", ANN, 20, &more, &document));
    let removal = format!("Event: presence\nExpires: 0\nSIP-If-Match: {}\n{published}", etag(&answer));
    let removed = server.answers(&leg, &linphone("PUBLISH", "sip:ann@lab.test", ANN, 22, &removal, ""));
    assert_eq!(removed.status(), Some(200), "no Content-Length, no body, and yet it is removed");
}

#[test]
fn linphone_forgets_its_dialog_and_answers_the_last_notify_481() {
    let mut server = Server::open();
    let leg = udp(PHONE);
    let more = |expires| format!("Event: presence\nExpires: {expires}\n{LINPHONE_CONTACT}");
    let told = server.hears(&leg, &linphone("SUBSCRIBE", "sip:ben@lab.test", BEN, 20, &more(120), ""));
    server.replies(&leg, &told[1], 200);
    let ben = format!("{BEN};tag={}", to_tag(&told[0]));

    let told = server.hears(&leg, &linphone("SUBSCRIBE", "sip:192.0.2.1:5060", &ben, 22, &more(0), ""));

    assert_eq!(statuses(&told), [200]);
    assert!(server.replies(&leg, &told[1], 481).is_empty());
    assert!(server.pass(120_000).is_empty(), "nothing is sent again");
}

#[test]
fn linphone_names_itself_by_a_gruu_and_is_notified_over_its_flow() {
    let contact = "Contact: <sip:ann@lab.test;gr=urn:uuid:1f0c2a>\n";
    let more = format!("Event: presence\nExpires: 120\n{contact}");
    let mut server = Server::open();
    let request = linphone("SUBSCRIBE", "sip:ben@lab.test", BEN, 20, &more, "");

    let told = server.hears(&udp(PHONE), &request);

    assert_eq!(told[1].request_uri(), "sip:ann@lab.test;gr=urn:uuid:1f0c2a");
    let again = request.replace("Call-ID: lin", "Call-ID: another-").replace("z9hG4bK.", "z9hG4bK.again");
    assert_eq!(server.legs(&udp(PHONE), &again), [udp(PHONE); 2]);
}

#[test]
fn linphone_asks_for_a_list_and_hears_plainly_that_there_is_none() {
    let more = "Event: presence\nExpires: 3600\nContent-Type: application/resource-lists+xml\n\
        Content-Encoding: deflate\nRequire: recipient-list-subscribe\nAccept: multipart/related\n\
        Accept: application/pidf+xml\nAccept: application/rlmi+xml\nContent-Disposition: recipient-list\n\
        Contact: <sip:ann@10.1.0.5:5070;transport=udp>\n";
    let request = linphone("SUBSCRIBE", "sip:rls@lab.test", "sip:rls@lab.test", 20, more, "packed");
    let mut server = Server::open();

    let answer = server.answers(&udp(PHONE), &request);

    assert_eq!(answer.status(), Some(420));
    assert_eq!(answer.extension("Unsupported"), Some(&b"recipient-list-subscribe"[..]));
    assert_eq!(server.subscriptions(), 0, "and is not taken for a watcher of the list's name");
}

#[test]
fn baresip_publishes_under_new_call_ids_and_only_the_entity_tag_links_them() {
    let request = |cseq: u32, more: &str, body: &str| {
        let content = if body.is_empty() { "" } else { "Content-Type: application/pidf+xml\n" };
        format!(
            "PUBLISH sip:cay@lab.test SIP/2.0\n\
             Via: SIP/2.0/UDP 10.1.0.6:5071;branch=z9hG4bK{cseq};rport\n\
             Max-Forwards: 70\n\
             {more}Route: <sip:192.0.2.1:5060;transport=udp;lr>\n\
             To: <sip:cay@lab.test>\n\
             From: <sip:cay@lab.test>;tag=t{cseq}\n\
             Call-ID: bare{cseq}\n\
             CSeq: {cseq} PUBLISH\n\
             User-Agent: baresip v1.0.0 (x86_64/linux)\n\
             {content}Event: presence\nContent-Length: ?\n\n{body}"
        )
    };
    let document = r#"<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:cay@lab.test"><dm:person id="p1"><rpid:activities/></dm:person><tuple id="t1"><status><basic>open</basic></status></tuple></presence>"#;
    let mut server = Server::asking();
    let leg = udp(PHONE);
    let login = |server: &mut Server, cseq, more: &str, body: &str| {
        let challenge = server.answers(&leg, &request(cseq, more, body));
        let (nonce, response) = md5(&challenge, "cay", "PUBLISH", "sip:cay@lab.test");
        let credentials = format!(
            "Authorization: Digest username=\"cay\", realm=\"lab.test\", nonce=\"{nonce}\", \
             uri=\"sip:cay@lab.test\", response=\"{response}\", cnonce=\"c\", qop=auth, nc=00000001\n"
        );
        server.answers(&leg, &request(cseq + 1, &format!("{credentials}{more}"), body))
    };

    let first = login(&mut server, 11, "Expires: 60\n", document);
    let changed = format!("Expires: 60\nSIP-If-Match: {}\n", etag(&first));
    let second = login(&mut server, 501, &changed, &document.replace("open", "closed"));
    let removal = format!("Expires: 0\nSIP-If-Match: {}\n", etag(&second));
    let third = login(&mut server, 77, &removal, "");

    assert_eq!(
        [first, second, third].map(|answer| answer.status()),
        [Some(200); 3],
        "a person before its tuple"
    );
}

/// Baresip's SUBSCRIBE, for presence or a mailbox.
fn baresip_subscribe(call: u32, event: &str) -> String {
    format!(
        "SUBSCRIBE sip:ben@lab.test SIP/2.0\n\
         Via: SIP/2.0/UDP 10.1.0.6:5071;branch=z9hG4bKs{call};rport\n\
         Contact: <sip:cay-0x55a4@10.1.0.6:5071>\n\
         Max-Forwards: 70\n\
         Route: <sip:192.0.2.1:5060;transport=udp;lr>\n\
         To: <sip:ben@lab.test>\n\
         From: <sip:cay@lab.test>;tag=s{call}\n\
         Call-ID: bare{call}\n\
         CSeq: 59936 SUBSCRIBE\n\
         User-Agent: baresip v1.0.0 (x86_64/linux)\n\
         Event: {event}\n\
         Expires: 600\n\
         Supported: \n\
         Content-Length: 0\n\n"
    )
}

#[test]
fn baresip_says_supported_and_nothing_after_it_and_is_shown_pidf() {
    let told = Server::open().hears(&udp(PHONE), &baresip_subscribe(1, "presence"));

    assert_eq!((statuses(&told), header(&told[0], Name::Expires)), (vec![200], "600"));
    assert_eq!(told[1].request_uri(), "sip:cay-0x55a4@10.1.0.6:5071");
    assert_eq!(header(&told[1], Name::ContentType), "application/pidf+xml");
}

#[test]
fn baresip_asks_for_a_mailbox_without_end_and_leaves_nothing() {
    let mut server = Server::asking();

    for call in 0..500 {
        let answer = server.answers(&udp(PHONE), &baresip_subscribe(call, "message-summary"));
        assert_eq!((answer.status(), header(&answer, Name::AllowEvents)), (Some(489), "presence"));
    }

    assert_eq!(server.subscriptions(), 0);
}

#[test]
fn pjsua_publishes_without_expires_under_new_ids_and_hears_the_lifetime_it_got() {
    let request = |cseq: u32, more: &str, body: &str| {
        let content = if body.is_empty() { "" } else { "Content-Type: application/pidf+xml\n" };
        format!(
            "PUBLISH sip:eve@lab.test SIP/2.0\n\
             Via: SIP/2.0/UDP 10.1.0.7:5072;rport;branch=z9hG4bKPj{cseq}\n\
             Route: <sip:192.0.2.1:5060;transport=udp;lr>\n\
             Max-Forwards: 70\n\
             From: \"Eve\" <sip:eve@lab.test>;tag=p{cseq}\n\
             To: \"Eve\" <sip:eve@lab.test>\n\
             Call-ID: pj\n\
             CSeq: {cseq} PUBLISH\n\
             Event: presence\n\
             {more}{content}Content-Length:  {}\n\n{body}",
            body.len()
        )
    };
    let document = |id: u32| {
        format!(
            r#"<presence entity="sip:eve@lab.test" xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid"><tuple id="pj{id}"><status><basic>open</basic></status><timestamp>2026-11-21T02:04:35.917Z</timestamp><note>in a meeting</note></tuple><dm:person id="pjp{id}"><rpid:activities><rpid:busy /></rpid:activities></dm:person></presence>"#
        )
    };
    let mut server = Server::open();
    let leg = udp(PHONE);
    let subscribe = "SUBSCRIBE sip:eve@lab.test SIP/2.0\n\
        Via: SIP/2.0/UDP 10.1.0.7:5072;rport;branch=z9hG4bKPjs\n\
        Max-Forwards: 70\n\
        From: \"Eve\" <sip:eve@lab.test>;tag=w\n\
        To: sip:eve@lab.test\n\
        Contact: \"Eve\" <sip:eve@10.1.0.7:5072;ob>\n\
        Call-ID: pjw\n\
        CSeq: 15696 SUBSCRIBE\n\
        Route: <sip:192.0.2.1:5060;transport=udp;lr>\n\
        Event: presence\n\
        Expires: 600\n\
        Supported: replaces, 100rel, timer, norefersub, trickle-ice\n\
        Accept: application/pidf+xml, application/xpidf+xml\n\
        Allow-Events: presence, dialog, message-summary, refer\n\
        Content-Length:  0\n\n";
    let told = server.hears(&leg, subscribe);
    assert_eq!(told[1].request_uri(), "sip:eve@10.1.0.7:5072;ob");
    server.replies(&leg, &told[1], 200);

    let told = server.hears(&leg, &request(1, "", &document(1)));
    assert_eq!(header(&told[0], Name::Expires), "3600");
    server.replies(&leg, &told[1], 200);
    let change = format!("SIP-If-Match: {}\n", etag(&told[0]));
    let told = server.hears(&leg, &request(2, &change, &document(2)));

    assert_eq!(statuses(&told), [200]);
    let shown = body(&told[1]);
    assert_eq!((shown.matches("<tuple ").count(), shown.contains("in a meeting")), (1, true), "{shown}");
    let removal = format!("SIP-If-Match: {}\nExpires: 0\n", etag(&told[0]));
    assert_eq!(server.hears(&leg, &request(3, &removal, ""))[0].status(), Some(200));
}

/// A browser's request: no address, no rport, no Accept.
fn browser(method: &str, to: &str, cseq: u32, hops: u32, agent: &str, more: &str) -> String {
    format!(
        "{method} sip:ben@lab.test SIP/2.0\n\
         Via: SIP/2.0/WS e61n.invalid;branch=z9hG4bK{method}{cseq}\n\
         To: <sip:ben@lab.test>{to}\n\
         From: \"dee\" <sip:dee@lab.test>;tag=54d7\n\
         CSeq: {cseq} {method}\n\
         Call-ID: inbg7\n\
         Max-Forwards: {hops}\n\
         Allow: ACK,BYE,CANCEL,INFO,INVITE,MESSAGE,NOTIFY,OPTIONS,PRACK,REFER,REGISTER,SUBSCRIBE\n\
         Event: presence\n\
         Contact: <sip:qtgg@e61n.invalid;transport=ws>\n\
         {more}User-Agent: {agent}\n\
         Content-Length: 0\n\n"
    )
}

#[test]
fn browsers_are_challenged_let_in_notified_over_their_socket_and_let_go() {
    for (agent, hops, supported) in [
        ("SIP.js/0.21.1", 70, "Supported: eventlist\nSupported: outbound\n"),
        ("JsSIP 3.13.8", 69, "Supported: outbound\n"),
    ] {
        let mut server = Server::asking();
        let socket = websocket(PHONE, 3);
        let more = |expires: u32| format!("Expires: {expires}\n{supported}");
        let challenge = server.answers(&socket, &browser("SUBSCRIBE", "", 1, hops, agent, &more(120)));
        let (nonce, response) = md5(&challenge, "dee", "SUBSCRIBE", "sip:ben@lab.test");
        let credentials = format!(
            "Authorization: Digest algorithm=MD5, username=\"dee\", realm=\"lab.test\", nonce=\"{nonce}\", \
             uri=\"sip:ben@lab.test\", response=\"{response}\", qop=auth, cnonce=\"c\", nc=00000001\n"
        );
        let request = browser("SUBSCRIBE", "", 2, hops, agent, &format!("{credentials}{}", more(120)));

        let told = server.hears(&socket, &request);

        assert_eq!(statuses(&told), [200], "{agent}");
        let notify = &told[1];
        assert_eq!(notify.request_uri(), "sip:qtgg@e61n.invalid;transport=ws");
        assert_eq!(
            (notify.headers(Name::Contact).count(), notify.headers(Name::SubscriptionState).count()),
            (1, 1)
        );
        server.replies(&socket, notify, 200);
        let to = format!(";tag={}", to_tag(&told[0]));
        let told = server.hears(&socket, &browser("SUBSCRIBE", &to, 3, hops, agent, &more(0)));
        assert_eq!(statuses(&told), [200], "{agent}: the dialog on its own socket needs no password again");
        assert_eq!(header(&told[1], Name::SubscriptionState), "terminated;reason=timeout");
    }
}

#[test]
fn sipp_writes_the_servers_address_as_the_digests_uri_and_no_blanks() {
    let request = |cseq: u32, more: &str| {
        format!(
            "SUBSCRIBE sip:ben@lab.test SIP/2.0\n\
             Via: SIP/2.0/UDP 10.1.0.9:5073;branch=z9hG4bK-1-{cseq};rport\n\
             Max-Forwards: 70\n\
             From: <sip:ann@lab.test>;tag=1u1\n\
             To: <sip:ben@lab.test>\n\
             Call-ID: 1-1@10.1.0.9\n\
             CSeq: {cseq} SUBSCRIBE\n\
             Event: presence\n\
             Contact: <sip:ann@10.1.0.9:5073;transport=UDP>\n\
             Accept: application/pidf+xml\n\
             Expires: 120\n\
             {more}Content-Length: 0\n\n"
        )
    };
    let mut server = Server::asking();
    let challenge = server.answers(&udp(PHONE), &request(1, ""));
    let (nonce, response) = md5(&challenge, "ann", "SUBSCRIBE", "sip:192.0.2.1:5060");
    let credentials = format!(
        "Authorization: Digest username=\"ann\",realm=\"lab.test\",cnonce=\"c\",nc=00000001,qop=auth,\
         uri=\"sip:192.0.2.1:5060\",nonce=\"{nonce}\",response=\"{response}\",algorithm=MD5\n"
    );

    let told = server.hears(&udp(PHONE), &request(2, &credentials));

    assert_eq!(statuses(&told), [200]);
}

/// Captured word for word. What quotes a dialog or an entity-tag of the server it was captured with is refused as such.
#[test]
fn every_captured_request_is_served_or_refused_for_what_it_asks() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/captures/messages");
    let clients = std::fs::read_dir(captures).into_iter().flatten().flatten();
    for file in clients.flat_map(|client| std::fs::read_dir(client.path()).into_iter().flatten().flatten()) {
        let path = file.path();
        let bytes = std::fs::read(&path).unwrap();
        let expected = match String::from_utf8_lossy(&bytes) {
            text if text.starts_with("SIP/2.0") || text.starts_with("NOTIFY") => continue,
            text if text.contains("recipient-list-subscribe") => 420,
            text if !text.starts_with("REGISTER") && !text.contains("Event: presence\r\n") => 489,
            text if text.contains("SIP-If-Match:") => 412,
            text if text.lines().any(|line| line.starts_with("To:") && line.contains(";tag=")) => 481,
            _ => 200,
        };

        let status = statuses(&Server::open().hears_bytes(&stream(PHONE, 1), bytes.into()))[0];

        assert_eq!(status, expected, "{}", path.display());
    }
}
