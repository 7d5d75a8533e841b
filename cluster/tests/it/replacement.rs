//! A node that lost its disk comes back under its name as somebody new.

use cluster::Limits;
use tonic::Code;

use crate::harness::{Cluster, GROUP, patient, until};
use crate::ports::free_address;

#[test]
fn a_node_with_an_empty_disk_takes_the_place_of_its_former_self_and_commands_go_on() {
    let mut cluster = Cluster::start(2, patient());
    let lost = follower(&cluster);
    let (old, others) = (cluster.id(lost), others(lost));
    cluster.propose(others[0], GROUP, 0..100);
    cluster.ledger(others[0], GROUP).until_fates(0..100);
    cluster.kill(lost);
    cluster.wipe(lost);

    cluster.run(lost);

    let new = cluster.id(lost);
    assert_ne!(new, old);
    let state = cluster.ledger(others[0], GROUP).page().state;
    let page = cluster.ledger(lost, GROUP).until("the old commands", |page| page.state.len() >= state.len());
    assert_eq!(page.state, state);
    cluster.until_voters(&[0, 1, 2]);
    let directory = cluster.directory(lost);
    assert!(directory.gone.contains_key(&old) && directory.id_of(&cluster.nodes[lost].name) == Some(new));
    // Now its vote counts: of the three, another one may be away.
    cluster.kill(others[1]);
    cluster.propose(lost, GROUP, 0..50);
    assert!(cluster.ledger(lost, GROUP).until_fates(0..50).all_committed(0..50));
}

#[test]
fn a_new_member_that_finds_the_log_purged_gets_the_snapshot() {
    let often = Limits { snapshot_every: 20, log_kept: 2, ..patient() };
    let mut cluster = Cluster::start(1, often);
    let lost = follower(&cluster);
    cluster.kill(lost);
    cluster.wipe(lost);
    let leader = cluster.leader(GROUP);
    for ticket in 0..60 {
        cluster.propose(leader, GROUP, ticket..ticket + 1);
        cluster.ledger(leader, GROUP).until_fates(ticket..ticket + 1);
    }
    let state = cluster.ledger(leader, GROUP).page().state;

    cluster.run(lost);

    let page = cluster.ledger(lost, GROUP).until("60 commands", |page| page.state.len() == 60);
    assert_eq!(page.state, state);
    assert!(!page.restored.is_empty(), "it cannot have had all of it from the log");
    cluster.until_voters(&[0, 1, 2]);
}

#[test]
fn a_node_with_an_empty_disk_never_votes_under_its_old_id() {
    let mut cluster = Cluster::start(1, patient());
    let lost = follower(&cluster);
    let old = cluster.id(lost);
    let others = others(lost);
    for at in 0..3 {
        cluster.kill(at);
    }
    cluster.wipe(lost);

    // One of the two that remember is away: its vote would be needed, and the empty node has none.
    cluster.begin(lost).unwrap();
    cluster.run(others[0]);
    until("the new node asks for admission", || cluster.waiting(lost).starts_with("waiting to be admitted"));
    assert!(cluster.directory(others[0]).members.contains_key(&old));
    assert!(cluster.group(others[0], GROUP).voters().contains(&old));

    cluster.run(others[1]);
    cluster.entered(lost).unwrap();
    let asked = cluster.asks_for_vote(others[0], lost, old);
    assert_eq!(asked.unwrap_err().code(), Code::FailedPrecondition);
    cluster.until_voters(&[0, 1, 2]);
}

#[test]
fn a_new_member_whose_disk_is_lost_in_turn_is_replaced_too() {
    let mut cluster = Cluster::start(1, patient());
    let lost = follower(&cluster);
    for _ in 0..2 {
        cluster.kill(lost);
        cluster.wipe(lost);
        // It takes part, and is lost before anybody can have made a voter of it in all groups.
        cluster.run(lost);
    }

    cluster.until_voters(&[0, 1, 2]);

    assert_eq!(cluster.directory(lost).gone.len(), 2);
    cluster.propose(lost, GROUP, 0..5);
    assert!(cluster.ledger(lost, GROUP).until_fates(0..5).all_committed(0..5));
}

#[test]
fn a_node_that_was_replaced_while_it_was_away_is_told_and_does_not_start() {
    let mut cluster = Cluster::start(1, patient());
    let lost = follower(&cluster);
    cluster.kill(lost);
    let old_folder = std::mem::replace(&mut cluster.nodes[lost].folder, tempfile::tempdir().unwrap());
    cluster.run(lost);
    cluster.until_voters(&[0, 1, 2]);
    cluster.stop(lost);
    cluster.nodes[lost].folder = old_folder;

    let refused = cluster.try_run(lost).expect_err("it was replaced");

    assert!(refused.to_string().contains("was replaced or removed"), "{refused}");
}

#[test]
fn a_running_node_that_is_replaced_is_told_and_must_not_go_on() {
    let mut cluster = Cluster::start(1, patient());
    let lost = follower(&cluster);
    cluster.stop(lost);
    // It reaches the others, and they do not reach it.
    cluster.nodes[lost].hidden = Some(free_address());
    cluster.run(lost);

    let twin = cluster.twin(lost);
    cluster.run(twin);

    let reason = cluster.ended(lost);
    assert!(reason.contains("was replaced or removed"), "{reason}");
    cluster.stop(lost);
    let [one, other] = others(lost);
    cluster.until_voters(&[one, other, twin]);
}

#[test]
fn a_second_node_under_the_name_of_a_running_one_is_not_admitted() {
    let mut cluster = Cluster::start(1, patient());
    let at = follower(&cluster);
    let twin = cluster.twin(at);
    cluster.nodes[twin].hidden = Some(free_address());

    cluster.begin(twin).unwrap();

    let name = cluster.nodes[at].name.clone();
    until("it is told why", || cluster.waiting(twin).contains(&format!("{name} is still running at")));
    assert!(cluster.directory(at).gone.is_empty());
}

#[test]
fn an_old_copy_of_a_data_folder_is_refused_however_often_it_is_started() {
    let mut cluster = Cluster::start(1, patient());
    let at = follower(&cluster);
    cluster.stop(at);
    let copy = cluster.copy_of_folder(at);
    cluster.run(at);
    until("its new start is known", || (0..3).all(|other| cluster.knows_start_of(other, at)));
    cluster.stop(at);
    cluster.nodes[at].folder = copy;

    for _ in 0..3 {
        let refused = cluster.try_run(at).expect_err("that start was seen before");

        let (refused, name) = (refused.to_string(), &cluster.nodes[at].name);
        let expected = format!("is an old copy: start 2 of {name} was seen, this is start 2;");
        assert!(refused.contains(&expected), "{refused}");
    }
}

/// One that leads no group.
fn follower(cluster: &Cluster) -> usize {
    let leader = cluster.leader(GROUP);
    (0..3).find(|at| *at != leader && !cluster.node(*at).system().is_leader()).unwrap()
}

fn others(of: usize) -> [usize; 2] {
    [(of + 1) % 3, (of + 2) % 3]
}
