//! The clocks of this machine, for the values that take time as an argument.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::leadership::log_clock::{LogClock, Monotonic, Wall};

/// A group's log clock with the machine's clocks behind it. Clones are the same clock.
#[derive(Clone)]
pub struct SharedClock {
    clock: Arc<Mutex<LogClock>>,
    started: Instant,
}

impl SharedClock {
    pub fn new() -> SharedClock {
        SharedClock { clock: Arc::default(), started: Instant::now() }
    }

    pub fn saw(&self, stamp: u64) {
        self.clock.lock().saw(stamp);
    }

    pub fn hear(&self, stamp: u64) {
        self.clock.lock().hear(stamp, self.now());
    }

    pub fn stamp(&self) -> u64 {
        self.clock.lock().stamp(self.now(), wall())
    }

    pub fn estimate(&self) -> u64 {
        self.clock.lock().estimate(self.now(), wall())
    }

    pub fn live(&self) -> Option<u64> {
        self.clock.lock().live(self.now())
    }

    fn now(&self) -> Monotonic {
        Monotonic(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

pub fn wall() -> Wall {
    // A clock before 1970 says nothing; the log's own time then decides.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
