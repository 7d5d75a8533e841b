//! Managers that come and go while requests flow, and times when none serves.

use std::collections::BTreeMap;
use std::time::Duration;

use dispatcher::Manager;
use sip::{Method, Name, ResponseWriter};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::support::{
    FakeManager, Phone, Running, Stream, config, either, following, loopback, members, ok, request, soon,
};

#[tokio::test]
async fn while_managers_join_move_and_leave_each_request_has_one_answer() {
    let (one, mut two) = (FakeManager::busy().await, FakeManager::busy().await);
    let (mut three, mut elsewhere) = (FakeManager::busy().await, FakeManager::busy().await);
    let list = watch::Sender::new(vec![one.named("one")]);
    let mut server = Running::start(following(list.subscribe())).await;
    server.live().await;
    let enough = CancellationToken::new();
    let calling = tokio::spawn(call(Stream::connect(server.public).await, enough.clone()));

    list.send_replace(vec![one.named("one"), two.named("two")]);
    two.receive_more(20).await;
    list.send_replace(vec![one.named("one"), two.named("two"), three.named("three")]);
    three.receive_more(20).await;
    list.send_replace(vec![two.named("two"), three.named("three")]);
    three.receive_more(20).await;
    list.send_replace(vec![elsewhere.named("two"), three.named("three")]);
    elsewhere.receive_more(20).await;
    list.send_replace(vec![elsewhere.named("two")]);
    elsewhere.receive_more(20).await;
    enough.cancel();

    let answers = soon(calling).await.unwrap();
    let odd: Vec<_> = answers.iter().filter(|(_, answers)| **answers != [200]).collect();
    assert!(odd.is_empty() && answers.len() > 100, "{odd:?} of {}", answers.len());
}

#[tokio::test]
async fn what_a_manager_that_left_had_goes_to_another() {
    let mut managers = [FakeManager::start().await, FakeManager::start().await];
    let all = members(&[&managers[0], &managers[1]]);
    let list = watch::Sender::new(all.clone());
    let mut config = following(list.subscribe());
    // Its silence alone does not make the request move.
    config.timings.patience = Duration::from_secs(60);
    let mut server = Running::start(config).await;
    server.live().await;
    let phone = Phone::new().await;
    phone.send(request(Method::Publish, "UDP", phone.address(), "1"), server.public).await;
    let (had, _) = either(&mut managers).await;

    list.send_replace(vec![all[1 - had].clone()]);

    let publish = managers[1 - had].receive().await;
    managers[1 - had].answer(&publish, 200);
    assert_eq!(phone.receive().await.0.status(), Some(200));
}

#[tokio::test]
async fn a_manager_that_moved_gets_what_it_had_at_its_new_address() {
    let (mut here, mut there) = (FakeManager::start().await, FakeManager::start().await);
    let list = watch::Sender::new(vec![here.named("m")]);
    let mut server = Running::start(following(list.subscribe())).await;
    server.live().await;
    let mut phone = Stream::connect(server.public).await;
    phone.write(request(Method::Subscribe, "TCP", phone.address(), "1")).await;
    here.receive().await;

    list.send_replace(vec![there.named("m")]);

    let subscribe = there.receive().await;
    there.answer(&subscribe, 200);
    assert_eq!(phone.receive().await.status(), Some(200));
    there.send(there.notify(&subscribe, "n1"));
    let notify = phone.receive().await;
    phone.write(ok(&notify)).await;
    assert_eq!(there.receive().await.method(), Method::Notify, "its new address is known");
}

#[tokio::test]
async fn a_dispatcher_that_knows_no_manager_yet_keeps_requests_for_the_first() {
    let list = watch::Sender::new(Vec::<Manager>::new());
    let server = Running::start(following(list.subscribe())).await;
    let mut manager = FakeManager::start().await;
    let mut phone = Stream::connect(server.public).await;
    phone.write(request(Method::Publish, "TCP", phone.address(), "1")).await;
    // It has been read when what was sent behind it is answered.
    phone.write("\r\n\r\n").await;
    phone.read_exactly(2).await;

    list.send_replace(vec![manager.named("m")]);

    let publish = manager.receive().await;
    manager.answer(&publish, 200);
    assert_eq!(phone.receive().await.status(), Some(200));
}

#[tokio::test]
async fn while_no_manager_serves_requests_wait_and_none_is_sent() {
    let mut manager = FakeManager::start().await;
    let mut config = config(&[&manager]);
    config.timings.ping = Duration::from_millis(10);
    let mut server = Running::start(config).await;
    server.live().await;
    manager.serves(false);
    soon(server.ready.wait_for(|ready| !*ready)).await.unwrap();
    let mut phone = Stream::connect(server.public).await;
    phone.write(request(Method::Publish, "TCP", phone.address(), "held")).await;
    phone.write("\r\n\r\n").await;
    phone.read_exactly(2).await;

    // On the one link this answer would come after the request, had it been sent on.
    let own =
        request(Method::Options, "TCP", manager.address, "own").replace("OPTIONS sip:", "OPTIONS sip:x");
    manager.send(own.into());
    assert_eq!(manager.receive().await.status(), Some(403));
    manager.serves(true);

    let publish = manager.receive().await;
    assert_eq!(publish.call_id(), "held");
    manager.answer(&publish, 200);
    assert_eq!(phone.receive().await.status(), Some(200));
}

#[tokio::test]
async fn a_manager_that_refuses_because_it_stops_is_replaced_unseen() {
    let mut stopping = FakeManager::start().await;
    let address = stopping.address;
    let mut server = Running::in_front_of(&[&stopping]).await;
    let phone = Phone::new().await;
    phone.send(request(Method::Publish, "UDP", phone.address(), "1"), server.public).await;
    let publish = stopping.receive().await;

    stopping.serves(false);
    stopping.answer(&publish, 503);
    soon(server.ready.wait_for(|ready| !*ready)).await.unwrap();
    stopping.kill().await;
    let mut next = FakeManager::start_at(address).await;

    let publish = next.receive().await;
    next.answer(&publish, 200);
    assert_eq!(phone.receive().await.0.status(), Some(200));
}

#[tokio::test]
async fn the_sender_hears_the_first_answer_only() {
    let mut managers = [FakeManager::start().await, FakeManager::start().await];
    let mut config = config(&[&managers[0], &managers[1]]);
    config.timings.patience = Duration::from_millis(50);
    let mut server = Running::start(config).await;
    server.live().await;
    let mut phone = Stream::connect(server.public).await;
    phone.write(request(Method::Publish, "TCP", phone.address(), "1")).await;
    let (slow, publish) = either(&mut managers).await;
    let again = managers[1 - slow].receive().await;
    managers[1 - slow].answer(&again, 200);
    assert_eq!(phone.receive().await.call_id(), "1");

    // The second answer goes first on the same link as the one that the phone waits for next.
    managers[slow].answer(&publish, 200);
    phone.write(request(Method::Publish, "TCP", phone.address(), "2")).await;
    let publish = managers[slow].receive().await;
    managers[slow].answer(&publish, 200);

    assert_eq!(phone.receive().await.call_id(), "2");
}

#[tokio::test]
async fn a_refusal_that_names_no_manager_is_not_told_to_the_phone() {
    let mut manager = FakeManager::start().await;
    let server = Running::in_front_of(&[&manager]).await;
    let phone = Phone::new().await;
    phone.send(request(Method::Publish, "UDP", phone.address(), "1"), server.public).await;
    let publish = manager.receive().await;

    let mut own = Stream::connect(server.inner).await;
    own.write(ResponseWriter::new(&publish, 503).finish()).await;
    own.write("\r\n\r\n").await;
    own.read_exactly(2).await;
    manager.answer(&publish, 200);

    assert_eq!(phone.receive().await.0.status(), Some(200));
}

#[tokio::test]
async fn a_cancel_of_what_is_in_flight_is_answered_200_and_changes_nothing() {
    let mut manager = FakeManager::start().await;
    let server = Running::in_front_of(&[&manager]).await;
    let phone = Phone::new().await;
    let publish = request(Method::Publish, "UDP", phone.address(), "1");
    phone.send(&publish, server.public).await;
    let forwarded = manager.receive().await;

    phone.send(publish.replace("PUBLISH", "CANCEL"), server.public).await;
    let (cancelled, _) = phone.receive().await;
    assert_eq!((cancelled.status(), cancelled.method()), (Some(200), Method::Cancel));
    manager.answer(&forwarded, 200);
    let (answer, _) = phone.receive().await;
    assert_eq!((answer.status(), answer.method()), (Some(200), Method::Publish));

    phone.send(publish.replace("PUBLISH", "CANCEL"), server.public).await;
    let (unknown, _) = phone.receive().await;
    assert_eq!((unknown.status(), unknown.header(Name::RetryAfter)), (Some(481), None));
}

#[tokio::test]
async fn an_answer_for_somebody_who_is_no_member_goes_nowhere() {
    let mut manager = FakeManager::start().await;
    let stranger = FakeManager::start().await;
    let server = Running::in_front_of(&[&manager]).await;
    let phone = Phone::new().await;
    phone.send(request(Method::Subscribe, "UDP", phone.address(), "1"), server.public).await;
    let subscribe = manager.receive().await;

    manager.send(stranger.notify(&subscribe, "strange"));
    let (notify, from) = phone.receive().await;
    phone.send(ok(&notify), from).await;
    manager.send(manager.notify(&subscribe, "own"));
    let (notify, from) = phone.receive().await;
    phone.send(ok(&notify), from).await;

    assert_eq!(manager.receive().await.via().unwrap().branch, Some("z9hG4bKown"));
}

/// Sends requests, ten at a time, until told that these were enough. Gives the answers that each had.
async fn call(mut phone: Stream, enough: CancellationToken) -> BTreeMap<String, Vec<u16>> {
    let mut answers = BTreeMap::<String, Vec<u16>>::new();
    let mut calls = 0..;
    while !enough.is_cancelled() {
        for call in calls.by_ref().take(10) {
            let subscribe = request(Method::Subscribe, "TCP", loopback(), &call.to_string());
            answers.insert(call.to_string(), Vec::new());
            phone.write(subscribe).await;
        }
        while answers.values().any(Vec::is_empty) {
            let answer = phone.receive().await;
            answers.entry(answer.call_id().to_owned()).or_default().push(answer.status().unwrap());
        }
    }
    answers
}
