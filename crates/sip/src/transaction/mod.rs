//! Non-INVITE transactions as values (RFC 3261 §17.1.2, §17.2.2).
//!
//! A presence server sends and takes no INVITE but to refuse it, so these two machines are all it needs.
//! Both are bounded tables; time is an argument, and bytes to send come out of them.

mod answers;
mod client;
mod key;
mod server;
mod timers;

use std::time::Duration;

pub use client::{ClientOutput, ClientTransactions, Completed};
pub use key::TransactionKey;
pub use server::{Received, ServerTransactions};

/// The table holds as many transactions as it may, or the branch is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for another transaction")]
pub struct Full;

/// The round-trip time that timers count in.
pub const T1: Duration = Duration::from_millis(500);
/// The longest pause between two retransmissions.
pub const T2: Duration = Duration::from_secs(4);
/// 64 * T1: how long a client waits for an answer (Timer F), and a server repeats it (Timer J).
pub const TRANSACTION_LIFETIME: Duration = Duration::from_secs(32);
