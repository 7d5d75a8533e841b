//! What a disk holds comes back.

use cluster::Limits;

use crate::harness::{Cluster, GROUP, Page, patient};

#[test]
fn after_a_stop_of_everything_every_node_has_the_same_log_again() {
    let mut cluster = Cluster::start(1, patient());
    let before = fill(&cluster, 0..200);
    for at in 0..3 {
        cluster.stop(at);
    }

    for at in 0..3 {
        cluster.run(at);
    }

    for at in 0..3 {
        let after = cluster.ledger(at, GROUP).until("the old state", |page| page.state.len() == 600);
        assert_eq!(after.state, before.state);
        assert!(after.restored.is_empty());
        assert_eq!(after.entries, before.entries);
    }
}

#[test]
fn after_a_kill_of_everything_every_node_comes_back_from_its_snapshot_and_its_log() {
    let mut cluster = Cluster::start(1, often());
    // Entries must be many for a snapshot, so each command waits for the one before.
    let leader = cluster.leader(GROUP);
    for ticket in 0..60 {
        cluster.propose(leader, GROUP, ticket..ticket + 1);
        cluster.ledger(leader, GROUP).until_fates(ticket..ticket + 1);
    }
    let before: Vec<Page> = (0..3)
        .map(|at| cluster.ledger(at, GROUP).until("60 commands", |page| page.state.len() == 60))
        .collect();
    crate::harness::until("snapshots", || (0..3).all(|at| cluster.group(at, GROUP).status().snapshot >= 40));
    for at in 0..3 {
        cluster.kill(at);
    }

    for at in 0..3 {
        cluster.run(at);
    }
    cluster.leader(GROUP);
    cluster.propose(0, GROUP, 0..10);

    for (at, before) in before.iter().enumerate() {
        let after = cluster.ledger(at, GROUP).until("new commands", |page| page.state.len() == 70);
        assert_eq!(after.state[..60], before.state);
        assert!(after.restored[0] >= 40, "{:?}", after.restored);
        assert!(after.entries[0].0 > after.restored[0]);
    }
}

#[test]
fn a_node_that_lags_behind_the_purged_log_gets_the_snapshot() {
    let mut cluster = Cluster::start(1, often());
    let leader = cluster.leader(GROUP);
    let lagging = (leader + 1) % 3;
    cluster.kill(lagging);
    for ticket in 0..100 {
        cluster.propose(leader, GROUP, ticket..ticket + 1);
        cluster.ledger(leader, GROUP).until_fates(ticket..ticket + 1);
    }
    let state = cluster.ledger(leader, GROUP).page().state;

    cluster.run(lagging);

    let page = cluster.ledger(lagging, GROUP).until("100 commands", |page| page.state.len() == 100);
    assert_eq!(page.state, state);
    assert!(page.restored.iter().any(|index| *index > 20), "{:?}", page.restored);
    // And it goes on from there, also after another start.
    cluster.stop(lagging);
    cluster.run(lagging);
    cluster.propose(leader, GROUP, 100..110);
    cluster.ledger(lagging, GROUP).until("110 commands", |page| page.state.len() == 110);
}

/// A snapshot every 20 entries, and next to nothing kept behind it.
fn often() -> Limits {
    Limits { snapshot_every: 20, log_kept: 2, ..patient() }
}

/// Proposes the tickets at all three nodes and returns the page of the first once all stand there.
fn fill(cluster: &Cluster, tickets: std::ops::Range<u64>) -> Page {
    let count = 3 * (tickets.end - tickets.start) as usize;
    for at in 0..3 {
        cluster.propose(at, GROUP, tickets.clone());
    }
    let mut pages = (0..3)
        .map(|at| cluster.ledger(at, GROUP).until("all", |page| page.state.len() == count))
        .collect::<Vec<_>>();
    pages.swap_remove(0)
}
