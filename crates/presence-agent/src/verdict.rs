//! What billing is asked and what it answers (`auth.proto`), as values.

use std::fmt;
use std::time::Duration;

use placement::PresentityKey;
use sip::digest::{self, Algorithm, Credentials};

/// One question to the auth-adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub subject: Subject,
    pub proof: Proof,
    /// Who will watch, as `user@domain`; empty for what is no SUBSCRIBE.
    pub watcher: String,
    pub realm: String,
}

/// What a verdict is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// Who asks, as `user@domain`.
    pub account: String,
    pub method: &'static str,
    /// Empty for REGISTER.
    pub event: String,
    pub presentity: String,
}

/// How it is known that a request is the account's.
#[derive(Clone, Debug, PartialEq)]
pub enum Proof {
    /// It is not known yet: the client claims it with a digest.
    Digest(Box<Digest>),
    /// The account began the dialog that the request stands in.
    Dialog,
    /// A trusted peer says so; the identity as it was asserted.
    Asserted(String),
}

/// Digest credentials under a fresh nonce, as they were sent.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest {
    /// As the client wrote it: an HA1 is over this, not over the account.
    pub username: String,
    pub realm: String,
    pub nonce: String,
    pub uri: String,
    pub response: String,
    /// "MD5", "SHA-256" or "SHA-512-256".
    pub algorithm: &'static str,
    pub cnonce: String,
    pub nc: String,
    pub qop: String,
    /// What the client hashed.
    pub method: String,
    /// Empty but for auth-int.
    pub body_hash: String,
}

#[derive(Clone, PartialEq)]
pub struct Verdict {
    pub decision: Decision,
    /// For what is not granted: the final response, and its reason phrase or nothing.
    pub status: u16,
    pub reason: String,
    /// H(username:realm:password) in hexadecimal; empty where billing does not offer the algorithm.
    pub ha1_md5: String,
    pub ha1_sha256: String,
    pub ha1_sha512_256: String,
    pub cache: Duration,
    /// The longest Expires granted, in seconds; 0 leaves it to the configuration.
    pub max_expires: u32,
    /// How many subscriptions the account may have; 0 sets no limit.
    pub max_subscriptions: u32,
    /// Whose customer the account is.
    pub tenant: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Allow,
    /// Granted if the digest matches the HA1.
    Verify,
    /// A SUBSCRIBE waits for approval; anything else is denied.
    Pending,
    Deny,
    /// Billing did not answer in time, or at all.
    Unavailable,
}

/// Whose verdicts count no more.
#[derive(Clone, Debug, PartialEq)]
pub enum Invalidated {
    Accounts(Vec<PresentityKey>),
    All,
}

impl Proof {
    pub fn is_digest(&self) -> bool {
        matches!(self, Proof::Digest(_))
    }
}

impl Digest {
    pub fn new(credentials: &Credentials<'_>, method: &str, body: &[u8]) -> Digest {
        let integrity = credentials.qop.is_some_and(|qop| qop.eq_ignore_ascii_case("auth-int"));
        let body_hash =
            if integrity { digest::body_hash(credentials.algorithm, body) } else { String::new() };
        Digest {
            username: credentials.username.to_string(),
            realm: credentials.realm.to_string(),
            nonce: credentials.nonce.to_string(),
            uri: credentials.uri.to_string(),
            response: credentials.response.to_ascii_lowercase(),
            algorithm: credentials.algorithm.as_str(),
            cnonce: credentials.cnonce.unwrap_or_default().to_owned(),
            nc: credentials.nc.unwrap_or_default().to_owned(),
            qop: credentials.qop.unwrap_or_default().to_owned(),
            method: method.to_owned(),
            body_hash,
        }
    }
}

// A response and its nonce are as good as the password to whoever guesses words.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest {{ {} }}", self.username)
    }
}

impl Verdict {
    pub fn allowed() -> Verdict {
        Verdict { decision: Decision::Allow, ..Verdict::unavailable() }
    }

    pub fn unavailable() -> Verdict {
        Verdict {
            decision: Decision::Unavailable,
            status: 403,
            reason: String::new(),
            ha1_md5: String::new(),
            ha1_sha256: String::new(),
            ha1_sha512_256: String::new(),
            cache: Duration::ZERO,
            max_expires: 0,
            max_subscriptions: 0,
            tenant: String::new(),
        }
    }

    /// Whether there is an HA1 that a digest must match.
    pub fn has_secret(&self) -> bool {
        Algorithm::ALL.into_iter().any(|algorithm| !self.ha1(algorithm).is_empty())
    }

    /// Empty where there is none.
    pub fn ha1(&self, algorithm: Algorithm) -> &str {
        match algorithm {
            Algorithm::Md5 => &self.ha1_md5,
            Algorithm::Sha256 => &self.ha1_sha256,
            Algorithm::Sha512_256 => &self.ha1_sha512_256,
        }
    }
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verdict {{ {:?}, {} {:?} }}", self.decision, self.status, self.reason)
    }
}
