//! Digest access authentication (RFC 7616, RFC 8760, RFC 3261 §22), as presence needs it.
//!
//! Real phones repeat a nonce with any `nc` (so it counts only where an operator wants that), volunteer
//! Proxy-Authorization before they were asked, and write their own idea of the `uri`; none of that is refused here.
//! Session algorithms (`-sess`) and hashed user names are not built: no phone we know sends them.

mod challenge;
mod counts;
mod credentials;
mod nonce;

pub use challenge::challenges;
pub use counts::NonceCounts;
pub use credentials::{Credentials, body_hash, credentials, ha1, response, verify};
pub use nonce::{NonceState, Nonces};

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

use crate::secret::hex;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Sha512_256,
    Sha256,
    Md5,
}

impl Algorithm {
    /// Strongest first.
    pub const ALL: [Algorithm; 3] = [Algorithm::Sha512_256, Algorithm::Sha256, Algorithm::Md5];

    /// As it is written in a challenge, in any case.
    pub fn parse(text: &str) -> Option<Algorithm> {
        Algorithm::ALL.into_iter().find(|known| text.eq_ignore_ascii_case(known.as_str()))
    }

    pub fn as_str(&self) -> &'static str {
        match self {
            Algorithm::Sha512_256 => "SHA-512-256",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Md5 => "MD5",
        }
    }

    /// H(parts joined by colons), in lower-case hex.
    fn hash(self, parts: &[&[u8]]) -> String {
        match self {
            Algorithm::Sha512_256 => hash::<Sha512_256>(parts),
            Algorithm::Sha256 => hash::<Sha256>(parts),
            Algorithm::Md5 => hash::<Md5>(parts),
        }
    }
}

fn hash<D: Digest>(parts: &[&[u8]]) -> String {
    let mut digest = D::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            digest.update(b":");
        }
        digest.update(part);
    }
    hex(&digest.finalize())
}
