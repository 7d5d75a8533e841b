//! When which record is due: an index derived from the records, rebuilt when a snapshot is restored.

use std::collections::BTreeSet;

use placement::{PresentityKey, Slot};
use presence::repeat::RepeatKey;
use presence::time::Timestamp;

use super::SubscriptionId;

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Deadlines {
    due: BTreeSet<(Timestamp, Deadline)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deadline {
    /// The earliest of what the presentity holds.
    Presentity(PresentityKey),
    Subscription(SubscriptionId),
    Tombstone(Slot, RepeatKey),
}

impl Deadlines {
    pub fn insert(&mut self, at: Timestamp, deadline: Deadline) {
        self.due.insert((at, deadline));
    }

    pub fn remove(&mut self, at: Timestamp, deadline: &Deadline) {
        self.due.remove(&(at, deadline.clone()));
    }

    pub fn moved(&mut self, deadline: Deadline, before: Option<Timestamp>, after: Option<Timestamp>) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.remove(before, &deadline);
        }
        if let Some(after) = after {
            self.insert(after, deadline);
        }
    }

    pub fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes out at most `limit` of what is due at `now`, earliest first.
    pub fn take_due(&mut self, now: Timestamp, limit: usize) -> Vec<Deadline> {
        let mut taken = Vec::new();
        while taken.len() < limit && self.next().is_some_and(|at| at <= now) {
            taken.extend(self.due.pop_first().map(|(_, deadline)| deadline));
        }
        taken
    }
}
