//! The answer to one question. Here is what is the provider's own: who is a customer, who may watch whom.
//!
//! A question is about one account, one method and one presentity. `proof` says how it is known that the account asks:
//! from digest credentials, which somebody has to check, or already.

use proto::v1::{AuthoriseRequest, AuthoriseResponse, Decision, Proof};

use super::address::Asker;
use super::customers::{Customer, Customers, Watchers};
use super::digest::{self, Algorithm};

/// Who checks the digests of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// The manager does, with HA1s that it is given. It then needs no call for every request.
    Given,
    /// Billing does, and nothing made of a password ever leaves it.
    Kept,
}

pub const BLOCKED: &str = "Account Blocked";

pub fn answer(customers: &Customers, secrets: Secrets, question: &AuthoriseRequest) -> AuthoriseResponse {
    let Some(asker) = Asker::parse(&question.account) else {
        return deny(404, "No Such Account");
    };
    let Some(customer) = customers.find(&asker.account) else {
        return deny(404, "No Such Account");
    };
    if customer.blocked {
        return deny(403, BLOCKED);
    }
    let decision = match may(customers, &asker.account, question) {
        Ok(decision) => decision,
        Err(reason) => return deny(403, reason),
    };
    let granted = AuthoriseResponse {
        decision: decision.into(),
        tenant: customer.tenant.clone(),
        max_expires: customer.max_expires,
        max_subscriptions: customer.max_subscriptions,
        ..AuthoriseResponse::default()
    };
    match question.proof() {
        // Nothing is left to be proven: the dialog is the account's, or a trusted peer has checked who asks.
        Proof::Dialog | Proof::Asserted => granted,
        Proof::Digest | Proof::Unspecified => proven(granted, customer, secrets, &asker, question),
    }
}

/// What the account may do once it is known to be the account.
fn may(customers: &Customers, account: &str, question: &AuthoriseRequest) -> Result<Decision, &'static str> {
    let presentity = question.presentity.as_str();
    match question.method.as_str() {
        "SUBSCRIBE" if presentity == account => Ok(Decision::Allow),
        // Who is watched need not be a customer: it may be a group, or an address that nobody has any more.
        "SUBSCRIBE" => match customers.find(presentity) {
            Some(watched) if watched.approved.iter().any(|approved| approved == account) => {
                Ok(Decision::Allow)
            }
            Some(Customer { watchers: Watchers::Ask, .. }) => Ok(Decision::Pending),
            Some(Customer { watchers: Watchers::Approved, .. }) => Err("Not Approved"),
            Some(Customer { watchers: Watchers::Everybody, .. }) | None => Ok(Decision::Allow),
        },
        "PUBLISH" | "REGISTER" if presentity == account => Ok(Decision::Allow),
        "PUBLISH" | "REGISTER" => Err("Not Your Address"),
        // The contract names three methods. What is new to us is not granted.
        _ => Err("Method Not Known"),
    }
}

/// The grant, on condition that the client knows the password.
fn proven(
    granted: AuthoriseResponse,
    customer: &Customer,
    secrets: Secrets,
    asker: &Asker,
    question: &AuthoriseRequest,
) -> AuthoriseResponse {
    let Customer { password, .. } = customer;
    match secrets {
        Secrets::Given => {
            // With an HA1 beside it, ALLOW means VERIFY. PENDING stays what it is, and is verified as well.
            let decision = match granted.decision() {
                Decision::Allow => Decision::Verify,
                other => other,
            };
            let ha1 = |algorithm| digest::ha1(algorithm, &asker.username, &question.realm, password);
            AuthoriseResponse {
                decision: decision.into(),
                ha1_md5: ha1(Algorithm::Md5),
                ha1_sha256: ha1(Algorithm::Sha256),
                ha1_sha512_256: ha1(Algorithm::Sha512_256),
                ..granted
            }
        }
        Secrets::Kept => match &question.digest {
            // The digest must be the asker's own, and made for this realm.
            Some(digest)
                if digest.username == asker.username
                    && digest.realm == question.realm
                    && digest::is_right(digest, password) =>
            {
                granted
            }
            _ => deny(403, "Wrong Password"),
        },
    }
}

/// A refusal is the customer's own, so 4xx or 6xx; a 5xx would say that the service is broken. It carries no HA1.
fn deny(status: u32, reason: &str) -> AuthoriseResponse {
    AuthoriseResponse {
        decision: Decision::Deny.into(),
        sip_status: status,
        sip_reason: reason.to_owned(),
        ..AuthoriseResponse::default()
    }
}
