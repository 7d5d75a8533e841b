//! What DNS told of a destination, and the order in which one request tries it (RFC 3263 4.3, RFC 2782).

use std::net::SocketAddr;

use sip::Transport;
use smallvec::SmallVec;

/// Services as they are preferred.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    services: Vec<Service>,
}

/// The servers behind one transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub transport: Transport,
    pub servers: Vec<Server>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Lower ones first.
    pub priority: u16,
    /// Its share among those of its priority.
    pub weight: u16,
    pub addresses: Vec<SocketAddr>,
}

/// A next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    pub transport: Transport,
    pub address: SocketAddr,
}

/// Next hops of one request, best first.
pub type Targets = SmallVec<[Target; 4]>;

impl Server {
    /// One that DNS ranks against nobody.
    pub fn only(addresses: Vec<SocketAddr>) -> Server {
        Server { priority: 0, weight: 0, addresses }
    }
}

impl Found {
    /// No more next hops are ever tried. Those beyond are reached in other requests, by their weight.
    pub const MOST: usize = 16;

    pub fn new(services: Vec<Service>) -> Found {
        Found { services }
    }

    /// The next hops in the order that falls to this number.
    pub fn targets(&self, seed: u64) -> Targets {
        let mut dice = Dice(seed);
        let mut targets = Targets::new();
        for service in &self.services {
            for server in ordered(&service.servers, &mut dice) {
                for address in &server.addresses {
                    let target = Target { transport: service.transport, address: *address };
                    if !targets.contains(&target) && targets.len() < Found::MOST {
                        targets.push(target);
                    }
                }
            }
        }
        targets
    }

    /// Every address there is, in no order that means anything.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let servers = self.services.iter().flat_map(|service| &service.servers);
        servers.flat_map(|server| server.addresses.iter().copied())
    }

    pub fn is_empty(&self) -> bool {
        self.addresses().next().is_none()
    }
}

/// RFC 2782: by priority; within one, drawn by weight, without putting back.
fn ordered<'a>(servers: &'a [Server], dice: &mut Dice) -> Vec<&'a Server> {
    let mut left: Vec<_> = servers.iter().collect();
    // Those of weight 0 come first, so that they are drawn by a zero alone.
    left.sort_by_key(|server| (server.priority, server.weight != 0));
    let mut ordered = Vec::with_capacity(left.len());
    while let Some(priority) = left.first().map(|server| server.priority) {
        let peers = left.iter().take_while(|server| server.priority == priority);
        let total = peers.map(|server| u64::from(server.weight)).sum();
        let drawn = dice.up_to(total);
        let mut sum = 0;
        let reached = left.iter().position(|server| {
            sum += u64::from(server.weight);
            sum >= drawn
        });
        ordered.push(left.remove(reached.unwrap_or(0)));
    }
    ordered
}

/// Numbers that look like chance and are the same for the same beginning (splitmix64).
struct Dice(u64);

impl Dice {
    fn up_to(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % (most + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_priorities_come_first_whatever_their_weight() {
        let found = over_udp(&[(20, 65_535, "c"), (10, 0, "a"), (10, 0, "b")]);

        for seed in 0..100 {
            assert_eq!(names(&found, seed)[2], "c");
        }
        assert_eq!(names(&over_udp(&[(20, 0, "b"), (10, 1, "a")]), 0), ["a", "b"]);
    }

    #[test]
    fn within_a_priority_servers_are_drawn_by_weight() {
        let found = over_udp(&[(10, 60, "a"), (10, 30, "b"), (10, 10, "c")]);
        let first = |name| (0..10_000).filter(|seed| names(&found, *seed)[0] == name).count();

        let (a, b, c) = (first("a"), first("b"), first("c"));

        assert!(
            (5_500..6_500).contains(&a) && (2_600..3_400).contains(&b) && (700..1_400).contains(&c),
            "{a} {b} {c}"
        );
    }

    #[test]
    fn a_weight_of_zero_is_drawn_seldom_but_drawn() {
        let found = over_udp(&[(10, 100, "a"), (10, 0, "b")]);
        let first = (0..10_000).filter(|seed| names(&found, *seed)[0] == "b").count();

        assert!((1..400).contains(&first), "{first}");
        assert_eq!(names(&found, 0).len(), 2, "it is there to fail over to");
    }

    #[test]
    fn one_number_gives_one_order() {
        let found = over_udp(&[(10, 1, "a"), (10, 1, "b"), (10, 1, "c")]);

        assert!((0..100).all(|seed| names(&found, seed) == names(&found, seed)));
        assert!((0..100).any(|seed| names(&found, seed) != names(&found, 0)));
    }

    #[test]
    fn next_hops_have_a_bound_and_none_comes_twice() {
        let many: Vec<_> = (0..100u8).map(|n| (0, 1, format!("{}", char::from(n)))).collect();
        let many: Vec<_> =
            many.iter().map(|(priority, weight, name)| (*priority, *weight, name.as_str())).collect();

        assert_eq!(over_udp(&many).targets(7).len(), Found::MOST);
        assert_eq!(over_udp(&[(0, 0, "a"), (1, 0, "a")]).targets(7).len(), 1);
    }

    /// Each server has an address that spells its name.
    fn over_udp(servers: &[(u16, u16, &str)]) -> Found {
        let server = |(priority, weight, name): &(u16, u16, &str)| Server {
            priority: *priority,
            weight: *weight,
            addresses: vec![SocketAddr::from(([192, 0, 2, name.as_bytes()[0]], 5060))],
        };
        Found::new(vec![Service { transport: Transport::Udp, servers: servers.iter().map(server).collect() }])
    }

    fn names(found: &Found, seed: u64) -> Vec<String> {
        let name = |target: &Target| match target.address.ip() {
            std::net::IpAddr::V4(ip) => char::from(ip.octets()[3]).to_string(),
            std::net::IpAddr::V6(_) => String::new(),
        };
        found.targets(seed).iter().map(name).collect()
    }
}
