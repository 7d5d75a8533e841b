//! Who notifies whom: the starts of managers, the silence of one, and how many subscriptions each owns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use placement::{NodeId, rendezvous};
use presence::position::Position;
use proto::v1;

use super::slot_state::SlotState;
use super::{Applied, Effect, NodeState, Refusal, Shard, Subscription, SubscriptionId};

/// How many subscriptions each node owns; derived from the records.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Owners(BTreeMap<NodeId, usize>);

impl Owners {
    pub fn moved(&mut self, from: Option<NodeId>, to: Option<NodeId>) {
        if from == to {
            return;
        }
        if let Some(to) = to {
            *self.0.entry(to).or_default() += 1;
        }
        if let Some(from) = from
            && let Some(count) = self.0.get_mut(&from)
        {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&from);
            }
        }
    }
}

impl Shard {
    /// The nodes that own something.
    pub fn owners(&self) -> impl Iterator<Item = NodeId> {
        self.owners.0.keys().copied()
    }

    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &NodeState)> {
        self.nodes.iter().map(|(node, state)| (*node, state))
    }

    /// A start of a manager: its earlier life may have sent NOTIFYs that nobody recorded, so the CSeq of every dialog
    /// it owns makes a jump.
    pub(super) fn boot(&mut self, node: NodeId, incarnation: u64) -> Applied {
        let known = self.nodes.entry(node).or_default();
        if incarnation <= known.incarnation {
            return Applied::done();
        }
        known.incarnation = incarnation;
        for slot in self.slots.values_mut() {
            if slot.subscriptions.values().any(|subscription| subscription.owner == node) {
                Arc::make_mut(slot).raise_epochs_of(node);
            }
        }
        Applied::done().with(Some(Effect::NodeBooted(node)))
    }

    /// Deals what a silent node owned to the survivors. What it may not have delivered is pending with the heir, so
    /// that a later start of the heir still knows.
    pub(super) fn take_over(&mut self, take: v1::TakeOver) -> Applied {
        let lost = NodeId(take.node);
        let survivors: BTreeSet<_> =
            take.survivors.iter().map(|node| NodeId(*node)).filter(|node| *node != lost).collect();
        if survivors.is_empty() {
            return Applied::refused(Refusal::Malformed("a takeover without survivors"));
        }
        // It has started anew since, or never did.
        let present = self.nodes.get_mut(&lost).filter(|state| state.incarnation == take.incarnation);
        let Some(state) = present else { return Applied::done() };
        let pending = std::mem::take(&mut state.pending);
        let delivered = NodeState { pending, ..state.clone() };
        let mut moved = false;
        for slot in self.slots.values_mut() {
            if slot.subscriptions.values().all(|subscription| subscription.owner != lost) {
                continue;
            }
            for (id, heir, may_owe) in Arc::make_mut(slot).bequeath(lost, &survivors, &delivered) {
                moved = true;
                self.owners.moved(Some(lost), Some(heir));
                if may_owe {
                    self.nodes.entry(heir).or_default().pending.insert(id);
                }
            }
        }
        Applied::done().with(moved.then_some(Effect::OwnersMoved))
    }
}

impl SlotState {
    /// Gives each subscription of a lost node to its heir; says whether its watcher may be owed a NOTIFY.
    fn bequeath(
        &mut self,
        lost: NodeId,
        survivors: &BTreeSet<NodeId>,
        delivered: &NodeState,
    ) -> Vec<(SubscriptionId, NodeId, bool)> {
        let mut moved = Vec::new();
        for (&id, subscription) in &mut self.subscriptions {
            if subscription.owner != lost {
                continue;
            }
            let call_id = subscription.dialog.call_id().as_bytes();
            let Some(heir) = rendezvous::order(call_id, survivors.iter().copied()).first().copied() else {
                continue;
            };
            let subscription = Arc::make_mut(subscription);
            subscription.give_to(heir);
            let changed = self.presentities.get(subscription.dialog.presentity());
            let owed = owed(subscription, changed.map(|presentity| presentity.position));
            moved.push((id, heir, delivered.may_owe(id, owed)));
        }
        moved
    }
}

/// The position a NOTIFY must reach to leave nothing owed: the newest of the presentity's change, the watcher's last
/// request and the end of the subscription.
pub fn owed(subscription: &Subscription, changed: Option<Position>) -> Position {
    // Nothing follows the NOTIFY that ends a subscription (RFC 6665 4.4.1), and who waits for approval is not even told
    // that something changed.
    if subscription.ended.is_some() || subscription.is_pending() {
        return subscription.asked_at;
    }
    changed.unwrap_or_default().max(subscription.asked_at)
}
