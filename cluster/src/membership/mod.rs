//! Who belongs to the cluster, and how one comes in.
//!
//! `identity` is what a data folder remembers of its node, `tenure` and `quarantine` whether it may go on with it, `birth`
//! the rules by which nodes without a cluster become one, and `door` lets this node in by them. To the others a node
//! says what `introduction` holds (`hello` asks, `reception` answers, `admission` takes a new node for an old one's name).
//! `gate` refuses who does not belong, `contacts` knows who was heard, and `roster` makes Raft's members follow.

pub mod admission;
pub mod birth;
pub mod contacts;
pub mod door;
pub mod front;
pub mod gate;
pub mod hello;
pub mod identity;
pub mod introduction;
pub mod quarantine;
pub mod reception;
pub mod roster;
pub mod start_error;
pub mod tenure;
