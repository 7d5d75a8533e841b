//! Makes the members of a Raft group what the directory says, a step at a time.
//!
//! The leader of each group looks at its roster again and again and takes the next step, so a leader that dies in the
//! middle is no matter: the next one goes on from what stands in the log. A new member learns first, and becomes a voter
//! in the place of one that leaves when it has caught up; only one voter changes at a time.
//!
//! A value: what the group knows of itself is an argument, the step is the answer.

use std::collections::{BTreeMap, BTreeSet};

use placement::NodeId;

/// A learner that lacks no more records than this becomes a voter.
const CAUGHT_UP: u64 = 64;

/// The members of a group as its log has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// Two sets while one is replaced by the other.
    pub voters: Vec<BTreeSet<NodeId>>,
    pub learners: BTreeSet<NodeId>,
    /// Whether all of this is committed.
    pub settled: bool,
    /// The last record of this node's log, and of the others' as far as it, as leader, knows.
    pub last: u64,
    pub matched: BTreeMap<NodeId, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    AddLearner(NodeId),
    RemoveLearner(NodeId),
    SetVoters(BTreeSet<NodeId>),
}

impl Roster {
    /// What the leader does next so that exactly `wanted` vote; `None` if that is so, or if it must wait.
    pub fn next_step(&self, wanted: &BTreeSet<NodeId>) -> Option<Step> {
        if !self.settled {
            return None;
        }
        let [voters] = &self.voters[..] else {
            return self.voters.last().cloned().map(Step::SetVoters);
        };
        if let Some(stale) = self.learners.difference(wanted).next() {
            return Some(Step::RemoveLearner(*stale));
        }
        let missing: BTreeSet<_> = wanted.difference(voters).copied().collect();
        if let Some(unknown) = missing.difference(&self.learners).next() {
            return Some(Step::AddLearner(*unknown));
        }
        let ready = missing.iter().copied().find(|node| self.has_caught_up(*node));
        let leaver = voters.difference(wanted).next().copied();
        // Whoever leaves stays until its successor is ready.
        if ready.is_none() && (leaver.is_none() || !missing.is_empty()) {
            return None;
        }
        let stay = voters.iter().copied().filter(|node| Some(*node) != leaver);
        Some(Step::SetVoters(stay.chain(ready).collect()))
    }

    /// Whether the member `old` may be replaced now: no other change is under way in this group. `old` itself may still
    /// be waiting to become a voter; a new member whose disk was lost must not block its own successor.
    pub fn may_replace(&self, old: NodeId, members: &BTreeSet<NodeId>) -> bool {
        let [voters] = &self.voters[..] else { return false };
        let others = members.iter().filter(|node| **node != old);
        self.settled && voters.len() == members.len() && others.into_iter().all(|node| voters.contains(node))
    }

    fn has_caught_up(&self, node: NodeId) -> bool {
        self.matched.get(&node).is_some_and(|matched| matched + CAUGHT_UP >= self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_is_as_wanted_is_left_alone() {
        assert_eq!(roster(&[&[1, 2, 3]], &[]).next_step(&ids(&[1, 2, 3])), None);
    }

    #[test]
    fn a_new_member_learns_then_takes_the_place_of_the_one_that_left() {
        let wanted = ids(&[1, 2, 9]);

        let first = roster(&[&[1, 2, 3]], &[]).next_step(&wanted);
        let second = Roster { matched: caught_up(9, 10), ..roster(&[&[1, 2, 3]], &[9]) }.next_step(&wanted);
        let third = Roster { matched: caught_up(9, 990), ..roster(&[&[1, 2, 3]], &[9]) }.next_step(&wanted);

        assert_eq!(first, Some(Step::AddLearner(NodeId(9))));
        assert_eq!(second, None);
        assert_eq!(third, Some(Step::SetVoters(ids(&[1, 2, 9]))));
    }

    #[test]
    fn a_learner_that_never_answered_has_not_caught_up() {
        assert_eq!(roster(&[&[1, 2, 3]], &[9]).next_step(&ids(&[1, 2, 9])), None);
    }

    #[test]
    fn nothing_is_begun_before_the_last_change_is_committed() {
        let uncommitted = Roster { settled: false, ..roster(&[&[1, 2, 3]], &[]) };

        assert_eq!(uncommitted.next_step(&ids(&[1, 2, 9])), None);
    }

    #[test]
    fn a_change_that_another_leader_left_half_done_is_completed() {
        let half_done = roster(&[&[1, 2, 3], &[1, 2, 9]], &[]);

        assert_eq!(half_done.next_step(&ids(&[1, 2, 9])), Some(Step::SetVoters(ids(&[1, 2, 9]))));
    }

    #[test]
    fn a_learner_whose_disk_was_lost_in_turn_goes_before_its_successor_comes() {
        let wanted = ids(&[1, 2, 10]);

        assert_eq!(roster(&[&[1, 2, 3]], &[9]).next_step(&wanted), Some(Step::RemoveLearner(NodeId(9))));
        assert_eq!(roster(&[&[1, 2, 3]], &[]).next_step(&wanted), Some(Step::AddLearner(NodeId(10))));
    }

    #[test]
    fn voters_change_one_at_a_time() {
        let matched = [(NodeId(8), 1_000), (NodeId(9), 1_000)].into();
        let two = Roster { matched, ..roster(&[&[1, 2, 3]], &[8, 9]) };

        assert_eq!(two.next_step(&ids(&[1, 8, 9])), Some(Step::SetVoters(ids(&[1, 3, 8]))));
        assert_eq!(two.next_step(&ids(&[1, 2, 3, 8, 9])), Some(Step::SetVoters(ids(&[1, 2, 3, 8]))));
        let removed = roster(&[&[1, 2, 3, 4, 5]], &[]).next_step(&ids(&[1, 2, 3]));
        assert_eq!(removed, Some(Step::SetVoters(ids(&[1, 2, 3, 5]))));
    }

    #[test]
    fn a_member_is_replaced_only_when_no_other_one_is() {
        let members = ids(&[1, 2, 9]);
        let may = |roster: Roster, old| roster.may_replace(NodeId(old), &members);

        assert!(may(roster(&[&[1, 2, 9]], &[]), 9) && may(roster(&[&[1, 2, 9]], &[]), 1));
        // 9 has not taken the place of 3 yet.
        assert!(may(roster(&[&[1, 2, 3]], &[9]), 9));
        assert!(!may(roster(&[&[1, 2, 3]], &[9]), 1));
        assert!(!may(roster(&[&[1, 2, 3], &[1, 2, 9]], &[]), 9));
        assert!(!may(Roster { settled: false, ..roster(&[&[1, 2, 9]], &[]) }, 9));
    }

    fn roster(voters: &[&[u64]], learners: &[u64]) -> Roster {
        let voters = voters.iter().map(|set| ids(set)).collect();
        Roster { voters, learners: ids(learners), settled: true, last: 1_000, matched: BTreeMap::new() }
    }

    fn caught_up(node: u64, matched: u64) -> BTreeMap<NodeId, u64> {
        [(NodeId(node), matched)].into()
    }

    fn ids(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }
}
