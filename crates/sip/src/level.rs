//! How much somebody has asked for lately: the level of a bucket that leaks (a token bucket, seen from below).

use crate::time::Instant;

/// Rises by one with each thing that is counted, and falls by itself so many a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// In thousandths, so that a rate by the second falls each millisecond.
    height: u64,
    at: Instant,
}

const ONE: u64 = 1_000;

impl Level {
    /// Whether one more stays within `burst`.
    pub fn has_room(self, burst: u64, per_second: u32, now: Instant) -> bool {
        self.now(per_second, now) + ONE <= burst.saturating_mul(ONE)
    }

    /// Never above `most`.
    pub fn raise(&mut self, most: u64, per_second: u32, now: Instant) {
        let height = (self.now(per_second, now) + ONE).min(most.saturating_mul(ONE));
        *self = Level { height, at: now };
    }

    pub fn lower(&mut self, per_second: u32, now: Instant) {
        *self = Level { height: self.now(per_second, now).saturating_sub(ONE), at: now };
    }

    /// The seconds until there is room for one more, at least one.
    pub fn room_in(self, burst: u64, per_second: u32, now: Instant) -> u64 {
        let over = (self.now(per_second, now) + ONE).saturating_sub(burst.saturating_mul(ONE));
        over.div_ceil(ONE * u64::from(per_second.max(1))).max(1)
    }

    fn now(self, per_second: u32, now: Instant) -> u64 {
        let passed = now.0.saturating_sub(self.at.0);
        self.height.saturating_sub(passed.saturating_mul(u64::from(per_second)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_at_once_and_then_the_rate() {
        let mut level = Level::default();
        let mut taken = |times: usize, now| {
            let took = (0..times).filter(|_| {
                let has_room = level.has_room(100, 10, Instant(now));
                if has_room {
                    level.raise(100, 10, Instant(now));
                }
                has_room
            });
            took.count()
        };

        assert_eq!([taken(1_000, 0), taken(1_000, 500), taken(1_000, 1_500)], [100, 5, 10]);
        assert_eq!(taken(1_000, 3_600_000), 100, "nothing more is saved up");
    }

    #[test]
    fn it_says_when_there_is_room_again() {
        let mut level = Level::default();
        for _ in 0..120 {
            level.raise(u64::MAX, 10, Instant(0));
        }

        assert_eq!(level.room_in(100, 10, Instant(0)), 3);
        assert!(!level.has_room(100, 10, Instant(2_000)) && level.has_room(100, 10, Instant(3_000)));
    }

    #[test]
    fn no_rate_and_no_time_overflows() {
        let mut level = Level::default();
        level.raise(u64::MAX, u32::MAX, Instant(0));
        level.raise(u64::MAX, u32::MAX, Instant(u64::MAX));

        assert!(level.has_room(u64::MAX, u32::MAX, Instant(u64::MAX)));
        assert_eq!(level.room_in(0, 0, Instant(0)), 2);
    }
}
