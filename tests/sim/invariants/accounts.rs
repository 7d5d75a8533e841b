//! What billing decides holds: who was denied is not served, who waits for approval is shown nothing, and nobody has more
//! subscriptions than he may. Where a NOTIFY leaves, this is looked at in `notifies`; here it is what stands in the log.

use std::collections::BTreeMap;

use presence_agent::shard::{Shard, Subscription};
use presence_agent::verdict::Decision;
use sip::header::State;

use super::{Check, History, broken};
use crate::phone::Dialog;

/// Counted anew, not as the shard does.
pub fn within_quota(quota: u32, shard: &Shard) -> Check {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for (_, held) in living(shard) {
        *counts.entry(held.dialog.watcher()).or_default() += 1;
    }
    match counts.into_iter().find(|(_, count)| quota > 0 && *count > quota) {
        Some((account, count)) => broken("more subscriptions than allowed", format!("{account}: {count}")),
        None => Ok(()),
    }
}

/// Faults have stopped and billing has not changed its mind for a while: what stands in the log is what it says.
pub fn are_judged(opinion: impl Fn(&str) -> Decision, history: &History) -> Check {
    for (id, held) in living(history.shard()) {
        let watcher = held.dialog.watcher();
        let as_said = match opinion(watcher) {
            Decision::Deny => false,
            Decision::Pending => held.is_pending(),
            _ => !held.is_pending(),
        };
        if !as_said {
            let said = opinion(watcher);
            return broken("billing changed its mind in vain", format!("{id} of {watcher}, now {said:?}"));
        }
    }
    Ok(())
}

/// The watcher knows that it waits, or that it does not.
pub fn is_told(pending: bool, dialog: &Dialog) -> Check {
    let expected = if pending { State::Pending } else { State::Active };
    match dialog.state == Some(expected) {
        true => Ok(()),
        false => {
            let (call, state) = (&dialog.call.id, dialog.state);
            broken("a watcher does not know its standing", format!("{call}: {state:?}, not {expected:?}"))
        }
    }
}

fn living(shard: &Shard) -> impl Iterator<Item = (presence_agent::shard::SubscriptionId, &Subscription)> {
    shard.subscriptions().filter(|(_, held)| held.ended.is_none())
}
