//! How many live subscriptions there are over flows from each address: for the limit of one source. Derived from the
//! records, whose route begins with the flow that a dispatcher signed.

use std::collections::BTreeMap;

use sip::{Flow, Network};

use super::{Shard, Subscription};
use crate::request::{route_uri, route_user};

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sources(BTreeMap<Network, u32>);

impl Sources {
    pub fn moved(&mut self, before: Option<&Subscription>, after: Option<&Subscription>) {
        let (before, after) = (before.and_then(route), after.and_then(route));
        // A refresh mostly comes the same way.
        if before == after {
            return;
        }
        let (before, after) = (before.and_then(network), after.and_then(network));
        if let Some(network) = after {
            *self.0.entry(network).or_default() += 1;
        }
        if let Some(network) = before
            && let Some(count) = self.0.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&network);
            }
        }
    }
}

/// The first Route of a live subscription.
fn route(held: &Subscription) -> Option<&str> {
    held.dialog.route_set().next().filter(|_| held.ended.is_none())
}

/// Where the flow in a route of ours comes from. Its signature was looked at when the request came, and replicas need
/// not know the key.
fn network(route: &str) -> Option<Network> {
    let flow = Flow::read(route_user(route_uri(route.as_bytes())?)?)?;
    Some(Network::of(flow.remote.ip()))
}

impl Shard {
    pub fn subscriptions_from(&self, network: Network) -> u32 {
        self.sources.0.get(&network).copied().unwrap_or(0)
    }
}
