//! The replicated state of one group, and `apply`: the only code that changes it.
//!
//! `apply` is a function of the state, the command, its log position and the time in its entry. It reads no clock, no
//! configuration and no map without an order, so every replica that applies the same log holds the same state. A
//! command that is not valid for the state is refused and counted by the caller; it is never a panic, because the
//! same entry comes back at every restart on every node.
//!
//! The state lies in slots behind `Arc`: a picture of it for a snapshot is a clone of pointers, and `apply` copies a
//! slot only if a picture still holds it.

mod checksums;
mod deadlines;
mod dialog;
mod history;
mod node_state;
mod owners;
mod parts;
mod presentity;
mod slot_state;
mod slots;
mod snapshot;
mod sources;
mod subscription;
mod totals;
mod watchers;
mod wording;

use std::collections::BTreeMap;
use std::sync::Arc;

use placement::{NodeId, PresentityKey, Slot};
use presence::entity_tag::EntityTag;
use presence::position::Position;
use presence::publication::TagUnmatched;
use presence::registration::RegisterRefused;
use presence::repeat::RepeatKey;
use presence::time::{Lifetime, Timestamp};
use proto::v1;
use proto::v1::command::Kind;

use crate::bound::Bound;
use crate::mutants::{Mutant, broken};
use checksums::Checksums;
use deadlines::{Deadline, Deadlines};
use owners::Owners;
use slots::Slots;

pub use dialog::Dialog;
pub use history::{Change, Deed, History, What};
pub use node_state::NodeState;
pub use owners::owed;
pub use parts::Parts;
use presentity::{Changed, Expired, Settled};
pub use presentity::{Presentity, Source};
pub use snapshot::{BadSnapshot, Picture};
use sources::Sources;
pub use subscription::{Ended, Subscription, SubscriptionId};
use totals::Totals;
use watchers::Watchers;
use wording::Wordings;
pub use wording::Words;

/// The state of one group.
#[derive(Clone, Debug, Default)]
pub struct Shard {
    slots: Slots,
    nodes: BTreeMap<NodeId, NodeState>,
    deadlines: Deadlines,
    owners: Owners,
    totals: Totals,
    watchers: Watchers,
    sources: Sources,
    wordings: Wordings,
    checksums: Checksums,
    stamp: Timestamp,
    position: Position,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Published {
        tag: EntityTag,
        lifetime: Lifetime,
    },
    Subscribed {
        id: SubscriptionId,
        lifetime: Lifetime,
    },
    Registered,
    /// Nothing more to tell: the position is the answer.
    Done,
    Refused(Refusal),
}

/// Why a command was not valid for the state it met. The SIP status of each is in `answer.rs`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    TagUnmatched(#[from] TagUnmatched),
    #[error(transparent)]
    Register(#[from] RegisterRefused),
    #[error("no such subscription in this dialog")]
    UnknownSubscription,
    #[error("the CSeq is not above that of the dialog's last request")]
    OutOfOrder,
    #[error("a presentity holds at most {0} {1}")]
    TooMany(usize, Bound),
    #[error("the watcher may have at most {0} subscriptions at one time")]
    QuotaUsedUp(u32),
    #[error("the command is malformed: {0}")]
    Malformed(&'static str),
}

/// What an owner has to look at after a command. Effects only wake things up: whether a NOTIFY is owed is read from
/// the state, so an effect that got lost or came twice does no harm.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    PresentityChanged(PresentityKey),
    SubscriptionAsked(SubscriptionId),
    SubscriptionEnded(SubscriptionId),
    /// Billing changed its mind.
    SubscriptionJudged(SubscriptionId),
    NodeBooted(NodeId),
    /// Subscriptions of a lost node went to others.
    OwnersMoved,
    /// Two replicas do not hold the same state: a fault that must never be.
    Diverged {
        index: u64,
        slot: u32,
        nodes: [NodeId; 2],
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    pub outcome: Outcome,
    pub effects: Vec<Effect>,
}

/// Where in the log a command stands, and when that is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub at: Position,
    pub now: Timestamp,
}

impl Shard {
    /// How many due records one Expire drops; the leader asks again while more are due.
    pub const EXPIRED_PER_COMMAND: usize = 256;

    /// Applies one command at log position `at`, in an entry stamped `now`.
    pub fn apply(&mut self, command: Kind, at: Position, now: Timestamp) -> Applied {
        self.stamp = self.stamp.max(now);
        self.position = at;
        let moment = Moment { at, now: self.stamp };
        match command {
            Kind::Publish(publish) => self.publish(publish, moment),
            Kind::SetSource(source) => self.set_source(source, moment),
            Kind::Register(register) => self.register(register, moment),
            Kind::Subscribe(subscribe) => self.subscribe(subscribe, moment),
            Kind::EndSubscription(end) => self.end_subscription(SubscriptionId(end.id), end.epoch, moment),
            Kind::Judge(judge) => self.judge(&judge, moment),
            Kind::RaiseEpoch(raise) => self.raise_epoch(SubscriptionId(raise.id), raise.epoch),
            Kind::Expire(expire) => self.expire(Timestamp(expire.upto), moment),
            Kind::Boot(boot) => self.boot(NodeId(boot.node), boot.incarnation),
            Kind::Delivered(delivered) => self.delivered(delivered),
            Kind::TakeOver(take) => self.take_over(take),
            Kind::Checksum(checksum) => self.compare(&checksum),
            Kind::Read(_) => Applied::done(),
        }
    }

    /// The position of the last command applied.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The largest stamp seen.
    pub fn stamp(&self) -> Timestamp {
        self.stamp
    }

    pub fn presentity(&self, key: &PresentityKey) -> Option<&Presentity> {
        self.presentity_of(key.as_str())
    }

    /// By the text of its key, as a command carries it.
    pub fn presentity_of(&self, key: &str) -> Option<&Presentity> {
        self.slots.get(Slot::of_text(key))?.presentities.get(key).map(Arc::as_ref)
    }

    pub fn subscription(&self, id: SubscriptionId) -> Option<&Arc<Subscription>> {
        self.slots.get(id.slot())?.subscriptions.get(&id)
    }

    /// That of the dialog with this local tag.
    pub fn subscription_of(&self, local_tag: &str) -> Option<&Arc<Subscription>> {
        let held = self.subscription(SubscriptionId::of(local_tag)?)?;
        (held.dialog.local_tag() == local_tag).then_some(held)
    }

    pub fn subscriptions(&self) -> impl Iterator<Item = (SubscriptionId, &Subscription)> {
        let held = self.slots.values().flat_map(|slot| slot.subscriptions.iter());
        held.map(|(id, subscription)| (*id, subscription.as_ref()))
    }

    pub fn presentities(&self) -> impl Iterator<Item = (&PresentityKey, &Presentity)> {
        let held = self.slots.values().flat_map(|slot| slot.presentities.iter());
        held.map(|(key, presentity)| (key, presentity.as_ref()))
    }

    pub fn node(&self, node: NodeId) -> Option<&NodeState> {
        self.nodes.get(&node)
    }

    /// Whether something is due at `now`, so that the leader should propose an Expire.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.next()
    }

    /// A subscription and whom it watches; one of whom nothing is known has no state.
    pub fn watch(&self, id: SubscriptionId) -> Option<(&Arc<Subscription>, Option<&Presentity>)> {
        let slot = self.slots.get(id.slot())?;
        let held = slot.subscriptions.get(&id)?;
        Some((held, slot.presentities.get(held.dialog.presentity()).map(Arc::as_ref)))
    }

    /// The position a NOTIFY must reach to leave nothing owed.
    pub fn owed(&self, subscription: &Subscription) -> Position {
        let presentity = self.presentity_of(subscription.dialog.presentity());
        owners::owed(subscription, presentity.map(|presentity| presentity.position))
    }

    fn publish(&mut self, publish: v1::Publish, moment: Moment) -> Applied {
        let (key, repeat) =
            (PresentityKey::restored(&publish.presentity), RepeatKey::from_bytes(&publish.repeat_key));
        let slot = Slot::of(&key);
        if let Some(tag) = self.slots.get(slot).and_then(|state| state.buried(repeat)) {
            return Applied::outcome(Outcome::Published { tag: tag.clone(), lifetime: Lifetime::ZERO });
        }
        let tag = EntityTag::minted(slot, moment.at);
        let fresh = tag.clone();
        self.change(key, slot, tag, moment, |presentity| presentity.publish(publish, fresh, moment))
    }

    fn set_source(&mut self, source: v1::SetSource, moment: Moment) -> Applied {
        let (key, repeat) =
            (PresentityKey::restored(&source.presentity), RepeatKey::from_bytes(&source.repeat_key));
        let slot = Slot::of(&key);
        if self.slots.get(slot).and_then(|state| state.buried(repeat)).is_some() {
            return Applied::done();
        }
        self.change(key, slot, EntityTag::default(), moment, |presentity| {
            Ok((Outcome::Done, presentity.set_source(source, moment)?))
        })
    }

    fn register(&mut self, register: v1::Register, moment: Moment) -> Applied {
        let (key, repeat) =
            (PresentityKey::restored(&register.aor), RepeatKey::from_bytes(&register.repeat_key));
        let slot = Slot::of(&key);
        if self.slots.get(slot).and_then(|state| state.buried(repeat)).is_some() {
            return Applied::outcome(Outcome::Registered);
        }
        self.change(key, slot, EntityTag::default(), moment, |presentity| {
            Ok((Outcome::Registered, presentity.register(register, moment)?))
        })
    }

    /// Changes one presentity. What the change makes forgotten is remembered for a while under `tag`.
    fn change(
        &mut self,
        key: PresentityKey,
        slot: Slot,
        tag: EntityTag,
        moment: Moment,
        change: impl FnOnce(&mut Presentity) -> Result<(Outcome, Changed), Refusal>,
    ) -> Applied {
        let state = self.slots.get_mut(slot);
        let presentity = state.presentity_mut(&key);
        let changed = change(presentity);
        let settled = presentity.settle();
        if settled.is_empty {
            state.presentities.remove(&key);
        }
        self.index_presentity(&key, settled);
        let (outcome, Changed { visibly, forgotten }) = match changed {
            Ok(changed) => changed,
            Err(refusal) => return Applied::refused(refusal),
        };
        for repeat in forgotten {
            self.bury(slot, repeat, tag.clone(), moment);
        }
        Applied::outcome(outcome).with(visibly.then_some(Effect::PresentityChanged(key)))
    }

    fn subscribe(&mut self, subscribe: v1::Subscribe, moment: Moment) -> Applied {
        let Some(said) = Dialog::of(&subscribe) else {
            return Applied::refused(Subscription::TOO_LONG);
        };
        let Some(id) = SubscriptionId::of(said.local_tag()) else {
            return Applied::refused(Refusal::Malformed("local tag without a slot"));
        };
        let said = said.sharing(&mut self.wordings);
        let most = subscribe.max_subscriptions as usize;
        let has_all = !subscribe.in_dialog && most > 0 && self.watchers.has(said.watcher(), most);
        let state = self.slots.get_mut(id.slot());
        let before = state.subscriptions.get(&id).cloned();
        let applied = state.subscribe(id, &subscribe, said, has_all, moment);
        let after = state.subscriptions.get(&id).cloned();
        self.index(id, before.as_deref(), after.as_deref());
        applied
    }

    fn end_subscription(&mut self, id: SubscriptionId, epoch: u32, moment: Moment) -> Applied {
        let Some(subscription) = self.slots.get_mut(id.slot()).subscriptions.get_mut(&id) else {
            return Applied::done();
        };
        if subscription.epoch != epoch && !broken(Mutant::LateEndCounts) {
            // Somebody else owns the dialog by now, and knows better.
            return Applied::done();
        }
        let before = subscription.clone();
        Arc::make_mut(subscription).end_unsaid(moment);
        let after = subscription.clone();
        self.index(id, Some(&before), Some(&after));
        for node in self.nodes.values_mut() {
            node.pending.remove(&id);
        }
        Applied::done().with(Some(Effect::SubscriptionEnded(id)))
    }

    /// Billing's word on a subscription. In a later epoch the watcher has asked again, or somebody else owns the dialog,
    /// and billing is asked anew.
    fn judge(&mut self, judge: &v1::Judge, moment: Moment) -> Applied {
        let id = SubscriptionId(judge.id);
        let held = self.slots.get_mut(id.slot()).subscriptions.get_mut(&id);
        let Some(subscription) = held.filter(|held| held.epoch == judge.epoch) else {
            return Applied::done();
        };
        let before = subscription.clone();
        let judged = Arc::make_mut(subscription).judge(judge.standing(), moment);
        let after = subscription.clone();
        self.index(id, Some(&before), Some(&after));
        Applied::done().with(judged.then_some(Effect::SubscriptionJudged(id)))
    }

    fn raise_epoch(&mut self, id: SubscriptionId, epoch: u32) -> Applied {
        if let Some(subscription) = self.slots.get_mut(id.slot()).subscriptions.get_mut(&id)
            && subscription.epoch == epoch
        {
            Arc::make_mut(subscription).epoch += 1;
            return Applied::done().with(Some(Effect::SubscriptionAsked(id)));
        }
        Applied::done()
    }

    /// Drops what was due at `upto`. A record that was refreshed since stands under a later deadline and stays.
    fn expire(&mut self, upto: Timestamp, moment: Moment) -> Applied {
        let mut effects = Vec::new();
        for deadline in self.deadlines.take_due(upto.min(moment.now), Self::EXPIRED_PER_COMMAND) {
            effects.extend(match deadline {
                Deadline::Presentity(key) => self.expire_presentity(key, moment),
                Deadline::Subscription(id) => self.expire_subscription(id, moment),
                Deadline::Tombstone(slot, repeat) => {
                    self.slots.get_mut(slot).tombstones.remove(&repeat);
                    None
                }
            });
        }
        Applied { outcome: Outcome::Done, effects }
    }

    fn expire_presentity(&mut self, key: PresentityKey, moment: Moment) -> Option<Effect> {
        let slot = Slot::of(&key);
        let Expired { visibly, forgotten } = self.slots.get_mut(slot).presentity_mut(&key).expire(moment);
        self.settle(&key);
        for (repeat, tag) in forgotten {
            self.bury(slot, repeat, tag, moment);
        }
        visibly.then_some(Effect::PresentityChanged(key))
    }

    fn bury(&mut self, slot: Slot, repeat: RepeatKey, tag: EntityTag, moment: Moment) {
        let (before, after) = self.slots.get_mut(slot).bury(repeat, tag, moment.now);
        self.deadlines.tombstones.moved((slot, repeat), before, after);
    }

    /// An active subscription ends and stays for a while as its own tombstone, until the final NOTIFY is delivered; one
    /// that ended before is dropped.
    fn expire_subscription(&mut self, id: SubscriptionId, moment: Moment) -> Option<Effect> {
        let subscription = self.slots.get_mut(id.slot()).subscriptions.get_mut(&id)?;
        if subscription.ended.is_some() {
            self.drop_subscription(id);
            return Some(Effect::SubscriptionEnded(id));
        }
        let before = subscription.clone();
        Arc::make_mut(subscription).end(Ended::Timeout, moment);
        let after = subscription.clone();
        self.index(id, Some(&before), Some(&after));
        Some(Effect::SubscriptionAsked(id))
    }

    fn drop_subscription(&mut self, id: SubscriptionId) {
        if let Some(subscription) = self.slots.get_mut(id.slot()).remove_subscription(id) {
            self.index(id, Some(&subscription), None);
            self.settle(&subscription.presentity());
        }
        for node in self.nodes.values_mut() {
            node.pending.remove(&id);
        }
    }

    fn delivered(&mut self, delivered: v1::Delivered) -> Applied {
        self.nodes.entry(NodeId(delivered.node)).or_default().delivered(delivered);
        Applied::done()
    }

    /// Brings what is derived from the subscriptions up to date after one was changed.
    fn index(&mut self, id: SubscriptionId, before: Option<&Subscription>, after: Option<&Subscription>) {
        let due = |held: &Subscription| held.expires_at;
        self.watchers.moved(id, before, after);
        self.sources.moved(before, after);
        self.deadlines.subscriptions.moved(id, before.map(due), after.map(due));
        self.owners.moved(before.map(|held| held.owner), after.map(|held| held.owner));
        self.totals.moved(before, after);
    }

    /// Puts a presentity in order after a change: what is derived from it, or itself away when nothing is left.
    fn settle(&mut self, key: &PresentityKey) {
        let state = self.slots.get_mut(Slot::of(key));
        let Some(presentity) = state.presentities.get_mut(key).map(Arc::make_mut) else { return };
        let settled = presentity.settle();
        if settled.is_empty {
            state.presentities.remove(key);
        }
        self.index_presentity(key, settled);
    }

    fn index_presentity(&mut self, key: &PresentityKey, settled: Settled) {
        let Settled { deadline: (before, after), holdings: (counted, holds), .. } = settled;
        self.totals.replaced(counted, holds);
        if before != after {
            self.deadlines.presentities.moved(key.clone(), before, after);
        }
    }
}

impl Applied {
    fn done() -> Applied {
        Applied::outcome(Outcome::Done)
    }

    fn refused(refusal: impl Into<Refusal>) -> Applied {
        Applied::outcome(Outcome::Refused(refusal.into()))
    }

    fn outcome(outcome: Outcome) -> Applied {
        Applied { outcome, effects: Vec::new() }
    }

    fn with(mut self, effect: Option<Effect>) -> Applied {
        self.effects.extend(effect);
        self
    }
}

#[cfg(test)]
mod tests;
