//! What is proposed anywhere is applied everywhere, in one order.

use placement::GroupId;

use crate::harness::{Cluster, GROUP, Page, patient};

#[test]
fn commands_proposed_at_any_node_reach_all_nodes_in_the_same_order() {
    let groups = [GroupId(1), GroupId(2)];
    let cluster = Cluster::start(2, patient());

    for at in 0..3 {
        for group in groups {
            cluster.propose(at, group, 0..300);
        }
    }

    for group in groups {
        let pages: Vec<Page> = (0..3)
            .map(|at| cluster.ledger(at, group).until("900 commands", |page| page.state.len() == 900))
            .collect();
        assert_eq!(pages[0].state, pages[1].state);
        assert_eq!(pages[0].state, pages[2].state);
        assert_eq!(pages[0].entries, pages[2].entries);
        for (at, page) in pages.iter().enumerate() {
            assert!(page.all_committed(0..300), "node {at}: {:?}", page.fates);
            assert!(page.entries.is_sorted(), "{:?}", page.entries);
            assert!(page.entries.is_sorted_by_key(|(_, stamp)| *stamp), "{:?}", page.entries);
            let origin = format!("{}-", cluster.id(at));
            let own: Vec<_> = page.state.iter().filter(|command| command.starts_with(&origin)).collect();
            let proposed: Vec<_> = (0..300).map(|ticket| format!("{origin}1-{ticket}")).collect();
            assert!(own.iter().copied().eq(&proposed), "the order of one origin is kept");
        }
    }
}

#[test]
fn many_commands_share_an_entry() {
    let cluster = Cluster::start(1, patient());
    let leader = cluster.leader(GROUP);

    for at in 0..3 {
        cluster.propose(at, GROUP, 0..1_000);
    }

    let page = cluster.ledger(leader, GROUP).until("3,000 commands", |page| page.state.len() == 3_000);
    let mean = 3_000.0 / page.entries.len() as f64;
    println!("{} entries, {mean:.1} commands in each", page.entries.len());
    assert!(mean > 1.0, "{mean}");
}

#[test]
fn followers_know_the_log_time_of_their_leader() {
    let cluster = Cluster::start(1, patient());
    cluster.propose(0, GROUP, 0..1);

    let pages: Vec<Page> =
        (0..3).map(|at| cluster.ledger(at, GROUP).until("a command", |page| page.state.len() == 1)).collect();

    for (at, page) in pages.iter().enumerate() {
        let (_, stamp) = page.entries[0];
        assert!(cluster.group(at, GROUP).log_now() >= stamp);
    }
    assert!(pages[0].leader.is_some());
}
