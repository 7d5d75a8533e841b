//! When a node asks, when it stands, and what it tells others that ask.

use super::*;

const ME: NodeId = NodeId(1);

#[test]
fn a_follower_that_hears_its_leader_waits() {
    let (mut liveness, standing, start) = follower();

    for beat in 1..100 {
        let now = start + ms(100 * beat);
        liveness.hear(now);
        assert!(
            matches!(liveness.step(&standing, now + ms(99)), Step::Wait { until } if until > now + ms(99))
        );
    }
}

#[test]
fn a_follower_asks_after_a_silence_between_the_two_bounds() {
    for id in 1..50 {
        let (mut liveness, standing, start) = follower_of(NodeId(id), &[&[id, 98, 99]]);
        let at = start + ms(1_000);
        liveness.hear(at);

        assert!(matches!(liveness.step(&standing, at + ms(499)), Step::Wait { .. }));
        assert!(matches!(liveness.step(&standing, at + ms(750)), Step::Ask { .. }));
    }
}

#[test]
fn the_draws_of_two_nodes_differ() {
    let due = |id| {
        let (mut liveness, standing, start) = follower_of(NodeId(id), &[&[id, 98, 99]]);
        match liveness.step(&standing, start) {
            Step::Wait { until } => until.duration_since(start),
            step => panic!("{step:?}"),
        }
    };

    assert_ne!(due(1), due(2));
    assert_ne!(due(2), due(3));
}

#[test]
fn it_stands_only_when_a_majority_hears_nobody() {
    let (mut liveness, standing, start) = follower_of(ME, &[&[1, 2, 3, 4, 5]]);
    let now = start + ms(2_000);
    let round = asked(&mut liveness, &standing, now);

    assert!(!liveness.agree(round, NodeId(2), &standing.voters, now + ms(1)));
    assert!(!liveness.agree(round, NodeId(2), &standing.voters, now + ms(2)));
    assert!(liveness.agree(round, NodeId(5), &standing.voters, now + ms(3)));
}

#[test]
fn during_a_change_of_members_both_majorities_must_hear_nobody() {
    let (mut liveness, standing, start) = follower_of(ME, &[&[1, 2, 3], &[1, 4, 5]]);
    let now = start + ms(2_000);
    let round = asked(&mut liveness, &standing, now);

    assert!(!liveness.agree(round, NodeId(2), &standing.voters, now));
    assert!(!liveness.agree(round, NodeId(3), &standing.voters, now));
    assert!(liveness.agree(round, NodeId(4), &standing.voters, now));
}

#[test]
fn what_a_stranger_says_makes_no_majority() {
    let (mut liveness, standing, start) = follower();
    let now = start + ms(2_000);
    let round = asked(&mut liveness, &standing, now);

    assert!(!liveness.agree(round, NodeId(77), &standing.voters, now));
}

#[test]
fn a_node_that_was_paused_asks_first_and_a_word_of_the_leader_ends_the_asking() {
    let (mut liveness, standing, start) = follower();
    let resumed = start + ms(60_000);
    let round = asked(&mut liveness, &standing, resumed);

    liveness.hear(resumed + ms(1));

    assert!(!liveness.agree(round, NodeId(2), &standing.voters, resumed + ms(2)));
    assert!(!liveness.agree(round, NodeId(3), &standing.voters, resumed + ms(2)));
    assert!(matches!(liveness.step(&standing, resumed + ms(400)), Step::Wait { .. }));
}

#[test]
fn answers_from_before_a_pause_count_no_more() {
    let (mut liveness, standing, start) = follower();
    let now = start + ms(2_000);
    let round = asked(&mut liveness, &standing, now);

    assert!(!liveness.agree(round, NodeId(2), &standing.voters, now + ms(200)));
}

#[test]
fn answers_to_an_earlier_question_count_no_more() {
    let (mut liveness, standing, start) = follower();
    let now = start + ms(2_000);
    let round = asked(&mut liveness, &standing, now);
    asked(&mut liveness, &standing, now + ms(450));

    assert!(!liveness.agree(round, NodeId(2), &standing.voters, now + ms(451)));
}

#[test]
fn without_a_majority_it_asks_again_after_another_draw() {
    let (mut liveness, standing, start) = follower();
    let now = start + ms(2_000);
    asked(&mut liveness, &standing, now);

    assert!(matches!(liveness.step(&standing, now + ms(199)), Step::Wait { .. }));
    assert!(matches!(liveness.step(&standing, now + ms(450)), Step::Ask { .. }));
}

#[test]
fn a_candidate_whose_election_does_not_finish_asks_again() {
    let (mut liveness, standing, start) = follower();
    let now = start + ms(2_000);
    let round = asked(&mut liveness, &standing, now);
    assert!(liveness.agree(round, NodeId(2), &standing.voters, now));

    assert!(matches!(liveness.step(&standing, now + ms(199)), Step::Wait { .. }));
    assert!(matches!(liveness.step(&standing, now + ms(450)), Step::Ask { .. }));
}

#[test]
fn somebody_who_stands_is_given_time_and_ends_an_asking() {
    let (mut liveness, standing, start) = follower();
    let now = start + ms(2_000);
    let round = asked(&mut liveness, &standing, now);

    liveness.see_candidate(now + ms(1));

    assert!(!liveness.agree(round, NodeId(2), &standing.voters, now + ms(2)));
    assert!(liveness.hears(&standing, None, now + ms(200)));
    assert!(!liveness.hears(&standing, None, now + ms(201)));
}

#[test]
fn somebody_who_stands_against_a_leader_that_is_heard_changes_nothing() {
    let (mut liveness, standing, start) = follower();
    liveness.hear(start + ms(100));

    liveness.see_candidate(start + ms(549));

    assert!(!liveness.hears(&standing, None, start + ms(550)));
}

#[test]
fn a_follower_says_that_it_hears_a_leader_as_long_as_a_lease_lasts() {
    let (mut liveness, standing, start) = follower();
    liveness.hear(start + ms(100));

    assert!(liveness.hears(&standing, None, start + ms(549)));
    assert!(!liveness.hears(&standing, None, start + ms(550)));
}

#[test]
fn a_leader_without_a_majority_behind_it_says_that_it_hears_none() {
    let (mut liveness, standing, start) = follower();
    let leading = Standing { leading_since: Some(start), ..standing };
    let now = start + ms(5_000);
    liveness.step(&leading, now);

    assert!(!liveness.hears(&leading, None, now));
    assert!(!liveness.hears(&leading, Some(now - ms(450)), now));
    assert!(liveness.hears(&leading, Some(now - ms(449)), now));
}

#[test]
fn a_leader_that_is_deposed_waits_like_any_follower() {
    let (mut liveness, standing, start) = follower();
    let leading = Standing { leading_since: Some(start), ..standing.clone() };
    liveness.step(&leading, start + ms(5_000));

    assert!(matches!(liveness.step(&standing, start + ms(5_499)), Step::Wait { .. }));
}

#[test]
fn a_voter_alone_stands_without_asking() {
    let (mut liveness, standing, start) = follower_of(ME, &[&[1]]);

    assert_eq!(liveness.step(&standing, start + ms(2_000)), Step::Elect);
}

#[test]
fn learners_and_nodes_without_members_never_stand() {
    for sets in [&[][..], &[&[2, 3, 4][..]][..]] {
        let (mut liveness, standing, start) = follower_of(ME, sets);

        assert!(matches!(liveness.step(&standing, start + ms(60_000)), Step::Wait { .. }));
    }
}

#[test]
fn a_node_that_never_heard_a_leader_asks_sooner() {
    let start = Instant::now();
    let (_, standing, _) = follower();
    let mut liveness = Liveness::new(ME, GroupId(1), &Timings::default(), start);

    assert!(matches!(liveness.step(&standing, start + ms(450)), Step::Ask { .. }));
}

fn follower() -> (Liveness, Standing, Instant) {
    follower_of(ME, &[&[1, 2, 3]])
}

fn follower_of(me: NodeId, sets: &[&[u64]]) -> (Liveness, Standing, Instant) {
    let start = Instant::now();
    let set = |set: &&[u64]| set.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
    let standing = Standing { voters: Voters::new(sets.iter().map(set).collect()), ..Standing::default() };
    let mut liveness = Liveness::new(me, GroupId(1), &Timings::default(), start);
    liveness.hear(start);
    (liveness, standing, start)
}

fn asked(liveness: &mut Liveness, standing: &Standing, now: Instant) -> u64 {
    match liveness.step(standing, now) {
        Step::Ask { round } => round,
        step => panic!("{step:?}"),
    }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
