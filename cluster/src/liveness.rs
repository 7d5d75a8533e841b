//! Whether to stand for election.
//!
//! A node that has heard no leader for a while asks all voters whether they hear one, and stands only if a majority,
//! itself included, hears none. So a node that was paused, that is half cut off, or whose clock ran ahead deposes no
//! leader that the others follow: what it measured itself is a reason to ask, never to stand. The answers count for
//! a moment only, and none any more once a leader is heard or somebody else stands.
//!
//! After an attempt, and when somebody else stood, the next one comes sooner than the first, as there is no leader to
//! be spared; both waits are drawn, so that two nodes do not go on standing against each other.
//!
//! Deliberately absent: who wins. That is Raft's, and so is the rule that a voter with a longer log helps nobody;
//! asking about it here spares an election that could not be won.
//!
//! A value: time is an argument, the draws are a sequence.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use placement::{GroupId, NodeId};

use crate::config::Timings;
use crate::standing::{Standing, Voters};

#[derive(Debug)]
pub struct Liveness {
    me: NodeId,
    timings: Timings,
    draws: Draws,
    /// The silence after which this node asks, above `election_min`.
    patience: Duration,
    /// The last word of a leader.
    heard: Option<Instant>,
    /// When this node last stood, or was asked for its vote while it heard no leader.
    stood: Option<Instant>,
    not_before: Instant,
    round: Option<Round>,
    rounds: u64,
}

/// The voters have been asked.
#[derive(Debug)]
struct Round {
    number: u64,
    until: Instant,
    agreed: BTreeSet<NodeId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Wait {
        until: Instant,
    },
    /// Ask the other voters; the answers come with the number of the round.
    Ask {
        round: u64,
    },
    Elect,
}

/// Random numbers, the same for the same seed.
#[derive(Debug)]
struct Draws(u64);

impl Liveness {
    pub fn new(me: NodeId, group: GroupId, timings: &Timings, now: Instant) -> Liveness {
        let mut liveness = Liveness {
            me,
            timings: timings.clone(),
            draws: Draws(me.0 ^ (u64::from(group.0) << 32)),
            patience: Duration::ZERO,
            heard: None,
            stood: None,
            not_before: now,
            round: None,
            rounds: 0,
        };
        liveness.wait_again(now);
        liveness
    }

    /// A leader spoke.
    pub fn hear(&mut self, now: Instant) {
        self.heard = Some(now);
        self.round = None;
    }

    /// Somebody stands for election. It gets its time, unless this node hears a leader.
    pub fn see_candidate(&mut self, now: Instant) {
        if !self.is_heard(now) {
            self.stand(now);
        }
    }

    /// This node stands, whoever said so.
    pub fn stand(&mut self, now: Instant) {
        self.stood = Some(now);
        self.wait_again(now);
    }

    /// Whether this node hears a leader, or somebody who is about to be one; asked by others. `quorum_at`: it leads
    /// itself, and had a majority behind it then.
    pub fn hears(&self, standing: &Standing, quorum_at: Option<Instant>, now: Instant) -> bool {
        match standing.is_leading() {
            true => quorum_at.is_some_and(|at| within(at, self.timings.lease, now)),
            false => {
                self.is_heard(now) || self.stood.is_some_and(|at| within(at, self.timings.answer_wait(), now))
            }
        }
    }

    pub fn step(&mut self, standing: &Standing, now: Instant) -> Step {
        if standing.is_leading() {
            self.hear(now);
        }
        if standing.is_leading() || !standing.voters.contains(self.me) {
            return Step::Wait { until: now + self.timings.election_min };
        }
        let due = self.heard.map_or(self.not_before, |heard| self.not_before.max(heard + self.patience));
        if now < due {
            return Step::Wait { until: due };
        }
        self.ask(&standing.voters, now)
    }

    /// A voter agrees: it hears no leader either, and its log is no longer than this node's. Whether that was the last
    /// one needed: then this node stands.
    pub fn agree(&mut self, number: u64, voter: NodeId, voters: &Voters, now: Instant) -> bool {
        let Some(round) = self.round.as_mut().filter(|round| round.number == number && now < round.until)
        else {
            return false;
        };
        round.agreed.insert(voter);
        let elect = voters.have_majority(|voter| round.agreed.contains(&voter));
        if elect {
            self.stand(now);
        }
        elect
    }

    fn ask(&mut self, voters: &Voters, now: Instant) -> Step {
        if voters.have_majority(|voter| voter == self.me) {
            self.stand(now);
            return Step::Elect;
        }
        self.wait_again(now);
        self.rounds += 1;
        let until = now + self.timings.answer_wait();
        self.round = Some(Round { number: self.rounds, until, agreed: BTreeSet::from([self.me]) });
        Step::Ask { round: self.rounds }
    }

    /// Draws both waits anew.
    fn wait_again(&mut self, now: Instant) {
        let Timings { election_min, election_max, .. } = self.timings;
        let drawn = self.draws.below(election_max.saturating_sub(election_min));
        self.patience = election_min + drawn;
        self.not_before = now + self.timings.answer_wait() + drawn;
        self.round = None;
    }

    fn is_heard(&self, now: Instant) -> bool {
        self.heard.is_some_and(|at| within(at, self.timings.lease, now))
    }
}

fn within(at: Instant, time: Duration, now: Instant) -> bool {
    now.saturating_duration_since(at) < time
}

impl Draws {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, most: Duration) -> Duration {
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.next() % micros.max(1))
    }
}

#[cfg(test)]
mod tests {
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
        let standing =
            Standing { voters: Voters::new(sets.iter().map(set).collect()), ..Standing::default() };
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
}
