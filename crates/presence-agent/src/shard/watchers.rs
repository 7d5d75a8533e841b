//! Which live subscriptions each watcher has: for the limit that billing sets, and to find them when billing changes its
//! mind. Derived from the records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Shard, Subscription, SubscriptionId};

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Watchers(BTreeMap<Arc<str>, BTreeSet<SubscriptionId>>);

impl Watchers {
    pub fn moved(
        &mut self,
        id: &SubscriptionId,
        before: Option<&Subscription>,
        after: Option<&Subscription>,
    ) {
        let live = |held: &&Subscription| held.ended.is_none();
        match (before.filter(live), after.filter(live)) {
            (None, Some(after)) => self.insert(id, &after.request.watcher),
            (Some(before), None) => self.remove(id, &before.request.watcher),
            // A dialog never changes its watcher.
            _ => {}
        }
    }

    pub fn count(&self, watcher: &str) -> usize {
        self.0.get(watcher).map_or(0, BTreeSet::len)
    }

    fn insert(&mut self, id: &SubscriptionId, watcher: &str) {
        match self.0.get_mut(watcher) {
            Some(held) => drop(held.insert(id.clone())),
            None => drop(self.0.insert(watcher.into(), [id.clone()].into())),
        }
    }

    fn remove(&mut self, id: &SubscriptionId, watcher: &str) {
        if let Some(held) = self.0.get_mut(watcher) {
            held.remove(id);
            if held.is_empty() {
                self.0.remove(watcher);
            }
        }
    }
}

impl Shard {
    /// The live subscriptions of a watcher, whoever owns them.
    pub fn subscriptions_of(&self, watcher: &str) -> impl Iterator<Item = &SubscriptionId> {
        self.watchers.0.get(watcher).into_iter().flatten()
    }
}
