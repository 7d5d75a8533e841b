//! A whole dispatcher over loopback, between scripted phones and scripted managers.

mod directory;
mod members;
mod nameserver;
mod naming;
mod oversize;
mod secrecy;
mod support;
mod throttle;
mod transports;
mod upstream;
mod upstream_tls;

use std::time::Duration;

use dispatcher::{BindError, Dispatcher, Listener};
use sip::{Method, Name};
use support::{FakeManager, Phone, Running, Stream, config, either, loopback, ok, request, soon};
use tokio::net::{TcpListener, UdpSocket};

// Flows

#[tokio::test]
async fn a_subscription_over_udp_is_answered_and_notified_from_the_listening_port() {
    let mut manager = FakeManager::start().await;
    let server = Running::in_front_of(&[&manager]).await;
    let phone = Phone::new().await;

    phone.send(request(Method::Subscribe, "UDP", phone.address(), "1"), server.public).await;
    let subscribe = manager.receive().await;
    assert_eq!(subscribe.vias().count(), 2);
    assert_eq!(subscribe.values(Name::RecordRoute).count(), 2);

    manager.answer(&subscribe, 200);
    let (answer, from) = phone.receive().await;
    assert_eq!((answer.status(), from, answer.vias().count()), (Some(200), server.public, 1));

    manager.send(manager.notify(&subscribe, "n1"));
    let (notify, from) = phone.receive().await;
    assert_eq!((notify.method(), from), (Method::Notify, server.public));
    assert_eq!(notify.header(Name::Route), None);

    phone.send(ok(&notify), from).await;
    let answer = manager.receive().await;
    assert_eq!((answer.status(), answer.method()), (Some(200), Method::Notify));
    assert_eq!(answer.via().unwrap().branch, Some("z9hG4bKn1"));
}

#[tokio::test]
async fn a_subscription_over_tcp_is_answered_and_notified_on_its_connection() {
    let mut manager = FakeManager::start().await;
    let server = Running::in_front_of(&[&manager]).await;
    let mut phone = Stream::connect(server.public).await;

    phone.write(request(Method::Subscribe, "TCP", phone.address(), "1")).await;
    let subscribe = manager.receive().await;
    manager.answer(&subscribe, 200);
    assert_eq!(phone.receive().await.status(), Some(200));

    manager.send(manager.notify(&subscribe, "n1"));
    let notify = phone.receive().await;
    assert_eq!(notify.via().unwrap().transport, "TCP");
    phone.write(ok(&notify)).await;

    assert_eq!(manager.receive().await.via().unwrap().branch, Some("z9hG4bKn1"));
}

#[tokio::test]
async fn an_ipv6_phone_is_served_like_any_other() {
    let mut manager = FakeManager::start().await;
    let Ok(phone) = UdpSocket::bind("[::1]:0").await else {
        eprintln!("skipped: no IPv6 on this machine");
        return;
    };
    let mut config = config(&[&manager]);
    config.listeners = vec![Listener::from("[::1]:0".parse::<std::net::SocketAddr>().unwrap())];
    let mut server = Running::start(config).await;
    server.live().await;
    let phone = Phone { socket: phone };

    phone.send(request(Method::Publish, "UDP", phone.address(), "1"), server.public).await;
    let publish = manager.receive().await;
    manager.answer(&publish, 200);

    assert_eq!(phone.receive().await.0.status(), Some(200));
}

#[tokio::test]
async fn a_notify_for_a_connection_that_is_gone_is_answered_430() {
    let mut manager = FakeManager::start().await;
    let server = Running::in_front_of(&[&manager]).await;
    let mut phone = Stream::connect(server.public).await;
    phone.write(request(Method::Subscribe, "TCP", phone.address(), "1")).await;
    let subscribe = manager.receive().await;
    // Our own end alone would close unseen; this makes the dispatcher close, and that can be waited for.
    phone.write("not SIP at all\r\n\r\n").await;
    phone.closed().await;

    manager.send(manager.notify(&subscribe, "n1"));

    let answer = manager.receive().await;
    assert_eq!((answer.status(), answer.via().unwrap().branch), (Some(430), Some("z9hG4bKn1")));
}

#[tokio::test]
async fn a_phone_that_has_ended_its_sending_is_answered_and_not_notified() {
    let mut manager = FakeManager::start().await;
    let server = Running::in_front_of(&[&manager]).await;
    let mut phone = Stream::connect(server.public).await;
    phone.write(request(Method::Subscribe, "TCP", phone.address(), "1")).await;
    phone.write(request(Method::Subscribe, "TCP", phone.address(), "2")).await;
    let (one, other) = (manager.receive().await, manager.receive().await);
    phone.end_sending().await;

    let refused = manager.notify_until_answered(&one).await;
    manager.answer(&one, 200);
    manager.answer(&other, 404);

    assert_eq!(refused.status(), Some(430));
    let mut heard = phone.receive().await;
    // Its end may have been seen a moment later.
    while heard.method() == Method::Notify {
        heard = phone.receive().await;
    }
    assert_eq!((heard.status(), phone.receive().await.status()), (Some(200), Some(404)));
    phone.closed().await;
}

#[tokio::test]
async fn a_manager_may_bring_its_notify_on_a_connection_of_its_own() {
    let mut manager = FakeManager::start().await;
    let server = Running::in_front_of(&[&manager]).await;
    let phone = Phone::new().await;
    phone.send(request(Method::Subscribe, "UDP", phone.address(), "1"), server.public).await;
    let subscribe = manager.receive().await;

    let mut own = Stream::connect(server.inner).await;
    own.write(manager.notify(&subscribe, "n1")).await;

    assert_eq!(phone.receive().await.0.method(), Method::Notify);
}

/// As one that has just come back, at another address: nobody is connected to it, or knows where it is.
#[tokio::test]
async fn a_manager_that_is_not_connected_to_hears_the_answers_on_its_own_connection() {
    let mut manager = FakeManager::start().await;
    let server = Running::in_front_of(&[&manager]).await;
    let phone = Phone::new().await;
    phone.send(request(Method::Subscribe, "UDP", phone.address(), "1"), server.public).await;
    let subscribe = manager.receive().await;
    let mut elsewhere = Stream::connect(server.inner).await;
    let notify = String::from_utf8(manager.notify(&subscribe, "n1").to_vec()).unwrap();

    elsewhere.write(notify.replace(&format!("TCP {}", manager.address), "TCP 127.0.0.1:1")).await;
    let (notify, from) = phone.receive().await;
    phone.send(ok(&notify), from).await;

    let answer = elsewhere.receive().await;
    assert_eq!((answer.status(), answer.via().unwrap().branch), (Some(200), Some("z9hG4bKn1")));
}

// Managers that fail

#[tokio::test]
async fn when_a_manager_dies_the_next_one_gets_its_request() {
    let mut managers = [FakeManager::start().await, FakeManager::start().await];
    let server = Running::in_front_of(&[&managers[0], &managers[1]]).await;
    let phone = Phone::new().await;
    phone.send(request(Method::Subscribe, "UDP", phone.address(), "1"), server.public).await;
    let (first, _) = either(&mut managers).await;
    let [one, other] = managers;
    let (dying, mut heir) = if first == 0 { (one, other) } else { (other, one) };

    dying.kill().await;

    let request = heir.receive().await;
    heir.answer(&request, 200);
    assert_eq!(phone.receive().await.0.status(), Some(200));
}

#[tokio::test]
async fn when_a_manager_is_silent_the_next_one_gets_its_request() {
    let mut managers = [FakeManager::start().await, FakeManager::start().await];
    let mut config = config(&[&managers[0], &managers[1]]);
    config.timings.patience = Duration::from_millis(50);
    let mut server = Running::start(config).await;
    server.live().await;
    let phone = Phone::new().await;

    phone.send(request(Method::Publish, "UDP", phone.address(), "1"), server.public).await;
    let (silent, _) = either(&mut managers).await;
    let request = managers[1 - silent].receive().await;
    managers[1 - silent].answer(&request, 200);

    assert_eq!(phone.receive().await.0.status(), Some(200));
}

#[tokio::test]
async fn a_phone_is_told_503_only_when_every_manager_said_so() {
    let mut managers = [FakeManager::start().await, FakeManager::start().await];
    let mut config = config(&[&managers[0], &managers[1]]);
    config.timings.pause = Duration::from_millis(50);
    let mut server = Running::start(config).await;
    server.live().await;
    let phone = Phone::new().await;

    phone.send(request(Method::Publish, "UDP", phone.address(), "1"), server.public).await;
    let (first, publish) = either(&mut managers).await;
    managers[first].answer(&publish, 503);
    let publish = managers[1 - first].receive().await;
    managers[1 - first].answer(&publish, 503);

    let (answer, _) = phone.receive().await;
    assert_eq!((answer.status(), answer.text(Name::RetryAfter)), (Some(503), Some("5")));
    assert_eq!(answer.vias().count(), 1);
}

#[tokio::test]
async fn a_repeat_goes_to_the_manager_that_has_the_request() {
    let mut managers = [FakeManager::start().await, FakeManager::start().await];
    let server = Running::in_front_of(&[&managers[0], &managers[1]]).await;
    let phone = Phone::new().await;
    let publish = request(Method::Publish, "UDP", phone.address(), "1");

    phone.send(&publish, server.public).await;
    let (first, once) = either(&mut managers).await;
    phone.send(&publish, server.public).await;
    let twice = managers[first].receive().await;

    assert_eq!(once.bytes(), twice.bytes());
}

#[tokio::test]
async fn without_any_manager_requests_are_answered_503_in_the_end() {
    let manager = FakeManager::start().await;
    let mut config = config(&[&manager]);
    config.timings.hold = Duration::from_millis(50);
    manager.kill().await;
    let server = Running::start(config).await;
    let phone = Phone::new().await;

    phone.send(request(Method::Subscribe, "UDP", phone.address(), "1"), server.public).await;

    assert_eq!(phone.receive().await.0.status(), Some(503));
    assert!(!*server.ready.borrow());
}

#[tokio::test]
async fn a_dispatcher_is_ready_while_a_manager_serves_and_finds_it_again() {
    let manager = FakeManager::start().await;
    let address = manager.address;
    let mut server = Running::in_front_of(&[&manager]).await;

    manager.kill().await;
    soon(server.ready.wait_for(|ready| !*ready)).await.unwrap();
    let _reborn = FakeManager::start_at(address).await;

    server.live().await;
}

#[tokio::test]
async fn a_manager_that_connects_to_us_is_connected_to_at_once() {
    let hour = Duration::from_secs(3600);
    let manager = FakeManager::start().await;
    let mut config = config(&[&manager]);
    config.timings.reconnect = (hour, hour);
    let mut server = Running::start(config).await;
    server.live().await;
    let address = manager.address;
    manager.kill().await;
    soon(server.ready.wait_for(|ready| !*ready)).await.unwrap();
    let _reborn = FakeManager::start_at(address).await;

    let _own = Stream::connect(server.inner).await;

    server.live().await;
}

// Streams

#[tokio::test]
async fn a_keep_alive_on_a_stream_is_answered() {
    let manager = FakeManager::start().await;
    let server = Running::start(config(&[&manager])).await;
    let mut phone = Stream::connect(server.public).await;

    phone.write("\r\n\r\n").await;

    assert_eq!(phone.read_exactly(2).await, b"\r\n");
}

#[tokio::test]
async fn what_cannot_be_framed_is_answered_400_and_ends_the_connection() {
    let manager = FakeManager::start().await;
    let server = Running::start(config(&[&manager])).await;
    let mut phone = Stream::connect(server.public).await;
    let unframed = request(Method::Publish, "TCP", phone.address(), "1").replace("Length: 0", "Length: many");

    phone.write(unframed).await;

    assert_eq!(phone.receive().await.status(), Some(400));
    phone.closed().await;
}

#[tokio::test]
async fn a_message_larger_than_managers_take_is_answered_413_and_never_reaches_their_link() {
    let mut manager = FakeManager::start().await;
    let server = Running::in_front_of(&[&manager]).await;
    let sized = |length: usize, phone| {
        let publish = request(Method::Publish, "TCP", phone, "1");
        publish.replace(
            "Content-Length: 0\r\n\r\n",
            &format!("Content-Length: {length}\r\n\r\n{}", "x".repeat(length)),
        )
    };

    let mut phone = Stream::connect(server.public).await;
    phone.write(sized(60_000, phone.address())).await;
    assert_eq!(manager.receive().await.body().len(), 60_000);
    phone.write(sized(65_000, phone.address())).await;

    assert_eq!(phone.receive().await.status(), Some(413));
    phone.closed().await;
}

#[tokio::test]
async fn a_phone_that_does_not_read_loses_its_connection() {
    let mut manager = FakeManager::start().await;
    let mut config = config(&[&manager]);
    config.limits.connection_queue = 10_000;
    let mut server = Running::start(config).await;
    server.live().await;
    let mut phone = Stream::connect(server.public).await;
    phone.write(request(Method::Subscribe, "TCP", phone.address(), "1")).await;
    let subscribe = manager.receive().await;

    assert_eq!(manager.notify_until_answered(&subscribe).await.status(), Some(430));
}

#[tokio::test]
async fn one_source_has_a_bounded_number_of_connections() {
    let manager = FakeManager::start().await;
    let mut config = config(&[&manager]);
    config.limits.connections_per_source = 1;
    let server = Running::start(config).await;

    let mut first = Stream::connect(server.public).await;
    let mut second = Stream::connect(server.public).await;

    second.closed().await;
    first.write("\r\n\r\n").await;
    assert_eq!(first.read_exactly(2).await, b"\r\n");
}

#[tokio::test]
async fn a_silent_connection_is_closed_in_the_end() {
    let manager = FakeManager::start().await;
    let mut config = config(&[&manager]);
    config.timings.idle = Duration::from_millis(20);
    let server = Running::start(config).await;

    Stream::connect(server.public).await.closed().await;
}

// Junk

#[tokio::test]
async fn datagrams_that_are_not_sip_are_dropped_and_the_next_one_is_served() {
    let manager = FakeManager::start().await;
    let server = Running::in_front_of(&[&manager]).await;
    let phone = Phone::new().await;
    let spent = request(Method::Publish, "UDP", phone.address(), "1").replace("Forwards: 70", "Forwards: 0");

    for junk in [
        "",
        "\r\n\r\n",
        "\0\0",
        "GET / HTTP/1.1\r\n\r\n",
        "SIP/2.0 200 OK\r\n\r\n",
        "ACK sip:x SIP/2.0\r\n\r\n",
    ] {
        phone.send(junk, server.public).await;
    }
    phone.send(spent, server.public).await;

    assert_eq!(phone.receive().await.0.status(), Some(483));
}

// Start and stop

#[tokio::test]
async fn an_address_in_use_is_named() {
    let manager = FakeManager::start().await;
    let taken = TcpListener::bind(loopback()).await.unwrap();
    let address = taken.local_addr().unwrap();
    let mut config = config(&[&manager]);
    config.listeners = vec![Listener::from(address)];

    let error = Dispatcher::bind(config).await.err().unwrap();

    assert_eq!(error.to_string(), format!("{address} is in use"));
}

#[tokio::test]
async fn bound_to_all_addresses_it_must_be_told_its_own() {
    let manager = FakeManager::start().await;
    let mut config = config(&[&manager]);
    config.listeners = vec![Listener::from("0.0.0.0:0".parse::<std::net::SocketAddr>().unwrap())];
    let unsaid = Dispatcher::bind(config.clone()).await.err();
    config.listeners[0].endpoint.advertise = Some(loopback());

    assert!(matches!(unsaid, Some(BindError::NoAdvertise(_))));
    assert!(Dispatcher::bind(config).await.is_ok());
}

#[tokio::test]
async fn a_stop_waits_for_what_is_in_flight() {
    let mut manager = FakeManager::start().await;
    let server = Running::in_front_of(&[&manager]).await;
    let mut phone = Stream::connect(server.public).await;
    phone.write(request(Method::Publish, "TCP", phone.address(), "1")).await;
    let publish = manager.receive().await;

    server.shutdown.cancel();
    manager.answer(&publish, 200);

    assert_eq!(phone.receive().await.status(), Some(200));
    soon(server.task).await.unwrap();
    phone.closed().await;
}

#[tokio::test]
async fn a_message_in_two_pieces_is_one_message() {
    let mut manager = FakeManager::start().await;
    let server = Running::in_front_of(&[&manager]).await;
    let mut phone = Stream::connect(server.public).await;
    let publish = request(Method::Publish, "TCP", phone.address(), "1");

    let (one, other) = publish.split_at(100);
    phone.write(one).await;
    phone.write(other).await;

    assert_eq!(manager.receive().await.call_id(), "1");
}
