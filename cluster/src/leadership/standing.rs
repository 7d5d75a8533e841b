//! Where this node stands in its group: who votes, who are members at all, and who leads.
//!
//! A value, told by openraft and asked by the lease, by `liveness` and by whoever wants to know who is silent.

use std::collections::BTreeSet;
use std::time::Instant;

use placement::NodeId;

/// The time of one leader. The term alone does not name it: openraft lets a second node with a higher id follow in
/// the same term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reign {
    pub term: u64,
    pub leader: NodeId,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    pub voters: Voters,
    /// Voters and learners.
    pub members: BTreeSet<NodeId>,
    /// None while nobody is known to have won.
    pub reign: Option<Reign>,
    /// Set while this node leads: since when it does.
    pub leading_since: Option<Instant>,
    /// The end of its log at that time.
    pub led_from: u64,
    /// Whom this node followed last, before it led or at all.
    pub followed: Option<NodeId>,
}

/// The sets of voters: two while the members change, and then a majority of each is needed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Voters(Vec<BTreeSet<NodeId>>);

impl Standing {
    pub fn is_leading(&self) -> bool {
        self.leading_since.is_some()
    }
}

impl Voters {
    pub fn new(sets: Vec<BTreeSet<NodeId>>) -> Voters {
        Voters(sets)
    }

    pub fn contains(&self, node: NodeId) -> bool {
        self.0.iter().any(|set| set.contains(&node))
    }

    /// Each voter once.
    pub fn all(&self) -> BTreeSet<NodeId> {
        self.0.iter().flatten().copied().collect()
    }

    /// Nobody is a majority of nobody.
    pub fn have_majority(&self, agrees: impl Fn(NodeId) -> bool) -> bool {
        let majority =
            |set: &BTreeSet<NodeId>| set.iter().filter(|voter| agrees(**voter)).count() * 2 > set.len();
        !self.0.is_empty() && self.0.iter().all(majority)
    }

    /// The latest time at which, or after which, something was heard of a majority.
    pub fn majority_at(&self, at: impl Fn(NodeId) -> Option<Instant>) -> Option<Instant> {
        let of_set = |set: &BTreeSet<NodeId>| {
            let mut times: Vec<_> = set.iter().filter_map(|voter| at(*voter)).collect();
            times.sort_unstable_by(|a, b| b.cmp(a));
            times.get(set.len() / 2).copied()
        };
        // An outer None is the set without a majority; without any set there is no minimum.
        self.0.iter().map(of_set).min().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn half_of_the_voters_is_no_majority() {
        let four = voters(&[&[1, 2, 3, 4]]);

        assert!(!four.have_majority(|voter| voter.0 <= 2));
        assert!(four.have_majority(|voter| voter.0 <= 3));
    }

    #[test]
    fn during_a_change_a_majority_of_each_set_is_needed() {
        let joint = voters(&[&[1, 2, 3], &[3, 4, 5]]);

        assert!(!joint.have_majority(|voter| voter.0 <= 3));
        assert!(joint.have_majority(|voter| voter.0 >= 2 && voter.0 <= 4));
    }

    #[test]
    fn without_voters_there_is_no_majority() {
        assert!(!voters(&[]).have_majority(|_| true));
        assert_eq!(voters(&[]).majority_at(|_| Some(Instant::now())), None);
    }

    #[test]
    fn a_majority_was_heard_when_its_last_needed_member_was() {
        let start = Instant::now();
        let at = |voter: NodeId| (voter.0 < 5).then(|| start + Duration::from_millis(voter.0));

        assert_eq!(voters(&[&[1, 2, 3]]).majority_at(at), Some(start + Duration::from_millis(2)));
        assert_eq!(voters(&[&[1, 4, 5, 6]]).majority_at(at), None);
        assert_eq!(voters(&[&[1, 2, 3], &[3, 4, 5]]).majority_at(at), Some(start + Duration::from_millis(2)));
        assert_eq!(voters(&[&[1, 2, 3], &[4, 5, 6]]).majority_at(at), None);
    }

    fn voters(sets: &[&[u64]]) -> Voters {
        Voters::new(sets.iter().map(|set| set.iter().copied().map(NodeId).collect()).collect())
    }
}
