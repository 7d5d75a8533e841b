//! A disk that holds something else than what was written is set aside.

use std::fs;

use cluster::Limits;

use crate::harness::{Cluster, GROUP, patient, until};

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
fn members_that_all_set_their_stores_aside_found_no_empty_cluster() {
    let mut cluster = Cluster::start(1, patient());
    cluster.propose(0, GROUP, 0..5);
    for at in 0..3 {
        cluster.ledger(at, GROUP).until("5 commands", |page| page.state.len() == 5);
    }
    let data = [0, 1, 2].map(|at| cluster.config(at).data);
    for (at, data) in data.iter().enumerate() {
        cluster.stop(at);
        flip_middle(&data.join("node"));
    }

    // The second time they find empty stores, and what was set aside beside them.
    for _ in 0..2 {
        for at in 0..3 {
            cluster.kill(at);
            cluster.begin(at).unwrap();
        }
        let all = "manager-1, manager-2, manager-3 belonged to one and set their stores aside";
        until("all wait for the data", || (0..3).all(|at| cluster.waiting(at).contains(all)));
    }
    assert!((0..3).all(|at| !cluster.nodes[at].is_member_on_disk()));

    // Somebody puts a majority of the stores back, and the third node is admitted as ever.
    for (at, data) in data.iter().enumerate().take(2) {
        cluster.kill(at);
        for entry in fs::read_dir(data.join("quarantine-1")).unwrap() {
            let entry = entry.unwrap();
            fs::rename(entry.path(), data.join(entry.file_name())).unwrap();
        }
        flip_middle(&data.join("node"));
        cluster.begin(at).unwrap();
    }
    for at in 0..3 {
        cluster.entered(at).unwrap();
    }
    let page = cluster.ledger(2, GROUP).until("the old commands", |page| page.state.len() == 5);
    assert_eq!(page.state, cluster.ledger(0, GROUP).until("its own", |page| page.state.len() == 5).state);
    cluster.until_voters(&[0, 1, 2]);
}

#[test]
fn a_disk_that_damages_the_new_store_too_ends_the_node() {
    let mut cluster = Cluster::start(1, patient());
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
    let often = Limits { snapshot_every: 20, log_kept: 2, ..patient() };
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
