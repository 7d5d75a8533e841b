//! Processes that reach each other by mutual TLS.

use crate::cluster::Cluster;
use crate::kill::until_granted;
use crate::phone::{Phone, pidf, tag};

#[test]
fn over_tls_phones_are_authorised_notified_and_served_by_a_leader_that_comes_back() {
    let mut cluster = Cluster::start_over_tls();
    let (mut alice, mut bob) = (Phone::new("alice", cluster.sip()), Phone::new("bob", cluster.sip()));
    let first = tag(&alice.publish("", 600, &pidf("alice", "open", "before")));
    assert_eq!(bob.subscribe("alice").0.status(), Some(200));
    bob.notified_of("before");
    let leader = cluster.leader();

    cluster.kill(leader);
    let second = tag(&until_granted(|| alice.publish(&first, 600, &pidf("alice", "open", "without it"))));
    bob.notified_of("without it");
    cluster.restart(leader);

    let other = (1..=3).find(|manager| *manager != leader).expect("there are three");
    cluster.kill(other);
    tag(&until_granted(|| alice.publish(&second, 600, &pidf("alice", "open", "with it"))));
    bob.notified_of("with it");
}
