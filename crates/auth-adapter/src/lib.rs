//! The auth-adapter: answers the managers' question "may this account do that?" over gRPC (`vedette.v1.Auth`).
//!
//! It stands between the managers and whatever a provider keeps its accounts in, so that managers know one contract
//! only, and so that a billing system that is slow, dead or wrong costs as little as it can. Verifying a digest is not
//! done here: the manager does, with the HA1 it is given, or billing does.
//!
//! | file | what | |
//! |---|---|---|
//! | `question`, `answer` | what is asked, and what may be told: valid values made of messages | pure |
//! | `cache` | answers that may be used again, and those that may while billing fails | pure |
//! | `breaker` | when billing is left alone | pure |
//! | `accounts`, `verdict` | accounts, and the rules where nobody else decides | pure |
//! | `authoriser` | cache, one call for all who ask the same, fallback, invalidation | |
//! | `backend` | who is asked: the accounts file, a billing server, an HTTP server | |
//! | `service` | the gRPC side | |

mod accounts;
mod answer;
mod aor;
mod authoriser;
pub mod backend;
mod breaker;
mod cache;
pub mod config;
pub mod metrics;
mod question;
mod service;
mod verdict;
mod way;

pub use accounts::{Accounts, BadAccount};
pub use aor::Aor;
pub use backend::http_json;
pub use breaker::Rules as BreakerRules;
pub use config::{Config, Fallback, Rules, Source, WhenDown};
pub use service::{AuthAdapter, StartError};
