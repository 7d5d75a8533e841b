//! Who sends a request: digest authentication at the notifier (RFC 7616, RFC 8760, DESIGN D14).
//!
//! A nonce is signed, so any node can tell a fresh one from a stale or a forged one without having sent it. How
//! clients count `nc` is not held against them: real ones repeat it. Nothing is stored for a request without
//! credentials, and nobody is asked about it.

use std::time::Duration;

use placement::PresentityKey;
use sip::digest::{self, Algorithm, Credentials, NonceState, Nonces};
use sip::{Message, Name, Uri};

use crate::agent::Now;
use crate::answer::Refuse;
use crate::config::Config;
use crate::verdict::Verdict;

#[derive(Debug)]
pub(crate) struct Identification {
    nonces: Nonces,
    algorithms: Vec<Algorithm>,
    md5_only: Vec<String>,
    open: bool,
}

/// Who a request says it is from; proven only when [`Identification::prove`] agrees.
#[derive(Debug)]
pub(crate) struct Claim {
    /// `user@domain`
    pub account: String,
    /// As the client wrote it.
    pub username: String,
    pub realm: String,
}

impl Identification {
    pub fn new(config: &Config) -> Identification {
        let nonces =
            Nonces::new(config.secret.derive("nonce"), Duration::from_secs(config.limits.nonce_seconds));
        Identification {
            nonces,
            algorithms: config.algorithms.clone(),
            md5_only: config.md5_only.clone(),
            open: config.open,
        }
    }

    /// Reads the claim, or says what to challenge with. The realm is the domain of who sends.
    pub fn claim(&self, request: &Message, realm: &str, now: Now) -> Result<Claim, Refuse> {
        if self.open {
            let account = sender(request)?.to_string();
            return Ok(Claim { username: account.clone(), account, realm: realm.to_owned() });
        }
        let Some(credentials) = digest::credentials(request, realm) else {
            return Err(self.challenge(request, realm, false, now));
        };
        // An algorithm that was not offered, perhaps because it is held too weak, proves nothing here.
        if !self.offered(request).contains(&credentials.algorithm) {
            return Err(self.challenge(request, realm, false, now));
        }
        match self.nonces.check(&credentials.nonce, realm, now.unix) {
            NonceState::Fresh => Ok(Claim {
                account: account(&credentials, realm),
                username: credentials.username.into_owned(),
                realm: realm.to_owned(),
            }),
            NonceState::Stale => Err(self.challenge(request, realm, true, now)),
            NonceState::Forged => Err(self.challenge(request, realm, false, now)),
        }
    }

    /// Holds the claim against the HA1 that billing gave.
    pub fn prove(&self, request: &Message, realm: &str, verdict: &Verdict) -> Result<(), Refuse> {
        if self.open {
            return Ok(());
        }
        let wrong = Refuse::Forbidden("Wrong Credentials");
        let credentials = digest::credentials(request, realm).ok_or_else(|| wrong.clone())?;
        let ha1 = match credentials.algorithm {
            Algorithm::Md5 => &verdict.ha1_md5,
            Algorithm::Sha256 => &verdict.ha1_sha256,
        };
        let proven =
            !ha1.is_empty() && digest::verify(&credentials, request.method_text(), ha1, &request.body());
        proven.then_some(()).ok_or(wrong)
    }

    /// Whether the proven `account` may act as `owner`, and says so in From too.
    pub fn is_own(&self, request: &Message, account: &str, owner: &PresentityKey) -> Result<(), Refuse> {
        if self.open {
            return Ok(());
        }
        if account != owner.as_str() {
            return Err(Refuse::Forbidden("Not Your Presentity"));
        }
        self.is_sender(request, account)
    }

    /// Whether From names the proven account (DESIGN D14).
    pub fn is_sender(&self, request: &Message, account: &str) -> Result<(), Refuse> {
        if self.open || sender(request)?.as_str() == account {
            return Ok(());
        }
        Err(Refuse::Forbidden("From Is Not The Authenticated User"))
    }

    fn challenge(&self, request: &Message, realm: &str, stale: bool, now: Now) -> Refuse {
        let nonce = self.nonces.mint(realm, now.unix);
        Refuse::Challenge(digest::challenges(realm, &nonce, stale, self.offered(request)))
    }

    fn offered(&self, request: &Message) -> &[Algorithm] {
        let agent = request.text(Name::UserAgent).unwrap_or_default();
        match self.md5_only.iter().any(|beginning| agent.starts_with(beginning)) {
            true => &[Algorithm::Md5],
            false => &self.algorithms,
        }
    }
}

/// The address-of-record in From.
pub(crate) fn sender(request: &Message) -> Result<PresentityKey, Refuse> {
    let from = request.from().map_err(Refuse::Fault)?;
    PresentityKey::of(from.uri).ok_or(Refuse::Fault(sip::Fault { status: 400, reason: "Bad From" }))
}

/// The realm to challenge with: the sender's domain if it is one of ours, else that of the resource.
pub(crate) fn realm<'a>(request: &Message, resource: &'a PresentityKey, domains: &'a [String]) -> &'a str {
    let from = request.from().ok().and_then(|from| Uri::parse(from.uri).ok());
    let sender = from.and_then(|uri| domains.iter().find(|domain| domain.eq_ignore_ascii_case(uri.host)));
    sender.map_or(resource.domain(), String::as_str)
}

/// Phones write the user name alone or the whole address-of-record.
fn account(credentials: &Credentials<'_>, realm: &str) -> String {
    let name = credentials.username.as_ref();
    let name = name.strip_prefix("sip:").unwrap_or(name);
    match name.rsplit_once('@') {
        Some((user, domain)) => format!("{user}@{}", domain.to_ascii_lowercase()),
        None => format!("{name}@{realm}"),
    }
}

#[cfg(test)]
mod tests {
    use presence::time::Timestamp;
    use sip::{Instant, Limits, Secret};

    use super::*;

    const REALM: &str = "lab.test";

    fn now() -> Now {
        Now { monotonic: Instant(0), log: Timestamp(0), unix: 1_000, lease: Instant(0) }
    }

    fn request(nonce: &str, algorithm: &str) -> Message {
        let text = format!(
            "PUBLISH sip:bob@lab.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\
             From: <sip:bob@lab.test>;tag=a\r\nTo: <sip:bob@lab.test>\r\nCall-ID: c\r\nCSeq: 1 PUBLISH\r\n\
             Authorization: Digest username=\"bob\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"sip:bob@lab.test\", \
             response=\"0\", algorithm={algorithm}\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(text.into(), &Limits::default()).unwrap()
    }

    #[test]
    fn credentials_in_an_algorithm_that_was_not_offered_are_challenged_again() {
        let nonces = Nonces::new(Secret::new("a secret of sixteen"), Duration::from_secs(300));
        let nonce = nonces.mint(REALM, 1_000);
        let identification =
            Identification { nonces, algorithms: vec![Algorithm::Sha256], md5_only: Vec::new(), open: false };

        let weak = identification.claim(&request(&nonce, "MD5"), REALM, now());
        let strong = identification.claim(&request(&nonce, "SHA-256"), REALM, now());

        assert!(matches!(weak, Err(Refuse::Challenge(_))));
        assert_eq!(strong.map(|claim| claim.account).ok(), Some("bob@lab.test".to_owned()));
    }
}
