//! From a question to its answer: the cache, then one call for all who ask the same, then what is left when billing fails.
//!
//! The rules are values (`question`, `answer`, `cache`, `breaker`); here they meet the clock and the back end. The lock
//! is never held while a call is under way, so a slow billing system stalls nobody whom the cache can answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use proto::v1::{AuthoriseRequest, AuthoriseResponse, Decision, InvalidatedAccounts, Proof};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

use crate::answer::{Answer, Digests};
use crate::backend::{Backend, Change, Failure};
use crate::breaker::{Breaker, Permit, State as Circuit};
use crate::cache::{Cache, Found};
use crate::config::{Fallback, Rules};
use crate::metrics;
use crate::question::{Key, Question};

/// How often a call is repeated because the account changed while it was under way. After that nobody knows.
const TRIES: usize = 3;
/// Messages to managers that one of them may lag behind; beyond that it is told that all accounts may have changed.
const TOLD: usize = 64;
/// Bad answers are counted each and put into the log this seldom.
const COMPLAIN_EVERY: std::time::Duration = std::time::Duration::from_secs(10);

pub struct Authoriser {
    backend: Arc<dyn Backend>,
    rules: Rules,
    state: Mutex<State>,
    told: broadcast::Sender<InvalidatedAccounts>,
    started: Instant,
}

struct State {
    cache: Cache,
    breaker: Breaker,
    flights: BTreeMap<Key, Flight>,
    complain_at: sip::Instant,
}

/// A call that is under way.
struct Flight {
    /// What it brought; its sender is gone when it brought nothing.
    landed: watch::Receiver<Option<Answer>>,
    /// The account changed since it was asked.
    outdated: bool,
}

/// Nobody knows: billing does not answer, and what it said before is gone or was never asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("billing does not answer, and nothing is remembered of this question")]
pub struct NobodyKnows;

enum Look {
    Fresh(AuthoriseResponse),
    Flight(watch::Receiver<Option<Answer>>),
    Grounded,
}

impl Authoriser {
    pub fn new(backend: Arc<dyn Backend>, rules: Rules) -> Authoriser {
        let open = rules.when_down.open();
        if !open.is_empty() {
            warn!(?open, "While billing fails, anybody is let in WITHOUT A PASSWORD (auth.when_down)");
        }
        let state = State {
            cache: Cache::new(rules.cache_entries, rules.stale_for),
            breaker: Breaker::new(rules.breaker),
            flights: BTreeMap::new(),
            complain_at: sip::Instant(0),
        };
        let (told, _) = broadcast::channel(TOLD);
        Authoriser { backend, rules, state: Mutex::new(state), told, started: Instant::now() }
    }

    pub async fn authorise(
        self: &Arc<Self>,
        request: AuthoriseRequest,
    ) -> Result<AuthoriseResponse, NobodyKnows> {
        let question = match Question::of(request) {
            Ok(question) => Arc::new(question),
            Err(not_asked) => {
                metrics::question(None, "deny");
                return Ok(Answer::denied(&not_asked.to_string()));
            }
        };
        let answer = match self.look(&question) {
            Look::Fresh(answer) => Ok(answer),
            Look::Flight(flight) => match Authoriser::wait(&question, flight).await {
                Some(answer) => Ok(answer.told(answer.life())),
                None => self.without_billing(&question),
            },
            Look::Grounded => self.without_billing(&question),
        };
        metrics::question(Some(question.method), answer.as_ref().map_or("unavailable", outcome));
        answer
    }

    /// What managers are told of accounts that change, from now on.
    pub fn changes(&self) -> broadcast::Receiver<InvalidatedAccounts> {
        self.told.subscribe()
    }

    /// Follows the back end's changes, for ever.
    pub async fn follow(&self) {
        let (tell, mut changes) = mpsc::channel(1);
        let heed = async {
            while let Some(change) = changes.recv().await {
                self.heed(change);
            }
        };
        tokio::join!(self.backend.follow(tell), heed);
        std::future::pending().await
    }

    /// Our own memory goes first: whoever is told may ask at once.
    fn heed(&self, change: Change) {
        self.state.lock().heed(&change);
        let told = match change {
            Change::Lost => return,
            Change::Everybody => {
                metrics::invalidated("all", 1);
                InvalidatedAccounts { all: true, ..InvalidatedAccounts::default() }
            }
            Change::Accounts(named) => {
                metrics::invalidated("account", named.len());
                InvalidatedAccounts { accounts: named.iter().map(ToString::to_string).collect(), all: false }
            }
        };
        // Without a manager that listens there is nobody to tell.
        let _ = self.told.send(told);
    }

    fn look(self: &Arc<Self>, question: &Arc<Question>) -> Look {
        let now = self.now();
        let mut state = self.state.lock();
        if let Some(Found::Fresh(answer, left)) = state.cache.find(question, now) {
            metrics::cache("fresh");
            return Look::Fresh(answer.told(left));
        }
        metrics::cache("miss");
        let key = match self.backend.digests() {
            Digests::Read => question.key_with_digest().unwrap_or_else(|| question.key()),
            Digests::Ignored => question.key(),
        };
        if let Some(flight) = state.flights.get(&key) {
            metrics::joined();
            return Look::Flight(flight.landed.clone());
        }
        if state.flights.len() >= self.rules.in_flight {
            metrics::full();
            return Look::Grounded;
        }
        let Some(permit) = state.breaker.admit(now) else { return Look::Grounded };
        let (land, landed) = watch::channel(None);
        state.flights.insert(key.clone(), Flight { landed: landed.clone(), outdated: false });
        state.show();
        let ticket = Ticket { authoriser: self.clone(), key, permit: Some(permit) };
        tokio::spawn(ticket.fly(question.clone(), land));
        Look::Flight(landed)
    }

    async fn wait(question: &Question, mut flight: watch::Receiver<Option<Answer>>) -> Option<Answer> {
        let landed = flight.wait_for(Option::is_some);
        // A call ends at its own deadline, so whoever set none waits no longer than that.
        let landed = match question.patience() {
            Some(patience) => timeout(patience, landed).await.ok()?,
            None => landed.await,
        };
        landed.ok()?.clone()
    }

    fn without_billing(&self, question: &Question) -> Result<AuthoriseResponse, NobodyKnows> {
        let now = self.now();
        let found = self.state.lock().cache.find(question, now);
        let answer = match found {
            Some(Found::Fresh(answer, left)) => return Ok(answer.told(left)),
            Some(Found::Stale(answer)) => answer,
            None => return self.when_down(question),
        };
        metrics::cache("stale");
        Ok(answer.told(std::time::Duration::ZERO))
    }

    fn when_down(&self, question: &Question) -> Result<AuthoriseResponse, NobodyKnows> {
        // Open is for a billing system that is down, not for one that is busy or has a bad record; and it makes nobody a
        // watcher who waits for approval in a dialog.
        let is_down = !self.state.lock().breaker.is_closed();
        match self.rules.when_down.of(question.method) {
            Fallback::Open if is_down && question.proof() != Proof::Dialog => {
                metrics::when_down(question.method, "open");
                let decision = Decision::Allow.into();
                Ok(AuthoriseResponse { decision, ..AuthoriseResponse::default() })
            }
            Fallback::Closed | Fallback::Open => {
                metrics::when_down(question.method, "closed");
                Err(NobodyKnows)
            }
        }
    }

    fn now(&self) -> sip::Instant {
        sip::Instant(0) + self.started.elapsed()
    }
}

/// The right to one call; giving it up, however that happens, takes the call off the list.
struct Ticket {
    authoriser: Arc<Authoriser>,
    key: Key,
    permit: Option<Permit>,
}

impl Ticket {
    async fn fly(mut self, question: Arc<Question>, land: watch::Sender<Option<Answer>>) {
        let until = Instant::now() + self.authoriser.rules.deadline;
        for _ in 0..TRIES {
            let called = self.call(&question, until).await;
            let mut state = self.authoriser.state.lock();
            let now = self.authoriser.now();
            if let Some(permit) = self.permit.take() {
                state.report(permit, &called, now);
            }
            let outdated =
                state.flights.get_mut(&self.key).is_some_and(|flight| std::mem::take(&mut flight.outdated));
            match called {
                Ok(answer) if !outdated => {
                    state.cache.put(&question, &answer, now);
                    land.send_replace(Some(answer));
                    return;
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    async fn call(&self, question: &Question, until: Instant) -> Result<Answer, Failure> {
        let Authoriser { backend, rules, .. } = &*self.authoriser;
        let began = Instant::now();
        let called = match timeout_at(until, backend.authorise(question, rules.deadline)).await {
            Ok(Ok(response)) => Answer::checked(response, question, backend.digests())
                .map_err(|bad| Failure::Bad(format!("billing's answer is none: {bad}"))),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(Failure::Unanswered(format!("no answer within {} ms", rules.deadline.as_millis()))),
        };
        metrics::call(began.elapsed(), called.as_ref().err());
        called
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let now = self.authoriser.now();
        let mut state = self.authoriser.state.lock();
        state.flights.remove(&self.key);
        if let Some(permit) = self.permit.take() {
            state.breaker.unanswered(permit, now);
        }
        state.show();
    }
}

impl State {
    fn heed(&mut self, change: &Change) {
        let Change::Accounts(named) = change else {
            self.cache.doubt();
            self.flights.values_mut().for_each(|flight| flight.outdated = true);
            return;
        };
        named.iter().for_each(|account| self.cache.forget(account));
        let named: BTreeSet<_> = named.iter().collect();
        for (key, flight) in &mut self.flights {
            flight.outdated |= named.contains(&key.account);
        }
    }

    /// What a call says of the back end.
    fn report(&mut self, permit: Permit, called: &Result<Answer, Failure>, now: sip::Instant) {
        let was_closed = matches!(self.breaker.state(), Circuit::Closed { .. });
        match called {
            Ok(_) => self.breaker.answered(permit),
            Err(Failure::Bad(reason)) => {
                self.breaker.answered_badly(permit);
                if now >= self.complain_at {
                    self.complain_at = now + COMPLAIN_EVERY;
                    warn!(reason, "Billing gives bad answers");
                }
            }
            Err(Failure::Unanswered(reason)) => {
                self.breaker.unanswered(permit, now);
                if was_closed && !matches!(self.breaker.state(), Circuit::Closed { .. }) {
                    warn!(reason, "Billing does not answer: it is asked now and then only");
                }
            }
        }
        if !was_closed && matches!(self.breaker.state(), Circuit::Closed { .. }) {
            info!("Billing answers again");
        }
    }

    fn show(&self) {
        metrics::gauges(self.cache.len(), self.flights.len(), self.breaker.state());
    }
}

fn outcome(response: &AuthoriseResponse) -> &'static str {
    match response.decision() {
        Decision::Allow => "allow",
        Decision::Verify => "verify",
        Decision::Pending => "pending",
        Decision::Deny | Decision::Unspecified => "deny",
    }
}

#[cfg(test)]
mod tests;
