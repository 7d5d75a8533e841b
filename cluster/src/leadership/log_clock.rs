//! The time of a log (milliseconds since the Unix epoch), which its leader writes into every entry.
//!
//! Once somebody has stamped an entry, log time goes on by monotonic clocks alone: a follower notes what the leader
//! says and when it heard it, and continues from there when it leads. Only a node that has heard nobody since its
//! start, so after a stop of everything, steps forward to its wall clock, once. A wall clock that jumps later
//! changes nothing, and no stamp is ever below one that stands in the log.
//!
//! The clocks are arguments: nothing here reads one.

/// Milliseconds of a clock that never jumps, counted from any start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Monotonic(pub u64);

/// Milliseconds since the Unix epoch as this machine believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wall(pub u64);

#[derive(Debug, Default)]
pub struct LogClock {
    /// The largest stamp in the log.
    floor: u64,
    heard: Option<Heard>,
}

/// A word about the present, and when it came.
#[derive(Debug)]
struct Heard {
    stamp: u64,
    at: Monotonic,
}

impl LogClock {
    /// A stamp stands in the log; it may be old.
    pub fn saw(&mut self, stamp: u64) {
        self.floor = self.floor.max(stamp);
    }

    /// A leader says what time it is now. A message that was long under way does not turn the clock back.
    pub fn hear(&mut self, stamp: u64, now: Monotonic) {
        if self.running(now).is_none_or(|own| own < stamp) {
            self.heard = Some(Heard { stamp, at: now });
        }
    }

    /// The stamp of the entry that this node, as leader, writes next.
    pub fn stamp(&mut self, now: Monotonic, wall: Wall) -> u64 {
        let stamp = self.estimate(now, wall);
        // Keeping an anchor that is right avoids losing the fraction of a millisecond at each stamp.
        if self.running(now) != Some(stamp) {
            self.heard = Some(Heard { stamp, at: now });
        }
        self.floor = stamp;
        stamp
    }

    /// What `stamp` would answer.
    pub fn estimate(&self, now: Monotonic, wall: Wall) -> u64 {
        self.running(now).unwrap_or(wall.0).max(self.floor)
    }

    /// Log time, unless nobody said it since the start.
    pub fn live(&self, now: Monotonic) -> Option<u64> {
        self.running(now).map(|stamp| stamp.max(self.floor))
    }

    fn running(&self, now: Monotonic) -> Option<u64> {
        let heard = self.heard.as_ref()?;
        Some(heard.stamp.saturating_add(now.0.saturating_sub(heard.at.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cold_start_steps_forward_to_the_wall_clock_once() {
        let mut clock = LogClock::default();
        clock.saw(1_000);

        assert_eq!(clock.stamp(Monotonic(5), Wall(9_000)), 9_000);
        assert_eq!(clock.stamp(Monotonic(15), Wall(50_000)), 9_010);
    }

    #[test]
    fn a_cold_start_with_a_wall_clock_in_the_past_stays_at_the_last_stamp() {
        let mut clock = LogClock::default();
        clock.saw(9_000);

        assert_eq!(clock.stamp(Monotonic(5), Wall(1_000)), 9_000);
        assert_eq!(clock.stamp(Monotonic(7), Wall(1_002)), 9_002);
    }

    #[test]
    fn a_follower_that_heard_the_leader_continues_from_there_whatever_its_wall_clock_says() {
        let mut clock = LogClock::default();
        clock.hear(5_000, Monotonic(100));

        assert_eq!(clock.stamp(Monotonic(350), Wall(900_000)), 5_250);
    }

    #[test]
    fn a_stamp_is_never_below_one_in_the_log() {
        let mut clock = LogClock::default();
        clock.hear(5_000, Monotonic(100));
        clock.saw(7_000);

        assert_eq!(clock.stamp(Monotonic(101), Wall(0)), 7_000);
        assert_eq!(clock.stamp(Monotonic(104), Wall(0)), 7_003);
    }

    #[test]
    fn a_late_message_does_not_turn_the_clock_back() {
        let mut clock = LogClock::default();
        clock.hear(5_000, Monotonic(100));
        clock.hear(5_010, Monotonic(300));

        assert_eq!(clock.live(Monotonic(300)), Some(5_200));
    }

    #[test]
    fn an_old_entry_says_nothing_about_the_present() {
        let mut clock = LogClock::default();
        clock.saw(1_000);

        assert_eq!(clock.live(Monotonic(1)), None);
        assert_eq!(clock.estimate(Monotonic(1), Wall(4_000)), 4_000);
    }

    #[test]
    fn an_estimate_changes_nothing() {
        let clock = LogClock::default();

        assert_eq!(clock.estimate(Monotonic(1), Wall(4_000)), 4_000);
        assert_eq!(clock.estimate(Monotonic(2), Wall(3_000)), 3_000);
    }
}
