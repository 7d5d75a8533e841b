//! How much a source may ask. Pure: time is an argument.
//!
//! Whoever it is, a source has so many requests a second and no more ([`Throttle::admit`]): a bound for what proves itself,
//! repeats itself or stands in dialogs, far above what thousands of phones ask.
//!
//! For strangers what counts is not what a source sends but what it is told. Each refusal (4xx: a challenge, most of all)
//! is owed by the source it went to; each success of a request that had to prove something takes one off again, and so does
//! time.
//! Thousands of phones behind one NAT answer their challenges and come out even; a phone that asks again and again without
//! a password does not. Where nobody is challenged (`auth = "open"`) next to nobody is throttled.
//!
//! A source that owes a burst is heard no more, except in its dialogs and with credentials; with `WRONG` bursts of them
//! wrong, except in its dialogs. A few times a second it is told so, with 480: a 503 would make a proxy leave all of us
//! alone. The rest is dropped, which is the cheapest for us, and sends nothing to whom a forged source belongs to.
//!
//! Who owes more, or asks for too much, is remembered ([`Recent`]); who did neither for long is forgotten first, with what
//! it owed.

use sip::{Instant, Level, Method, Network, Recent};

use crate::names::Leg;

/// Requests of each source, of which no more than a burst at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// 0 sets no limit.
    pub per_second: u32,
    pub burst: u32,
}

/// Refusals told to each source, of which no more than a burst at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many it is forgiven each second; 0 turns the throttle off.
    pub per_second: u32,
    pub burst: u32,
    /// How often each second a source over its bound is told so.
    pub answers: u32,
    /// Sources that are remembered. Beyond them those go that have been quiet for longest.
    pub sources: usize,
}

/// Who asks. Everybody can write somebody else's address into a datagram, so what datagrams
/// owe is not held against the connections from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    network: Network,
    datagrams: bool,
}

/// What a request shows of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Nothing,
    /// Credentials, right or wrong.
    Credentials,
}

/// What a source has too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    Refusals,
    Requests,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    Pass,
    Refuse,
    Drop,
}

pub struct Throttle {
    rate: Rate,
    bounds: Bounds,
    accounts: Recent<Source, Account>,
    /// What each asked and was told in answer to too much of it.
    asked: Recent<Source, Asked>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Account {
    owed: Level,
    answers: Level,
}

#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    requests: Level,
    answers: Level,
}

/// As many bursts of wrong credentials are let through: among them are those of phones that share the address and do
/// nothing wrong.
const WRONG: u64 = 10;

impl Excess {
    pub fn as_str(self) -> &'static str {
        match self {
            Excess::Refusals => "refusals",
            Excess::Requests => "requests",
        }
    }

    /// As a phone is told it.
    pub fn reason(self) -> &'static str {
        match self {
            Excess::Refusals => "Too Many Refused Requests",
            Excess::Requests => "Too Many Requests",
        }
    }
}

impl Source {
    pub fn of(leg: &Leg) -> Source {
        Source { network: Network::of(leg.remote.ip()), datagrams: leg.connection == 0 }
    }
}

impl Throttle {
    pub fn new(rate: Rate, bounds: Bounds) -> Throttle {
        let (accounts, asked) = (Recent::new(bounds.sources), Recent::new(bounds.sources));
        Throttle { rate, bounds, accounts, asked }
    }

    /// About any request at all.
    pub fn admit(&mut self, source: Source, now: Instant) -> Ruling {
        let Rate { per_second, burst } = self.rate;
        if per_second == 0 {
            return Ruling::Pass;
        }
        let mut asked = self.asked.get(&source).unwrap_or_default();
        let ruling = match asked.requests.has_room(burst.into(), per_second, now) {
            true => {
                asked.requests.raise(burst.into(), per_second, now);
                Ruling::Pass
            }
            false => told_of(&mut asked.answers, self.bounds.answers, now),
        };
        self.asked.put(source, asked);
        ruling
    }

    /// About a request that is not known to be in a dialog.
    pub fn rule(&mut self, source: Source, shown: Shown, now: Instant) -> Ruling {
        let Some(mut account) = self.accounts.get(&source) else { return Ruling::Pass };
        let most = match shown {
            Shown::Nothing => u64::from(self.bounds.burst),
            Shown::Credentials => self.ceiling(),
        };
        if account.owed.has_room(most, self.bounds.per_second, now) {
            return Ruling::Pass;
        }
        let ruling = told_of(&mut account.answers, self.bounds.answers, now);
        // Also one that is told nothing: who floods on is not forgotten.
        self.accounts.put(source, account);
        ruling
    }

    /// A source is told this, in answer to that.
    pub fn told(&mut self, source: Source, status: u16, method: Method, now: Instant) {
        let rate = self.bounds.per_second;
        if rate == 0 {
            return;
        }
        let known = self.accounts.get(&source);
        if owes(status) {
            let mut account = known.unwrap_or_default();
            account.owed.raise(self.ceiling(), rate, now);
            self.accounts.put(source, account);
        } else if proves(status, method)
            && let Some(mut account) = known
        {
            account.owed.lower(rate, now);
            self.accounts.put(source, account);
        }
    }

    /// How often sources were forgotten for lack of room since this was asked last.
    pub fn take_turns(&mut self) -> u64 {
        self.accounts.take_turns()
    }

    fn ceiling(&self) -> u64 {
        u64::from(self.bounds.burst) * WRONG
    }
}

/// A few times a second a source is told that it asks for too much.
fn told_of(answers: &mut Level, per_second: u32, now: Instant) -> Ruling {
    if !answers.has_room(per_second.into(), per_second, now) {
        return Ruling::Drop;
    }
    answers.raise(per_second.into(), per_second, now);
    Ruling::Refuse
}

/// Were it only challenges, a request that is refused before it comes to one would be a way around. That the service is
/// overloaded is nobody's debt, and a 480 says that somebody who is known asks for too much.
fn owes(status: u16) -> bool {
    matches!(status, 400..=499) && status != 480
}

/// Nobody but who has proved who they are has success; only OPTIONS is answered to all.
fn proves(status: u16, method: Method) -> bool {
    matches!(status, 200..=299) && method != Method::Options
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { per_second: 10, burst: 100, answers: 5, sources: 100 };
    const NO_RATE: Rate = Rate { per_second: 0, burst: 0 };

    #[test]
    fn who_never_answers_a_challenge_is_heard_a_burst_and_then_at_the_rate() {
        let mut throttle = Throttle::new(NO_RATE, BOUNDS);

        assert_eq!(challenged(&mut throttle, flooder(), 33_270, at(0)), 100);
        assert_eq!(challenged(&mut throttle, flooder(), 33_270, at(1_000)), 10);
        assert_eq!(challenged(&mut throttle, flooder(), 33_270, at(3_600_000)), 100);
    }

    /// As one phone did. By default it is heard 3,200 times and told 210 times that it asks too much; 29,860 requests go
    /// nowhere.
    #[test]
    fn of_33270_requests_in_22_seconds_a_tenth_is_heard_and_hardly_any_is_answered_beyond() {
        let limits = crate::config::Limits::default();
        let mut throttle = Throttle::new(limits.requests_per_source, limits.refusals_per_source);
        let (mut heard, mut refused, mut dropped) = (0, 0, 0);
        for n in 0..33_270 {
            let now = at(n * 22_000 / 33_270);
            assert_eq!(throttle.admit(flooder(), now), Ruling::Pass);
            match throttle.rule(flooder(), Shown::Nothing, now) {
                Ruling::Pass => {
                    heard += 1;
                    throttle.told(flooder(), 401, Method::Subscribe, now);
                }
                Ruling::Refuse => refused += 1,
                Ruling::Drop => dropped += 1,
            }
        }

        assert!((3_100..3_300).contains(&heard), "{heard}");
        assert!((180..240).contains(&refused), "{refused}");
        assert_eq!(heard + refused + dropped, 33_270);
    }

    #[test]
    fn whatever_it_shows_a_source_has_a_burst_of_requests_and_then_its_rate() {
        let mut throttle = Throttle::new(Rate { per_second: 10, burst: 50 }, BOUNDS);
        let mut admitted = |source, now| {
            let passed = (0..1_000).filter(|_| throttle.admit(source, now) == Ruling::Pass);
            passed.count()
        };

        assert_eq!([admitted(flooder(), at(0)), admitted(flooder(), at(1_000))], [50, 10]);
        assert_eq!(admitted(source("192.0.2.2", 0), at(1_000)), 50);
        let rulings: Vec<_> = (0..7).map(|_| throttle.admit(flooder(), at(1_000))).collect();
        assert_eq!(rulings, [Ruling::Drop; 7], "it has been told");
    }

    #[test]
    fn a_source_over_its_bound_is_told_so_a_few_times_a_second_and_then_not() {
        let mut throttle = Throttle::new(NO_RATE, BOUNDS);
        challenged(&mut throttle, flooder(), 100, at(0));

        let rulings: Vec<_> = (0..20).map(|_| throttle.rule(flooder(), Shown::Nothing, at(0))).collect();

        assert_eq!(rulings[..5], [Ruling::Refuse; 5]);
        assert_eq!(rulings[5..], [Ruling::Drop; 15]);
    }

    #[test]
    fn a_flood_costs_another_source_nothing() {
        let mut throttle = Throttle::new(NO_RATE, BOUNDS);
        challenged(&mut throttle, flooder(), 10_000, at(0));

        assert_eq!(challenged(&mut throttle, source("192.0.2.2", 0), 100, at(0)), 100);
    }

    #[test]
    fn any_number_of_phones_at_one_address_come_out_even_if_they_answer_their_challenges() {
        let mut throttle = Throttle::new(NO_RATE, BOUNDS);
        for _ in 0..5_000 {
            assert_eq!(throttle.rule(flooder(), Shown::Nothing, at(0)), Ruling::Pass);
            throttle.told(flooder(), 401, Method::Subscribe, at(0));
            assert_eq!(throttle.rule(flooder(), Shown::Credentials, at(0)), Ruling::Pass);
            throttle.told(flooder(), 200, Method::Subscribe, at(0));
        }
    }

    #[test]
    fn credentials_are_heard_beside_a_flood_without_any_and_end_it_for_their_share() {
        let mut throttle = Throttle::new(NO_RATE, BOUNDS);
        challenged(&mut throttle, flooder(), 1_000, at(0));
        assert_eq!(throttle.rule(flooder(), Shown::Credentials, at(0)), Ruling::Pass);

        throttle.told(flooder(), 202, Method::Register, at(0));

        assert_eq!(challenged(&mut throttle, flooder(), 1_000, at(0)), 1);
    }

    #[test]
    fn wrong_credentials_are_no_way_around_it() {
        let mut throttle = Throttle::new(NO_RATE, BOUNDS);
        let heard = (0..10_000)
            .filter(|_| {
                let passed = throttle.rule(flooder(), Shown::Credentials, at(0)) == Ruling::Pass;
                if passed {
                    throttle.told(flooder(), 403, Method::Publish, at(0));
                }
                passed
            })
            .count();

        assert_eq!(heard, 1_000);
    }

    #[test]
    fn what_proves_nothing_forgives_nothing_and_nothing_is_saved_up() {
        let mut throttle = Throttle::new(NO_RATE, BOUNDS);
        for _ in 0..50 {
            throttle.told(flooder(), 200, Method::Publish, at(0));
        }
        assert_eq!(challenged(&mut throttle, flooder(), 1_000, at(0)), 100);

        for (status, method) in [(200, Method::Options), (503, Method::Publish)] {
            throttle.told(flooder(), status, method, at(0));
        }

        assert_ne!(throttle.rule(flooder(), Shown::Nothing, at(0)), Ruling::Pass);
    }

    #[test]
    fn datagrams_in_the_name_of_an_address_are_not_held_against_its_connections() {
        let mut throttle = Throttle::new(NO_RATE, BOUNDS);
        challenged(&mut throttle, flooder(), 1_000, at(0));

        assert_eq!(throttle.rule(source("192.0.2.1", 7), Shown::Nothing, at(0)), Ruling::Pass);
    }

    #[test]
    fn a_network_of_ipv6_is_one_source_and_mapped_ipv4_is_ipv4() {
        assert_eq!(source("2001:db8:1:2::1", 0), source("2001:db8:1:2:ffff::2", 0));
        assert_ne!(source("2001:db8:1:2::1", 0), source("2001:db8:1:3::1", 0));
        assert_eq!(source("::ffff:192.0.2.1", 0), source("192.0.2.1", 0));
        assert_ne!(source("192.0.2.1", 0), source("192.0.2.2", 0));
    }

    #[test]
    fn who_floods_on_is_not_forgotten_for_any_number_of_strangers() {
        let mut throttle = Throttle::new(NO_RATE, BOUNDS);
        for stranger in 0..10_000u32 {
            let ip = std::net::Ipv4Addr::from_bits(0x0a00_0000 + stranger).to_string();
            throttle.told(source(&ip, 0), 401, Method::Register, at(0));
            challenged(&mut throttle, flooder(), 3, at(0));
        }

        assert_ne!(throttle.rule(flooder(), Shown::Nothing, at(0)), Ruling::Pass);
    }

    #[test]
    fn a_rate_of_nothing_turns_it_off() {
        let mut throttle = Throttle::new(NO_RATE, Bounds { per_second: 0, ..BOUNDS });

        assert_eq!(challenged(&mut throttle, flooder(), 33_270, at(0)), 33_270);
    }

    fn at(milliseconds: u64) -> Instant {
        Instant(milliseconds)
    }

    fn flooder() -> Source {
        source("192.0.2.1", 0)
    }

    pub(crate) fn source(ip: &str, connection: u64) -> Source {
        let remote = std::net::SocketAddr::new(ip.parse().unwrap(), 5060);
        let transport = if connection == 0 { sip::Transport::Udp } else { sip::Transport::Tcp };
        Source::of(&Leg { transport, listener: 0, remote, connection })
    }

    /// Asks so many times without credentials; says how often it was challenged.
    fn challenged(throttle: &mut Throttle, source: Source, times: usize, now: Instant) -> usize {
        let asked = (0..times).filter(|_| {
            let passed = throttle.rule(source, Shown::Nothing, now) == Ruling::Pass;
            if passed {
                throttle.told(source, 401, Method::Subscribe, now);
            }
            passed
        });
        asked.count()
    }
}
