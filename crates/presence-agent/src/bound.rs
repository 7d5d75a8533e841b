//! The names of what has a bound, for whoever counts how often there was no room.

use std::fmt;

/// Each of the agent's [`Limits`](crate::config::Limits), and those of a presentity in the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    ServerTransactions,
    ClientTransactions,
    Calls,
    Pending,
    Verdicts,
    Documents,
    Document,
    DocumentShape,
    NonceCounts,
    Publications,
    Sources,
    Watchers,
    Contacts,
    RequestsPerAccount,
    RequestingAccounts,
    SubscriptionsPerSource,
}

impl Bound {
    pub fn as_str(self) -> &'static str {
        match self {
            Bound::ServerTransactions => "server_transactions",
            Bound::ClientTransactions => "client_transactions",
            Bound::Calls => "calls",
            Bound::Pending => "pending",
            Bound::Verdicts => "verdicts",
            Bound::Documents => "documents",
            Bound::Document => "document",
            Bound::DocumentShape => "document_shape",
            Bound::NonceCounts => "nonce_counts",
            Bound::Publications => "publications",
            Bound::Sources => "sources",
            Bound::Watchers => "watchers",
            Bound::Contacts => "contacts",
            Bound::RequestsPerAccount => "requests_per_account",
            Bound::RequestingAccounts => "requesting_accounts",
            Bound::SubscriptionsPerSource => "subscriptions_per_source",
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
