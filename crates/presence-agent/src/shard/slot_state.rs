//! The records of one slot: what an `Arc` of the shard's state holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use placement::{NodeId, PresentityKey};
use presence::entity_tag::EntityTag;
use presence::repeat::RepeatKey;
use presence::time::{Lifetime, Timestamp};
use proto::v1;

use super::{Applied, Dialog, Effect, Moment, Outcome, Presentity, Refusal, Subscription, SubscriptionId};
use crate::bound::Bound;
use crate::mutants::{Mutant, broken};

/// Its records are shared with pictures of it, each by itself: what is copied on a write is the one record.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SlotState {
    pub presentities: BTreeMap<PresentityKey, Arc<Presentity>>,
    pub subscriptions: BTreeMap<SubscriptionId, Arc<Subscription>>,
    pub tombstones: BTreeMap<RepeatKey, Tombstone>,
}

/// A request whose record is gone, kept so that a late copy of it is known. `tag` is its answer if it was a PUBLISH.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tombstone {
    pub tag: EntityTag,
    pub expires_at: Timestamp,
}

impl SlotState {
    /// How long a repeat of a removal is known (64 s of log time: more than 64*T1).
    const TOMBSTONE: Lifetime = Lifetime(64);

    pub fn presentity_mut(&mut self, key: &PresentityKey) -> &mut Presentity {
        Arc::make_mut(self.presentities.entry(key.clone()).or_default())
    }

    /// Whether a late copy of a request has come whose record is gone; the tag that was its answer.
    pub fn buried(&self, repeat: RepeatKey) -> Option<&EntityTag> {
        self.tombstones.get(&repeat).map(|tombstone| &tombstone.tag)
    }

    /// Remembers a request whose record is gone; gives the time at which it was to be forgotten, and at which it is now.
    pub fn bury(
        &mut self,
        repeat: RepeatKey,
        tag: EntityTag,
        now: Timestamp,
    ) -> (Option<Timestamp>, Option<Timestamp>) {
        let expires_at = now + Self::TOMBSTONE;
        if broken(Mutant::NoTombstones) {
            return (None, None);
        }
        let before = self.tombstones.insert(repeat, Tombstone { tag, expires_at });
        (before.map(|before| before.expires_at), Some(expires_at))
    }

    /// `has_all`: the watcher has as many live subscriptions as it may.
    pub fn subscribe(
        &mut self,
        id: SubscriptionId,
        request: &v1::Subscribe,
        said: Dialog,
        has_all: bool,
        moment: Moment,
    ) -> Applied {
        let subscribed = |lifetime| Outcome::Subscribed { id, lifetime };
        let (repeat, lifetime, owner) = (said.numbers.repeat, said.numbers.lifetime, NodeId(request.owner));
        match self.subscriptions.get_mut(&id) {
            Some(held) if held.dialog.numbers.repeat == repeat => {
                return Applied::outcome(subscribed(held.dialog.numbers.lifetime));
            }
            Some(held) => match held.refreshed(said, owner, moment) {
                Ok(refreshed) => *held = Arc::new(refreshed),
                Err(refusal) => return Applied::refused(refusal),
            },
            None if request.in_dialog => return Applied::refused(Refusal::UnknownSubscription),
            None if has_all => {
                return Applied::refused(Refusal::QuotaUsedUp(request.max_subscriptions));
            }
            None => {
                let key = PresentityKey::restored(said.presentity());
                let watchers = &mut self.presentity_mut(&key).watchers;
                if watchers.len() >= Presentity::MAX_WATCHERS {
                    return Applied::refused(Refusal::TooMany(Presentity::MAX_WATCHERS, Bound::Watchers));
                }
                watchers.insert(id);
                self.subscriptions.insert(id, Arc::new(Subscription::new(said, owner, moment)));
            }
        }
        Applied::outcome(subscribed(lifetime)).with(Some(Effect::SubscriptionAsked(id)))
    }

    pub fn remove_subscription(&mut self, id: SubscriptionId) -> Option<Arc<Subscription>> {
        let subscription = self.subscriptions.remove(&id)?;
        if let Some(presentity) = self.presentities.get_mut(subscription.dialog.presentity()) {
            Arc::make_mut(presentity).watchers.remove(&id);
        }
        Some(subscription)
    }

    pub fn raise_epochs_of(&mut self, node: NodeId) {
        for subscription in self.subscriptions.values_mut().filter(|held| held.owner == node) {
            Arc::make_mut(subscription).epoch += 1;
        }
    }
}
