//! Where things live: which slot a presentity hashes to, which group holds the slot, which nodes come first for a key.
//!
//! Every node and dispatcher computes these from the same few values and gets the same answer, in every release:
//! entity-tags and To-tags carry slots, so the hash must never change.

pub mod directory;
mod hash;
pub mod node_id;
pub mod presentity_key;
pub mod rendezvous;
pub mod slot;

pub use directory::Directory;
pub use hash::hash;
pub use node_id::{ClusterId, GroupId, NodeId};
pub use presentity_key::PresentityKey;
pub use slot::{Slot, SlotTable};
