//! Digest access authentication (RFC 7616 section 3.4).
//!
//! Hand out HA1s and [`ha1`] is all that is needed. Keep the secret, and [`is_right`] is what the manager would do.

use md5::Md5;
use proto::v1::Digest;
use sha2::{Digest as _, Sha256, Sha512_256};

#[derive(Clone, Copy)]
pub enum Algorithm {
    Md5,
    Sha256,
    Sha512_256,
}

/// H(username:realm:password), where the username is spelled as the client wrote it.
pub fn ha1(algorithm: Algorithm, username: &str, realm: &str, password: &str) -> String {
    hash(algorithm, &[username, realm, password])
}

/// Whether the client knew the password. That its nonce is fresh and its own was checked before we were asked.
pub fn is_right(digest: &Digest, password: &str) -> bool {
    let algorithm = match digest.algorithm.as_str() {
        "MD5" => Algorithm::Md5,
        "SHA-256" => Algorithm::Sha256,
        "SHA-512-256" => Algorithm::Sha512_256,
        _ => return false,
    };
    let Digest { username, realm, nonce, uri, method, body_hash, nc, cnonce, qop, .. } = digest;
    let ha1 = ha1(algorithm, username, realm, password);
    let expected = match qop.as_str() {
        // Phones without qop hash like this (RFC 2069).
        "" => hash(algorithm, &[&ha1, nonce, &hash(algorithm, &[method, uri])]),
        "auth" => hash(algorithm, &[&ha1, nonce, nc, cnonce, qop, &hash(algorithm, &[method, uri])]),
        // This one covers the body of the request, of which we are given the hash.
        "auth-int" => {
            hash(algorithm, &[&ha1, nonce, nc, cnonce, qop, &hash(algorithm, &[method, uri, body_hash])])
        }
        _ => return false,
    };
    equal(&expected, &digest.response)
}

/// H(parts joined by colons), in lower-case hex.
fn hash(algorithm: Algorithm, parts: &[&str]) -> String {
    let text = parts.join(":");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match algorithm {
        Algorithm::Md5 => hex(&Md5::digest(text)),
        Algorithm::Sha256 => hex(&Sha256::digest(text)),
        Algorithm::Sha512_256 => hex(&Sha512_256::digest(text)),
    }
}

/// Takes as long for a nearly right response as for a wrong one, so that nobody finds it out byte by byte.
fn equal(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}
