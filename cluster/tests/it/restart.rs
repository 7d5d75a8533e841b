//! What a disk holds comes back, and a disk that holds something else is refused.

use std::fs;

use cluster::{Limits, StartError};
use placement::NodeId;

use crate::harness::{Cluster, GROUP, Page};

#[test]
fn after_a_stop_of_everything_every_node_has_the_same_log_again() {
    let mut cluster = Cluster::start(&[GROUP], Limits::default());
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
    let mut cluster = Cluster::start(&[GROUP], often());
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
    let mut cluster = Cluster::start(&[GROUP], often());
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

#[test]
fn a_damaged_snapshot_file_is_refused_by_its_name() {
    let mut cluster = Cluster::start(&[GROUP], often());
    let leader = cluster.leader(GROUP);
    for ticket in 0..30 {
        cluster.propose(leader, GROUP, ticket..ticket + 1);
        cluster.ledger(leader, GROUP).until_fates(ticket..ticket + 1);
    }
    crate::harness::until("a snapshot", || cluster.group(leader, GROUP).status().snapshot > 0);
    cluster.stop(leader);
    let path = cluster.config(leader).data.join("snapshots/group-1.snapshot");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();

    let refused = cluster.try_run(leader).expect_err("the damage is seen");

    assert!(matches!(refused, StartError::Snapshot(_)), "{refused}");
    assert!(refused.to_string().contains("group-1.snapshot"), "{refused}");
    // Nor does it start without the snapshot: its log begins later.
    fs::remove_file(&path).unwrap();
    let refused = cluster.try_run(leader).expect_err("the gap is seen");
    assert!(matches!(refused, StartError::Apart { .. }), "{refused}");
}

#[test]
fn a_torn_store_is_refused_by_its_name() {
    let mut cluster = Cluster::start(&[GROUP], Limits::default());
    fill(&cluster, 0..50);
    cluster.stop(0);
    let path = cluster.config(0).data.join("log/db");
    let bytes = fs::read(&path).unwrap();
    let torn = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 2;
    fs::write(&path, &bytes[..torn]).unwrap();

    let refused = cluster.try_run(0).expect_err("the damage is seen");

    assert!(refused.to_string().contains("/log"), "{refused}");
}

#[test]
fn a_folder_of_another_node_is_refused() {
    let mut cluster = Cluster::prepare(&[GROUP], Limits::default());
    cluster.run(0);
    cluster.stop(0);
    cluster.nodes[0].id = NodeId(9);

    let refused = cluster.try_run(0).expect_err("the mismatch is seen");

    assert!(matches!(refused, StartError::Identity(_)), "{refused}");
}

/// A snapshot every 20 entries, and next to nothing kept behind it.
fn often() -> Limits {
    Limits { snapshot_every: 20, log_kept: 2, ..Limits::default() }
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
