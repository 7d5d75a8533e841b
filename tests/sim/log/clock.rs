//! Log time as a node reckons it: what a leader said, and the monotonic time since; its wall clock only when it has
//! heard nobody since its start.

#[derive(Clone, Debug, Default)]
pub struct LogClock {
    /// The largest stamp seen in the log.
    floor: u64,
    /// What was said, and when.
    heard: Option<(u64, u64)>,
}

impl LogClock {
    pub fn saw(&mut self, stamp: u64) {
        self.floor = self.floor.max(stamp);
    }

    pub fn hear(&mut self, stamp: u64, now: u64) {
        if self.running(now).is_none_or(|own| own < stamp) {
            self.heard = Some((stamp, now));
        }
    }

    pub fn stamp(&mut self, now: u64, wall: u64) -> u64 {
        let stamp = self.estimate(now, wall);
        self.hear(stamp, now);
        self.floor = stamp;
        stamp
    }

    pub fn estimate(&self, now: u64, wall: u64) -> u64 {
        self.running(now).unwrap_or(wall).max(self.floor)
    }

    /// Log time, unless nobody said it since the start.
    pub fn running(&self, now: u64) -> Option<u64> {
        self.heard.map(|(stamp, at)| stamp + (now - at))
    }
}
