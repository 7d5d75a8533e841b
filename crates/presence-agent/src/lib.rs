//! The presence agent of one group as a value: requests, verdicts and committed entries go in, what should happen
//! comes out (RFC 3856, RFC 3903, RFC 6665).
//!
//! No sockets, no clock, no randomness: time is an argument. The shell around it is the subscription manager.

pub mod agent;
mod answer;
pub mod api;
mod bound;
mod calls;
pub mod config;
mod delivery;
mod disposition;
mod documents;
pub mod feature_code;
mod identity;
mod judgement;
pub mod mutants;
mod notify;
mod options;
mod pending;
mod publish;
mod rates;
mod register;
mod request;
mod reviews;
mod said;
mod sdp;
pub mod shard;
mod subscribe;
mod tag;
pub mod verdict;
mod verdict_cache;
mod way;

pub use agent::{Agent, LinkId, Note, Now, Output, Silence, Ticket};
pub use bound::Bound;
pub use config::Config;
pub use rates::Rate;
