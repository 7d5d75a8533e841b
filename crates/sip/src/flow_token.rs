//! The signed name of the way to a phone (in the spirit of RFC 5626 §5.2).
//!
//! A dispatcher writes it into the user part of its inner Record-Route URI; a manager gives it back in
//! the Route of a NOTIFY. It tells any dispatcher which socket and address, or which connection,
//! leads to the phone, and it is signed, so nobody can point our NOTIFYs at a stranger.
//!
//! Layout: a kind byte (transport, address families), listener, remote, connection if not 0, then 10
//! bytes of signature; base64url without padding, which a user part carries unescaped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secret::{self, Secret};
use crate::transport::Transport;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    pub transport: Transport,
    /// Our address that the phone sent to.
    pub listener: SocketAddr,
    pub remote: SocketAddr,
    /// The dispatcher's number for the connection, 0 on UDP.
    pub connection: u64,
}

const SIGNATURE: usize = 10;
const LISTENER_IS_IPV6: u8 = 0x10;
const REMOTE_IS_IPV6: u8 = 0x20;
const HAS_CONNECTION: u8 = 0x40;
const TRANSPORT: u8 = 0x0f;

impl Flow {
    pub fn seal(&self, key: &Secret) -> String {
        let mut token = vec![self.kind()];
        put_address(&mut token, self.listener);
        put_address(&mut token, self.remote);
        if self.connection != 0 {
            token.extend_from_slice(&self.connection.to_be_bytes());
        }
        let signature = key.sign(&[&token]);
        token.extend_from_slice(&signature[..SIGNATURE]);
        URL_SAFE_NO_PAD.encode(token)
    }

    /// `None` if `token` is not ours, or not of this key.
    pub fn open(token: &str, key: &Secret) -> Option<Flow> {
        let mut room = [0; ROOM];
        let (signed, signature) = decoded(token, &mut room)?;
        match secret::equal(&key.sign(&[signed])[..SIGNATURE], signature) {
            true => Flow::of(signed),
            false => None,
        }
    }

    /// What a token says, whoever made it: for those that were found good before.
    pub fn read(token: &str) -> Option<Flow> {
        let mut room = [0; ROOM];
        let (signed, _) = decoded(token, &mut room)?;
        Flow::of(signed)
    }

    fn of(signed: &[u8]) -> Option<Flow> {
        let (&kind, mut rest) = signed.split_first()?;
        let flow = Flow {
            transport: *Transport::ALL.get(usize::from(kind & TRANSPORT))?,
            listener: take_address(&mut rest, kind & LISTENER_IS_IPV6 != 0)?,
            remote: take_address(&mut rest, kind & REMOTE_IS_IPV6 != 0)?,
            connection: match kind & HAS_CONNECTION {
                0 => 0,
                _ => u64::from_be_bytes(*take(&mut rest)?),
            },
        };
        rest.is_empty().then_some(flow)
    }

    fn kind(&self) -> u8 {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        self.transport as u8
            | flag(self.listener.is_ipv6(), LISTENER_IS_IPV6)
            | flag(self.remote.is_ipv6(), REMOTE_IS_IPV6)
            | flag(self.connection != 0, HAS_CONNECTION)
    }
}

/// More than the longest token needs.
const ROOM: usize = 64;

/// What is signed, and the signature.
fn decoded<'a>(token: &str, room: &'a mut [u8; ROOM]) -> Option<(&'a [u8], &'a [u8])> {
    let length = URL_SAFE_NO_PAD.decode_slice(token, room).ok()?;
    Some(room[..length].split_at(length.checked_sub(SIGNATURE)?))
}

fn put_address(token: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => token.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => token.extend_from_slice(&ip.octets()),
    }
    token.extend_from_slice(&address.port().to_be_bytes());
}

fn take_address(rest: &mut &[u8], ipv6: bool) -> Option<SocketAddr> {
    let ip = match ipv6 {
        true => IpAddr::V6(Ipv6Addr::from(*take::<16>(rest)?)),
        false => IpAddr::V4(Ipv4Addr::from(*take::<4>(rest)?)),
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*take(rest)?)))
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(listener: &str, remote: &str, connection: u64) -> Flow {
        let transport = if connection == 0 { Transport::Udp } else { Transport::Wss };
        let [listener, remote] = [listener, remote].map(|text| text.parse().unwrap());
        Flow { transport, listener, remote, connection }
    }

    #[test]
    fn a_token_opens_to_the_flow_it_was_sealed_from() {
        let key = Secret::new("lab").derive("flow");
        let flows = [
            flow("192.0.2.1:5060", "198.51.100.7:40000", 0),
            flow("[2001:db8::1]:443", "198.51.100.7:40000", u64::MAX),
            flow("192.0.2.1:5060", "[2001:db8::2]:1", 7),
            flow("[2001:db8::1]:443", "[2001:db8::2]:40000", u64::MAX),
        ];

        for flow in flows {
            assert_eq!(Flow::open(&flow.seal(&key), &key), Some(flow));
        }
    }

    #[test]
    fn a_token_needs_no_escape_in_a_user_part() {
        let token = flow("[2001:db8::1]:443", "[2001:db8::2]:1", 7).seal(&Secret::new("lab"));

        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    }

    #[test]
    fn a_token_with_any_other_byte_or_another_key_does_not_open() {
        let key = Secret::new("lab");
        let token = flow("192.0.2.1:5060", "198.51.100.7:40000", 7).seal(&key);

        for at in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(Flow::open(std::str::from_utf8(&forged).unwrap(), &key), None);
        }
        assert_eq!(Flow::open(&token, &Secret::new("other")), None);
        for foreign in ["", "AAAA", "alice", "!", &token[..token.len() - 2]] {
            assert_eq!(Flow::open(foreign, &key), None);
        }
    }
}
