//! A replicated log per group, on several nodes.
//!
//! It knows nothing about presence: a command is bytes, a snapshot is chunks of bytes. openraft decides what is
//! committed (folder `raft`), sled keeps the log, and files keep the snapshots.
//!
//! Deliberately absent: what a command means, what to do with one that comes twice, and reads: a consumer that wants
//! a linearizable read proposes a command that says so.

mod clocks;
mod config;
mod contacts;
mod draws;
mod entry;
mod events;
mod groups;
mod identity;
mod lease;
mod liveness;
mod log_clock;
pub mod metrics;
mod node;
mod propose;
mod pulse;
mod raft;
mod snapshot_file;
mod snapshots;
mod standing;

pub use config::{BadTimings, Limits, Member, NodeConfig, Timings};
pub use events::{CaptureReply, Encode, Entry, Event, GroupEvents, Submitted};
pub use groups::{Full, Group, GroupStatus, Role};
pub use node::{Node, StartError, server};
