//! Answers that may be used again, in bounded memory.
//!
//! An answer is *fresh* for as long as billing said, then *stale*: good enough while billing fails, and for nothing else.
//! What was asked lately outlives what was not: there are two generations, a full young one becomes the old one, and
//! what nobody asked for meanwhile goes.

use std::collections::BTreeMap;
use std::time::Duration;

use sip::Instant;

use crate::answer::Answer;
use crate::aor::Aor;
use crate::question::{Key, Question};

#[derive(Debug)]
pub struct Cache {
    young: BTreeMap<Key, Kept>,
    old: BTreeMap<Key, Kept>,
    /// Entries of one generation; both together are the bound. At it the old generation is dropped: it costs calls.
    generation: usize,
    stale_for: Duration,
    /// Counts the times that everything came into doubt.
    era: u64,
}

#[derive(Clone, Debug)]
struct Kept {
    answer: Answer,
    era: u64,
    fresh_until: Instant,
}

#[derive(Debug, PartialEq)]
pub enum Found {
    /// May be told, as reusable for the rest of its life.
    Fresh(Answer, Duration),
    /// May be told while billing fails.
    Stale(Answer),
}

impl Cache {
    pub fn new(entries: usize, stale_for: Duration) -> Cache {
        let generation = entries.div_ceil(2);
        Cache { young: BTreeMap::new(), old: BTreeMap::new(), generation, stale_for, era: 0 }
    }

    /// An answer to this question; a fresh one before a stale one.
    pub fn find(&mut self, question: &Question, now: Instant) -> Option<Found> {
        let held = self.find_key(&question.key(), now);
        if matches!(held, Some(Found::Fresh(..))) {
            return held;
        }
        let resting = question.key_with_digest().and_then(|key| self.find_key(&key, now));
        match resting {
            Some(Found::Fresh(..)) => resting,
            _ => held.or(resting),
        }
    }

    /// Keeps an answer that has a life.
    pub fn put(&mut self, question: &Question, answer: &Answer, now: Instant) {
        let key = if answer.rests_on_digest { question.key_with_digest() } else { Some(question.key()) };
        if let Some(key) = key.filter(|_| !answer.life().is_zero()) {
            let fresh_until = now + answer.life();
            self.keep(key, Kept { answer: answer.clone(), era: self.era, fresh_until });
        }
    }

    /// Drops what was answered for an account that changed: it is known to be wrong, so it is not even stale.
    pub fn forget(&mut self, account: &Aor) {
        let key = |rest| Key { account: account.clone(), rest };
        let range = key([0; 32])..=key([255; 32]);
        for generation in [&mut self.young, &mut self.old] {
            generation.extract_if(range.clone(), |_, _| true).for_each(drop);
        }
    }

    /// Any account may have changed: nothing that was answered until now is fresh.
    pub fn doubt(&mut self) {
        self.era += 1;
    }

    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    fn find_key(&mut self, key: &Key, now: Instant) -> Option<Found> {
        if let Some(kept) = self.old.remove(key) {
            self.keep(key.clone(), kept);
        }
        let kept = self.young.get(key)?;
        let (answer, left) = (kept.answer.clone(), kept.fresh_until - now);
        if kept.era == self.era && !left.is_zero() {
            return Some(Found::Fresh(answer, left));
        }
        (now < kept.fresh_until + self.stale_for).then_some(Found::Stale(answer))
    }

    fn keep(&mut self, key: Key, kept: Kept) {
        if self.young.len() >= self.generation && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        // The newest answer is the only one.
        self.old.remove(&key);
        self.young.insert(key, kept);
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::{AuthoriseRequest, AuthoriseResponse, Decision, Digest};

    use super::*;
    use crate::answer::Digests;

    const MINUTE: u64 = 60_000;

    fn question(account: &str, nonce: &str) -> Question {
        Question::of(AuthoriseRequest {
            account: format!("sip:{account}@lab.test"),
            method: "SUBSCRIBE".into(),
            digest: Some(Digest { nonce: nonce.into(), ..Digest::default() }),
            ..AuthoriseRequest::default()
        })
        .unwrap()
    }

    fn answer(decision: Decision, ha1_md5: &str, cache_seconds: u32) -> Answer {
        let decision = decision.into();
        let response = AuthoriseResponse {
            decision,
            cache_seconds,
            ha1_md5: ha1_md5.into(),
            ..AuthoriseResponse::default()
        };
        Answer::checked(response, &question("alice", "n"), Digests::Read).unwrap()
    }

    fn verify() -> Answer {
        answer(Decision::Verify, &"ab".repeat(16), 60)
    }

    fn cache() -> Cache {
        Cache::new(100, Duration::from_secs(600))
    }

    #[test]
    fn an_answer_is_fresh_then_stale_then_gone() {
        let mut cache = cache();
        let alice = question("alice", "n");
        cache.put(&alice, &verify(), Instant(0));

        let left = Duration::from_secs(20);
        assert_eq!(cache.find(&alice, Instant(MINUTE - 20_000)), Some(Found::Fresh(verify(), left)));
        assert_eq!(cache.find(&alice, Instant(MINUTE)), Some(Found::Stale(verify())));
        assert_eq!(cache.find(&alice, Instant(11 * MINUTE - 1)), Some(Found::Stale(verify())));
        assert_eq!(cache.find(&alice, Instant(11 * MINUTE)), None);
    }

    #[test]
    fn an_ha1_serves_every_digest_and_a_checked_digest_itself_alone() {
        let mut cache = cache();
        cache.put(&question("alice", "n1"), &verify(), Instant(0));
        for decision in [Decision::Allow, Decision::Deny] {
            cache.put(&question("bob", "n1"), &answer(decision, "", 60), Instant(0));

            assert!(matches!(cache.find(&question("bob", "n1"), Instant(1)), Some(Found::Fresh(..))));
            assert_eq!(cache.find(&question("bob", "n2"), Instant(1)), None);
        }

        assert!(matches!(cache.find(&question("alice", "n2"), Instant(1)), Some(Found::Fresh(..))));
    }

    #[test]
    fn an_answer_without_a_life_is_not_kept() {
        let mut cache = cache();
        cache.put(&question("alice", "n"), &answer(Decision::Allow, "", 0), Instant(0));

        assert_eq!(cache.find(&question("alice", "n"), Instant(0)), None);
    }

    #[test]
    fn an_account_that_changed_is_forgotten_and_nobody_else() {
        let mut cache = cache();
        for account in ["alice", "bob"] {
            cache.put(&question(account, "n"), &verify(), Instant(0));
        }
        cache.put(&question("alice", "n"), &answer(Decision::Allow, "", 60), Instant(0));

        cache.forget(&Aor::parse("sip:alice@lab.test").unwrap());

        assert_eq!(cache.find(&question("alice", "n"), Instant(1)), None);
        assert!(matches!(cache.find(&question("bob", "n"), Instant(1)), Some(Found::Fresh(..))));
    }

    #[test]
    fn in_doubt_everything_is_stale_until_it_is_answered_again() {
        let mut cache = cache();
        let alice = question("alice", "n");
        cache.put(&alice, &verify(), Instant(0));

        cache.doubt();

        assert_eq!(cache.find(&alice, Instant(1)), Some(Found::Stale(verify())));
        cache.put(&alice, &verify(), Instant(2));
        assert!(matches!(cache.find(&alice, Instant(3)), Some(Found::Fresh(..))));
    }

    #[test]
    fn a_full_cache_keeps_what_was_asked_lately() {
        let mut cache = cache();
        let alice = question("alice", "n");
        cache.put(&alice, &verify(), Instant(0));

        for number in 0..1000 {
            cache.put(&question(&format!("u{number}"), "n"), &verify(), Instant(0));
            assert!(cache.find(&alice, Instant(1)).is_some(), "lost after {number}");
            assert!(cache.len() <= 100);
        }
        assert_eq!(cache.find(&question("u1", "n"), Instant(1)), None);
    }
}
