//! A disk that holds something else than what was written is set aside.

use std::fs;

use cluster::Limits;

use crate::harness::{Cluster, GROUP, until};

#[test]
fn a_node_with_a_damaged_snapshot_comes_back_as_a_new_member() {
    comes_back_as_new(|data| flip_middle(&data.join("snapshots/group-1.snapshot")));
}

#[test]
fn a_node_without_the_snapshot_that_its_log_needs_comes_back_as_a_new_member() {
    comes_back_as_new(|data| fs::remove_file(data.join("snapshots/group-1.snapshot")).unwrap());
}

#[test]
fn a_node_with_a_torn_log_comes_back_as_a_new_member() {
    comes_back_as_new(|data| {
        let path = data.join("log/db");
        let bytes = fs::read(&path).unwrap();
        let torn = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 2;
        fs::write(&path, &bytes[..torn]).unwrap();
    });
}

#[test]
fn a_node_with_a_damaged_identity_or_directory_comes_back_as_a_new_member() {
    comes_back_as_new(|data| flip_middle(&data.join("node")));
    comes_back_as_new(|data| fs::remove_file(data.join("node")).unwrap());
    comes_back_as_new(|data| flip_middle(&data.join("directory")));
    comes_back_as_new(|data| fs::remove_file(data.join("directory")).unwrap());
}

#[test]
fn a_node_whose_log_was_emptied_comes_back_as_a_new_member() {
    comes_back_as_new(|data| fs::remove_dir_all(data.join("log")).unwrap());
}

#[test]
fn a_disk_that_damages_the_new_store_too_ends_the_node() {
    let mut cluster = Cluster::start(1, Limits::default());
    let victim = (cluster.leader(GROUP) + 1) % 3;
    let (other, data) = ((victim + 1) % 3, cluster.config(victim).data);
    cluster.stop(victim);
    cluster.stop(other);
    flip_middle(&data.join("node"));
    // Nobody admits it yet, since one of the others is away.
    cluster.begin(victim).unwrap();
    fs::create_dir(data.join("snapshots")).unwrap();
    fs::write(data.join("snapshots/group-1.snapshot"), "nonsense").unwrap();

    cluster.run(other);
    let refused = cluster.entered(victim).expect_err("its new store is damaged");

    assert!(refused.to_string().contains("group-1.snapshot is damaged"), "{refused}");
    assert!(!data.join("quarantine-2").exists());
}

fn comes_back_as_new(damage: impl Fn(&std::path::Path)) {
    let often = Limits { snapshot_every: 20, log_kept: 2, ..Limits::default() };
    let mut cluster = Cluster::start(1, often);
    let victim = (cluster.leader(GROUP) + 1) % 3;
    let (old, data) = (cluster.id(victim), cluster.config(victim).data);
    for ticket in 0..30 {
        cluster.propose(victim, GROUP, ticket..ticket + 1);
        cluster.ledger(victim, GROUP).until_fates(ticket..ticket + 1);
    }
    until("a snapshot", || cluster.group(victim, GROUP).status().snapshot > 0);
    let state = cluster.ledger(victim, GROUP).page().state;
    cluster.stop(victim);

    damage(&data);
    cluster.run(victim);

    assert_ne!(cluster.id(victim), old);
    assert!(data.join("quarantine-1").is_dir());
    let page = cluster.ledger(victim, GROUP).until("the state", |page| page.state.len() == state.len());
    assert_eq!(page.state, state);
    cluster.until_voters(&[0, 1, 2]);
}

fn flip_middle(path: &std::path::Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}
