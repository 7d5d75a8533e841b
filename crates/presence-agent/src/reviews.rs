//! Which subscriptions billing is to be asked about again, though their watchers ask nothing: an account was named as
//! changed, or so much was missed that every account may have changed.
//!
//! Asking is paced, so that neither billing nor this node is flooded: what was named goes first, a walk over everything
//! takes its time. A name counts for a while: what this node comes to own meanwhile, and what was under way when the name
//! came, is asked about too.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use sip::Instant;

use crate::mutants::{Mutant, broken};
use crate::shard::SubscriptionId;
use crate::verdict::Invalidated;

#[derive(Debug, Default)]
pub(crate) struct Reviews {
    /// Grows with every message of billing's, so that a question can be told from one asked before.
    count: u64,
    /// The accounts named lately, each with the last message that named it.
    named: BTreeMap<String, Named>,
    all: Option<Named>,
    due: BTreeSet<SubscriptionId>,
    /// How far the walk over everything has come.
    walk: Option<Bound<SubscriptionId>>,
    /// Billing does not answer: nothing is asked again before.
    not_before: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Named {
    count: u64,
    at: Instant,
}

impl Reviews {
    /// Asked at each step, ten times a second: named ones, and others in the course of a walk.
    const DUE_PER_STEP: usize = 64;
    const WALK_PER_STEP: usize = 16;
    /// Names kept; over it, every account counts as named for a while.
    const NAMES: usize = 10_000;
    /// A name counts for so long: longer than a takeover, a commit or a verdict takes.
    const LATELY: Duration = Duration::from_secs(60);
    const PAUSE: Duration = Duration::from_secs(2);

    /// Billing names accounts that have changed. Whose subscriptions those are is told to `add`.
    pub fn note(&mut self, invalidated: &Invalidated, now: Instant) {
        self.count += 1;
        let named = Named { count: self.count, at: now };
        match invalidated {
            Invalidated::Accounts(accounts) if self.named.len() + accounts.len() <= Self::NAMES => {
                self.named.extend(accounts.iter().map(|account| (account.to_string(), named)));
            }
            Invalidated::Accounts(_) => self.all = Some(named),
            Invalidated::All => {
                self.all = Some(named);
                self.walk = Some(Bound::Unbounded);
            }
        }
    }

    /// A subscription is new to this node, or was asked for anew.
    pub fn doubt(&mut self, id: SubscriptionId, watcher: &str, now: Instant) {
        if self.last_named(watcher).is_some_and(|named| now - named.at < Self::LATELY) {
            self.due.insert(id);
        }
    }

    /// As `doubt`, for all at once: if every account was named, the walk begins again.
    pub fn doubt_each<'a>(
        &mut self,
        subscriptions: impl Iterator<Item = (SubscriptionId, &'a str)>,
        now: Instant,
    ) {
        if self.all.is_some_and(|all| now - all.at < Self::LATELY) && !broken(Mutant::NamesForgotten) {
            self.walk = Some(Bound::Unbounded);
        } else if !self.named.is_empty() {
            subscriptions.for_each(|(id, watcher)| self.doubt(id, watcher, now));
        }
    }

    pub fn add(&mut self, id: SubscriptionId) {
        self.due.insert(id);
    }

    /// Tells a question asked now from one asked before the next message of billing's.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether `account` was named after message `count`.
    pub fn was_named_since(&self, account: &str, count: u64) -> bool {
        self.last_named(account).is_some_and(|named| named.count > count)
    }

    /// Billing did not answer.
    pub fn pause(&mut self, now: Instant) {
        self.not_before = now + Self::PAUSE;
    }

    /// Those whose turn it is; `owned` gives what this node owns behind a bound, in order.
    pub fn step<I>(
        &mut self,
        owned: impl FnOnce(Bound<SubscriptionId>) -> I,
        now: Instant,
    ) -> Vec<SubscriptionId>
    where
        I: Iterator<Item = SubscriptionId>,
    {
        self.named.retain(|_, named| now - named.at < Self::LATELY);
        if now < self.not_before {
            return Vec::new();
        }
        let mut turn = Vec::new();
        while turn.len() < Self::DUE_PER_STEP
            && let Some(id) = self.due.pop_first()
        {
            turn.push(id);
        }
        if let Some(from) = self.walk.take() {
            let next: Vec<_> = owned(from).take(Self::WALK_PER_STEP).collect();
            self.walk = next.last().map(|last| Bound::Excluded(*last));
            turn.extend(next);
        }
        turn
    }

    fn last_named(&self, account: &str) -> Option<Named> {
        if broken(Mutant::NamesForgotten) {
            return None;
        }
        let named = self.named.get(account).copied();
        [named, self.all].into_iter().flatten().max_by_key(|named| named.count)
    }
}

#[cfg(test)]
mod tests {
    use placement::PresentityKey;

    use super::*;

    fn id(n: usize) -> SubscriptionId {
        SubscriptionId(n as u64)
    }

    fn named(account: &str) -> Invalidated {
        Invalidated::Accounts(vec![PresentityKey::restored(account)])
    }

    fn step(reviews: &mut Reviews, owned: &BTreeSet<SubscriptionId>, now: u64) -> usize {
        reviews.step(|from| owned.range((from, Bound::Unbounded)).copied(), Instant(now)).len()
    }

    #[test]
    fn a_walk_comes_to_everything_once_and_takes_its_time() {
        let owned: BTreeSet<_> = (0..40).map(id).collect();
        let mut reviews = Reviews::default();
        reviews.note(&Invalidated::All, Instant(0));

        let steps: Vec<_> = (0..5).map(|at| step(&mut reviews, &owned, at)).collect();

        assert_eq!(steps, [16, 16, 8, 0, 0]);
    }

    #[test]
    fn what_was_named_goes_before_the_walk_and_in_slices() {
        let mut reviews = Reviews::default();
        (0..100).for_each(|n| reviews.add(id(n)));

        let steps: Vec<_> = (0..3).map(|at| step(&mut reviews, &BTreeSet::new(), at)).collect();

        assert_eq!(steps, [64, 36, 0]);
    }

    #[test]
    fn nothing_is_asked_while_billing_does_not_answer() {
        let mut reviews = Reviews::default();
        reviews.add(id(1));
        reviews.pause(Instant(0));

        assert_eq!([1_999, 2_000].map(|now| step(&mut reviews, &BTreeSet::new(), now)), [0, 1]);
    }

    #[test]
    fn a_question_asked_before_its_account_was_named_is_known_to_be_old() {
        let mut reviews = Reviews::default();
        let before = reviews.count();
        reviews.note(&named("bob@lab.test"), Instant(0));
        let after = reviews.count();

        assert!(reviews.was_named_since("bob@lab.test", before));
        assert!(!reviews.was_named_since("bob@lab.test", after));
        assert!(!reviews.was_named_since("carol@lab.test", before));
    }

    #[test]
    fn a_name_counts_for_a_minute_and_too_many_names_are_all() {
        let mut reviews = Reviews::default();
        reviews.note(&named("bob@lab.test"), Instant(0));
        reviews.doubt(id(1), "bob@lab.test", Instant(60_000));
        assert_eq!(reviews.due.len(), 0);
        reviews.doubt(id(1), "bob@lab.test", Instant(59_999));
        assert_eq!(reviews.due.len(), 1);

        let many = (0..=Reviews::NAMES).map(|n| PresentityKey::restored(&format!("u{n}@lab.test")));
        reviews.note(&Invalidated::Accounts(many.collect()), Instant(60_000));

        reviews.doubt(id(2), "carol@lab.test", Instant(60_001));
        assert_eq!(reviews.due.len(), 2);
        assert!(reviews.named.len() <= Reviews::NAMES);
    }
}
