//! Token buckets in a table of bounded size. Pure: time is an argument.
//!
//! A bucket holds `burst` requests and gets `per_second` back. It is kept as one number, the moment at which it will be
//! full again (the generic cell rate algorithm), so one that is full need not be kept at all. The table has two halves:
//! who asks is in the young one; when that is full, it becomes the old one, and what nobody touched since the turn before
//! is forgotten, which gives these their full burst again. Nobody's place in it can be taken in one step.

use std::collections::BTreeMap;
use std::time::Duration;

/// How much one may ask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// What comes back each second: above 0.
    pub per_second: f64,
    /// What may be asked at once: at least 1.
    pub burst: u32,
}

impl Rate {
    /// Whether there is sense in it.
    pub fn is_valid(&self) -> bool {
        self.per_second.is_finite() && self.per_second >= 1e-6 && self.burst >= 1
    }

    fn interval(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.per_second)
    }
}

/// Buckets of one rate.
pub struct Buckets<K> {
    rate: Rate,
    half: usize,
    young: BTreeMap<K, Duration>,
    old: BTreeMap<K, Duration>,
}

/// The bucket is empty: when there is something in it again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wait(pub Duration);

impl<K: Ord> Buckets<K> {
    pub fn new(rate: Rate, capacity: usize) -> Buckets<K> {
        Buckets { rate, half: (capacity / 2).max(1), young: BTreeMap::new(), old: BTreeMap::new() }
    }

    /// Takes one.
    pub fn take(&mut self, key: K, now: Duration) -> Result<(), Wait> {
        self.check(&key, now)?;
        self.charge(key, now);
        Ok(())
    }

    /// Whether one could be taken.
    pub fn check(&self, key: &K, now: Duration) -> Result<(), Wait> {
        let (owed, interval) = (self.owed(key, now), self.rate.interval());
        let most = interval.saturating_mul(self.rate.burst);
        match (owed + interval).checked_sub(most) {
            Some(wait) if !wait.is_zero() => Err(Wait(wait)),
            _ => Ok(()),
        }
    }

    /// Takes one even from an empty bucket, which then is empty as of now.
    pub fn charge(&mut self, key: K, now: Duration) {
        let interval = self.rate.interval();
        let owed = (self.owed(&key, now) + interval).min(interval.saturating_mul(self.rate.burst));
        self.put(key, now + owed);
    }

    /// What was taken last is not counted after all.
    pub fn give_back(&mut self, key: K, now: Duration) {
        let owed = self.owed(&key, now).saturating_sub(self.rate.interval());
        if owed.is_zero() {
            // Who owes nothing is not remembered, or made-up names would push out those who do.
            self.young.remove(&key);
            self.old.remove(&key);
        } else {
            self.put(key, now + owed);
        }
    }

    /// How long until the bucket is full.
    fn owed(&self, key: &K, now: Duration) -> Duration {
        let full = self.young.get(key).or_else(|| self.old.get(key));
        full.map_or(Duration::ZERO, |full| full.saturating_sub(now))
    }

    fn put(&mut self, key: K, full: Duration) {
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, full);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 2.0, burst: 3 };

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn taken(buckets: &mut Buckets<u32>, key: u32, now: Duration) -> u32 {
        (0..).take_while(|_| buckets.take(key, now).is_ok()).count() as u32
    }

    #[test]
    fn a_burst_is_let_through_and_then_the_rate() {
        let mut buckets = Buckets::new(RATE, 8);

        assert_eq!(taken(&mut buckets, 1, at(10_000)), 3);
        assert_eq!(buckets.take(1, at(10_000)), Err(Wait(at(500))));
        assert_eq!(buckets.take(1, at(10_400)), Err(Wait(at(100))));
        assert_eq!(taken(&mut buckets, 1, at(11_000)), 2);
        assert_eq!(taken(&mut buckets, 1, at(60_000)), 3, "no more than a burst is saved up");
    }

    #[test]
    fn who_waits_as_told_is_let_through() {
        let mut buckets = Buckets::new(Rate { per_second: 3.0, burst: 1 }, 8);
        let mut now = at(77);
        for _ in 0..1000 {
            assert_eq!(buckets.take(1, now), Ok(()));
            let Err(Wait(wait)) = buckets.take(1, now) else { panic!("the bucket is empty") };
            now += wait;
        }
    }

    #[test]
    fn one_who_asks_too_much_costs_another_nothing() {
        let mut buckets = Buckets::new(RATE, 8);
        taken(&mut buckets, 1, at(0));

        assert_eq!(taken(&mut buckets, 2, at(0)), 3);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more() {
        let mut buckets = Buckets::new(RATE, 8);
        buckets.give_back(1, at(0));
        assert_eq!(taken(&mut buckets, 1, at(0)), 3);

        buckets.give_back(1, at(0));

        assert_eq!(taken(&mut buckets, 1, at(0)), 1);
    }

    #[test]
    fn a_charge_beyond_the_bottom_is_forgotten() {
        let mut buckets = Buckets::new(RATE, 8);
        for _ in 0..1000 {
            buckets.charge(1, at(0));
        }

        assert_eq!(buckets.check(&1, at(0)), Err(Wait(at(500))));
    }

    #[test]
    fn the_table_never_grows_beyond_its_capacity_and_keeps_who_asks_on() {
        let mut buckets = Buckets::new(RATE, 100);
        for stranger in 1_000..100_000 {
            let _ = buckets.take(stranger, at(0));
            let _ = buckets.take(1, at(0));
            assert!(buckets.young.len() + buckets.old.len() <= 100);
        }

        assert!(buckets.take(1, at(0)).is_err());
    }

    #[test]
    fn a_rate_without_sense_is_told_apart() {
        for (per_second, burst) in [(0.0, 1), (-1.0, 1), (f64::NAN, 1), (f64::INFINITY, 1), (1.0, 0)] {
            assert!(!Rate { per_second, burst }.is_valid(), "{per_second} {burst}");
        }
        assert!(Rate { per_second: 0.1, burst: 1 }.is_valid());
    }
}
