//! When the leader makes the next entry.
//!
//! An entry costs about the same whether it holds one command or a hundred: a write and a sync on every member, and
//! messages each way. Those whose commands were answered together ask again at about the same time, but not at the same
//! instant. So after an entry that several commands shared the next one waits a little until as many have come again. A
//! command that comes alone waits for nothing.
//!
//! A value: time is an argument.

use std::time::{Duration, Instant};

/// For so many that this takes longer than the limit they are waited for as long: a busy machine is no quicker.
const EACH: Duration = Duration::from_micros(30);

#[derive(Debug)]
pub struct Gather {
    longest: Duration,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// Commands that would be all.
    enough: usize,
    until: Instant,
}

impl Gather {
    pub fn new(longest: Duration) -> Gather {
        Gather { longest, waiting: None }
    }

    /// An entry with so many commands is applied; so many others wait already.
    pub fn applied(&mut self, commands: usize, held: usize, now: Instant) {
        let enough = held + commands;
        let waiting = Waiting { enough, until: now + self.longest.max(EACH * enough as u32) };
        self.waiting = (commands > 1).then_some(waiting);
    }

    /// Until when the next entry waits that would hold so many commands now.
    pub fn until(&self, held: usize, now: Instant) -> Option<Instant> {
        let waiting = self.waiting.as_ref()?;
        (held < waiting.enough && now < waiting.until).then_some(waiting.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(3);

    #[test]
    fn a_command_that_comes_alone_waits_for_nothing() {
        let (mut gather, now) = (Gather::new(LONGEST), Instant::now());
        assert_eq!(gather.until(1, now), None);

        gather.applied(1, 0, now);

        assert_eq!(gather.until(1, now), None);
    }

    #[test]
    fn after_a_shared_entry_the_next_one_waits_for_as_many_again() {
        let (mut gather, now) = (Gather::new(LONGEST), Instant::now());

        gather.applied(10, 6, now);

        assert_eq!(gather.until(15, now), Some(now + LONGEST));
        assert_eq!(gather.until(16, now), None);
    }

    #[test]
    fn many_are_waited_for_longer_than_a_few() {
        let (mut gather, now) = (Gather::new(LONGEST), Instant::now());

        gather.applied(150, 50, now);

        assert_eq!(gather.until(199, now), Some(now + 200 * EACH));
    }

    #[test]
    fn it_waits_no_longer_than_the_limit() {
        let (mut gather, now) = (Gather::new(LONGEST), Instant::now());

        gather.applied(2, 0, now);

        assert_eq!(gather.until(1, now + LONGEST), None);
    }
}
