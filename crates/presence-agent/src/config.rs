//! What an operator may set for the agent. Nothing here is read by `Shard::apply`: two nodes with different settings
//! hold the same state.

use placement::{GroupId, NodeId};
use sip::Secret;
use sip::digest::Algorithm;

use crate::rates::Rate;

#[derive(Clone, Debug)]
pub struct Config {
    pub node: NodeId,
    pub group: GroupId,
    /// Distinguishes the starts of this node; each is higher than the one before.
    pub incarnation: u64,
    /// The domains served, in lower case. Requests for others are refused.
    pub domains: Vec<String>,
    /// Shared by the cluster: nonces, tags and flow tokens are signed with keys derived from it.
    pub secret: Secret,
    /// No digest, everything allowed. For load tests on closed networks.
    pub open: bool,
    /// What is offered in challenges, in this order, one header each. RFC 8760 wants the strongest first, but there are
    /// clients (SIPp 3.6 among them) that read only the first header and know only MD5.
    pub algorithms: Vec<Algorithm>,
    /// User-Agents, by how they begin, that are offered MD5 alone: they give up when any of several challenges names an
    /// algorithm they do not know.
    pub md5_only: Vec<String>,
    /// Whether P-Asserted-Identity (RFC 3325) is believed. Only behind dispatchers or proxies that strip it from whoever
    /// they do not trust.
    pub trust_asserted_identity: bool,
    /// Whether a digest whose `nc` was used before is challenged again (RFC 7616 section 3.4). Real phones repeat it.
    pub check_nc: bool,
    /// Whether a watcher that does not answer a NOTIFY loses its subscription, as RFC 6665 4.2.2 would have it. Otherwise it
    /// is tried again, ever more seldom: one lost datagram puts out no lamp.
    pub end_on_timeout: bool,
    /// `host:port` under which the SIP link of this manager is reached, for the Via of its requests.
    pub sent_by: String,
    /// What a phone dials before the digit of a status, such as `*48`; empty turns it off.
    pub feature_code: String,
    pub subscribe: Expires,
    pub publish: Expires,
    pub register: Expires,
    pub limits: Limits,
}

/// The lifetimes granted, in seconds. Less than `min` is refused with 423, more than `max` is shortened.
#[derive(Clone, Copy, Debug)]
pub struct Expires {
    pub min: u32,
    pub default: u32,
    pub max: u32,
}

/// Each of these is a bound with an answer; none is reached in normal operation.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests answered in the last 64*T1 whose answer is kept for a repeat. Over it: 503.
    pub server_transactions: usize,
    /// NOTIFYs awaiting their answer. Over it NOTIFYs wait; the newest state wins.
    pub client_transactions: usize,
    /// Calls to feature codes that wait for their ACK. Over it: 503.
    pub calls: usize,
    /// Requests waiting for a verdict or for the log. Over it: 503.
    pub pending: usize,
    /// Verdicts kept for their cache life. Over it the oldest go.
    pub verdicts: usize,
    /// Composed documents kept between NOTIFYs, for half a minute at most after the last. Over it they are composed again.
    pub documents: usize,
    /// The largest body of a PUBLISH, in bytes. Over it: 413.
    pub document: usize,
    /// Subscriptions that an account may have at one time where billing sets no number; 0 sets none. Over it: 403. In an
    /// open service nobody has an account, and nothing is counted.
    pub subscriptions_per_account: u32,
    /// Subscriptions that may live over flows from one address, or one /64 of IPv6, in this group; 0 sets no limit. Over it
    /// a new one is answered 480 with Retry-After. A trusted peer that asserts who sends brings those of many, and an open
    /// service counts nothing.
    pub subscriptions_per_source: u32,
    /// Requests of one account that are recorded. Over it: 480 with Retry-After. An open service counts nothing.
    pub requests_per_account: Rate,
    /// Clients whose `nc` is remembered, where it is checked. Over it the oldest nonces are stale before their time.
    pub nonce_counts: usize,
    /// How long a signed nonce is good, in seconds; after that it is stale.
    pub nonce_seconds: u64,
    /// How long a change stays in the history of its presentity, in seconds; 0 records none.
    pub history_seconds: u32,
}

impl Default for Expires {
    fn default() -> Expires {
        Expires { min: 30, default: 3600, max: 86_400 }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            server_transactions: 200_000,
            client_transactions: 8_192,
            calls: 1_024,
            pending: 16_384,
            verdicts: 100_000,
            documents: 50_000,
            document: 32_768,
            subscriptions_per_account: 10_000,
            subscriptions_per_source: 100_000,
            requests_per_account: Rate { per_second: 100, burst: 10_000, accounts: 100_000 },
            nonce_counts: 100_000,
            nonce_seconds: 300,
            history_seconds: 7 * 86_400,
        }
    }
}
