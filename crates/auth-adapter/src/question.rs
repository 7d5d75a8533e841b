//! A question, made of an `AuthoriseRequest` once; afterwards nobody asks again whether it makes sense.
//!
//! Clients wrote most of what is in it, so what cannot be any account's question is refused here, and costs the provider's
//! billing nothing.

use std::time::Duration;

use prost::Message as _;
use proto::v1::{AuthoriseRequest, Digest, Proof};
use sha2::{Digest as _, Sha256};

use crate::aor::Aor;

/// The longest field of a question, in bytes. A longer one is refused: no name is that long, and a cache keeps them.
const MAX_FIELD: usize = 1024;

#[derive(Clone, Debug)]
pub struct Question {
    /// Whose secret and rights are asked for.
    pub account: Aor,
    /// The digest username as the client wrote it: `alice`, or `alice@lab.test`.
    pub username: String,
    pub method: Method,
    /// What the manager sent; its proof is never unspecified, and a digest is there with `Proof::Digest` only.
    pub request: AuthoriseRequest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Subscribe,
    Publish,
    Register,
}

/// Why a question is not asked; the text is the reason phrase of the denial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAsked {
    /// No account has such a name.
    #[error("Unknown Account")]
    Account,
    #[error("Method Not Authorised")]
    Method,
    /// A field is too long or holds control characters.
    #[error("Malformed Request")]
    Field,
}

/// Everything that an answer depends on. The source is not in it: an answer holds wherever the account asks from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub account: Aor,
    /// SHA-256 of the rest: clients wrote it, so it may be long, and must not be made to collide.
    pub rest: [u8; 32],
}

impl Question {
    pub fn of(mut request: AuthoriseRequest) -> Result<Question, NotAsked> {
        let method = Method::parse(&request.method).ok_or(NotAsked::Method)?;
        if !fields(&request).all(sane) {
            return Err(NotAsked::Field);
        }
        let asking = Aor::parse(&request.account).ok_or(NotAsked::Account)?;
        if request.proof() == Proof::Unspecified {
            request.set_proof(Proof::Digest);
        }
        if request.proof() != Proof::Digest {
            request.digest = None;
        }
        Ok(Question { account: asking.account(), username: asking.user().to_owned(), method, request })
    }

    pub fn proof(&self) -> Proof {
        self.request.proof()
    }

    /// For answers that hold whatever digest comes with the question.
    pub fn key(&self) -> Key {
        self.key_over(None)
    }

    /// For answers that rest on the digest; `None` when there is none.
    pub fn key_with_digest(&self) -> Option<Key> {
        self.request.digest.as_ref().map(|digest| self.key_over(Some(digest)))
    }

    fn key_over(&self, digest: Option<&Digest>) -> Key {
        let AuthoriseRequest { account, event, presentity, realm, watcher, .. } = &self.request;
        let mut hash = Sha256::new();
        hash.update([self.method as u8, self.proof() as u8]);
        for field in [account, event, presentity, realm, watcher, &self.request.asserted_identity] {
            hash.update((field.len() as u32).to_be_bytes());
            hash.update(field);
        }
        if let Some(digest) = digest {
            hash.update(digest.encode_to_vec());
        }
        Key { account: self.account.clone(), rest: hash.finalize().into() }
    }

    /// How long the asker can be kept waiting, if it said so: a tenth of its deadline is left for the way back.
    pub fn patience(&self) -> Option<Duration> {
        let asked = Duration::from_millis(self.request.deadline_ms.into());
        (!asked.is_zero()).then(|| asked * 9 / 10)
    }
}

impl Method {
    fn parse(text: &str) -> Option<Method> {
        match text {
            "SUBSCRIBE" => Some(Method::Subscribe),
            "PUBLISH" => Some(Method::Publish),
            "REGISTER" => Some(Method::Register),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Method::Subscribe => "SUBSCRIBE",
            Method::Publish => "PUBLISH",
            Method::Register => "REGISTER",
        }
    }
}

fn fields(request: &AuthoriseRequest) -> impl Iterator<Item = &str> {
    let AuthoriseRequest { account, method, event, presentity, realm, source, watcher, .. } = request;
    let own = [account, method, event, presentity, realm, source, watcher, &request.asserted_identity];
    let digest = request.digest.iter().flat_map(|digest| {
        let Digest { username, realm, nonce, uri, response, algorithm, cnonce, nc, qop, .. } = digest;
        let fields = [username, realm, nonce, uri, response, algorithm, cnonce, nc, qop];
        fields.into_iter().chain([&digest.method, &digest.body_hash])
    });
    own.into_iter().chain(digest).map(String::as_str)
}

fn sane(field: &str) -> bool {
    field.len() <= MAX_FIELD && !field.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> AuthoriseRequest {
        AuthoriseRequest {
            account: "sip:alice@lab.test".into(),
            method: "SUBSCRIBE".into(),
            event: "presence".into(),
            presentity: "sip:bob@lab.test".into(),
            realm: "lab.test".into(),
            source: "192.0.2.1:5060".into(),
            digest: Some(Digest { nonce: "n1".into(), ..Digest::default() }),
            ..AuthoriseRequest::default()
        }
    }

    fn question(change: impl FnOnce(&mut AuthoriseRequest)) -> Question {
        let mut request = request();
        change(&mut request);
        Question::of(request).unwrap()
    }

    #[test]
    fn what_can_be_no_accounts_question_is_not_asked() {
        let refusal = |change: fn(&mut AuthoriseRequest)| {
            let mut request = request();
            change(&mut request);
            Question::of(request).err()
        };

        assert_eq!(refusal(|request| request.account = "sip:a b@lab.test".into()), Some(NotAsked::Account));
        assert_eq!(refusal(|request| request.account.clear()), Some(NotAsked::Account));
        assert_eq!(refusal(|request| request.method = "INVITE".into()), Some(NotAsked::Method));
        assert_eq!(refusal(|request| request.event = "x".repeat(1025)), Some(NotAsked::Field));
        assert_eq!(refusal(|request| request.watcher = "sip:a\r\n@b".into()), Some(NotAsked::Field));
        let nonce = |request: &mut AuthoriseRequest| request.digest.as_mut().unwrap().nonce = "\0".into();
        assert_eq!(refusal(nonce), Some(NotAsked::Field));
    }

    #[test]
    fn questions_that_may_be_answered_differently_have_different_keys() {
        let key = question(|_| {}).key();
        for other in [
            question(|request| request.account = "sip:carol@lab.test".into()),
            question(|request| request.account = "sip:alice%40lab.test@lab.test".into()),
            question(|request| request.method = "PUBLISH".into()),
            question(|request| request.event = "dialog".into()),
            question(|request| request.presentity = "sip:carol@lab.test".into()),
            question(|request| request.realm = "other.test".into()),
            question(|request| request.watcher = "sip:alice@lab.test".into()),
            question(|request| request.asserted_identity = "sip:alice@lab.test".into()),
            question(|request| request.set_proof(Proof::Dialog)),
        ] {
            assert_ne!(other.key(), key, "{other:?}");
        }
    }

    #[test]
    fn where_and_how_urgently_it_is_asked_makes_no_other_question() {
        let asked = question(|_| {});
        let again = question(|request| {
            request.source = "192.0.2.2:9".into();
            request.deadline_ms = 5;
            request.set_proof(Proof::Digest);
        });

        assert_eq!((again.key(), again.key_with_digest()), (asked.key(), asked.key_with_digest()));
    }

    #[test]
    fn another_digest_changes_only_the_key_that_rests_on_it() {
        let one = question(|_| {});
        let other = question(|request| request.digest.as_mut().unwrap().nonce = "n2".into());

        assert_eq!(other.key(), one.key());
        assert_ne!(other.key_with_digest(), one.key_with_digest());
        assert!(one.key_with_digest().is_some_and(|key| key != one.key()));
        assert_eq!(question(|request| request.set_proof(Proof::Dialog)).key_with_digest(), None);
    }

    #[test]
    fn an_asker_gets_its_answer_before_its_deadline() {
        let patience = |asked| question(|request| request.deadline_ms = asked).patience();

        assert_eq!([patience(0), patience(300)], [None, Some(Duration::from_millis(270))]);
    }
}
