//! kill -9 of one manager, by the role that it had.

use sip::Message;

use crate::cluster::{Cluster, Number};
use crate::phone::{Dialog, Phone, pidf, tag};

const ALICE: &str = "alice@vedette.test";

#[test]
fn entity_tags_and_dialogs_outlive_a_killed_leader_and_it_comes_back_as_a_voter() {
    let mut cluster = Cluster::start();
    let mut alice = Phone::new("alice", cluster.sip());
    let first = tag(&alice.publish("", 600, &pidf("alice", "open", "before")));
    let leader = cluster.leader();
    let (mut bob, dialog, before) = watcher_of(leader, &cluster);

    cluster.kill(leader);
    let second = tag(&until_granted(|| alice.publish(&first, 600, &pidf("alice", "open", "without it"))));
    cluster.restart(leader);

    let after = bob.notified_of("without it");
    assert!(number(&after) > number(&before));
    assert_eq!(until_granted(|| bob.refresh(&dialog, 600)).status(), Some(200));
    // Of the other two one is killed: now nothing is committed without the manager that came back.
    let other = (1..=3).find(|manager| *manager != leader).expect("there are three");
    cluster.kill(other);
    let third = tag(&until_granted(|| alice.publish(&second, 600, &pidf("alice", "open", "with it"))));
    assert!(third != second && second != first);
}

#[test]
fn a_killed_follower_keeps_no_watcher_of_another_manager_waiting_and_catches_up() {
    let mut cluster = Cluster::start();
    let (mut alice, mut bob) = (Phone::new("alice", cluster.sip()), Phone::new("bob", cluster.sip()));
    let first = tag(&alice.publish("", 600, &pidf("alice", "open", "before")));
    let (_, dialog) = bob.subscribe("alice");
    bob.notified_of("before");
    let spared = [cluster.leader(), cluster.owner(ALICE, &dialog.call_id)];
    let follower = (1..=3).find(|manager| !spared.contains(manager)).expect("there are three");

    cluster.kill(follower);
    let second = tag(&until_granted(|| alice.publish(&first, 600, &pidf("alice", "open", "without it"))));
    bob.notified_of("without it");
    cluster.restart(follower);

    // The leader goes: who holds the majority now is the manager that was away.
    cluster.kill(spared[0]);
    let third = tag(&until_granted(|| alice.publish(&second, 600, &pidf("alice", "open", "with it"))));
    assert!(third != second && second != first);
}

/// A phone whose subscription falls to that manager: the Call-ID decides, so one after the other is tried.
fn watcher_of(manager: Number, cluster: &Cluster) -> (Phone, Dialog, Message) {
    for _ in 0..60 {
        let mut bob = Phone::new("bob", cluster.sip());
        let (_, dialog) = bob.subscribe("alice");
        let notify = bob.notified_of("before");
        if cluster.owner(ALICE, &dialog.call_id) == manager {
            return (bob, dialog, notify);
        }
        assert_eq!(bob.refresh(&dialog, 0).status(), Some(200));
    }
    panic!("manager {manager} gets no subscriptions");
}

/// Asks again when it is told to come later, as a phone does.
pub fn until_granted(mut ask: impl FnMut() -> Message) -> Message {
    loop {
        let answer = ask();
        if answer.status() != Some(503) {
            return answer;
        }
        let later = answer.text(sip::Name::RetryAfter).and_then(|seconds| seconds.parse().ok());
        std::thread::sleep(std::time::Duration::from_secs(later.expect("a 503 says when to come again")));
    }
}

fn number(notify: &Message) -> u32 {
    notify.cseq().expect("a NOTIFY has a CSeq").number
}
