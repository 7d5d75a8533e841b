//! When the leader makes the next entry.
//!
//! An entry costs about the same whether it holds one command or a hundred: a write and a sync on every member, and a
//! message each way. Those whose commands were answered together ask again at about the same time, but not at the same
//! instant. So after an entry that several commands shared the next one waits a moment for as many. A command that comes
//! alone waits for nothing.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct Gather {
    wait: Duration,
    until: Option<Instant>,
}

impl Gather {
    pub fn new(wait: Duration) -> Gather {
        Gather { wait, until: None }
    }

    /// An entry with so many commands was applied.
    pub fn applied(&mut self, commands: usize, now: Instant) {
        self.until = (commands > 1).then(|| now + self.wait);
    }

    /// Until when the next entry waits.
    pub fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(1);

    #[test]
    fn a_command_that_comes_alone_waits_for_nothing() {
        let (mut gather, now) = (Gather::new(WAIT), Instant::now());
        assert_eq!(gather.until(now), None);

        gather.applied(1, now);

        assert_eq!(gather.until(now), None);
    }

    #[test]
    fn after_a_shared_entry_the_next_one_waits_a_moment_for_more() {
        let (mut gather, now) = (Gather::new(WAIT), Instant::now());

        gather.applied(2, now);

        assert_eq!(gather.until(now), Some(now + WAIT));
        assert_eq!(gather.until(now + WAIT), None);
    }
}
