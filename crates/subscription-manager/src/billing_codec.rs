//! Between the agent's questions and verdicts and the messages of `auth.proto`.

use std::time::Duration;

use placement::PresentityKey;
use presence_agent::verdict::{Decision, Digest, Invalidated, Proof, Question, Verdict};
use proto::v1;

/// The longest name of a tenant, in bytes, as the contract has it: replicas keep it with each subscription.
const MAX_TENANT: usize = 64;

pub fn question(question: Question, source: String, deadline: Duration) -> v1::AuthoriseRequest {
    let Question { subject, proof, watcher, realm } = question;
    let uri = |key: &str| PresentityKey::restored(key).uri();
    let request = v1::AuthoriseRequest {
        account: uri(&subject.account),
        method: subject.method.to_owned(),
        event: subject.event,
        presentity: uri(&subject.presentity),
        realm,
        source,
        watcher: if watcher.is_empty() { watcher } else { uri(&watcher) },
        deadline_ms: deadline.as_millis() as u32,
        ..v1::AuthoriseRequest::default()
    };
    match proof {
        Proof::Dialog => v1::AuthoriseRequest { proof: v1::Proof::Dialog.into(), ..request },
        Proof::Asserted(asserted_identity) => {
            v1::AuthoriseRequest { proof: v1::Proof::Asserted.into(), asserted_identity, ..request }
        }
        Proof::Digest(digest) => v1::AuthoriseRequest {
            proof: v1::Proof::Digest.into(),
            account: claimed(&digest.username, &request.realm),
            digest: Some(self::digest(*digest)),
            ..request
        },
    }
}

/// The account that a digest claims. A user name that is an address-of-record itself is escaped, so that the HA1 comes
/// back for what the client hashed.
fn claimed(username: &str, realm: &str) -> String {
    let user = username.strip_prefix("sip:").unwrap_or(username).replace('%', "%25").replace('@', "%40");
    format!("sip:{user}@{realm}")
}

fn digest(digest: Digest) -> v1::Digest {
    let Digest { username, realm, nonce, uri, response, algorithm, cnonce, nc, qop, method, body_hash } =
        digest;
    let algorithm = algorithm.to_owned();
    v1::Digest { username, realm, nonce, uri, response, algorithm, cnonce, nc, qop, method, body_hash }
}

pub fn verdict(response: v1::AuthoriseResponse) -> Verdict {
    let decision = match response.decision() {
        v1::Decision::Allow => Decision::Allow,
        v1::Decision::Verify => Decision::Verify,
        v1::Decision::Pending => Decision::Pending,
        v1::Decision::Deny => Decision::Deny,
        v1::Decision::Unspecified => Decision::Unavailable,
    };
    Verdict {
        decision,
        // A refusal of billing is the account's own: it is never ours to say 5xx for it.
        status: match response.sip_status {
            status @ (400..=499 | 600..=699) => status as u16,
            _ => 403,
        },
        reason: response.sip_reason,
        ha1_md5: response.ha1_md5,
        ha1_sha256: response.ha1_sha256,
        ha1_sha512_256: response.ha1_sha512_256,
        cache: Duration::from_secs(u64::from(response.cache_seconds)),
        max_expires: response.max_expires,
        max_subscriptions: response.max_subscriptions,
        tenant: Some(response.tenant).filter(|tenant| tenant.len() <= MAX_TENANT).unwrap_or_default(),
    }
}

/// What billing names as changed; nothing if it names nobody.
pub fn invalidated(message: v1::InvalidatedAccounts) -> Option<Invalidated> {
    if message.all {
        return Some(Invalidated::All);
    }
    let accounts: Vec<_> = message.accounts.iter().filter_map(|account| PresentityKey::of(account)).collect();
    if accounts.len() < message.accounts.len() {
        // Some account changed, and nobody knows which.
        return Some(Invalidated::All);
    }
    (!accounts.is_empty()).then_some(Invalidated::Accounts(accounts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_that_is_an_address_is_escaped_into_the_account_that_it_claims() {
        assert_eq!(claimed("alice", "lab.test"), "sip:alice@lab.test");
        assert_eq!(claimed("sip:alice@lab.test", "lab.test"), "sip:alice%40lab.test@lab.test");
    }

    #[test]
    fn what_billing_may_not_say_is_put_right() {
        let response = v1::AuthoriseResponse {
            decision: v1::Decision::Deny.into(),
            sip_status: 503,
            tenant: "x".repeat(65),
            ..v1::AuthoriseResponse::default()
        };

        let verdict = verdict(response);

        assert_eq!((verdict.status, verdict.tenant.as_str()), (403, ""));
    }

    #[test]
    fn accounts_are_named_by_address_and_a_name_that_is_none_may_be_anybodys() {
        let naming = |accounts: &[&str]| v1::InvalidatedAccounts {
            accounts: accounts.iter().map(ToString::to_string).collect(),
            all: false,
        };

        let bob = PresentityKey::restored("Bob@lab.test");
        assert_eq!(invalidated(naming(&["sips:Bob@LAB.test:5061"])), Some(Invalidated::Accounts(vec![bob])));
        assert_eq!(invalidated(naming(&["sip:bob@lab.test", "nonsense"])), Some(Invalidated::All));
        assert_eq!(invalidated(v1::InvalidatedAccounts::default()), None);
    }
}
