//! How much anybody may ask of the API: the buckets of sources, tokens, and failed passwords, and the clock beside them.
//!
//! Who asks too much is answered 429 with the time after which it may ask again, never 503: to a proxy that would mean
//! that the service itself is ill. A wrong token or password costs far more than a request: of these, few are let
//! through for each source, and few passwords for each account, so that nobody can guess from many sources either. A
//! password is paid for in advance and given back unless it was wrong, so nothing is won by guessing all at once, or by
//! not waiting for the answer.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use placement::PresentityKey;

use crate::metrics;
use crate::rate::{Buckets, Rate, Wait};
use crate::tokens::TokenId;

/// Sources, and accounts, that are remembered at one time; beyond it, who asked longest ago has a full burst again.
const REMEMBERED: usize = 65_536;
/// A phone system speaks for many accounts, some of which may have another password by now.
const ACCOUNTS: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// For each source address and for each token.
    pub reads: Rate,
    pub writes: Rate,
    /// Wrong tokens of a source, wrong passwords of an account; a source has [`ACCOUNTS`] times as many wrong passwords.
    pub failures: Rate,
}

impl Default for Rates {
    fn default() -> Rates {
        Rates {
            reads: Rate { per_second: 1_000.0, burst: 2_000 },
            writes: Rate { per_second: 500.0, burst: 1_000 },
            failures: Rate { per_second: 0.1, burst: 10 },
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Read,
    Write,
}

pub struct Throttle {
    started: Instant,
    /// Accounts are remembered by a hash that nobody outside can aim at.
    hasher: RandomState,
    tables: Mutex<Tables>,
}

struct Tables {
    reads: Buckets<Asker>,
    writes: Buckets<Asker>,
    wrong_tokens: Buckets<IpAddr>,
    passwords: Buckets<IpAddr>,
    accounts: Buckets<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asker {
    Source(IpAddr),
    Token(TokenId),
}

impl Throttle {
    pub fn new(rates: Rates) -> Throttle {
        let Rate { per_second, burst } = rates.failures;
        let of_source =
            Rate { per_second: per_second * f64::from(ACCOUNTS), burst: burst.saturating_mul(ACCOUNTS) };
        let tables = Tables {
            reads: Buckets::new(rates.reads, REMEMBERED),
            writes: Buckets::new(rates.writes, REMEMBERED),
            wrong_tokens: Buckets::new(rates.failures, REMEMBERED),
            passwords: Buckets::new(of_source, REMEMBERED),
            accounts: Buckets::new(rates.failures, REMEMBERED),
        };
        Throttle { started: Instant::now(), hasher: RandomState::new(), tables: Mutex::new(tables) }
    }

    /// Counts a request for its source, and for its token.
    pub fn request(&self, kind: Kind, source: IpAddr, token: Option<TokenId>) -> Result<(), Wait> {
        let (mut tables, now) = self.open();
        let buckets = match kind {
            Kind::Read => &mut tables.reads,
            Kind::Write => &mut tables.writes,
        };
        let by_source = buckets.take(Asker::Source(subscriber(source)), now);
        let taken = by_source.and_then(|()| match token {
            Some(token) => buckets.take(Asker::Token(token), now),
            None => Ok(()),
        });
        taken.inspect_err(|_| refused("rate"))
    }

    /// A wrong token was presented; too many are not even told so any more.
    pub fn wrong_token(&self, source: IpAddr) -> Result<(), Wait> {
        let (mut tables, now) = self.open();
        tables.wrong_tokens.take(subscriber(source), now).inspect_err(|_| refused("guessing"))
    }

    /// Before a password is tried: source and account pay for a wrong one.
    pub fn attempt(&self, source: IpAddr, account: &PresentityKey) -> Result<(), Wait> {
        let (source, account) = (subscriber(source), self.hasher.hash_one(account));
        let (mut tables, now) = self.open();
        let Tables { passwords, accounts, .. } = &mut *tables;
        let taken = passwords
            .take(source, now)
            .and_then(|()| accounts.take(account, now).inspect_err(|_| passwords.give_back(source, now)));
        taken.inspect_err(|_| refused("guessing"))
    }

    /// It was not wrong.
    pub fn attempt_was_none(&self, source: IpAddr, account: &PresentityKey) {
        let (source, account) = (subscriber(source), self.hasher.hash_one(account));
        let (mut tables, now) = self.open();
        tables.passwords.give_back(source, now);
        tables.accounts.give_back(account, now);
    }

    fn open(&self) -> (MutexGuard<'_, Tables>, Duration) {
        // Nothing in here panics half-way; if it ever did, the buckets would still be buckets.
        (self.tables.lock().unwrap_or_else(PoisonError::into_inner), self.started.elapsed())
    }
}

pub fn refused(why: &'static str) {
    ::metrics::counter!(metrics::REFUSED, "why" => why).increment(1);
}

/// What one customer of a network has: an IPv4 address, or an IPv6 /64.
fn subscriber(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of which nothing comes back while a test runs.
    const FEW: Rate = Rate { per_second: 1e-3, burst: 3 };

    fn throttle() -> Throttle {
        Throttle::new(Rates { reads: FEW, writes: FEW, failures: FEW })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn alice() -> PresentityKey {
        PresentityKey::of("sip:alice@vedette.test").unwrap()
    }

    #[test]
    fn reads_and_writes_and_sources_are_counted_apart() {
        let throttle = throttle();
        let asked =
            |kind, source| (0..10).take_while(|_| throttle.request(kind, ip(source), None).is_ok()).count();

        assert_eq!(asked(Kind::Read, "192.0.2.1"), 3);
        assert_eq!(asked(Kind::Write, "192.0.2.1"), 3);
        assert_eq!(asked(Kind::Read, "192.0.2.2"), 3);
        assert_eq!(asked(Kind::Read, "::ffff:192.0.2.2"), 0, "the same host");
        assert_eq!(asked(Kind::Read, "2001:db8::1"), 3);
        assert_eq!(asked(Kind::Read, "2001:db8::2"), 0, "the same network");
    }

    #[test]
    fn passwords_of_one_account_are_guessed_from_many_sources_in_vain() {
        let throttle = throttle();
        let tried = (1..=100)
            .filter(|host| {
                let source = ip(&format!("192.0.2.{host}"));
                throttle.attempt(source, &alice()).is_ok()
            })
            .count();

        assert_eq!(tried, 3);
    }

    #[test]
    fn a_source_guesses_the_passwords_of_many_accounts_in_vain() {
        let throttle = throttle();
        let tried = (1..=100)
            .filter(|number| {
                let account = PresentityKey::of(&format!("sip:{number}@vedette.test")).unwrap();
                let source = ip("192.0.2.1");
                throttle.attempt(source, &account).is_ok()
            })
            .count();

        assert_eq!(tried, 3 * ACCOUNTS as usize);
    }

    #[test]
    fn right_passwords_are_never_counted() {
        let throttle = throttle();

        for _ in 0..100 {
            throttle.attempt(ip("192.0.2.1"), &alice()).unwrap();
            throttle.attempt_was_none(ip("192.0.2.1"), &alice());
        }
    }
}
