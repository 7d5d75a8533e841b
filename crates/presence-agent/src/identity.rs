//! Who sends a request, and whether that is proven (RFC 7616, RFC 8760, RFC 3325).
//!
//! A nonce is signed, so any node can tell a fresh one from a stale or a forged one without having sent it. How
//! clients count `nc` is not held against them unless the operator wants it: real ones repeat it. Nothing is stored for
//! a request without credentials, and nobody is asked about it.
//!
//! Who proves himself with a digest must be named in From too. Who is asserted by a trusted peer need not be: inside a
//! trust domain the asserted identity stands in place of From, which may be anonymous (RFC 3325 sections 5 and 9.1).
//! Both may publish and register for nobody but themselves.

use std::time::Duration;

use placement::PresentityKey;
use presence::repeat::RepeatKey;
use proto::v1::Standing;
use sip::digest::{self, Algorithm, Credentials, NonceCounts, NonceState, Nonces};
use sip::header::NameAddr;
use sip::{Message, Name, Scheme, Uri};

use crate::agent::Now;
use crate::answer::Refuse;
use crate::api;
use crate::config::Config;
use crate::judgement::granted;
use crate::pending::Client;
use crate::verdict::{Digest, Proof, Question, Verdict};

#[derive(Debug)]
pub(crate) struct Identification {
    nonces: Nonces,
    /// Where `nc` is checked.
    counts: Option<NonceCounts>,
    nonce_seconds: u64,
    algorithms: Vec<Algorithm>,
    md5_only: Vec<String>,
    open: bool,
    trusts_assertions: bool,
}

/// Who a request says it is from, and how that is known or will be.
#[derive(Debug)]
pub(crate) struct Claim {
    /// `user@domain`
    pub account: String,
    pub proof: Proof,
}

impl Identification {
    /// Seconds, and longer than billing may take.
    const COUNTED_LONGER: u64 = 2;

    pub fn new(config: &Config) -> Identification {
        let nonces =
            Nonces::new(config.secret.derive("nonce"), Duration::from_secs(config.limits.nonce_seconds));
        Identification {
            nonces,
            counts: config.check_nc.then(|| NonceCounts::new(config.limits.nonce_counts)),
            nonce_seconds: config.limits.nonce_seconds,
            algorithms: config.algorithms.clone(),
            md5_only: config.md5_only.clone(),
            open: config.open,
            trusts_assertions: config.trust_asserted_identity,
        }
    }

    /// Reads the claim, or says what to challenge with. The realm is the domain of who sends.
    pub fn claim(&self, client: &Client, realm: &str, now: Now) -> Result<Claim, Refuse> {
        let request = &client.request;
        if self.open {
            let sender = client.sender()?;
            return Ok(Claim { account: sender.to_string(), proof: Proof::Asserted(sender.uri()) });
        }
        let Some(credentials) = digest::credentials(request, realm) else {
            return Err(self.challenge(request, realm, false, now));
        };
        // An algorithm that was not offered, perhaps because it is held too weak, proves nothing here.
        if !self.offered(request).contains(&credentials.algorithm) {
            return Err(self.challenge(request, realm, false, now));
        }
        match self.nonces.check(&credentials.nonce, realm, now.unix) {
            NonceState::Fresh => {
                let digest = Digest::new(&credentials, request.method_text(), &request.body());
                Ok(Claim {
                    account: account(&credentials.username, realm),
                    proof: Proof::Digest(Box::new(digest)),
                })
            }
            NonceState::Stale => Err(self.challenge(request, realm, true, now)),
            NonceState::Forged => Err(self.challenge(request, realm, false, now)),
        }
    }

    /// Who a trusted peer says has sent the request: the first SIP address, or else the first that is one at all
    /// (RFC 3325 9.1 allows one of each kind). Dispatchers strip the header from everybody whom they do not trust.
    pub fn asserted(&self, request: &Message) -> Option<Claim> {
        if self.open || !self.trusts_assertions {
            return None;
        }
        let uris =
            || request.values(Name::PAssertedIdentity).filter_map(NameAddr::parse).map(|value| value.uri);
        let key = |uri: &str| PresentityKey::of(uri);
        let is_sip =
            |uri: &&str| Uri::parse(uri).is_ok_and(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips));
        let identity = uris().filter(is_sip).find_map(key).or_else(|| uris().find_map(key))?;
        Some(Claim { account: identity.to_string(), proof: Proof::Asserted(identity.uri()) })
    }

    /// Digest credentials for somebody whose password a program has sent, under a nonce of ours, for billing that keeps
    /// the secret to itself.
    pub fn digest_of(&self, credentials: &api::Credentials, uri: &str, cnonce: &str, now: Now) -> Proof {
        let algorithm = self.algorithms.first().copied().unwrap_or(Algorithm::Sha256);
        let (username, realm) = (credentials.username.as_str(), credentials.realm.as_str());
        let mut client = Credentials {
            username: username.into(),
            realm: realm.into(),
            nonce: self.nonces.mint(realm, now.unix).into(),
            uri: uri.into(),
            response: "".into(),
            algorithm,
            qop: Some("auth"),
            nc: Some("00000001"),
            cnonce: Some(cnonce),
            opaque: None,
        };
        let ha1 = digest::ha1(algorithm, username, realm, &credentials.password);
        client.response = digest::response(&client, "PUBLISH", &ha1, b"").unwrap_or_default().into();
        Proof::Digest(Box::new(Digest::new(&client, "PUBLISH", b"")))
    }

    /// What the verdict on a request comes to.
    pub fn granted(
        &self,
        request: &Message,
        question: &Question,
        verdict: &Verdict,
    ) -> Result<Standing, Refuse> {
        if self.open {
            return Ok(Standing::Active);
        }
        granted(question, verdict, || {
            let credentials = digest::credentials(request, &question.realm);
            credentials.is_some_and(|credentials| {
                let ha1 = verdict.ha1(credentials.algorithm);
                !ha1.is_empty() && digest::verify(&credentials, request.method_text(), ha1, &request.body())
            })
        })
    }

    /// Whether the digest of a request, which has been found right, was not counted before, where that is looked at.
    pub fn count(
        &mut self,
        request: &Message,
        realm: &str,
        repeat: RepeatKey,
        now: Now,
    ) -> Result<(), Refuse> {
        let Some(counts) = &mut self.counts else { return Ok(()) };
        let Some(credentials) = digest::credentials(request, realm) else { return Ok(()) };
        // A nonce that was fresh before billing was asked may be stale by now, and is still counted.
        counts.forget_before(now.unix.saturating_sub(self.nonce_seconds + Self::COUNTED_LONGER));
        match counts.admits(&credentials, &repeat.0, &self.nonces) {
            true => Ok(()),
            false => Err(self.challenge(request, realm, true, now)),
        }
    }

    pub fn take_overflowed(&mut self) -> bool {
        self.counts.as_mut().is_some_and(NonceCounts::take_overflowed)
    }

    /// What the verdict on a program's change comes to, whose password came with it.
    pub fn granted_to_program(
        &self,
        credentials: &api::Credentials,
        question: &Question,
        verdict: &Verdict,
    ) -> Result<(), Refuse> {
        let api::Credentials { username, realm, password, .. } = credentials;
        let matches = |algorithm| {
            let ha1 = digest::ha1(algorithm, username, realm, password);
            verdict.ha1(algorithm).eq_ignore_ascii_case(&ha1)
        };
        let known = || Algorithm::ALL.into_iter().any(matches);
        granted(question, verdict, known).map(drop)
    }

    /// Whether the claimed account is `owner`, and From says so too.
    pub fn is_own(&self, client: &Client, claim: &Claim, owner: &PresentityKey) -> Result<(), Refuse> {
        if self.open {
            return Ok(());
        }
        if claim.account != owner.as_str() {
            return Err(Refuse::Forbidden("Not Your Presentity"));
        }
        self.is_sender(client, &claim.account, &claim.proof)
    }

    /// Whether From names the account, where it is the account that must prove itself.
    pub fn is_sender(&self, client: &Client, account: &str, proof: &Proof) -> Result<(), Refuse> {
        if self.open || !proof.is_digest() || client.sender()?.as_str() == account {
            return Ok(());
        }
        Err(Refuse::Forbidden("From Is Not The Authenticated User"))
    }

    fn challenge(&self, request: &Message, realm: &str, stale: bool, now: Now) -> Refuse {
        let nonce = self.nonces.mint(realm, now.unix);
        Refuse::Challenge(digest::challenges(realm, &nonce, stale, &self.offered(request)))
    }

    fn offered(&self, request: &Message) -> Vec<Algorithm> {
        let agent = request.text(Name::UserAgent).unwrap_or_default();
        if self.md5_only.iter().any(|beginning| agent.starts_with(beginning)) {
            return vec![Algorithm::Md5];
        }
        let mut offered = self.algorithms.clone();
        if is_over_websocket(request) {
            // What browsers speak with (JsSIP, SIP.js) keeps the last challenge of several, and knows MD5 alone.
            offered.sort_by_key(|algorithm| *algorithm == Algorithm::Md5);
        }
        offered
    }
}

/// Whether the phone reached us by WebSocket, as the Via of its own says (RFC 7118 section 5.3).
fn is_over_websocket(request: &Message) -> bool {
    let phone = request.vias().filter_map(Result::ok).last();
    phone.is_some_and(|via| ["WS", "WSS"].iter().any(|name| via.transport.eq_ignore_ascii_case(name)))
}

/// The realm to challenge with: the sender's domain if it is one of ours, else that of the resource.
pub(crate) fn realm<'a>(from: &Uri<'_>, resource: &'a PresentityKey, domains: &'a [String]) -> &'a str {
    let sender = domains.iter().find(|domain| domain.eq_ignore_ascii_case(from.host));
    sender.map_or(resource.domain(), String::as_str)
}

/// Phones write the user name alone or the whole address-of-record.
pub(crate) fn account(username: &str, realm: &str) -> String {
    let name = username.strip_prefix("sip:").unwrap_or(username);
    let address = if name.contains('@') { name.to_owned() } else { format!("{name}@{realm}") };
    PresentityKey::of(&format!("sip:{address}")).map_or(address, |key| key.to_string())
}

#[cfg(test)]
mod tests {
    use presence::time::Timestamp;
    use sip::{Instant, Limits, Secret};

    use super::*;
    use crate::verdict::Subject;

    const REALM: &str = "lab.test";

    fn now() -> Now {
        Now { monotonic: Instant(0), log: Timestamp(0), unix: 1_000, lease: Instant(0) }
    }

    fn identification() -> Identification {
        Identification {
            nonces: Nonces::new(Secret::new("a secret of sixteen"), Duration::from_secs(300)),
            counts: None,
            nonce_seconds: 300,
            algorithms: vec![Algorithm::Sha256],
            md5_only: Vec::new(),
            open: false,
            trusts_assertions: true,
        }
    }

    fn with(lines: &str) -> Message {
        let text = format!(
            "PUBLISH sip:bob@lab.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\
             From: <sip:bob@lab.test>;tag=a\r\nTo: <sip:bob@lab.test>\r\nCall-ID: c\r\nCSeq: 1 PUBLISH\r\n\
             {lines}Content-Length: 0\r\n\r\n"
        );
        Message::parse(text.into(), &Limits::default()).unwrap()
    }

    fn request(nonce: &str, algorithm: &str) -> Client {
        Client::of(with(&format!(
            "Authorization: Digest username=\"bob\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"sip:bob@lab.test\", \
             response=\"0\", algorithm={algorithm}\r\n"
        )))
    }

    fn password(password: &str) -> api::Credentials {
        let text = str::to_owned;
        let (username, realm) = (text("bob"), text(REALM));
        api::Credentials { username, realm, password: text(password), source: String::new() }
    }

    fn question(method: &'static str, proof: Proof) -> Question {
        let (account, event) = ("bob@lab.test".to_owned(), "presence".to_owned());
        let subject = Subject { presentity: account.clone(), account, method, event };
        Question { subject, proof, watcher: String::new(), realm: REALM.to_owned() }
    }

    fn digest() -> Proof {
        identification().digest_of(&password("bobpw"), "sip:bob@lab.test", "c", now())
    }

    #[test]
    fn credentials_in_an_algorithm_that_was_not_offered_are_challenged_again() {
        let nonce = identification().nonces.mint(REALM, 1_000);

        let weak = identification().claim(&request(&nonce, "MD5"), REALM, now());
        let strong = identification().claim(&request(&nonce, "SHA-256"), REALM, now());

        assert!(matches!(weak, Err(Refuse::Challenge(_))));
        assert_eq!(strong.map(|claim| claim.account).ok(), Some("bob@lab.test".to_owned()));
    }

    #[test]
    fn over_a_websocket_md5_is_offered_last() {
        let both = vec![Algorithm::Md5, Algorithm::Sha256];
        let identification = Identification { algorithms: both.clone(), ..identification() };
        let forwarded = |via: &str| {
            let dispatcher = "Via: SIP/2.0/TCP 10.0.0.1:7000;branch=z9hG4bK2\r\n";
            let text = String::from_utf8(with("").bytes().to_vec()).unwrap();
            let text = text.replacen("Via: SIP/2.0/UDP", &format!("{dispatcher}Via: SIP/2.0/{via}"), 1);
            Message::parse(text.into(), &Limits::default()).unwrap()
        };

        for via in ["WS", "wss"] {
            assert_eq!(identification.offered(&forwarded(via)), [Algorithm::Sha256, Algorithm::Md5], "{via}");
        }
        assert_eq!(identification.offered(&forwarded("UDP")), both);
    }

    #[test]
    fn a_password_is_known_by_either_hash_or_by_the_digest_made_of_it() {
        let known = |algorithm| digest::ha1(algorithm, "bob", REALM, "bobpw");
        let (ha1_md5, ha1_sha256) = (known(Algorithm::Md5), known(Algorithm::Sha256));
        let question = question("PUBLISH", digest());
        let asks = |text: &str, verdict| {
            identification().granted_to_program(&password(text), &question, &verdict).is_ok()
        };

        for verdict in
            [Verdict { ha1_md5, ..Verdict::allowed() }, Verdict { ha1_sha256, ..Verdict::allowed() }]
        {
            assert!(asks("bobpw", verdict.clone()) && !asks("wrong", verdict));
        }
        let Proof::Digest(digest) = &question.proof else { panic!("no digest") };
        let client = Credentials {
            username: "bob".into(),
            realm: REALM.into(),
            nonce: digest.nonce.as_str().into(),
            uri: digest.uri.as_str().into(),
            response: digest.response.as_str().into(),
            algorithm: Algorithm::Sha256,
            qop: Some(&digest.qop),
            nc: Some(&digest.nc),
            cnonce: Some(&digest.cnonce),
            opaque: None,
        };
        assert!(digest::verify(&client, &digest.method, &known(Algorithm::Sha256), b""));
    }

    fn asserted(lines: &str) -> Option<String> {
        identification().asserted(&with(lines)).map(|claim| claim.account)
    }

    #[test]
    fn the_first_sip_address_that_is_asserted_counts_before_a_number() {
        let both = "P-Asserted-Identity: <tel:+4930123>, \"Bob\" <sip:bob@lab.test>\r\n";
        let lines = "P-Asserted-Identity: <tel:+4930123>\r\nP-Asserted-Identity: <sips:bob@LAB.test>\r\n";

        assert_eq!([both, lines].map(asserted), [Some("bob@lab.test".into()), Some("bob@lab.test".into())]);
        assert_eq!(asserted("P-Asserted-Identity: <tel:+49-30-123>\r\n"), Some("tel:+4930123".into()));
        assert_eq!(["", "P-Asserted-Identity: nonsense\r\n"].map(asserted), [None, None]);
    }

    #[test]
    fn an_asserted_identity_counts_only_where_it_is_trusted() {
        let distrusting = Identification { trusts_assertions: false, ..identification() };

        assert!(distrusting.asserted(&with("P-Asserted-Identity: <sip:bob@lab.test>\r\n")).is_none());
    }

    #[test]
    fn from_may_say_anything_where_the_identity_is_asserted() {
        let carol = Client::of(with(""));
        let trusted = Proof::Asserted("sip:carol@lab.test".into());

        assert!(identification().is_sender(&carol, "carol@lab.test", &trusted).is_ok());
        assert!(identification().is_sender(&carol, "carol@lab.test", &digest()).is_err());
        assert!(identification().is_sender(&carol, "bob@lab.test", &digest()).is_ok());
    }
}
