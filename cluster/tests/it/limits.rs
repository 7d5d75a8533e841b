//! Every queue has its end, and says so.

use std::time::Duration;

use bytes::Bytes;
use cluster::{Full, Limits};

use crate::harness::{Cluster, Fate, GROUP, patient};

#[test]
fn a_full_queue_refuses_until_what_it_holds_has_its_fate() {
    let short = Duration::from_millis(500);
    let limits = Limits { proposals: 10, leaderless_wait: short, give_up: short, ..patient() };
    let mut cluster = Cluster::start(1, limits);
    let at = leave_one(&mut cluster);
    let group = cluster.group(at, GROUP);
    for ticket in 0..10 {
        assert_eq!(group.propose(ticket, Bytes::from_static(b"x")), Ok(()));
    }

    assert_eq!(group.propose(10, Bytes::from_static(b"x")), Err(Full));

    let page = cluster.ledger(at, GROUP).until_fates(0..10);
    let ended = |fates: &Vec<Fate>| matches!(fates[..], [Fate::Failed | Fate::Lost]);
    assert!(page.fates.values().all(ended), "{:?}", page.fates);
    assert_eq!(group.propose(11, Bytes::from_static(b"x")), Ok(()));
}

#[test]
fn proposals_wait_for_a_leader() {
    let limits = Limits { leaderless_wait: crate::harness::PATIENCE, ..patient() };
    let mut cluster = Cluster::start(1, limits);
    let at = leave_one(&mut cluster);
    cluster.propose(at, GROUP, 0..10);

    cluster.run((at + 1) % 3);

    let page = cluster.ledger(at, GROUP).until_fates(0..10);
    assert!(page.all_committed(0..10), "{:?}", page.fates);
}

#[test]
fn a_command_larger_than_an_entry_fails_and_the_largest_one_passes() {
    let cluster = Cluster::start(1, patient());
    let group = cluster.group(0, GROUP);
    let most = patient().entry_bytes;

    group.propose(1, Bytes::from(vec![b'a'; most + 1])).unwrap();
    group.propose(2, Bytes::from(vec![b'b'; most])).unwrap();

    let page = cluster.ledger(0, GROUP).until_fates(1..3);
    assert_eq!((&page.fates[&1], &page.fates[&2]), (&vec![Fate::Failed], &vec![Fate::Committed]));
}

/// One that followed runs, started when the others were away: nothing that it proposes can be committed.
fn leave_one(cluster: &mut Cluster) -> usize {
    let follower = (cluster.leader(GROUP) + 1) % 3;
    for at in 0..3 {
        cluster.stop(at);
    }
    cluster.run(follower);
    follower
}
