//! When which record is due: an index derived from the records, rebuilt when a snapshot is restored.

use std::collections::BTreeSet;

use placement::{PresentityKey, Slot};
use presence::repeat::RepeatKey;
use presence::time::Timestamp;

use super::SubscriptionId;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Deadlines {
    /// Of each presentity, the earliest of what it holds.
    pub presentities: Due<PresentityKey>,
    pub subscriptions: Due<SubscriptionId>,
    pub tombstones: Due<(Slot, RepeatKey)>,
}

/// What is due, the earliest first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Due<T>(BTreeSet<(Timestamp, T)>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deadline {
    Presentity(PresentityKey),
    Subscription(SubscriptionId),
    Tombstone(Slot, RepeatKey),
}

impl Deadlines {
    pub fn next(&self) -> Option<Timestamp> {
        let next = [self.presentities.next(), self.subscriptions.next(), self.tombstones.next()];
        next.into_iter().flatten().min()
    }

    /// Takes out at most `limit` of what is due at `now`, earliest first.
    pub fn take_due(&mut self, now: Timestamp, limit: usize) -> Vec<Deadline> {
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some(at) = self.next().filter(|at| *at <= now)
        {
            taken.extend(self.take(at));
        }
        taken
    }

    fn take(&mut self, at: Timestamp) -> Option<Deadline> {
        let presentity = self.presentities.take(at).map(Deadline::Presentity);
        let subscription = || self.subscriptions.take(at).map(Deadline::Subscription);
        let tombstone = || self.tombstones.take(at).map(|(slot, repeat)| Deadline::Tombstone(slot, repeat));
        presentity.or_else(subscription).or_else(tombstone)
    }
}

impl<T: Ord> Due<T> {
    pub fn insert(&mut self, at: Timestamp, what: T) {
        self.0.insert((at, what));
    }

    pub fn moved(&mut self, what: T, before: Option<Timestamp>, after: Option<Timestamp>)
    where
        T: Clone,
    {
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.0.remove(&(before, what.clone()));
        }
        if let Some(after) = after {
            self.insert(after, what);
        }
    }

    fn next(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }

    /// The first one, if it is due at `at`.
    fn take(&mut self, at: Timestamp) -> Option<T> {
        self.next().filter(|next| *next == at)?;
        self.0.pop_first().map(|(_, what)| what)
    }
}

impl<T> Default for Due<T> {
    fn default() -> Due<T> {
        Due(BTreeSet::new())
    }
}
