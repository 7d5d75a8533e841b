//! A leader that is gone is replaced, and one that is there is not deposed.

use std::time::{Duration, Instant};

use crate::harness::{Cluster, GROUP, patient, until};

/// Longer than anybody waits before an election.
const LONG: Duration = Duration::from_millis(1_500);

#[test]
fn a_node_that_was_paused_does_not_depose_a_healthy_leader() {
    let cluster = Cluster::start(1, patient());

    thrice_without_an_election(&cluster, |leader, follower| {
        let paused = cluster.pause(follower);
        cluster.until_silent(leader, follower, LONG);
        drop(paused);
    });
}

#[test]
fn a_node_that_hears_the_others_but_not_the_leader_does_not_depose_it() {
    let cluster = Cluster::start_wired(1, patient());

    thrice_without_an_election(&cluster, |leader, follower| {
        cluster.wires().cut(leader, follower);
        cluster.until_silent(leader, follower, 2 * LONG);
        cluster.wires().mend(leader, follower);
    });
}

#[test]
fn a_leader_that_is_killed_is_replaced() {
    let mut cluster = Cluster::start(1, patient());

    let took = kill_the_leader(&mut cluster, 0);

    println!("{took:?} from the kill to the next commit");
}

#[test]
fn a_leader_that_leaves_hands_over() {
    for count in [2, 3, 5] {
        let mut cluster = Cluster::prepare_many(count, 1, patient());
        let all: Vec<usize> = (0..count).collect();
        cluster.be_born();
        let leader = cluster.leader(GROUP);
        for &at in &all {
            cluster.propose(at, GROUP, 0..200);
        }

        let started = Instant::now();
        // Each handover is given up after a while, and a busy machine may need longer.
        until("a successor", || {
            cluster.hand_over(leader);
            !cluster.group(leader, GROUP).is_leader()
        });

        println!("{:?} for the handover among {count}", started.elapsed());
        assert_ne!(cluster.leader(GROUP), leader);
        for &at in &all {
            let page = cluster.ledger(at, GROUP).until_fates(0..200);
            assert!(page.all_committed(0..200), "{:?}", page.fates);
        }
    }
}

#[test]
fn a_leader_that_leaves_alone_does_not_wait_for_nobody() {
    let mut cluster = Cluster::start(1, patient());
    let leader = cluster.leader(GROUP);
    for at in [(leader + 1) % 3, (leader + 2) % 3] {
        cluster.kill(at);
    }

    cluster.hand_over(leader);
    cluster.stop(leader);

    assert!(cluster.alive().is_empty());
}

/// Prints how long each takes; `VEDETTE_ROUNDS` asks for more than one round.
#[test]
fn after_a_start_a_kill_and_a_handover_there_is_a_leader_that_commits() {
    let rounds = std::env::var("VEDETTE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    let mut kills = Vec::new();
    let mut starts = Vec::new();
    let mut restarts = Vec::new();
    let mut handovers = Vec::new();
    let mut cluster = Cluster::prepare(1, patient());
    for round in 0..rounds {
        let started = Instant::now();
        let mut fresh = Cluster::start(1, patient());
        first_commit(&fresh, 0);
        starts.push(started.elapsed());
        let leader = fresh.leader(GROUP);
        // One that has just been elected keeps its own vote for a while.
        until("a settled leader", || started.elapsed() > LONG);
        let started = Instant::now();
        fresh.hand_over(leader);
        commit(&fresh, (leader + 1) % 3, 0..1);
        handovers.push(started.elapsed());
        for at in 0..3 {
            fresh.kill(at);
        }
        let started = Instant::now();
        for at in 0..3 {
            fresh.run(at);
        }
        first_commit(&fresh, 0);
        restarts.push(started.elapsed());
        std::mem::swap(&mut cluster, &mut fresh);
        kills.push(kill_the_leader(&mut cluster, 100 + round));
    }
    for (what, times) in
        [("kill", kills), ("first start", starts), ("start of all", restarts), ("handover", handovers)]
    {
        tell(what, times);
    }
}

/// Disturbs the leader and a follower until that went three times without an election, while what the follower
/// proposes is committed. A busy machine holds up a leader now and then, and the others rightly elect; a fault that
/// deposes leaders does it every time.
fn thrice_without_an_election(cluster: &Cluster, disturb: impl Fn(usize, usize)) {
    let quiet = |round: &u64| {
        let (leader, follower) = leader_and_follower(cluster);
        let term = cluster.group(leader, GROUP).status().term;
        disturb(leader, follower);
        let tickets = 20 * round..20 * round + 20;
        cluster.propose(follower, GROUP, tickets.clone());
        let page = cluster.ledger(follower, GROUP).until_fates(tickets.clone());
        let led =
            cluster.group(leader, GROUP).is_leader() && cluster.group(leader, GROUP).status().term == term;
        led && page.all_committed(tickets)
    };
    assert_eq!((0..9).filter(quiet).take(3).count(), 3);
}

/// From the kill to the next commit at a survivor.
fn kill_the_leader(cluster: &mut Cluster, ticket: u64) -> Duration {
    let (leader, follower) = leader_and_follower(cluster);
    commit(cluster, follower, 2 * ticket..2 * ticket + 1);
    let started = Instant::now();
    cluster.kill(leader);
    commit(cluster, follower, 2 * ticket + 1..2 * ticket + 2);
    started.elapsed()
}

fn first_commit(cluster: &Cluster, at: usize) {
    commit(cluster, at, 50..51);
}

fn commit(cluster: &Cluster, at: usize, tickets: std::ops::Range<u64>) {
    cluster.propose(at, GROUP, tickets.clone());
    let page = cluster.ledger(at, GROUP).until_fates(tickets.clone());
    assert!(page.all_committed(tickets), "{:?}", page.fates);
}

fn leader_and_follower(cluster: &Cluster) -> (usize, usize) {
    let leader = cluster.leader(GROUP);
    (leader, (leader + 1) % 3)
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!("{what}: p50 {:?}, p90 {:?}, worst {:?} of {}", at(50), at(90), at(100), times.len());
}
