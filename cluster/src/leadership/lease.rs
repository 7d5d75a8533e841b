//! The lease: until when this node may act for what it owns, because no other leader can have given it away yet.
//!
//! The leader notes for each voter when it *sent* the append that this voter acknowledged last. A majority has then
//! promised not to help another leader for `Timings::lease` from the oldest of these times on (see `config` in
//! `raft/group.rs`), and every lease ends there. It is measured from the sending, so it never depends on how long an
//! answer was under way.
//!
//! A follower learns the age of the majority's acknowledgement with each append. It cannot know how long that message
//! was under way: the call's time-out ends the leader's waiting, not the bytes in a socket that nobody reads, and a
//! node that was paused for a minute finds a minute-old append with a fresh age in it. So each answer of a follower
//! carries its clock; the leader returns the last one it got, with the time since then added, and the follower counts
//! the age from *that* moment, which certainly lies before the sending. A follower's lease thus ends early by the
//! flight of one answer, never late.
//!
//! A lease is for one who has applied what stood in the leader's log when it was given: a node that was paused may have
//! lost what it owned meanwhile, and has to read so first. What is not committed yet counts too, since it may be a moment
//! later, while the lease goes on. Each append says how far the leader's log reached, so the last few words are kept and
//! the newest counts whose entries are applied. A leader must have applied what was there before it led.
//!
//! A voter that restarts forgets its promise. The epoch of a subscription makes what is left harmless.
//!
//! A value: time is an argument.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use placement::NodeId;

use crate::leadership::standing::{Reign, Standing};

#[derive(Debug)]
pub struct Lease {
    me: NodeId,
    length: Duration,
    /// When the appends were sent that each follower acknowledged last, in the reign that this node leads or led.
    acknowledged: Option<(Reign, BTreeMap<NodeId, Instant>)>,
    /// What the leader said that this node follows or followed, oldest first.
    told: Option<(Reign, VecDeque<Grant>)>,
}

/// A majority had acknowledged the leader at `quorum_at`; then or later its log reached `log_end`.
#[derive(Clone, Copy, Debug)]
struct Grant {
    quorum_at: Instant,
    log_end: u64,
}

/// Words that follow each other faster add nothing; so a lease's length holds some twenty of them.
const APART: Duration = Duration::from_millis(25);

impl Lease {
    pub fn new(me: NodeId, length: Duration) -> Lease {
        Lease { me, length, acknowledged: None, told: None }
    }

    pub fn length(&self) -> Duration {
        self.length
    }

    /// A follower acknowledged what this node, as leader, sent at `sent`. Those of an earlier reign count no more.
    pub fn acknowledge(&mut self, reign: Reign, follower: NodeId, sent: Instant) {
        match &mut self.acknowledged {
            Some((present, _)) if reign < *present => {}
            Some((present, followers)) if reign == *present => {
                let last = followers.entry(follower).or_insert(sent);
                *last = sent.max(*last);
            }
            acknowledged => *acknowledged = Some((reign, BTreeMap::from([(follower, sent)]))),
        }
    }

    /// When a majority of the voters had last acknowledged this node in its own reign.
    pub fn quorum_at(&self, reign: Reign, standing: &Standing, now: Instant) -> Option<Instant> {
        let nobody = BTreeMap::new();
        let followers = match &self.acknowledged {
            Some((of, followers)) if *of == reign => followers,
            _ => &nobody,
        };
        let at = |voter| if voter == self.me { Some(now) } else { followers.get(&voter).copied() };
        standing.voters.majority_at(at)
    }

    /// The leader said, at or after this node's own `moment`, that a majority had acknowledged it `age` before, and
    /// how far its log reached.
    pub fn tell(&mut self, reign: Reign, age: Duration, moment: Instant, log_end: u64) {
        let Some(quorum_at) = moment.checked_sub(age) else {
            return;
        };
        let grant = Grant { quorum_at, log_end };
        match &mut self.told {
            Some((present, _)) if reign < *present => {}
            Some((present, grants)) if reign == *present => {
                grants.retain(|grant| quorum_at < grant.quorum_at + self.length);
                if grants.back().is_none_or(|last| quorum_at >= last.quorum_at + APART) {
                    grants.push_back(grant);
                }
            }
            told => *told = Some((reign, VecDeque::from([grant]))),
        }
    }

    /// For one who has applied everything up to `applied`. `None` if there is no lease now.
    pub fn until(&self, standing: &Standing, applied: u64, now: Instant) -> Option<Instant> {
        let reign = standing.reign?;
        let quorum_at = match &self.told {
            _ if standing.is_leading() => {
                (applied >= standing.led_from).then(|| self.quorum_at(reign, standing, now))??
            }
            Some((of, grants)) if *of == reign => {
                grants.iter().rev().find(|grant| grant.log_end <= applied)?.quorum_at
            }
            _ => return None,
        };
        let until = quorum_at + self.length;
        (now < until).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::leadership::standing::Voters;

    /// Everything is applied.
    const ALL: u64 = u64::MAX;
    const REIGN: Reign = Reign { term: 3, leader: NodeId(1) };

    #[test]
    fn the_leaders_lease_ends_450_ms_after_it_sent_what_a_majority_acknowledged() {
        let (mut lease, start) = lease(1);
        lease.acknowledge(REIGN, NodeId(2), start + ms(100));
        lease.acknowledge(REIGN, NodeId(3), start + ms(20));

        let standing = leading(&[&[1, 2, 3]], start);

        assert_eq!(lease.until(&standing, ALL, start + ms(549)), Some(start + ms(550)));
        assert_eq!(lease.until(&standing, ALL, start + ms(550)), None);
    }

    #[test]
    fn acknowledgements_of_a_minority_give_no_lease() {
        let (mut lease, start) = lease(1);
        lease.acknowledge(REIGN, NodeId(2), start);

        assert_eq!(lease.until(&leading(&[&[1, 2, 3, 4, 5]], start), ALL, start), None);
    }

    #[test]
    fn a_learners_acknowledgement_counts_nothing() {
        let (mut lease, start) = lease(1);
        lease.acknowledge(REIGN, NodeId(9), start);

        assert_eq!(lease.until(&leading(&[&[1, 2, 3]], start), ALL, start), None);
    }

    #[test]
    fn a_leader_that_does_not_vote_needs_a_majority_of_the_others() {
        let (mut lease, start) = lease(1);
        lease.acknowledge(REIGN, NodeId(2), start);
        assert_eq!(lease.until(&leading(&[&[2, 3, 4]], start), ALL, start), None);

        lease.acknowledge(REIGN, NodeId(3), start + ms(5));

        assert_eq!(lease.until(&leading(&[&[2, 3, 4]], start), ALL, start + ms(9)), Some(start + ms(450)));
    }

    #[test]
    fn during_a_change_of_members_both_majorities_must_have_acknowledged() {
        let (mut lease, start) = lease(1);
        let joint = leading(&[&[1, 2, 3], &[1, 4, 5]], start);
        lease.acknowledge(REIGN, NodeId(2), start + ms(50));
        lease.acknowledge(REIGN, NodeId(3), start + ms(50));
        assert_eq!(lease.until(&joint, ALL, start + ms(60)), None);

        lease.acknowledge(REIGN, NodeId(4), start + ms(10));

        assert_eq!(lease.until(&joint, ALL, start + ms(60)), Some(start + ms(460)));
    }

    #[test]
    fn a_leader_alone_always_has_its_lease() {
        let (lease, start) = lease(1);

        assert_eq!(lease.until(&leading(&[&[1]], start), ALL, start + ms(7)), Some(start + ms(457)));
    }

    #[test]
    fn a_change_of_term_clears_the_acknowledgements() {
        let (mut lease, start) = lease(1);
        lease.acknowledge(REIGN, NodeId(2), start);
        let mut standing = leading(&[&[1, 2, 3]], start);
        standing.reign = Some(Reign { term: 4, ..REIGN });
        assert_eq!(lease.until(&standing, ALL, start), None);

        lease.acknowledge(Reign { term: 4, ..REIGN }, NodeId(3), start + ms(1));
        lease.acknowledge(REIGN, NodeId(2), start + ms(30));

        assert_eq!(lease.until(&standing, ALL, start + ms(2)), Some(start + ms(451)));
    }

    #[test]
    fn an_answer_that_comes_late_does_not_shorten_the_lease() {
        let (mut lease, start) = lease(1);
        lease.acknowledge(REIGN, NodeId(2), start + ms(100));
        lease.acknowledge(REIGN, NodeId(2), start + ms(10));

        assert_eq!(lease.until(&leading(&[&[1, 2, 3]], start), ALL, start + ms(101)), Some(start + ms(550)));
    }

    #[test]
    fn a_followers_lease_counts_from_its_own_moment_before_the_sending() {
        let (mut lease, start) = lease(2);
        lease.tell(REIGN, ms(30), start + ms(100), 0);

        assert_eq!(lease.until(&following(REIGN), ALL, start + ms(519)), Some(start + ms(520)));
        assert_eq!(lease.until(&following(REIGN), ALL, start + ms(520)), None);
    }

    #[test]
    fn a_message_read_after_a_pause_gives_a_follower_no_lease() {
        let (mut lease, start) = lease(2);

        lease.tell(REIGN, ms(5), start + ms(100), 0);

        assert_eq!(lease.until(&following(REIGN), ALL, start + ms(60_000)), None);
    }

    #[test]
    fn what_another_leader_said_gives_no_lease() {
        let (mut lease, start) = lease(2);
        lease.tell(REIGN, ms(0), start, 0);
        let next = Reign { term: 3, leader: NodeId(3) };

        assert_eq!(lease.until(&following(next), ALL, start + ms(1)), None);
        assert_eq!(lease.until(&Standing { reign: None, ..following(REIGN) }, ALL, start + ms(1)), None);
        lease.tell(next, ms(0), start + ms(9), 0);
        lease.tell(REIGN, ms(0), start + ms(20), 0);
        assert_eq!(lease.until(&following(next), ALL, start + ms(21)), Some(start + ms(459)));
    }

    #[test]
    fn an_age_from_before_all_time_is_no_lease() {
        let (mut lease, start) = lease(2);

        lease.tell(REIGN, Duration::MAX, start, 0);

        assert_eq!(lease.until(&following(REIGN), ALL, start), None);
    }

    #[test]
    fn a_lease_is_for_one_who_has_applied_what_was_in_the_log_when_it_was_given() {
        let (mut lease, start) = lease(2);
        lease.tell(REIGN, ms(0), start, 10);
        lease.tell(REIGN, ms(0), start + ms(100), 20);

        let until = |applied| lease.until(&following(REIGN), applied, start + ms(101));

        assert_eq!((until(9), until(10), until(19)), (None, Some(start + ms(450)), Some(start + ms(450))));
        assert_eq!(until(20), Some(start + ms(550)));
    }

    #[test]
    fn under_continuous_load_a_follower_that_lags_a_little_holds_a_lease_all_the_time() {
        let (mut lease, start) = lease(2);
        let (every, lag) = (5, 100);
        for n in 0..2_000 {
            let now = start + ms(n * every);
            lease.tell(REIGN, ms(10), now, n);
            let Some(applied) = n.checked_sub(lag / every) else { continue };

            let until = lease.until(&following(REIGN), applied, now);

            assert!(until >= Some(now + ms(450 - 10 - lag) - APART), "{n}");
        }
    }

    #[test]
    fn a_leader_must_have_applied_what_was_there_before_it_led() {
        let (lease, start) = lease(1);
        let standing = Standing { led_from: 7, ..leading(&[&[1]], start) };

        assert_eq!(lease.until(&standing, 6, start), None);
        assert_eq!(lease.until(&standing, 7, start), Some(start + ms(450)));
    }

    #[test]
    fn words_that_follow_each_other_closely_are_not_all_kept() {
        let (mut lease, start) = lease(2);
        for n in 0..10_000 {
            lease.tell(REIGN, ms(0), start + ms(n), n);
        }

        let (_, grants) = lease.told.unwrap();
        assert!(grants.len() <= 18, "{}", grants.len());
    }

    fn lease(me: u64) -> (Lease, Instant) {
        (Lease::new(NodeId(me), ms(450)), Instant::now())
    }

    fn leading(sets: &[&[u64]], since: Instant) -> Standing {
        let set = |set: &&[u64]| set.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
        let voters = Voters::new(sets.iter().map(set).collect());
        Standing { voters, reign: Some(REIGN), leading_since: Some(since), ..Standing::default() }
    }

    fn following(reign: Reign) -> Standing {
        Standing { reign: Some(reign), ..Standing::default() }
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }
}
