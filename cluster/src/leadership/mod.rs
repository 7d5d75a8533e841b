//! Who leads, and what a leader may say about time.
//!
//! `pulse` is what this node knows at the moment, `standing` where it stands, `liveness` whether it should stand for
//! election, `lease` until when it may act for what it owns, and `log_clock` the time that is written into entries.
//! They are values that take time as an argument; `clocks` reads it for them.

pub mod clocks;
pub mod lease;
pub mod liveness;
pub mod log_clock;
pub mod pulse;
pub mod standing;
