//! Who may act for what it owns, and who is silent.

use std::time::Duration;

use cluster::Limits;

use crate::harness::{Cluster, GROUP, patient, until};

#[test]
fn every_node_holds_a_lease_while_a_majority_follows_the_leader() {
    let cluster = Cluster::start(1, patient());
    let leader = cluster.leader(GROUP);

    until("three leases", || (0..3).all(|at| cluster.group(at, GROUP).lease_until(u64::MAX).is_some()));

    for at in 0..3 {
        assert_eq!(cluster.group(at, GROUP).silences().is_some(), at == leader);
    }
}

#[test]
fn a_leader_that_is_cut_off_has_no_lease_when_the_others_elect() {
    let cluster = Cluster::start_wired(1, patient());
    let leader = cluster.leader(GROUP);
    let others = [(leader + 1) % 3, (leader + 2) % 3];
    let holds_lease = |at: usize| cluster.group(at, GROUP).lease_until(u64::MAX).is_some();
    until("its lease", || holds_lease(leader));

    for other in others {
        cluster.wires().cut(leader, other);
    }
    until("another leader", || others.iter().any(|at| cluster.group(*at, GROUP).is_leader()));
    let (held, leads) = (holds_lease(leader), cluster.group(leader, GROUP).is_leader());

    assert!(!held, "two leaders could give the same thing away");
    assert!(leads, "it cannot know");
    until("the leases of the others", || others.iter().all(|at| holds_lease(*at)));
    for other in others {
        cluster.wires().mend(leader, other);
    }
    until("a lease from the new leader", || holds_lease(leader) && !cluster.group(leader, GROUP).is_leader());
}

#[test]
fn a_leader_without_a_majority_loses_its_lease_and_tells_who_is_silent() {
    let mut cluster = Cluster::start(1, patient());
    let leader = cluster.leader(GROUP);
    let group = cluster.group(leader, GROUP);
    until("its lease", || group.lease_until(u64::MAX).is_some());

    for at in [(leader + 1) % 3, (leader + 2) % 3] {
        cluster.kill(at);
    }

    until("the end of the lease", || group.lease_until(u64::MAX).is_none());
    let silences = group.silences().expect("it leads");
    assert_eq!(silences.len(), 2);
    until("silence", || {
        group.silences().is_some_and(|all| all.iter().all(|(_, lasted)| lasted.as_millis() > 600))
    });
}

#[test]
fn a_node_that_was_paused_has_no_lease_from_what_lay_in_its_sockets() {
    let soon = Duration::from_secs(1);
    let limits = Limits { give_up: soon, leaderless_wait: soon, ..patient() };
    let cluster = Cluster::start(1, limits);
    let leader = cluster.leader(GROUP);
    let (paused, third) = ((leader + 1) % 3, (leader + 2) % 3);
    let holds_lease = || cluster.group(paused, GROUP).lease_until(u64::MAX).is_some();
    until("its lease", holds_lease);
    let pause = cluster.pause(paused);
    // All the while the leader goes on sending it words that are fresh then.
    cluster.until_silent(leader, paused, Duration::from_millis(1_500));
    let others = [cluster.pause(leader), cluster.pause(third)];
    until("the end of the leader's own lease", || {
        cluster.group(leader, GROUP).lease_until(u64::MAX).is_none()
    });

    drop(pause);

    // Nobody lives who could tell it anything new.
    cluster.propose(paused, GROUP, 0..1);
    let ledger = cluster.ledger(paused, GROUP);
    let mut held = false;
    until("a fate", || {
        held |= holds_lease();
        ledger.page().fates.contains_key(&0)
    });
    assert!(!held);
    drop(others);
}
