//! Nonces that any node can check and none must remember.
//!
//! A nonce is its second of birth and a signature over that and the realm. A repeated or out-of-order `nc` is not looked
//! at here, for phones that use a nonce in several dialogs count each on its own; `counts` does so where it is wanted.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::secret::{self, Secret};

#[derive(Clone, Debug)]
pub struct Nonces {
    key: Secret,
    lifetime: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceState {
    Fresh,
    /// Ours, and too old: challenge again with `stale=true`, and the phone asks nobody for a password.
    Stale,
    Forged,
}

const BIRTH: usize = 8;
const SIGNATURE: usize = 16;

impl Nonces {
    pub fn new(key: Secret, lifetime: Duration) -> Nonces {
        Nonces { key, lifetime: lifetime.as_secs() }
    }

    pub fn mint(&self, realm: &str, unix_seconds: u64) -> String {
        let mut nonce = unix_seconds.to_be_bytes().to_vec();
        nonce.extend_from_slice(&self.signature(realm, unix_seconds));
        URL_SAFE_NO_PAD.encode(nonce)
    }

    pub fn check(&self, nonce: &str, realm: &str, unix_seconds: u64) -> NonceState {
        let Some((birth, signature)) = decode(nonce) else { return NonceState::Forged };
        if !secret::equal(&self.signature(realm, birth), &signature) {
            return NonceState::Forged;
        }
        // The node that minted it may be ahead of us, though hardly by a whole lifetime.
        match unix_seconds.abs_diff(birth) <= self.lifetime {
            true => NonceState::Fresh,
            false => NonceState::Stale,
        }
    }

    /// When a nonce that was found to be ours was made.
    pub(super) fn birth(nonce: &str) -> Option<u64> {
        decode(nonce).map(|(birth, _)| birth)
    }

    /// A short name for something that a client wrote, which nobody can make two things share.
    pub(super) fn name(&self, parts: &[&[u8]]) -> [u8; 16] {
        let name = self.key.sign(parts);
        std::array::from_fn(|at| name[at])
    }

    fn signature(&self, realm: &str, birth: u64) -> [u8; SIGNATURE] {
        self.name(&[realm.as_bytes(), &birth.to_be_bytes()])
    }
}

fn decode(nonce: &str) -> Option<(u64, [u8; SIGNATURE])> {
    let nonce = URL_SAFE_NO_PAD.decode(nonce).ok()?;
    let (birth, signature) = nonce.split_first_chunk::<BIRTH>()?;
    Some((u64::from_be_bytes(*birth), signature.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonces(key: &str) -> Nonces {
        Nonces::new(Secret::new(key), Duration::from_secs(60))
    }

    #[test]
    fn a_nonce_is_fresh_for_its_lifetime_at_every_node_and_stale_afterwards() {
        let nonce = nonces("lab").mint("lab.test", 1_000);

        assert_eq!(nonces("lab").check(&nonce, "lab.test", 1_060), NonceState::Fresh);
        assert_eq!(nonces("lab").check(&nonce, "lab.test", 990), NonceState::Fresh);
        assert_eq!(nonces("lab").check(&nonce, "lab.test", 1_061), NonceState::Stale);
    }

    #[test]
    fn a_nonce_of_another_realm_key_or_hand_is_forged() {
        let nonce = nonces("lab").mint("lab.test", 1_000);

        assert_eq!(nonces("lab").check(&nonce, "other.test", 1_000), NonceState::Forged);
        assert_eq!(nonces("other").check(&nonce, "lab.test", 1_000), NonceState::Forged);
        for foreign in ["", "AAAA", &nonce[1..], "dcd98b7102dd2f0e8b11d0f600bfb0c093", "\u{fc}"] {
            assert_eq!(nonces("lab").check(foreign, "lab.test", 1_000), NonceState::Forged);
        }
    }
}
