//! The circuit breaker in front of a back end: while nobody answers there, nobody waits for it.
//!
//! It opens after so many calls in a row without an answer. After a while one call is let through: if that is answered
//! all are again, if not the breaker stays open for as long once more. A bad answer does not open it, because one account
//! with broken data must not shut out the others; nor does it make up for calls that were not answered at all.

use std::time::Duration;

use sip::Instant;

#[derive(Debug)]
pub struct Breaker {
    rules: Rules,
    state: State,
    /// Counts openings; what was called before the last one says nothing any more.
    openings: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Calls in a row without an answer that open it.
    pub failures: u32,
    /// How long it is open before it tries one call.
    pub open: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// One call is under way; its end decides.
    Probing,
}

/// The right to call once; to be given back with what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit(u64);

impl Breaker {
    pub fn new(rules: Rules) -> Breaker {
        Breaker { rules, state: State::Closed { failures: 0 }, openings: 0 }
    }

    /// Whether a call may be made now.
    pub fn admit(&mut self, now: Instant) -> Option<Permit> {
        match self.state {
            State::Closed { .. } => Some(Permit(self.openings)),
            State::Open { until } if now >= until => {
                self.state = State::Probing;
                Some(Permit(self.openings))
            }
            State::Open { .. } | State::Probing => None,
        }
    }

    pub fn answered(&mut self, permit: Permit) {
        if permit.0 == self.openings {
            self.state = State::Closed { failures: 0 };
        }
    }

    /// It answered, and said nothing of use.
    pub fn answered_badly(&mut self, permit: Permit) {
        if !self.is_closed() {
            self.answered(permit);
        }
    }

    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    pub fn unanswered(&mut self, permit: Permit, now: Instant) {
        if permit.0 != self.openings {
            return;
        }
        match self.state {
            State::Closed { failures } if failures + 1 < self.rules.failures => {
                self.state = State::Closed { failures: failures + 1 };
            }
            _ => {
                self.state = State::Open { until: now + self.rules.open };
                self.openings += 1;
            }
        }
    }

    pub fn state(&self) -> State {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(Rules { failures: 3, open: Duration::from_secs(1) })
    }

    fn opened() -> Breaker {
        let mut breaker = breaker();
        for _ in 0..3 {
            let permit = breaker.admit(Instant(0)).unwrap();
            breaker.unanswered(permit, Instant(0));
        }
        breaker
    }

    #[test]
    fn it_opens_after_so_many_calls_in_a_row_without_an_answer() {
        let mut breaker = breaker();
        let permit = breaker.admit(Instant(0)).unwrap();
        for _ in 0..2 {
            breaker.unanswered(permit, Instant(0));
        }
        breaker.answered(permit);
        for _ in 0..2 {
            breaker.unanswered(permit, Instant(0));
        }
        assert!(breaker.admit(Instant(0)).is_some());

        breaker.unanswered(permit, Instant(0));

        assert_eq!(breaker.admit(Instant(0)), None);
        assert_eq!(breaker.admit(Instant(999)), None);
    }

    #[test]
    fn one_call_is_tried_and_its_answer_closes_it() {
        let mut breaker = opened();

        let probe = breaker.admit(Instant(1000)).unwrap();
        assert_eq!(breaker.admit(Instant(1000)), None, "one at a time");
        breaker.answered(probe);

        assert_eq!(breaker.state(), State::Closed { failures: 0 });
    }

    #[test]
    fn a_tried_call_without_an_answer_keeps_it_open() {
        let mut breaker = opened();

        let probe = breaker.admit(Instant(1000)).unwrap();
        breaker.unanswered(probe, Instant(1300));

        assert_eq!(breaker.admit(Instant(2299)), None);
        assert!(breaker.admit(Instant(2300)).is_some());
    }

    #[test]
    fn calls_from_before_it_opened_say_nothing_any_more() {
        let mut breaker = breaker();
        let early = breaker.admit(Instant(0)).unwrap();
        for _ in 0..3 {
            breaker.unanswered(early, Instant(0));
        }

        breaker.answered(early);
        assert_eq!(breaker.admit(Instant(500)), None);
        let probe = breaker.admit(Instant(1000)).unwrap();
        breaker.unanswered(early, Instant(1000));
        assert_eq!(breaker.state(), State::Probing);
        breaker.answered(probe);
        assert!(breaker.admit(Instant(1001)).is_some());
    }
}
