//! Who counts as one source, wherever sources are counted.

use std::net::IpAddr;

/// An address of IPv4, or a /64 of IPv6, of which a client has all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network(u64);

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
