//! A manager: a real agent, its clocks, and what it loses when it is killed.

use presence::time::Timestamp;
use presence_agent::{Agent, Now};
use sip::Instant;

use crate::event::Input;
use crate::names;

/// The time of day at which every run begins.
pub const MORNING: u64 = 1_700_000_000_000;

pub struct Node {
    pub agent: Agent,
    pub incarnation: u64,
    started_at: u64,
    /// How far its wall clock is ahead, in ms.
    skew: u64,
    /// What came while it was paused.
    pub inbox: Vec<Input>,
    /// When it wants to be woken next, as far as that is arranged.
    pub timer_at: u64,
    pub lagging: bool,
    /// It is to be handed an entry.
    pub applying: bool,
}

impl Node {
    pub fn start(node: usize, incarnation: u64, now: u64, skew: u64) -> Node {
        let moment = moment(0, now + skew + MORNING, now + skew + MORNING, 0);
        Node {
            agent: Agent::new(names::config(node, incarnation), moment),
            incarnation,
            started_at: now,
            skew,
            inbox: Vec::new(),
            timer_at: u64::MAX,
            lagging: false,
            applying: false,
        }
    }

    pub fn wall(&self, now: u64) -> u64 {
        MORNING + now + self.skew
    }

    /// The times of this node, whose monotonic clock began with it.
    pub fn now(&self, now: u64, log_time: u64, lease: u64) -> Now {
        moment(now - self.started_at, log_time, self.wall(now), lease.saturating_sub(self.started_at))
    }

    /// The world's time of an instant on this node's monotonic clock.
    pub fn world_time(&self, instant: Instant) -> u64 {
        instant.0.saturating_add(self.started_at)
    }
}

fn moment(monotonic: u64, log_time: u64, wall: u64, lease: u64) -> Now {
    Now { monotonic: Instant(monotonic), log: Timestamp(log_time), unix: wall / 1_000, lease: Instant(lease) }
}
