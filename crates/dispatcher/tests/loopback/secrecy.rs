//! Managers that are reached by mutual TLS, and reach us so.

use sip::Method;
use tls::Wires;
use tls::authority::Authority;

use crate::support::{FakeManager, Phone, Running, Stream, config, ok, request};

const HERE: &[&str] = &["127.0.0.1"];

#[tokio::test]
async fn requests_and_notifies_go_over_tls_on_connections_of_either_side() {
    let ca = Authority::new();
    let (ours, theirs) = (ca.party(HERE, None), ca.party(HERE, None));
    let mut manager = FakeManager::behind(&theirs.wires).await;
    let server = in_front_of(&[&manager], &ours.wires).await;
    let phone = Phone::new().await;

    phone.send(request(Method::Subscribe, "UDP", phone.address(), "1"), server.public).await;
    let subscribe = manager.receive().await;
    manager.answer(&subscribe, 200);
    assert_eq!(phone.receive().await.0.status(), Some(200));

    manager.send(manager.notify(&subscribe, "n1"));
    let (notify, from) = phone.receive().await;
    phone.send(ok(&notify), from).await;
    assert_eq!(manager.receive().await.status(), Some(200));

    let mut own = Stream::new(theirs.wires.connect(server.inner).await.unwrap());
    own.write(manager.notify(&subscribe, "n2")).await;
    assert_eq!(phone.receive().await.0.method(), Method::Notify);
}

#[tokio::test]
async fn a_manager_that_is_none_of_ours_gets_no_request() {
    let (ca, another) = (Authority::new(), Authority::new());
    let (ours, good, bad) = (ca.party(HERE, None), ca.party(HERE, None), another.party(HERE, None));
    let (mut plain, mut foreign) = (FakeManager::start().await, FakeManager::behind(&bad.wires).await);
    let mut member = FakeManager::behind(&good.wires).await;
    let server = in_front_of(&[&plain, &foreign, &member], &ours.wires).await;
    let phone = Phone::new().await;

    for call in 0..16 {
        phone
            .send(request(Method::Subscribe, "UDP", phone.address(), &call.to_string()), server.public)
            .await;
        let subscribe = member.receive().await;
        member.answer(&subscribe, 200);
        assert_eq!(phone.receive().await.0.status(), Some(200));
    }

    assert!(plain.heard_nothing() && foreign.heard_nothing());
}

#[tokio::test]
async fn a_stranger_at_the_inner_listener_is_not_heard() {
    let (ca, another) = (Authority::new(), Authority::new());
    let (ours, theirs, bad) = (ca.party(HERE, None), ca.party(HERE, None), another.party(HERE, None));
    let mut manager = FakeManager::behind(&theirs.wires).await;
    let server = in_front_of(&[&manager], &ours.wires).await;
    let phone = Phone::new().await;
    phone.send(request(Method::Subscribe, "UDP", phone.address(), "1"), server.public).await;
    let subscribe = manager.receive().await;

    assert!(bad.wires.connect(server.inner).await.is_err());
    let mut plain = Stream::new(Wires::plain().connect(server.inner).await.unwrap());
    plain.write(manager.notify(&subscribe, "n1")).await;
    plain.closed().await;

    manager.answer(&subscribe, 200);
    assert_eq!(phone.receive().await.0.status(), Some(200), "and no NOTIFY came before");
}

async fn in_front_of(managers: &[&FakeManager], wires: &Wires) -> Running {
    let mut config = config(managers);
    config.wires = wires.clone();
    let mut running = Running::start(config).await;
    running.live().await;
    running
}
