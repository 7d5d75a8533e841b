//! Which live subscriptions each watcher has: for the limit that billing sets, and to find them when billing changes its
//! mind. Derived from the records.

use std::collections::{BTreeMap, BTreeSet};

use super::{Shard, Subscription, SubscriptionId};

/// By the hash of the account's name, which would be most of the index. Should two accounts share one, they share
/// their limit; whose a subscription is stands in its record.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Watchers(BTreeMap<u64, Held>);

/// Most have one.
#[derive(Clone, Debug, PartialEq)]
enum Held {
    One(SubscriptionId),
    Several(BTreeSet<SubscriptionId>),
}

impl Watchers {
    pub fn moved(
        &mut self,
        id: &SubscriptionId,
        before: Option<&Subscription>,
        after: Option<&Subscription>,
    ) {
        let live = |held: &&Subscription| held.ended.is_none();
        match (before.filter(live), after.filter(live)) {
            (None, Some(after)) => self.insert(id, after.dialog.watcher()),
            (Some(before), None) => self.remove(id, before.dialog.watcher()),
            // A dialog never changes its watcher.
            _ => {}
        }
    }

    pub fn count(&self, watcher: &str) -> usize {
        self.held(watcher).map_or(0, |held| match held {
            Held::One(_) => 1,
            Held::Several(ids) => ids.len(),
        })
    }

    fn held(&self, watcher: &str) -> Option<&Held> {
        self.0.get(&placement::hash(watcher.as_bytes()))
    }

    fn insert(&mut self, id: &SubscriptionId, watcher: &str) {
        let key = placement::hash(watcher.as_bytes());
        let mut ids = self.0.remove(&key).map(Held::into_ids).unwrap_or_default();
        ids.insert(id.clone());
        self.0.extend(Held::of(ids).map(|held| (key, held)));
    }

    fn remove(&mut self, id: &SubscriptionId, watcher: &str) {
        let key = placement::hash(watcher.as_bytes());
        let mut ids = self.0.remove(&key).map(Held::into_ids).unwrap_or_default();
        ids.remove(id);
        self.0.extend(Held::of(ids).map(|held| (key, held)));
    }
}

impl Held {
    fn of(mut ids: BTreeSet<SubscriptionId>) -> Option<Held> {
        match ids.len() {
            0 => None,
            1 => ids.pop_first().map(Held::One),
            _ => Some(Held::Several(ids)),
        }
    }

    fn into_ids(self) -> BTreeSet<SubscriptionId> {
        match self {
            Held::One(id) => BTreeSet::from([id]),
            Held::Several(ids) => ids,
        }
    }
}

impl Shard {
    /// The live subscriptions of a watcher, whoever owns them.
    pub fn subscriptions_of(&self, watcher: &str) -> impl Iterator<Item = &SubscriptionId> {
        let (one, several) = match self.watchers.held(watcher) {
            Some(Held::One(id)) => (Some(id), None),
            Some(Held::Several(ids)) => (None, Some(ids)),
            None => (None, None),
        };
        let held = one.into_iter().chain(several.into_iter().flatten());
        held.filter(move |id| self.subscription(id).is_some_and(|held| held.dialog.watcher() == watcher))
    }
}
