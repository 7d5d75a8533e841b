//! Binding requests on a UDP flow, by which a phone keeps it open and learns whether its NAT still names it so (RFC 5626
//! section 4.4.2, RFC 5389).
//!
//! Nothing of STUN but that: no credentials, no fingerprint, no error answers. What asks for more is dropped.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

const HEAD: usize = 20;
const REQUEST: [u8; 2] = [0x00, 0x01];
const RESPONSE: [u8; 2] = [0x01, 0x01];
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const XOR_MAPPED_ADDRESS: [u8; 2] = [0x00, 0x20];
/// Attributes below this must be understood; we understand none.
const OPTIONAL: u8 = 0x80;

/// The answer to a Binding request that came from there. `None` if it is none; no SIP message begins like one.
pub fn answer(datagram: &[u8], from: SocketAddr) -> Option<Bytes> {
    let (head, attributes) = datagram.split_at_checked(HEAD)?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if head[..2] != REQUEST || head[4..8] != COOKIE || length != attributes.len() || !are_optional(attributes)
    {
        return None;
    }
    let mut address = match from.ip().to_canonical() {
        IpAddr::V4(ip) => [&[0, 1], &from.port().to_be_bytes()[..], &ip.octets()].concat(),
        IpAddr::V6(ip) => [&[0, 2], &from.port().to_be_bytes()[..], &ip.octets()].concat(),
    };
    // The port with half of the cookie, the address with the cookie and the transaction (RFC 5389 15.2).
    address[2..4].iter_mut().zip(&COOKIE).for_each(|(byte, key)| *byte ^= key);
    address[4..].iter_mut().zip(&head[4..]).for_each(|(byte, key)| *byte ^= key);
    let size = |length: usize| u16::try_from(length).unwrap_or_default().to_be_bytes();
    let attribute = [&XOR_MAPPED_ADDRESS[..], &size(address.len()), &address].concat();
    Some([&RESPONSE[..], &size(attribute.len()), &head[4..], &attribute].concat().into())
}

fn are_optional(mut attributes: &[u8]) -> bool {
    while let Some((&[kind, _, high, low], rest)) = attributes.split_first_chunk() {
        let padded = usize::from(u16::from_be_bytes([high, low])).next_multiple_of(4);
        if kind < OPTIONAL || rest.len() < padded {
            return false;
        }
        attributes = &rest[padded..];
    }
    attributes.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transaction of the sample in RFC 5769 section 2.2, and the address that it maps to.
    const TRANSACTION: [u8; 12] = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];

    fn request(attributes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(attributes.len()).unwrap().to_be_bytes();
        [&REQUEST[..], &length, &COOKIE, &TRANSACTION, attributes].concat()
    }

    #[test]
    fn a_phone_is_told_where_it_is_seen() {
        let answer = answer(&request(&[]), "192.0.2.1:32853".parse().unwrap()).unwrap();

        assert_eq!(answer[..20], [&RESPONSE[..], &[0, 12], &COOKIE, &TRANSACTION].concat());
        assert_eq!(answer[20..], [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
    }

    #[test]
    fn also_over_ipv6() {
        let from = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();

        let answer = answer(&request(&[]), from).unwrap();

        let mapped =
            [0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9];
        assert_eq!(answer[20..28], [0, 0x20, 0, 20, 0, 2, 0xa1, 0x47]);
        assert_eq!(answer[28..], mapped);
    }

    #[test]
    fn what_need_not_be_understood_is_passed_over_and_everything_else_is_dropped() {
        let from = "192.0.2.1:1".parse().unwrap();
        let software = [0x80, 0x22, 0, 3, b'a', b'b', b'c', 0];
        assert!(answer(&request(&software), from).is_some());

        let username = [0x00, 0x06, 0, 4, b'a', b'b', b'c', b'd'];
        for attributes in [&username[..], &software[..7], &[0x80, 0x22, 0xff, 0xff], &[0]] {
            assert!(answer(&request(attributes), from).is_none(), "{attributes:?}");
        }
        let whole = request(&software);
        assert!((0..whole.len()).all(|length| answer(&whole[..length], from).is_none()));
        assert!(answer(b"OPTIONS sip:a SIP/2.0\r\n\r\n", from).is_none());
    }
}
