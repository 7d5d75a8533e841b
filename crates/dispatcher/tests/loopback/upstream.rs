//! What is not ours on its way to the upstream and back, over sockets.

use dispatcher::upstream::locate::Destination;
use dispatcher::{Config, Upstream};
use sip::{Message, Method, Name, ResponseWriter};
use tokio::net::TcpListener;

use crate::nameserver::NameServer;
use crate::support::{FakeManager, Phone, Running, Stream, config, loopback, ok, request, soon};

#[tokio::test]
async fn a_registration_is_relayed_over_udp_and_everything_else_is_not() {
    let mut manager = FakeManager::start().await;
    let registrar = Phone::new().await;
    let mut server = Running::start(before(&manager, &registrar.address().to_string())).await;
    server.live().await;
    let mut phone = Stream::connect(server.public).await;

    phone.write(request(Method::Register, "TCP", phone.address(), "1")).await;
    let (register, from) = registrar.receive().await;
    assert_eq!((register.method(), from), (Method::Register, server.public));
    registrar.send(ResponseWriter::new(&register, 401).to_tag("r").finish(), from).await;
    let answer = phone.receive().await;
    assert_eq!((answer.status(), answer.vias().count()), (Some(401), 1));

    phone.write(request(Method::Publish, "TCP", phone.address(), "2")).await;
    assert_eq!(manager.receive().await.method(), Method::Publish);
}

#[tokio::test]
async fn a_registration_is_relayed_over_tcp() {
    let manager = FakeManager::start().await;
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let uri = format!("sip:{};transport=tcp", listener.local_addr().unwrap());
    let server = Running::start(before(&manager, &uri)).await;
    let phone = Phone::new().await;

    phone.send(request(Method::Register, "UDP", phone.address(), "1"), server.public).await;
    let mut registrar = Stream::new(soon(listener.accept()).await.unwrap().0);
    let register = registrar.receive().await;
    registrar.write(ok(&register)).await;

    assert_eq!(phone.receive().await.0.status(), Some(200));
}

#[tokio::test]
async fn an_answer_in_which_two_may_be_read_does_not_reach_the_upstream() {
    let manager = FakeManager::start().await;
    let (upstream, phone) = (Phone::new().await, Phone::new().await);
    let server = Running::start(before(&manager, &upstream.address().to_string())).await;
    let register = request(Method::Register, "UDP", phone.address(), "1");
    phone.send(register.replacen("\r\n", "\r\nSupported: path\r\n", 1), server.public).await;
    let (register, us) = upstream.receive().await;
    let path = register.values(Name::Path).next().map(|path| String::from_utf8_lossy(path).into_owned());
    let route = path.expect("the dispatcher is on the Path");
    let options = |branch: &str| {
        let text = format!(
            "OPTIONS sip:bob@{} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK{branch}\r\nRoute: {route}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:u@v>;tag=1\r\nTo: <sip:bob@v>\r\nCall-ID: {branch}\r\nCSeq: 1 OPTIONS\r\n\
             Content-Length: 0\r\n\r\n",
            phone.address(),
            upstream.address()
        );
        Message::parse(text.into(), &Default::default()).unwrap()
    };
    for branch in ["a", "b"] {
        upstream.send(options(branch).bytes().clone(), us).await;
    }
    let [(first, us), (second, _)] = [phone.receive().await, phone.receive().await];

    let twice = String::from_utf8(ok(&first).to_vec()).unwrap().replace("\r\n\r\n", "\r\nl: 30\r\n\r\n");
    phone.send(format!("{twice}BYE sip:a SIP/2.0\r\nVia: x\r\n\r\n"), us).await;
    phone.send(ok(&second), us).await;

    assert_eq!(upstream.receive().await.0.call_id(), second.call_id());
}

#[tokio::test]
async fn an_answer_to_a_registration_counts_only_from_the_registrar() {
    let manager = FakeManager::start().await;
    let (registrar, stranger, phone) = (Phone::new().await, Phone::new().await, Phone::new().await);
    let server = Running::start(before(&manager, &registrar.address().to_string())).await;
    phone.send(request(Method::Register, "UDP", phone.address(), "1"), server.public).await;
    let (register, _) = registrar.receive().await;

    stranger.send(ResponseWriter::new(&register, 403).finish(), server.public).await;
    registrar.send(ok(&register), server.public).await;

    assert_eq!(phone.receive().await.0.status(), Some(200));
}

#[tokio::test]
async fn a_call_and_all_that_follows_it_pass_between_phone_and_upstream() {
    let manager = FakeManager::start().await;
    let (upstream, phone) = (Phone::new().await, Phone::new().await);
    let server = Running::start(before(&manager, &upstream.address().to_string())).await;
    let us = server.public;

    let invite = request(Method::Invite, "UDP", phone.address(), "1");
    phone.send(&invite, us).await;
    let (call, from) = upstream.receive().await;
    assert_eq!((call.method(), from, call.vias().count()), (Method::Invite, us, 2));
    for status in [100, 180] {
        upstream.send(ResponseWriter::new(&call, status).to_tag("u").finish(), us).await;
        assert_eq!(phone.receive().await.0.status(), Some(status));
    }
    // A repeat of the phone goes the same way, as the same transaction.
    phone.send(&invite, us).await;
    assert_eq!(upstream.receive().await.0.via().unwrap().branch, call.via().unwrap().branch);

    phone.send(following(&invite, "CANCEL", "", "z9hG4bK1", ""), us).await;
    let (cancel, _) = upstream.receive().await;
    assert_eq!((cancel.method(), cancel.via().unwrap().branch), (Method::Cancel, call.via().unwrap().branch));
    upstream.send(ok(&cancel), us).await;
    assert_eq!(phone.receive().await.0.method(), Method::Cancel);
    upstream.send(ResponseWriter::new(&call, 487).to_tag("u").finish(), us).await;
    assert_eq!(phone.receive().await.0.status(), Some(487));
    phone.send(following(&invite, "ACK", "u", "z9hG4bK1", ""), us).await;
    let (ack, _) = upstream.receive().await;
    assert_eq!((ack.method(), ack.via().unwrap().branch), (Method::Ack, call.via().unwrap().branch));

    let second = request(Method::Invite, "UDP", phone.address(), "2");
    phone.send(&second, us).await;
    let (call, _) = upstream.receive().await;
    let contact = "<sip:callee@203.0.113.9>";
    let answer =
        ResponseWriter::new(&call, 200).to_tag("u").copy(Name::RecordRoute).header("Contact", contact);
    upstream.send(answer.finish(), us).await;
    let (answer, _) = phone.receive().await;
    let routes: Vec<_> = answer.values(Name::RecordRoute).map(String::from_utf8_lossy).collect();
    let mut to_upstream = routes.clone();
    to_upstream.reverse();
    for (method, branch) in [("ACK", "z9hG4bKack"), ("BYE", "z9hG4bKbye")] {
        let route = format!("Route: {}\r\n", to_upstream.join(", "));
        let text = following(&second, method, "u", branch, &route)
            .replace("sip:bob@lab.test SIP", "sip:callee@203.0.113.9 SIP");
        phone.send(text, us).await;
        let (message, _) = upstream.receive().await;
        assert_eq!((message.method_text(), message.header(Name::Route)), (method, None));
        assert_eq!(message.request_uri(), "sip:callee@203.0.113.9");
        if method == "BYE" {
            upstream.send(ok(&message), us).await;
            assert_eq!(phone.receive().await.0.status(), Some(200));
        }
    }

    // The other side may hang up as well: its Route begins with the flow.
    let bye = format!(
        "BYE sip:alice@{} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKu1;rport\r\nRoute: {}\r\nMax-Forwards: 70\r\n\
         From: <sip:bob@lab.test>;tag=u\r\nTo: <sip:alice@lab.test>;tag=a\r\nCall-ID: 2\r\nCSeq: 1 BYE\r\n\
         Content-Length: 0\r\n\r\n",
        phone.address(),
        upstream.address(),
        routes.join(", ")
    );
    upstream.send(bye, us).await;
    let (bye, from) = phone.receive().await;
    assert_eq!((bye.method(), from, bye.header(Name::Route)), (Method::Bye, us, None));
    phone.send(ok(&bye), us).await;
    let (answer, _) = upstream.receive().await;
    assert_eq!((answer.status(), answer.vias().count()), (Some(200), 1));
}

#[tokio::test]
async fn the_upstream_reaches_a_registered_phone_by_its_path() {
    let manager = FakeManager::start().await;
    let upstream = Phone::new().await;
    let server = Running::start(before(&manager, &upstream.address().to_string())).await;
    let mut phone = Stream::connect(server.public).await;
    let register = request(Method::Register, "TCP", phone.address(), "1");

    phone.write(register.replace("Event: presence", "Supported: path, outbound")).await;
    let (register, from) = upstream.receive().await;
    upstream.send(ok(&register), from).await;
    assert_eq!(phone.receive().await.status(), Some(200));
    let path = String::from_utf8(register.extension("Path").unwrap().to_vec()).unwrap();
    let call = request(Method::Invite, "UDP", upstream.address(), "call")
        .replace("Event: presence", &format!("Route: {path}"));
    upstream.send(call, server.public).await;

    let call = phone.receive().await;
    assert_eq!((call.method(), call.header(Name::Route)), (Method::Invite, None));
    assert_eq!(call.values(Name::RecordRoute).count(), 2);
    phone.write(ResponseWriter::new(&call, 180).to_tag("a").finish()).await;
    assert_eq!(upstream.receive().await.0.status(), Some(180));
}

#[tokio::test]
async fn the_next_server_takes_over_when_one_refuses_or_can_not_be_reached() {
    let manager = FakeManager::start().await;
    let dns = NameServer::start().await;
    let (busy, good, phone) = (Phone::new().await, Phone::new().await, Phone::new().await);
    let closed = TcpListener::bind(loopback()).await.unwrap().local_addr().unwrap();
    dns.naptr("pbx.test", 1, "SIP+D2T", "_sip._tcp.pbx.test");
    dns.naptr("pbx.test", 2, "SIP+D2U", "_sip._udp.pbx.test");
    dns.srv("_sip._tcp.pbx.test", 1, "host.pbx.test", closed.port());
    dns.srv("_sip._udp.pbx.test", 1, "host.pbx.test", busy.address().port());
    dns.srv("_sip._udp.pbx.test", 2, "host.pbx.test", good.address().port());
    dns.a("host.pbx.test", [127, 0, 0, 1]);
    let mut config = before(&manager, "sip:pbx.test");
    config.upstream.as_mut().unwrap().name_servers = vec![dns.address];
    let server = Running::start(config).await;

    let heard = asked_until_heard(&phone, &busy, &server).await;
    busy.send(ResponseWriter::new(&heard, 503).finish(), server.public).await;
    let (heard, _) = good.receive().await;
    good.send(ok(&heard), server.public).await;

    let status = loop {
        match phone.receive().await.0.status() {
            Some(503) => {}
            status => break status,
        }
    };
    assert_eq!(status, Some(200));
}

#[tokio::test]
async fn who_refuses_a_call_that_the_next_server_takes_hears_our_ack() {
    let manager = FakeManager::start().await;
    let dns = NameServer::start().await;
    let (busy, good, phone) = (Phone::new().await, Phone::new().await, Phone::new().await);
    dns.srv("_sip._udp.pbx.test", 1, "host.pbx.test", busy.address().port());
    dns.srv("_sip._udp.pbx.test", 2, "host.pbx.test", good.address().port());
    dns.a("host.pbx.test", [127, 0, 0, 1]);
    let mut config = before(&manager, "sip:pbx.test;transport=udp");
    config.upstream.as_mut().unwrap().name_servers = vec![dns.address];
    let server = Running::start(config).await;
    let probe = asked_until_heard(&phone, &busy, &server).await;
    busy.send(ok(&probe), server.public).await;

    phone.send(request(Method::Invite, "UDP", phone.address(), "call"), server.public).await;
    let (call, _) = heard_of(Method::Invite, &busy).await;
    busy.send(ResponseWriter::new(&call, 503).to_tag("busy").finish(), server.public).await;

    let (ack, from) = heard_of(Method::Ack, &busy).await;
    assert_eq!((ack.via().unwrap().branch, from), (call.via().unwrap().branch, server.public));
    assert_eq!((ack.to().unwrap().tag(), ack.vias().count()), (Some("busy"), 1));
    assert_eq!(heard_of(Method::Invite, &good).await.0.call_id(), "call");
}

#[tokio::test]
async fn an_upstream_over_tls_or_of_another_family_is_refused_at_the_start() {
    let manager = FakeManager::start().await;

    for (uri, word) in [("sips:192.0.2.1", "TLS"), ("sip:[2001:db8::1]", "2001:db8::1")] {
        let error = dispatcher::Dispatcher::bind(before(&manager, uri)).await.err().unwrap();
        assert!(error.to_string().contains(word), "{error}");
    }
}

fn before(manager: &FakeManager, upstream: &str) -> Config {
    let mut config = config(&[manager]);
    config.domains = vec!["lab.test".to_owned()];
    config.upstream = Some(Upstream::at(Destination::parse(upstream).unwrap()));
    config
}

/// Until the DNS has answered, requests are refused with 503: each of them is another one.
async fn asked_until_heard(phone: &Phone, server: &Phone, running: &Running) -> Message {
    for number in 0.. {
        let text = request(Method::Message, "UDP", phone.address(), &format!("m{number}"));
        phone.send(text, running.public).await;
        tokio::select! {
            heard = server.receive() => return heard.0,
            refused = phone.receive() => assert_eq!(refused.0.status(), Some(503)),
        }
    }
    unreachable!("soon gives up first")
}

/// The next request of this method; the others are repeats of earlier ones.
async fn heard_of(method: Method, server: &Phone) -> (Message, std::net::SocketAddr) {
    loop {
        let heard = server.receive().await;
        if heard.0.method() == method {
            return heard;
        }
    }
}

/// What follows an INVITE: its method and branch are others, and the dialog may have a tag.
fn following(invite: &str, method: &str, tag: &str, branch: &str, more: &str) -> String {
    let to = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
    let call_id = invite.split("Call-ID: ").nth(1).and_then(|rest| rest.split("\r\n").next()).unwrap();
    let cseq = if method == "BYE" { 2 } else { 1 };
    invite
        .replace("INVITE sip", &format!("{method} sip"))
        .replace("CSeq: 1 INVITE", &format!("CSeq: {cseq} {method}"))
        .replace(&format!("branch=z9hG4bK{call_id};"), &format!("branch={branch};"))
        .replace("To: <sip:bob@lab.test>", &format!("To: <sip:bob@lab.test>{to}"))
        .replace("Event: presence\r\n", more)
}
