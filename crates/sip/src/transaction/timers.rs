//! Timers of which most are stopped before they fire.
//!
//! They are kept by the millisecond, so setting one sorts next to nothing. Stopping one costs nothing: what fires is held
//! against the transaction that it was for, which knows when it wants to be woken. What is left behind so fires unheard;
//! should it outgrow what runs, it is swept out before.

use std::collections::BTreeMap;

use crate::time::Instant;

pub(super) struct Timers<K> {
    by_end: BTreeMap<Instant, Vec<K>>,
    set: usize,
}

impl<K> Timers<K> {
    /// Stopped timers are not looked for before there are so many.
    const SWEPT_ABOVE: usize = 1 << 16;

    pub fn new() -> Timers<K> {
        Timers { by_end: BTreeMap::new(), set: 0 }
    }

    pub fn set(&mut self, ends_at: Instant, key: K) {
        self.by_end.entry(ends_at).or_default().push(key);
        self.set += 1;
    }

    /// When the next one fires; that may be a stopped one.
    pub fn next(&self) -> Option<Instant> {
        self.by_end.keys().next().copied()
    }

    /// Some that have fired by `now`, earliest first.
    pub fn fired(&mut self, now: Instant) -> Option<(Instant, Vec<K>)> {
        let fired = self.by_end.first_entry().filter(|first| *first.key() <= now)?.remove_entry();
        self.set -= fired.1.len();
        Some(fired)
    }

    /// Forgets those that do not run if there are more of them than of the `running`.
    pub fn sweep(&mut self, running: usize, runs: impl Fn(&Instant, &K) -> bool) {
        if self.set <= 2 * running + Self::SWEPT_ABOVE {
            return;
        }
        self.by_end.retain(|ends_at, keys| {
            keys.retain(|key| runs(ends_at, key));
            !keys.is_empty()
        });
        self.set = self.by_end.values().map(Vec::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_the_order_of_their_ends_and_not_before() {
        let mut timers = Timers::new();
        timers.set(Instant(32_000), "set first");
        timers.set(Instant(510), "second");
        timers.set(Instant(510), "with it");

        assert_eq!((timers.next(), timers.fired(Instant(509))), (Some(Instant(510)), None));
        let fired: Vec<_> = std::iter::from_fn(|| timers.fired(Instant(40_000))).collect();

        let ends = [(Instant(510), vec!["second", "with it"]), (Instant(32_000), vec!["set first"])];
        assert_eq!((fired, timers.next(), timers.set), (ends.to_vec(), None, 0));
    }

    #[test]
    fn stopped_ones_are_swept_out_before_they_outgrow_what_runs() {
        let mut timers = Timers::new();
        for n in 0..200_000 {
            timers.set(Instant(n), n);
            timers.sweep(10, |_, key| *key < 10);
        }

        assert!(timers.set <= 20 + (1 << 16), "{}", timers.set);
        assert_eq!(timers.fired(Instant(0)), Some((Instant(0), vec![0])));
    }
}
