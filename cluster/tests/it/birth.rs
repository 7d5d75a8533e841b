//! Empty nodes become one cluster.

use std::collections::BTreeSet;

use cluster::{DeclaredMember, StartError};
use placement::GroupId;

use crate::harness::{Cluster, GROUP, patient, until};
use crate::ports::free_address;

#[test]
fn three_empty_nodes_form_one_cluster_whichever_starts_first() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut cluster = Cluster::prepare(2, patient());
        for at in order {
            if at == order[2] {
                let missing = format!("waiting for {} (", cluster.nodes[at].name);
                until("both know whom they miss", || {
                    order[..2].iter().all(|at| cluster.waiting(*at).starts_with(&missing))
                });
            }
            cluster.begin(at).unwrap();
        }
        for at in order {
            cluster.entered(at).unwrap();
        }

        until("all know of the birth", || (0..3).all(|at| cluster.directory(at).is_born()));

        let clusters: BTreeSet<_> = (0..3).map(|at| cluster.directory(at).cluster).collect();
        let ids: BTreeSet<_> = (0..3).map(|at| cluster.id(at)).collect();
        assert_eq!((clusters.len(), ids.len()), (1, 3), "{order:?}");
        let directory = cluster.directory(0);
        assert_eq!(directory.members.keys().copied().collect::<BTreeSet<_>>(), ids);
        assert_eq!(directory.slots.groups(), BTreeSet::from([GroupId(1), GroupId(2)]));
        assert_eq!(directory.level, 1);
        for group in [GroupId(1), GroupId(2)] {
            cluster.propose(order[2], group, 0..5);
            assert!(cluster.ledger(order[2], group).until_fates(0..5).all_committed(0..5));
        }
    }
}

#[test]
fn a_founder_that_stops_before_the_others_heard_of_the_cluster_completes_it_when_it_is_back() {
    let mut cluster = Cluster::prepare(1, patient());
    for at in 0..3 {
        cluster.begin(at).unwrap();
    }
    // Whoever takes part first is the one that named the cluster, or one that heard of it just now.
    until("somebody founds the cluster", || (0..3).any(|at| cluster.nodes[at].is_member_on_disk()));
    for at in 0..3 {
        cluster.kill(at);
    }

    for at in [2, 1, 0] {
        cluster.begin(at).unwrap();
    }
    for at in 0..3 {
        cluster.entered(at).unwrap();
    }

    cluster.propose(0, GROUP, 0..5);
    assert!(cluster.ledger(0, GROUP).until_fates(0..5).all_committed(0..5));
}

#[test]
fn members_that_were_configured_differently_are_refused() {
    let mut cluster = Cluster::prepare(1, patient());
    cluster.begin(0).unwrap();
    let mut stranger = Cluster::prepare(2, patient());
    stranger.nodes[0].address = cluster.nodes[0].address;
    stranger.nodes[0].name = cluster.nodes[0].name.clone();

    let refused = stranger.try_run(1).expect_err("the lists differ");

    assert!(matches!(refused, StartError::Refused(_)), "{refused}");
    assert!(refused.to_string().starts_with("manager-1 was configured with other members"), "{refused}");
}

#[test]
fn restarted_members_open_their_logs_alone_and_find_each_other_at_new_addresses() {
    let mut cluster = Cluster::start(1, patient());
    cluster.propose(0, GROUP, 0..5);
    for at in 0..3 {
        cluster.ledger(at, GROUP).until("5 commands", |page| page.state.len() == 5);
    }
    for at in 0..3 {
        cluster.stop(at);
    }
    let moved = [(); 3].map(|()| free_address());
    for (place, address) in cluster.nodes.iter_mut().zip(moved) {
        place.address = address;
    }

    for at in 0..3 {
        cluster.run(at);
    }

    until("all know the new addresses", || {
        (0..3).all(|at| {
            let directory = cluster.directory(at);
            (0..3).all(|of| directory.members[&cluster.id(of)].grpc == moved[of].to_string())
        })
    });
    cluster.propose(2, GROUP, 0..5);
    assert!(cluster.ledger(2, GROUP).until_fates(0..5).all_committed(0..5));
}

#[test]
fn a_folder_of_another_name_is_refused() {
    let mut cluster = Cluster::prepare(1, patient());
    cluster.begin(0).unwrap();
    cluster.stop(0);
    cluster.nodes[0].name = "manager-9".into();

    let refused = cluster.begin(0).expect_err("the mismatch is seen");

    assert!(matches!(refused, StartError::Identity(_)), "{refused}");
    assert!(refused.to_string().ends_with("belongs to manager-1, this is manager-9"), "{refused}");
}

#[test]
fn a_node_of_another_cluster_is_refused_and_changes_nothing() {
    let mut ours = Cluster::start(1, patient());
    let mut theirs = Cluster::start(1, patient());
    for at in 0..3 {
        theirs.stop(at);
    }
    ours.stop(2);
    // The disks of two clusters were mixed up.
    std::mem::swap(&mut ours.nodes[2].folder, &mut theirs.nodes[2].folder);

    let refused = ours.try_run(2).expect_err("the others are another cluster");

    assert!(refused.to_string().starts_with("this node belongs to cluster"), "{refused}");
    ours.propose(0, GROUP, 0..5);
    assert!(ours.ledger(0, GROUP).until_fates(0..5).all_committed(0..5));
}

#[test]
fn a_configuration_that_cannot_be_meant_is_refused_before_anything_is_written() {
    let mut cluster = Cluster::prepare(1, patient());
    cluster.nodes[1].name = "manager-1".into();

    let refused = cluster.begin(0).expect_err("the name is there twice");

    assert!(matches!(refused, StartError::Config(_)), "{refused}");
    assert!(!cluster.config(0).data.exists());
    assert_eq!(
        cluster.config(0).declared.members[1],
        DeclaredMember { name: "manager-1".into(), grpc: cluster.nodes[1].address.to_string() }
    );
}
