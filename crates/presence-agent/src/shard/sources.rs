//! How many live subscriptions there are over flows from each address: for the limit of one source. Derived from the
//! records, whose route begins with the flow that a dispatcher signed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sip::{Flow, Uri};

use super::{Shard, Subscription};
use crate::request::route_uri;

/// An address of IPv4, or a /64 of IPv6, of which a client has all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network(u64);

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sources(BTreeMap<Network, u32>);

impl Network {
    pub fn of(ip: IpAddr) -> Network {
        // No /64 that is in use begins with 31 bits of nothing and a one.
        const FOUR: u64 = 1 << 32;
        Network(match ip.to_canonical() {
            IpAddr::V4(ip) => FOUR | u64::from(ip.to_bits()),
            IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
        })
    }
}

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
    let flow = Flow::read(Uri::parse(route_uri(route.as_bytes())?).ok()?.user?)?;
    Some(Network::of(flow.remote.ip()))
}

impl Shard {
    pub fn subscriptions_from(&self, network: Network) -> u32 {
        self.sources.0.get(&network).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_source_and_mapped_ipv4_is_ipv4() {
        let of = |ip: &str| Network::of(ip.parse().unwrap());

        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::2"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
