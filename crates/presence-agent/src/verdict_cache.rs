//! Verdicts within their cache life: how long an answer of billing is good, and for which questions.
//!
//! An answer that names an HA1 is good for every digest of that user name, each of which is held against it. One that
//! rests on a digest that billing checked is good for that very digest only: a guess of somebody else must neither use it
//! nor take its place. Both also tell what the account may do where it is proven otherwise, in a dialog or by a peer.

use std::collections::BTreeMap;

use sip::Instant;

use crate::verdict::{Decision, Digest, Proof, Question, Subject, Verdict};

/// At most `capacity` verdicts.
#[derive(Debug)]
pub(crate) struct VerdictCache {
    held: BTreeMap<(Subject, Basis), (Instant, Verdict)>,
    capacity: usize,
    /// There was no room since this was last looked at.
    overflowed: bool,
}

/// What a verdict rests on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Basis {
    /// The account is who it says, however that is known.
    Account,
    /// The HA1 of a user name in a realm came with it.
    Secret(String, String),
    /// Billing has looked at this very digest.
    Digest(Box<Digest>),
}

impl VerdictCache {
    pub fn new(capacity: usize) -> VerdictCache {
        VerdictCache { held: BTreeMap::new(), capacity, overflowed: false }
    }

    pub fn get(&self, question: &Question, now: Instant) -> Option<&Verdict> {
        let find = |basis| self.find((question.subject.clone(), basis), now);
        match &question.proof {
            Proof::Dialog | Proof::Asserted(_) => find(Basis::Account),
            Proof::Digest(digest) => find(secret(digest)).or_else(|| find(Basis::Digest(digest.clone()))),
        }
    }

    pub fn put(&mut self, question: &Question, verdict: &Verdict, now: Instant) {
        if verdict.cache.is_zero() {
            return;
        }
        let subject = &question.subject;
        let Proof::Digest(digest) = &question.proof else {
            return self.keep(subject, Basis::Account, verdict, now);
        };
        let says_who =
            verdict.has_secret() || matches!(verdict.decision, Decision::Allow | Decision::Pending);
        if says_who {
            self.keep(subject, Basis::Account, verdict, now);
        }
        let basis = if verdict.has_secret() { secret(digest) } else { Basis::Digest(digest.clone()) };
        self.keep(subject, basis, verdict, now);
    }

    pub fn forget(&mut self, account: &str) {
        let first = Subject {
            account: account.to_owned(),
            method: "",
            event: String::new(),
            presentity: String::new(),
        };
        let of_account = self.held.range((first, Basis::Account)..);
        let of_account = of_account.take_while(|((subject, _), _)| subject.account == account);
        for key in of_account.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.held.remove(&key);
        }
    }

    pub fn forget_all(&mut self) {
        self.held.clear();
    }

    pub fn take_overflowed(&mut self) -> bool {
        std::mem::take(&mut self.overflowed)
    }

    fn find(&self, key: (Subject, Basis), now: Instant) -> Option<&Verdict> {
        self.held.get(&key).filter(|(until, _)| now < *until).map(|(_, verdict)| verdict)
    }

    /// At the limit, what is out of date goes; if that is little, everything does: it only costs calls, and looking through
    /// everything again at the next one would cost more.
    fn keep(&mut self, subject: &Subject, basis: Basis, verdict: &Verdict, now: Instant) {
        if self.held.len() >= self.capacity {
            self.held.retain(|_, (until, _)| now < *until);
            if self.held.len() > self.capacity / 10 * 9 {
                self.overflowed = true;
                self.held.clear();
            }
        }
        self.held.insert((subject.clone(), basis), (now + verdict.cache, verdict.clone()));
    }
}

fn secret(digest: &Digest) -> Basis {
    Basis::Secret(digest.username.clone(), digest.realm.clone())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn asks(account: &str, proof: Proof) -> Question {
        let (account, presentity) = (account.to_owned(), "alice@lab.test".to_owned());
        let subject = Subject { account, method: "SUBSCRIBE", event: "presence".into(), presentity };
        Question { subject, proof, watcher: String::new(), realm: "lab.test".into() }
    }

    fn digest(response: &str) -> Proof {
        let text = String::new;
        Proof::Digest(Box::new(Digest {
            username: "bob".into(),
            realm: "lab.test".into(),
            nonce: text(),
            uri: text(),
            response: response.into(),
            algorithm: "MD5",
            cnonce: text(),
            nc: text(),
            qop: text(),
            method: "SUBSCRIBE".into(),
            body_hash: text(),
        }))
    }

    fn verdict(decision: Decision, ha1: &str) -> Verdict {
        let cache = Duration::from_secs(60);
        Verdict { decision, ha1_md5: ha1.into(), cache, ..Verdict::allowed() }
    }

    fn bob(proof: Proof) -> Question {
        asks("bob@lab.test", proof)
    }

    /// Which of a new digest, the same digest and a refresh in a dialog find the verdict on the digest "1".
    fn found_after(verdict: &Verdict) -> [bool; 3] {
        let mut cache = VerdictCache::new(10);
        cache.put(&bob(digest("1")), verdict, Instant(0));
        [digest("2"), digest("1"), Proof::Dialog].map(|proof| cache.get(&bob(proof), Instant(1)).is_some())
    }

    #[test]
    fn a_verdict_with_a_secret_is_good_for_every_digest_and_in_a_dialog() {
        assert_eq!(found_after(&verdict(Decision::Verify, "aa")), [true, true, true]);
        assert_eq!(found_after(&verdict(Decision::Deny, "aa")), [true, true, true]);
    }

    #[test]
    fn a_verdict_on_a_digest_that_billing_checked_is_good_for_that_very_digest() {
        assert_eq!(found_after(&verdict(Decision::Allow, "")), [false, true, true]);
        assert_eq!(found_after(&verdict(Decision::Pending, "")), [false, true, true]);
    }

    #[test]
    fn a_digest_that_billing_refused_denies_nothing_to_whoever_proves_the_account() {
        assert_eq!(found_after(&verdict(Decision::Deny, "")), [false, true, false]);
    }

    #[test]
    fn a_verdict_is_good_for_its_cache_life_and_for_the_same_account_only() {
        let mut cache = VerdictCache::new(10);
        cache.put(&bob(Proof::Dialog), &verdict(Decision::Allow, ""), Instant(0));

        assert!(cache.get(&bob(Proof::Asserted("x".into())), Instant(59_999)).is_some());
        assert!(cache.get(&bob(Proof::Dialog), Instant(60_000)).is_none());
        assert!(cache.get(&asks("carol@lab.test", Proof::Dialog), Instant(0)).is_none());
    }

    #[test]
    fn what_is_forgotten_is_all_of_one_account_and_nothing_of_another() {
        let mut cache = VerdictCache::new(10);
        for account in ["bo@lab.test", "bob@lab.test", "bob@lab.test2"] {
            cache.put(&asks(account, digest("1")), &verdict(Decision::Verify, "aa"), Instant(0));
        }

        cache.forget("bob@lab.test");

        let left = ["bo@lab.test", "bob@lab.test", "bob@lab.test2"]
            .map(|account| cache.get(&asks(account, Proof::Dialog), Instant(0)).is_some());
        assert_eq!((left, cache.held.len()), ([true, false, true], 4));
    }

    #[test]
    fn the_cache_does_not_grow_beyond_its_capacity() {
        let mut cache = VerdictCache::new(10);
        for n in 0..100 {
            let question = asks(&format!("u{n}@lab.test"), Proof::Dialog);
            cache.put(&question, &verdict(Decision::Allow, ""), Instant(0));
        }

        assert!(cache.held.len() <= 10);
    }
}
