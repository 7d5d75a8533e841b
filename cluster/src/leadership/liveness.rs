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
use crate::draws::Draws;
use crate::leadership::standing::{Standing, Voters};

#[cfg(test)]
mod tests;

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

impl Liveness {
    pub fn new(me: NodeId, group: GroupId, timings: &Timings, now: Instant) -> Liveness {
        let mut liveness = Liveness {
            me,
            timings: timings.clone(),
            draws: Draws::new(me.0 ^ (u64::from(group.0) << 32)),
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
