//! The auth-adapter: answers the managers' question "may this account do that?" over gRPC (`vedette.v1.Auth`).
//!
//! It stands between the managers and whatever a provider keeps its accounts in, so that managers know one contract only.
//! Here that is a file of accounts. Verifying a digest is not done here: the manager does, with the HA1 it is given.
//!
//! | file | what |
//! |---|---|
//! | `verdict` | the rules, as values |
//! | `backend` | where accounts and their secrets come from |
//! | `service` | the gRPC side |

mod aor;
pub mod backend;
pub mod metrics;
mod service;
mod verdict;

pub use aor::Aor;
pub use backend::{Accounts, BadAccount, accounts_file};
pub use service::{AuthAdapter, BindError, Config};
