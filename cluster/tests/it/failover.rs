//! A node that dies takes nothing along that was promised.

use std::time::Duration;

use cluster::Limits;

use crate::harness::{Cluster, Fate, GROUP, patient, until};

#[test]
fn when_the_leader_dies_the_others_go_on_and_every_open_ticket_gets_one_fate() {
    let mut cluster = Cluster::start(1, patient());
    let leader = cluster.leader(GROUP);
    for at in 0..3 {
        cluster.propose(at, GROUP, 0..500);
    }

    cluster.kill(leader);

    let survivors = cluster.alive();
    for &at in &survivors {
        cluster.propose(at, GROUP, 500..600);
    }
    for &at in &survivors {
        let page = cluster.ledger(at, GROUP).until_fates(0..600);
        for (ticket, fates) in &page.fates {
            assert_eq!(fates.len(), 1, "ticket {ticket}: {fates:?}");
        }
    }
    // With a leader again, nothing fails any more.
    cluster.leader(GROUP);
    cluster.propose(survivors[0], GROUP, 600..700);
    let page = cluster.ledger(survivors[0], GROUP).until_fates(600..700);
    assert!(page.all_committed(600..700), "{:?}", page.fates);
    let other = cluster.ledger(survivors[1], GROUP);
    let other = other.until("the same state", |other| other.state.len() == page.state.len());
    assert_eq!(other.state, page.state);
}

#[test]
fn a_follower_that_dies_is_not_missed_and_catches_up() {
    let mut cluster = Cluster::start(1, patient());
    let leader = cluster.leader(GROUP);
    let follower = (leader + 1) % 3;
    cluster.kill(follower);

    cluster.propose(leader, GROUP, 0..200);
    let page = cluster.ledger(leader, GROUP).until_fates(0..200);
    assert!(page.all_committed(0..200));
    cluster.run(follower);

    let caught_up = cluster.ledger(follower, GROUP).until("200 commands", |page| page.state.len() == 200);
    assert_eq!(caught_up.state, page.state);
}

#[test]
fn a_command_in_the_log_of_a_leader_without_followers_is_lost_and_never_failed() {
    let limits = Limits { give_up: Duration::from_secs(1), ..patient() };
    let mut cluster = Cluster::start(1, limits);
    let leader = cluster.leader(GROUP);
    cluster.kill((leader + 1) % 3);
    cluster.kill((leader + 2) % 3);

    cluster.propose(leader, GROUP, 0..20);

    let page = cluster.ledger(leader, GROUP).until_fates(0..20);
    assert!(page.fates.values().all(|fates| *fates == [Fate::Lost]), "{:?}", page.fates);
}

#[test]
fn a_leader_whose_open_entries_a_snapshot_covered_takes_commands_when_it_leads_again() {
    let limits = Limits { snapshot_every: 20, log_kept: 2, entries_in_flight: 1, ..patient() };
    let cluster = Cluster::start_wired(1, limits);
    let old = cluster.leader(GROUP);
    let others = [(old + 1) % 3, (old + 2) % 3];
    for other in others {
        cluster.wires().cut(old, other);
    }
    cluster.propose(old, GROUP, 0..20);
    until("an entry that nobody acknowledges", || {
        let status = cluster.group(old, GROUP).status();
        status.last_log > status.committed
    });
    until("another leader", || others.iter().any(|at| cluster.group(*at, GROUP).is_leader()));
    // Entries must be many for a snapshot, so each command waits for the one before.
    for ticket in 0..60 {
        cluster.propose(others[0], GROUP, ticket..ticket + 1);
        cluster.ledger(others[0], GROUP).until_fates(ticket..ticket + 1);
    }

    for other in others {
        cluster.wires().mend(old, other);
    }
    cluster.ledger(old, GROUP).until("a snapshot", |page| !page.restored.is_empty());
    while cluster.leader(GROUP) != old {
        cluster.hand_over(cluster.leader(GROUP));
    }

    cluster.propose(old, GROUP, 100..120);
    let page = cluster.ledger(old, GROUP).until_fates(100..120);
    assert!(page.all_committed(100..120), "{:?}", page.fates);
}
