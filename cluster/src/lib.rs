//! A replicated log per group, on several nodes.
//!
//! It knows nothing about presence: a command is bytes, a snapshot is chunks of bytes. openraft decides what is
//! committed (folder `raft`), sled keeps the log, and files keep the snapshots.
//!
//! It also knows who is there: `membership` has the rules by which nodes become a cluster, stay one and are let in,
//! `leadership` those by which one of them leads, and the system group's log keeps the `directory`, which the members of
//! all groups follow.
//!
//! Deliberately absent: what a command means, what to do with one that comes twice, and reads: a consumer that wants
//! a linearizable read proposes a command that says so.

mod calls;
mod config;
mod directory;
mod draws;
mod entry;
mod events;
mod groups;
mod leadership;
mod membership;
pub mod metrics;
mod node;
mod peers;
mod propose;
mod raft;
mod snapshots;
mod store;
mod watchman;
mod whole_file;

pub use config::{BadConfig, BadTimings, Declared, DeclaredMember, Limits, NodeConfig, Timings, is_address};
pub use events::{CaptureReply, Encode, Entry, Event, GroupEvents, Submitted};
pub use groups::{Full, Group, GroupStatus, Role};
pub use membership::birth::Refusal;
pub use membership::door::Door;
pub use node::{Node, StartError, server};
