//! The keys of requests that were answered, for as long as their senders may repeat them.
//!
//! On UDP an answer can be lost, and a repeat can cross it. A manager knows such a repeat and gives its first answer;
//! what is remembered here keeps us from saying 503 to it when no manager is there.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use sip::Instant;

use crate::branch::Key;

pub(super) struct Answered {
    keys: HashSet<Key>,
    oldest_first: VecDeque<(Instant, Key)>,
    capacity: usize,
    lasts: Duration,
    /// Forgotten before their time.
    crowded_out: u64,
}

impl Answered {
    pub fn new(capacity: usize, lasts: Duration) -> Answered {
        Answered { keys: HashSet::new(), oldest_first: VecDeque::new(), capacity, lasts, crowded_out: 0 }
    }

    pub fn add(&mut self, key: Key, now: Instant) {
        self.forget(now);
        if self.keys.insert(key) {
            self.oldest_first.push_back((now + self.lasts, key));
        }
        if self.oldest_first.len() > self.capacity {
            self.forget_oldest();
            self.crowded_out += 1;
        }
    }

    /// How many were forgotten for lack of room since this was asked last.
    pub fn take_crowded_out(&mut self) -> u64 {
        std::mem::take(&mut self.crowded_out)
    }

    pub fn holds(&mut self, key: Key, now: Instant) -> bool {
        self.forget(now);
        self.keys.contains(&key)
    }

    fn forget(&mut self, now: Instant) {
        while self.oldest_first.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.oldest_first.pop_front() {
            self.keys.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_remembered_while_its_sender_may_repeat_it() {
        let mut answered = Answered::new(8, Duration::from_secs(32));
        answered.add(Key(1), Instant(0));

        assert!(answered.holds(Key(1), Instant(31_999)));
        assert!(!answered.holds(Key(1), Instant(32_000)));
    }

    #[test]
    fn beyond_the_bound_the_oldest_is_forgotten() {
        let mut answered = Answered::new(2, Duration::from_secs(32));
        for key in 1..=3 {
            answered.add(Key(key), Instant(0));
        }

        assert_eq!([1, 2, 3].map(|key| answered.holds(Key(key), Instant(0))), [false, true, true]);
        assert_eq!([answered.take_crowded_out(), answered.take_crowded_out()], [1, 0]);
    }
}
