//! Presence as values: what publishers say, and the one document their watchers see.
//!
//! Pure: no clock, no randomness, no I/O. Time, positions and names come in as arguments, so that replicas
//! fed the same commands hold the same state and compose the same bytes.

pub mod compositor;
pub mod entity_tag;
pub mod format;
pub mod package;
pub mod position;
pub mod publication;
pub mod registration;
pub mod repeat;
pub mod said;
pub mod status;
pub mod time;
