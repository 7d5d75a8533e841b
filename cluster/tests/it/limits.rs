//! Every queue has its end, and says so.

use std::time::Duration;

use bytes::Bytes;
use cluster::{Full, Limits};

use crate::harness::{Cluster, Fate, GROUP};

#[test]
fn a_full_queue_refuses_and_without_a_leader_what_it_holds_fails() {
    let limits = Limits { proposals: 10, leaderless_wait: Duration::from_millis(500), ..Limits::default() };
    let mut cluster = Cluster::prepare(&[GROUP], limits);
    cluster.run(1);
    let group = cluster.group(1, GROUP);
    for ticket in 0..10 {
        assert_eq!(group.propose(ticket, Bytes::from_static(b"x")), Ok(()));
    }

    assert_eq!(group.propose(10, Bytes::from_static(b"x")), Err(Full));

    let page = cluster.ledger(1, GROUP).until_fates(0..10);
    assert!(page.fates.values().all(|fates| *fates == [Fate::Failed]), "{:?}", page.fates);
    assert_eq!(group.propose(11, Bytes::from_static(b"x")), Ok(()));
}

#[test]
fn proposals_wait_for_the_first_leader() {
    let limits = Limits { leaderless_wait: crate::harness::PATIENCE, ..Limits::default() };
    let mut cluster = Cluster::prepare(&[GROUP], limits);
    cluster.run(1);
    cluster.propose(1, GROUP, 0..10);

    cluster.run(0);

    let page = cluster.ledger(1, GROUP).until_fates(0..10);
    assert!(page.all_committed(0..10), "{:?}", page.fates);
}

#[test]
fn a_command_larger_than_an_entry_fails_and_the_largest_one_passes() {
    let cluster = Cluster::start(&[GROUP], Limits::default());
    let group = cluster.group(0, GROUP);
    let most = Limits::default().entry_bytes;

    group.propose(1, Bytes::from(vec![b'a'; most + 1])).unwrap();
    group.propose(2, Bytes::from(vec![b'b'; most])).unwrap();

    let page = cluster.ledger(0, GROUP).until_fates(1..3);
    assert_eq!((&page.fates[&1], &page.fates[&2]), (&vec![Fate::Failed], &vec![Fate::Committed]));
}
