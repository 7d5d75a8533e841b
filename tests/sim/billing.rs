//! Billing: what it says of each account, and that it changes its mind. A question that is under way when it does gets the
//! answer of before; nodes hear of the change after a while, or after they have listened anew.

use std::collections::BTreeMap;
use std::time::Duration;

use placement::PresentityKey;
use presence_agent::verdict::{Decision, Invalidated, Proof, Question, Verdict};
use sip::digest::{Algorithm, ha1};

use crate::coverage::Seen;
use crate::event::{Event, Input};
use crate::names::{NODES, PASSWORD};
use crate::rng::Rng;
use crate::world::World;

pub struct Billing {
    opinions: BTreeMap<String, Decision>,
    /// Who was ever anything but allowed.
    suspects: BTreeMap<String, Decision>,
    /// Some billing systems keep the secrets to themselves.
    keeps_secrets: bool,
    /// How many subscriptions an account may have; 0 sets no limit.
    pub quota: u32,
    rng: Rng,
}

impl Billing {
    pub fn new(seed: u64, watchers: impl Iterator<Item = String>) -> Billing {
        let mut rng = Rng::new(seed ^ 0xb111);
        let keeps_secrets = rng.percent(30);
        let quota = if rng.percent(25) { rng.between(2, 5) as u32 } else { 0 };
        let mut billing =
            Billing { opinions: BTreeMap::new(), suspects: BTreeMap::new(), keeps_secrets, quota, rng };
        for account in watchers {
            let opinion = if billing.rng.percent(15) { Decision::Pending } else { Decision::Allow };
            billing.think(account, opinion);
        }
        billing
    }

    /// What is changed, and when: none after `until`.
    pub fn plan(&mut self, from: u64, until: u64) -> Vec<(u64, String, Decision)> {
        let accounts: Vec<_> = self.opinions.keys().cloned().collect();
        let mut plan = Vec::new();
        for account in accounts {
            for _ in 0..self.rng.between(0, 3) {
                let opinion = match self.rng.between(0, 9) {
                    0..5 => Decision::Allow,
                    5..7 => Decision::Pending,
                    _ => Decision::Deny,
                };
                plan.push((self.rng.between(from, until), account.clone(), opinion));
            }
        }
        plan
    }

    pub fn opinion(&self, account: &str) -> Decision {
        self.opinions.get(account).copied().unwrap_or(Decision::Allow)
    }

    /// Whether somebody may hear 403.
    pub fn may_refuse(&self, account: &str) -> bool {
        self.quota > 0 || self.suspects.contains_key(account)
    }

    fn think(&mut self, account: String, opinion: Decision) {
        if opinion != Decision::Allow {
            self.suspects.insert(account.clone(), opinion);
        }
        self.opinions.insert(account, opinion);
    }

    fn verdict(&mut self, question: &Question) -> Verdict {
        let opinion = match question.subject.method {
            "SUBSCRIBE" => self.opinion(&question.subject.account),
            _ => Decision::Allow,
        };
        let cache = Duration::from_secs(self.rng.between(0, 20));
        let verdict =
            Verdict { decision: opinion, cache, max_subscriptions: self.quota, ..Verdict::allowed() };
        match &question.proof {
            Proof::Digest(digest) if !self.keeps_secrets => Verdict {
                decision: if opinion == Decision::Allow { Decision::Verify } else { opinion },
                ha1_md5: ha1(Algorithm::Md5, &digest.username, &digest.realm, PASSWORD),
                ..verdict
            },
            _ => verdict,
        }
    }
}

impl World {
    /// What billing answers, when it does.
    pub(crate) fn verdict(&mut self, question: &Question) -> Verdict {
        if self.rng.percent(4) && !self.is_calm() {
            self.seen.note(Seen::VerdictUnavailable);
            return Verdict::unavailable();
        }
        self.billing.verdict(question)
    }

    pub(crate) fn billing_changes(&mut self, account: String, opinion: Decision) {
        self.trace(|| format!("billing now says {opinion:?} of {account}"));
        self.seen.note(Seen::BillingChanged);
        let named = Invalidated::Accounts(vec![PresentityKey::restored(&account)]);
        self.billing.think(account, opinion);
        for node in 0..NODES {
            if self.billing.rng.percent(20) {
                // The stream was broken, and whatever was on it is lost.
                self.seen.note(Seen::InvalidationLost);
                self.listens_anew(node);
            } else {
                let delay = self.billing.rng.between(1, 100);
                self.tell(node, named.clone(), delay);
            }
        }
    }

    /// A node begins to hear of changes. Until then it may have missed anything.
    pub(crate) fn listens_anew(&mut self, node: usize) {
        let delay = self.billing.rng.between(1, 3_000);
        self.tell(node, Invalidated::All, delay);
    }

    fn tell(&mut self, node: usize, invalidated: Invalidated, delay: u64) {
        let incarnation = self.nodes[node].incarnation;
        let input = Input::Invalidated(invalidated);
        self.queue.push(self.now + delay, Event::AtNode { node, incarnation, input });
    }
}
