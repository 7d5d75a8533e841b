//! A replicated log per group, on several nodes.
//!
//! It knows nothing about presence: a command is bytes, a snapshot is chunks of bytes. openraft decides what is
//! committed (folder `raft`), sled keeps the log, and files keep the snapshots.
//!
//! It also knows who is there. `birth` and `tenure` are the rules by which nodes become a cluster and stay one, `door`
//! lets this node in by them, and the system group's log keeps the `directory`, which the members of all groups follow.
//!
//! Deliberately absent: what a command means, what to do with one that comes twice, and reads: a consumer that wants
//! a linearizable read proposes a command that says so.

mod admission;
mod birth;
mod calls;
mod clocks;
mod config;
mod contacts;
mod directory;
mod door;
mod draws;
mod entry;
mod events;
mod front;
mod gate;
mod groups;
mod hello;
mod identity;
mod introduction;
mod lease;
mod liveness;
mod log_clock;
pub mod metrics;
mod node;
mod peers;
mod propose;
mod pulse;
mod quarantine;
mod raft;
mod reception;
mod roster;
mod snapshot_file;
mod snapshots;
mod standing;
mod start_error;
mod store;
mod tenure;
mod watchman;
mod whole_file;

pub use birth::Refusal;
pub use config::{BadConfig, BadTimings, Declared, DeclaredMember, Limits, NodeConfig, Timings, is_address};
pub use door::Door;
pub use events::{CaptureReply, Encode, Entry, Event, GroupEvents, Submitted};
pub use groups::{Full, Group, GroupStatus, Role};
pub use node::{Node, StartError, server};
