//! A NOTIFY that is large for a datagram, toward phones on UDP that take connections and that do not.

use bytes::Bytes;
use dispatcher::oversize::Policy;
use sip::{Message, Method};
use tokio::net::TcpListener;

use crate::support::{FakeManager, Phone, Running, Stream, config, ok, request, soon};

#[tokio::test]
async fn a_large_notify_goes_as_a_datagram_also_where_a_phone_takes_no_connection() {
    for policy in [Policy::Send, Policy::Tcp] {
        let mut manager = FakeManager::start().await;
        let phone = Phone::new().await;
        let server = following(policy, &manager).await;
        let subscribe = subscribed(&phone, &mut manager, &server).await;

        let notify = large(&manager.notify(&subscribe, "n1"));
        let heard = soon(repeated_until_heard(&manager, &notify, &phone)).await;

        assert_eq!(heard.via().unwrap().transport, "UDP", "{policy:?}");
        assert_eq!(heard.body().len(), 2_000);
    }
}

#[tokio::test]
async fn a_large_notify_is_answered_513_where_that_is_the_policy() {
    let mut manager = FakeManager::start().await;
    let phone = Phone::new().await;
    let server = following(Policy::Refuse, &manager).await;
    let subscribe = subscribed(&phone, &mut manager, &server).await;

    manager.send(large(&manager.notify(&subscribe, "n1")));
    assert_eq!(manager.receive().await.status(), Some(513));

    manager.send(manager.notify(&subscribe, "n2"));
    assert_eq!(phone.receive().await.0.method(), Method::Notify);
}

#[tokio::test]
async fn a_large_notify_goes_over_tcp_to_a_udp_phone_that_takes_connections() {
    let mut manager = FakeManager::start().await;
    let server = following(Policy::Tcp, &manager).await;
    let (phone, listener) = both().await;
    let subscribe = subscribed(&phone, &mut manager, &server).await;

    manager.send(large(&manager.notify(&subscribe, "n1")));
    let mut stream = Stream::new(soon(listener.accept()).await.unwrap().0);
    let notify = stream.receive().await;
    assert_eq!((notify.method(), notify.via().unwrap().transport), (Method::Notify, "TCP"));
    stream.write(ok(&notify)).await;
    assert_eq!(manager.receive().await.status(), Some(200));

    manager.send(manager.notify(&subscribe, "n2"));
    assert_eq!(phone.receive().await.0.method(), Method::Notify, "a small one is a datagram");
}

async fn following(policy: Policy, manager: &FakeManager) -> Running {
    let mut config = config(&[manager]);
    config.oversize_udp = policy;
    let mut server = Running::start(config).await;
    server.live().await;
    server
}

async fn subscribed(phone: &Phone, manager: &mut FakeManager, server: &Running) -> Message {
    phone.send(request(Method::Subscribe, "UDP", phone.address(), "1"), server.public).await;
    manager.receive().await
}

/// As timer E does it.
async fn repeated_until_heard(manager: &FakeManager, notify: &Bytes, phone: &Phone) -> Message {
    loop {
        manager.send(notify.clone());
        let heard = tokio::time::timeout(std::time::Duration::from_millis(10), phone.receive()).await;
        if let Ok((heard, _)) = heard {
            return heard;
        }
    }
}

/// A phone that takes datagrams and connections at one port.
async fn both() -> (Phone, TcpListener) {
    loop {
        let phone = Phone::new().await;
        if let Ok(listener) = TcpListener::bind(phone.address()).await {
            return (phone, listener);
        }
    }
}

fn large(notify: &Bytes) -> Bytes {
    let body = "x".repeat(2_000);
    let text = String::from_utf8(notify.to_vec()).unwrap();
    text.replace("Content-Length: 0\r\n\r\n", &format!("Content-Length: {}\r\n\r\n{body}", body.len())).into()
}
