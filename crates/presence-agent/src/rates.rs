//! How often each account may change something: a bucket that leaks, for as many accounts as there is room for.
//!
//! Only what an account has proven to be its own is counted, so nobody uses up somebody else's.

use sip::{Instant, Level, Recent};

/// Requests of each account, of which no more than a burst at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// 0 sets no limit.
    pub per_second: u32,
    pub burst: u32,
    /// Accounts that are remembered. Beyond them those go that have been quiet for longest.
    pub accounts: usize,
}

pub(crate) struct Rates {
    rate: Rate,
    /// By the hash of the account's name; should two share one, they share their rate.
    levels: Recent<u64, Level>,
}

/// The account has asked for too much.
#[derive(Debug, PartialEq)]
pub(crate) struct TooOften {
    /// Seconds until it may come again.
    pub after: u32,
}

impl Rates {
    pub fn new(rate: Rate) -> Rates {
        Rates { rate, levels: Recent::new(rate.accounts) }
    }

    /// Charges an account for one request.
    pub fn charge(&mut self, account: &str, now: Instant) -> Result<(), TooOften> {
        let Rate { per_second, burst, .. } = self.rate;
        if per_second == 0 {
            return Ok(());
        }
        let key = placement::hash(account.as_bytes());
        let mut level = self.levels.get(&key).unwrap_or_default();
        if !level.has_room(burst.into(), per_second, now) {
            let after = level.room_in(burst.into(), per_second, now);
            return Err(TooOften { after: u32::try_from(after).unwrap_or(u32::MAX) });
        }
        level.raise(burst.into(), per_second, now);
        self.levels.put(key, level);
        Ok(())
    }

    /// Whether an account was forgotten for lack of room since this was asked last.
    pub fn take_overflowed(&mut self) -> bool {
        self.levels.take_turns() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 10, burst: 100, accounts: 8 };

    #[test]
    fn an_account_has_a_burst_and_then_its_rate_and_costs_others_nothing() {
        let mut rates = Rates::new(RATE);
        let mut charged = |account, now| (0..1_000).filter(|_| rates.charge(account, now).is_ok()).count();

        assert_eq!([charged("bob@x", Instant(0)), charged("bob@x", Instant(1_000))], [100, 10]);
        assert_eq!(charged("carol@x", Instant(1_000)), 100);
    }

    #[test]
    fn who_asks_too_often_is_told_when_to_come_again() {
        let mut rates = Rates::new(Rate { per_second: 1, burst: 1, ..RATE });
        rates.charge("bob@x", Instant(0)).unwrap();

        assert_eq!(rates.charge("bob@x", Instant(0)), Err(TooOften { after: 1 }));
        assert!(rates.charge("bob@x", Instant(1_000)).is_ok());
    }

    #[test]
    fn that_an_account_was_forgotten_for_lack_of_room_is_told_once() {
        let mut rates = Rates::new(RATE);
        let mut charge = |from, to| {
            (from..to).for_each(|n| rates.charge(&format!("{n}@x"), Instant(0)).unwrap());
            rates.take_overflowed()
        };

        assert_eq!([charge(0, 8), charge(8, 100), charge(99, 100)], [false, true, false]);
    }

    #[test]
    fn a_rate_of_nothing_sets_no_limit() {
        let mut rates = Rates::new(Rate { per_second: 0, ..RATE });

        assert!((0..1_000).all(|_| rates.charge("bob@x", Instant(0)).is_ok()));
    }
}
