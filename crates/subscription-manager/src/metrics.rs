//! Names of the metrics of a manager.

use std::collections::BTreeMap;

use metrics::{Counter, counter};
use sip::Method;

/// Requests taken, by `method`; it is empty for one that no rule knows.
pub const REQUESTS: &str = "vedette_manager_requests_total";
/// NOTIFYs sent, retransmissions included.
pub const NOTIFIES: &str = "vedette_manager_notifies_total";
/// Commands handed to the log.
pub const PROPOSALS: &str = "vedette_manager_proposals_total";
/// Commands the log's queue had no room for, each answered 503.
pub const PROPOSALS_FULL: &str = "vedette_manager_proposals_full_total";
/// Questions asked of billing.
pub const QUESTIONS: &str = "vedette_manager_questions_total";
/// Questions that got no verdict in time or for lack of room.
pub const QUESTIONS_FAILED: &str = "vedette_manager_questions_failed_total";
/// SUBSCRIBEs accepted that wait for approval.
pub const PENDING: &str = "vedette_manager_subscribes_pending_total";
/// SUBSCRIBEs refused because their account has as many subscriptions as it may.
pub const QUOTA_USED_UP: &str = "vedette_manager_subscribes_over_quota_total";
/// Subscriptions that ended because billing changed its mind.
pub const REJECTED: &str = "vedette_manager_subscriptions_rejected_total";
/// Questions asked again about subscriptions that live.
pub const ASKED_AGAIN: &str = "vedette_manager_questions_again_total";
/// Accounts that billing named as changed; naming all counts as one.
pub const INVALIDATED: &str = "vedette_manager_accounts_invalidated_total";
/// Whether billing tells of accounts that change: 1 while it does.
pub const INVALIDATIONS_HEARD: &str = "vedette_manager_invalidations_heard";
/// Times that there was no room for something, by `bound`; what happens then stands at the bound.
pub const FULL: &str = "vedette_manager_full_total";
/// Messages for a dispatcher that could not be handed to its link.
pub const LINK_DROPPED: &str = "vedette_manager_link_dropped_total";
/// Requests sent through a dispatcher that stood in for another one.
pub const STOOD_IN: &str = "vedette_manager_dispatcher_stood_in_total";
/// Bytes from a dispatcher that are no SIP message.
pub const NOT_SIP: &str = "vedette_manager_not_sip_total";
/// Comparisons that found two replicas with different states: a fault of ours, to be reported.
pub const DIVERGED: &str = "vedette_manager_replicas_diverged_total";

/// Those that are counted so often that looking them up each time would cost more than counting.
pub struct Meters {
    pub notifies: Counter,
    pub proposals: Counter,
}

/// Requests by their method, counted likewise.
pub struct Requests(BTreeMap<Method, Counter>);

impl Meters {
    pub fn registered() -> Meters {
        Meters { notifies: counter!(NOTIFIES), proposals: counter!(PROPOSALS) }
    }
}

impl Requests {
    const METHODS: [Method; 10] = [
        Method::Subscribe,
        Method::Publish,
        Method::Register,
        Method::Message,
        Method::Invite,
        Method::Ack,
        Method::Bye,
        Method::Cancel,
        Method::Options,
        Method::Other,
    ];

    pub fn registered() -> Requests {
        let counter = |method: Method| counter!(REQUESTS, "method" => method.as_str());
        Requests(Self::METHODS.into_iter().map(|method| (method, counter(method))).collect())
    }

    pub fn count(&self, method: Method) {
        let counter = self.0.get(&method).or_else(|| self.0.get(&Method::Other));
        counter.into_iter().for_each(|counter| counter.increment(1));
    }
}
