//! Log time: what replicated records expire by. It is written into the log by its leader, never read from a clock.

use std::fmt;
use std::ops::Add;

/// Milliseconds since the Unix epoch, as the log tells them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

/// How long a record lives unless it is refreshed: whole seconds, as Expires states them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime(pub u32);

impl Timestamp {
    /// For what is kept until it is removed.
    pub const NEVER: Timestamp = Timestamp(u64::MAX);

    /// The whole seconds from `now` until this moment, rounded up, so that a live record never says 0.
    pub fn seconds_after(self, now: Timestamp) -> u32 {
        u32::try_from(self.0.saturating_sub(now.0).div_ceil(1000)).unwrap_or(u32::MAX)
    }
}

impl Lifetime {
    pub const ZERO: Lifetime = Lifetime(0);

    fn milliseconds(self) -> u64 {
        u64::from(self.0) * 1000
    }
}

impl Add<Lifetime> for Timestamp {
    type Output = Timestamp;

    fn add(self, lifetime: Lifetime) -> Timestamp {
        Timestamp(self.0.saturating_add(lifetime.milliseconds()))
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
