//! What billing is asked, what it answers, and how long an answer is good.

use std::collections::BTreeMap;
use std::time::Duration;

use sip::Instant;

/// One question to the auth-adapter. Two equal questions get the same verdict within its cache life.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// Who asks, as `user@domain`.
    pub account: String,
    /// The digest username as the client wrote it: an HA1 is over this, not over the account.
    pub username: String,
    pub method: &'static str,
    pub event: String,
    pub presentity: String,
    pub realm: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub decision: Decision,
    /// H(username:realm:password) in hexadecimal; empty where billing does not offer the algorithm.
    pub ha1_md5: String,
    pub ha1_sha256: String,
    pub cache: Duration,
    /// The longest Expires granted, in seconds; 0 leaves it to the configuration.
    pub max_expires: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    Allow,
    Deny {
        status: u16,
        reason: String,
    },
    /// Billing did not answer in time, or at all.
    Unavailable,
}

impl Verdict {
    pub fn allowed() -> Verdict {
        Verdict { decision: Decision::Allow, ..Verdict::unavailable() }
    }

    pub fn unavailable() -> Verdict {
        Verdict {
            decision: Decision::Unavailable,
            ha1_md5: String::new(),
            ha1_sha256: String::new(),
            cache: Duration::ZERO,
            max_expires: 0,
        }
    }
}

/// Verdicts within their cache life, at most `capacity` of them.
#[derive(Debug)]
pub struct VerdictCache {
    held: BTreeMap<Question, (Instant, Verdict)>,
    capacity: usize,
}

impl VerdictCache {
    pub fn new(capacity: usize) -> VerdictCache {
        VerdictCache { held: BTreeMap::new(), capacity }
    }

    pub fn get(&self, question: &Question, now: Instant) -> Option<&Verdict> {
        self.held.get(question).filter(|(until, _)| now < *until).map(|(_, verdict)| verdict)
    }

    /// At the limit, what is out of date goes; if nothing is, everything does: it only costs calls.
    pub fn put(&mut self, question: Question, verdict: Verdict, now: Instant) {
        if verdict.cache.is_zero() {
            return;
        }
        if self.held.len() >= self.capacity {
            self.held.retain(|_, (until, _)| now < *until);
        }
        if self.held.len() >= self.capacity {
            self.held.clear();
        }
        self.held.insert(question, (now + verdict.cache, verdict));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(account: &str) -> Question {
        Question {
            account: account.into(),
            username: account.into(),
            method: "PUBLISH",
            event: "presence".into(),
            presentity: account.into(),
            realm: "lab.test".into(),
        }
    }

    fn cached_for(seconds: u64) -> Verdict {
        Verdict { cache: Duration::from_secs(seconds), ..Verdict::allowed() }
    }

    #[test]
    fn a_verdict_is_good_for_its_cache_life_and_for_the_same_question_only() {
        let mut cache = VerdictCache::new(10);
        cache.put(question("alice@lab.test"), cached_for(60), Instant(0));

        assert!(cache.get(&question("alice@lab.test"), Instant(59_999)).is_some());
        assert!(cache.get(&question("alice@lab.test"), Instant(60_000)).is_none());
        assert!(cache.get(&question("bob@lab.test"), Instant(0)).is_none());
    }

    #[test]
    fn the_cache_does_not_grow_beyond_its_capacity() {
        let mut cache = VerdictCache::new(10);
        for n in 0..100 {
            cache.put(question(&format!("u{n}@lab.test")), cached_for(60), Instant(0));
        }

        assert!(cache.held.len() <= 10);
    }
}
