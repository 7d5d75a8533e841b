//! Keys that the nodes of a cluster share, and what they sign.
//!
//! One configured string is the root of all; each purpose derives its own key, so that a nonce
//! is never a valid flow token. Nothing here prints a key.

use std::fmt;
use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// From any string of the configuration, of any length.
    pub fn new(text: &str) -> Secret {
        Secret(blake3::hash(text.as_bytes()).into())
    }

    /// The key for one purpose: `nonce`, `tag`, `flow`.
    pub fn derive(&self, purpose: &str) -> Secret {
        Secret(self.sign(&[b"derive", purpose.as_bytes()]))
    }

    /// A keyed hash of `parts`, each with its length, so that no two lists of parts look alike. BLAKE3, because every
    /// message is signed or looked at several times on its way, and what is signed is a few dozen bytes: those are hashed
    /// in one go, for what BLAKE3 keeps for longer texts takes more room than they do.
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut room = [0; SHORT];
        match laid_out(parts, &mut room) {
            Some(text) => blake3::keyed_hash(&self.0, text).into(),
            None => hashed(blake3::Hasher::new_keyed(&self.0), parts),
        }
    }

    /// A name for `parts`, each with its length, by which they are known again and by nothing else: SipHash-2-4, at a
    /// fraction of what a signature costs. Without the key nobody finds parts of the same name; but where a forgery is
    /// to be kept out, `sign`.
    pub fn fingerprint(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut hasher = SipHasher24::new_with_key(self.0.first_chunk().expect("a key is longer"));
        for part in parts {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        hasher.finish128().as_bytes()
    }
}

/// Most of what is signed is shorter, with its lengths.
const SHORT: usize = 128;

/// What [`hashed`] hashes, if there is room for it.
fn laid_out<'a>(parts: &[&[u8]], room: &'a mut [u8; SHORT]) -> Option<&'a [u8]> {
    let mut end = 0;
    for part in parts {
        let (length, text) = room.get_mut(end..)?.split_first_chunk_mut()?;
        *length = (part.len() as u64).to_be_bytes();
        text.get_mut(..part.len())?.copy_from_slice(part);
        end += length.len() + part.len();
    }
    Some(&room[..end])
}

/// A hash of `parts`, each with its length.
fn hashed(mut hasher: blake3::Hasher, parts: &[&[u8]]) -> [u8; 32] {
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// In lower case.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// Compares in a time that depends on the lengths only.
pub(crate) fn equal(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |sum, (left, right)| sum | (left ^ right));
    one.len() == other.len() && std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_two_purposes_differ_and_come_out_the_same_on_every_node() {
        let root = Secret::new("lab");

        assert_ne!(root.derive("nonce"), root.derive("flow"));
        assert_eq!(root.derive("nonce"), Secret::new("lab").derive("nonce"));
    }

    #[test]
    fn moving_a_byte_between_parts_changes_the_signature() {
        let key = Secret::new("lab");

        assert_ne!(key.sign(&[b"ab", b"c"]), key.sign(&[b"a", b"bc"]));
        assert_ne!(key.fingerprint(&[b"ab", b"c"]), key.fingerprint(&[b"a", b"bc"]));
    }

    #[test]
    fn long_parts_are_signed_like_short_ones() {
        let key = Secret::new("lab");

        for length in SHORT - 20..SHORT + 20 {
            let text = vec![b'x'; length];
            let parts = [&text[..7], &text[7..]];
            assert_eq!(key.sign(&parts), hashed(blake3::Hasher::new_keyed(&key.0), &parts), "{length}");
        }
    }

    #[test]
    fn a_secret_prints_nothing_of_itself() {
        assert_eq!(format!("{:?}", Secret::new("lab")), "Secret(..)");
    }

    #[test]
    fn a_prefix_is_not_equal() {
        assert!(equal(b"abc", b"abc"));
        assert!(!equal(b"abc", b"abd"));
        assert!(!equal(b"abc", b"ab"));
    }
}
