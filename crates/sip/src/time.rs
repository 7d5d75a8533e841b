//! Monotonic time as a value.
//!
//! The pure crates never read a clock: the shell counts milliseconds since some start of its own
//! and hands them in. Wall clock time and log time are other things with other types.

use std::ops::{Add, Sub};
use std::time::Duration;

/// Milliseconds since a start that the shell chose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// The time since `earlier`, zero if that lies in the future.
    fn sub(self, earlier: Instant) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_never_wraps_below_zero() {
        assert_eq!(Instant(5) - Instant(9), Duration::ZERO);
        assert_eq!(Instant(9) - Instant(5), Duration::from_millis(4));
    }

    #[test]
    fn a_sum_stops_at_the_end_of_time() {
        assert_eq!(Instant(1) + Duration::MAX, Instant(u64::MAX));
    }
}
