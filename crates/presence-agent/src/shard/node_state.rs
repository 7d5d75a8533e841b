//! What the group knows of each manager: which start it is in, and what it has delivered to its watchers.

use std::collections::BTreeSet;

use presence::position::Position;
use proto::v1;

use super::SubscriptionId;

/// Everything up to `delivered_upto` has reached the watchers of this node, except those in `pending`. It may claim too
/// little, never too much: whoever goes by it may notify once too often, never once too few.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeState {
    pub incarnation: u64,
    pub delivered_upto: Position,
    pub pending: BTreeSet<SubscriptionId>,
}

impl NodeState {
    /// Whether a subscription of this node that is owed a NOTIFY of `owed` may still be waiting for it.
    pub fn may_owe(&self, id: SubscriptionId, owed: Position) -> bool {
        owed > self.delivered_upto || self.pending.contains(&id)
    }

    pub(super) fn delivered(&mut self, delivered: v1::Delivered) {
        // A late copy of an older claim knows nothing of what became pending since. What it names may be named again.
        if Position(delivered.upto) > self.delivered_upto {
            self.delivered_upto = Position(delivered.upto);
            for id in delivered.no_longer_pending {
                self.pending.remove(&SubscriptionId(id));
            }
        }
        self.pending.extend(delivered.now_pending.into_iter().map(SubscriptionId));
    }
}
