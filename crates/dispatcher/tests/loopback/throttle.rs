//! Sources that are told too many refusals.

use dispatcher::config::Limits;
use dispatcher::throttle::{Bounds, Rate};
use sip::{Message, Method};
use tokio::net::UdpSocket;

use crate::support::{FakeManager, Phone, Running, config, request, soon};

/// Nothing is forgiven while a test lasts, and one answer a second is given.
const BOUNDS: Bounds = Bounds { per_second: 1, burst: 100, answers: 1, sources: 16 };

#[tokio::test]
async fn a_flood_from_one_source_is_not_heard_by_managers_and_leaves_others_answered() {
    let mut manager = FakeManager::start().await;
    let server = throttling(&[&manager]).await;
    let (flooder, other) = (phone("127.0.0.2").await, phone("127.0.0.3").await);
    let told = flood_until_refused(&flooder, &server, &mut manager).await;
    assert_eq!((told.status(), told.extension("Retry-After")), (Some(480), Some(&b"5"[..])));

    for n in 0..1_000 {
        flooder.send(subscribe(&flooder, &format!("more-{n}")), server.public).await;
    }
    other.send(subscribe(&other, "other"), server.public).await;

    let heard = loop {
        let heard = manager.receive().await;
        if heard.call_id() == "other" {
            break heard;
        }
        // One a second is forgiven, so of a thousand hardly any gets here.
        manager.answer(&heard, 401);
    };
    assert!(manager.heard_nothing());
    manager.answer(&heard, 401);
    assert_eq!(other.receive().await.0.status(), Some(401));
}

#[tokio::test]
async fn credentials_and_dialogs_are_heard_from_a_source_that_floods() {
    let mut manager = FakeManager::start().await;
    let server = throttling(&[&manager]).await;
    let flooder = phone("127.0.0.2").await;
    flooder.send(subscribe(&flooder, "mine"), server.public).await;
    let mine = manager.receive().await;
    let route = std::str::from_utf8(mine.values(sip::Name::RecordRoute).next().unwrap()).unwrap();
    let refresh = subscribe(&flooder, "refresh").replace("Event:", &format!("Route: {route}\r\nEvent:"));
    let refresh = refresh.replace("To: <sip:bob@lab.test>", "To: <sip:bob@lab.test>;tag=ours");
    assert!(refresh.contains(";tag=ours"));
    let proved = subscribe(&flooder, "proved").replace("Event:", "Authorization: Digest x=y\r\nEvent:");
    flood_until_refused(&flooder, &server, &mut manager).await;

    for request in [refresh, proved] {
        flooder.send(request, server.public).await;
    }

    assert_eq!(manager.receive().await.call_id(), "refresh");
    assert_eq!(manager.receive().await.call_id(), "proved");
}

#[tokio::test]
async fn a_trusted_peer_carries_the_requests_of_many() {
    let mut manager = FakeManager::start().await;
    let mut config = config(&[&manager]);
    config.limits = Limits { refusals_per_source: BOUNDS, ..Limits::default() };
    config.trusted_peers = vec!["127.0.0.2/32".parse().unwrap()];
    let mut server = Running::start(config).await;
    server.live().await;
    let sbc = phone("127.0.0.2").await;

    for n in 0..3 * BOUNDS.burst {
        sbc.send(subscribe(&sbc, &n.to_string()), server.public).await;
        let heard = manager.receive().await;
        manager.answer(&heard, 401);
        assert_eq!(sbc.receive().await.0.status(), Some(401));
    }
}

#[tokio::test]
async fn a_trusted_peer_keeps_its_flows_open_as_often_as_it_likes() {
    let mut config = config(&[]);
    config.limits = Limits { requests_per_source: Rate { per_second: 1, burst: 1 }, ..Limits::default() };
    config.trusted_peers = vec!["127.0.0.2/32".parse().unwrap()];
    let server = Running::start(config).await;
    let sbc = phone("127.0.0.2").await;

    for n in 0..3u8 {
        let ask = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[n; 12]].concat();
        sbc.send(&ask, server.public).await;
        let mut answer = [0; 64];
        soon(sbc.socket.recv(&mut answer)).await.unwrap();
        assert_eq!(answer[8..20], [n; 12]);
    }
}

async fn throttling(managers: &[&FakeManager]) -> Running {
    let mut config = config(managers);
    config.limits = Limits { refusals_per_source: BOUNDS, ..Limits::default() };
    let mut server = Running::start(config).await;
    server.live().await;
    server
}

/// Every address of 127.0.0.0/8 is this machine's.
async fn phone(ip: &str) -> Phone {
    Phone { socket: UdpSocket::bind((ip, 0)).await.unwrap() }
}

fn subscribe(phone: &Phone, call_id: &str) -> String {
    request(Method::Subscribe, "UDP", phone.address(), call_id)
}

/// Asks and is challenged until the dispatcher itself answers; what that says.
async fn flood_until_refused(phone: &Phone, server: &Running, manager: &mut FakeManager) -> Message {
    for n in 0.. {
        phone.send(subscribe(phone, &format!("flood-{n}")), server.public).await;
        let answer = tokio::select! {
            heard = manager.receive() => {
                manager.answer(&heard, 401);
                phone.receive().await.0
            }
            (answer, _) = phone.receive() => answer,
        };
        if answer.status() != Some(401) {
            return answer;
        }
        assert!(n < 10 * BOUNDS.burst, "it should have been refused by now");
    }
    unreachable!("the numbers have no end")
}
