//! Which live subscriptions each watcher has: for the limit that billing sets, and to find them when billing changes its
//! mind. Derived from the records.

use std::collections::BTreeSet;

use super::{Shard, Subscription, SubscriptionId};

/// By the hash of the account's name, which would be most of the index. Should two accounts share one, they share
/// their limit; whose a subscription is stands in its record.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Watchers(BTreeSet<(u64, SubscriptionId)>);

impl Watchers {
    pub fn moved(&mut self, id: SubscriptionId, before: Option<&Subscription>, after: Option<&Subscription>) {
        let live = |held: &&Subscription| held.ended.is_none();
        match (before.filter(live), after.filter(live)) {
            (None, Some(after)) => drop(self.0.insert((account(after.dialog.watcher()), id))),
            (Some(before), None) => drop(self.0.remove(&(account(before.dialog.watcher()), id))),
            // A dialog never changes its watcher.
            _ => {}
        }
    }

    /// Whether the watcher has as many as `most`.
    pub fn has(&self, watcher: &str, most: usize) -> bool {
        self.of(watcher).take(most).count() == most
    }

    fn of(&self, watcher: &str) -> impl Iterator<Item = SubscriptionId> {
        let account = account(watcher);
        let held = self.0.range((account, SubscriptionId(0))..=(account, SubscriptionId(u64::MAX)));
        held.map(|(_, id)| *id)
    }
}

fn account(watcher: &str) -> u64 {
    placement::hash(watcher.as_bytes())
}

impl Shard {
    /// The live subscriptions of a watcher, whoever owns them.
    pub fn subscriptions_of(&self, watcher: &str) -> impl Iterator<Item = SubscriptionId> {
        let held = self.watchers.of(watcher);
        held.filter(move |id| self.subscription(*id).is_some_and(|held| held.dialog.watcher() == watcher))
    }
}
