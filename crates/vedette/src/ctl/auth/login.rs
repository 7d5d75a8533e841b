//! A phone's login: the digest that it would send, and whether an HA1 fits that digest.
//!
//! The response is computed here as a phone does it, and compared by the code that managers use.

use md5::Md5;
use proto::v1;
use sha2::{Digest, Sha256, Sha512_256};
use sip::digest::{Algorithm, Credentials, verify};

#[derive(Clone, Debug)]
pub struct Login {
    pub username: String,
    pub realm: String,
    pub password: String,
    pub algorithm: Algorithm,
    pub qop: Qop,
    /// The method that the phone sends.
    pub method: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qop {
    /// RFC 2069, as some phones still do.
    None,
    Auth,
    /// Covers the body as well.
    AuthInt,
}

const NONCE: &str = "4c9f1b62d3a84e5f";
const CNONCE: &str = "c1d2e3f4";
const COUNT: &str = "00000001";
const BODY: &[u8] = b"<presence/>";

impl Login {
    pub fn digest(&self) -> v1::Digest {
        let has_count = self.qop != Qop::None;
        let given = |text: &str| if has_count { text.to_owned() } else { String::new() };
        v1::Digest {
            username: self.username.clone(),
            realm: self.realm.clone(),
            nonce: NONCE.to_owned(),
            uri: self.uri(),
            response: self.response(),
            algorithm: self.algorithm.as_str().to_owned(),
            cnonce: given(CNONCE),
            nc: given(COUNT),
            qop: self.qop.as_str().to_owned(),
            method: self.method.clone(),
            body_hash: match self.qop {
                Qop::AuthInt => hex(self.algorithm, BODY),
                Qop::None | Qop::Auth => String::new(),
            },
        }
    }

    /// Whether a manager that was given this HA1 would let the phone in.
    pub fn fits(&self, ha1: &str) -> bool {
        let has_count = self.qop != Qop::None;
        let credentials = Credentials {
            username: self.username.as_str().into(),
            realm: self.realm.as_str().into(),
            nonce: NONCE.into(),
            uri: self.uri().into(),
            response: self.response().into(),
            algorithm: self.algorithm,
            qop: has_count.then_some(self.qop.as_str()),
            nc: has_count.then_some(COUNT),
            cnonce: has_count.then_some(CNONCE),
            opaque: None,
        };
        verify(&credentials, &self.method, ha1, BODY)
    }

    fn response(&self) -> String {
        let hash = |parts: &[&str]| hex(self.algorithm, parts.join(":").as_bytes());
        let ha1 = hash(&[&self.username, &self.realm, &self.password]);
        let (method, uri) = (&self.method, &self.uri());
        let ha2 = match self.qop {
            Qop::AuthInt => hash(&[method, uri, &hex(self.algorithm, BODY)]),
            Qop::None | Qop::Auth => hash(&[method, uri]),
        };
        match self.qop {
            Qop::None => hash(&[&ha1, NONCE, &ha2]),
            qop => hash(&[&ha1, NONCE, COUNT, CNONCE, qop.as_str(), &ha2]),
        }
    }

    fn uri(&self) -> String {
        format!("sip:{}", self.realm)
    }
}

impl Qop {
    fn as_str(self) -> &'static str {
        match self {
            Qop::None => "",
            Qop::Auth => "auth",
            Qop::AuthInt => "auth-int",
        }
    }
}

fn hex(algorithm: Algorithm, bytes: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match algorithm {
        Algorithm::Md5 => hex(&Md5::digest(bytes)),
        Algorithm::Sha256 => hex(&Sha256::digest(bytes)),
        Algorithm::Sha512_256 => hex(&Sha512_256::digest(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use sip::digest::ha1;

    use super::*;

    #[test]
    fn the_ha1_of_the_password_fits_and_another_does_not() {
        for algorithm in Algorithm::ALL {
            for qop in [Qop::None, Qop::Auth, Qop::AuthInt] {
                let (username, realm) = ("alice".to_owned(), "lab.test".to_owned());
                let login = Login {
                    username,
                    realm,
                    password: "pw".into(),
                    algorithm,
                    qop,
                    method: "PUBLISH".into(),
                };

                assert!(login.fits(&ha1(algorithm, "alice", "lab.test", "pw")), "{algorithm:?} {qop:?}");
                assert!(!login.fits(&ha1(algorithm, "alice", "lab.test", "other")), "{algorithm:?} {qop:?}");
            }
        }
    }
}
