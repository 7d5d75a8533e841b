//! Requests in flight: which manager has each, when another should get it, and when nobody will answer.
//!
//! Silence and refusal differ. A manager that answered 503 has not done what was asked, and one whose queue was full
//! never saw it; of a manager that is silent or whose connection broke nobody knows. So the sender is told 503 only
//! when every manager refused. While the fate of a copy is unknown the request is tried again, ever more slowly, until
//! its sender has given up; repeats are harmless, for managers give them their first answer.
//!
//! A refusal differs from nobody being there, too. A manager that still says that it serves when it has refused is
//! overloaded, and the sender hears so soon. While none serves, as when the last one is being replaced, a request waits
//! here, and goes out to the first that comes back; only after [`Bounds::hold`] its sender is told 503.
//!
//! A request that was answered leaves its key behind until its sender has stopped repeating it ([`answered`]): a repeat
//! that crossed the answer is the same request, of which one copy has been taken, and is never told 503.
//!
//! Nothing here sends or reads a clock: the caller drains [`Window::poll_output`] after every call.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use sip::Instant;

use crate::branch::Key;
use crate::route::{Order, Peer, Standings};

mod answered;
mod in_flight;

use answered::Answered;
use in_flight::InFlight;

pub struct Window {
    bounds: Bounds,
    entries: HashMap<Key, InFlight>,
    answered: Answered,
    bytes: usize,
    admitted: u64,
    timers: BTreeSet<(Instant, Key)>,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub requests: usize,
    pub bytes: usize,
    /// How long a peer may be silent before the next one is tried.
    pub patience: Duration,
    /// So long after it came, a request that nobody takes is refused.
    pub hold: Duration,
    /// How long a refusal by everybody is put to the test.
    pub pause: Duration,
    /// How long a request is kept at all, and its key after it was answered.
    pub give_up: Duration,
    /// So many keys of answered requests are remembered; beyond them the oldest is forgotten, and its repeat is new.
    pub answered: usize,
}

/// What the caller must do.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Send to this peer; call [`Window::unsent`] if that is impossible.
    Send { key: Key, peer: Peer, request: Bytes, retry: bool },
    /// Nobody took it: answer 503.
    Refuse { request: Bytes },
    /// Forgotten without an answer.
    GaveUp,
}

/// Requests inside a dialog keep a tenth of the window for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    InDialog,
    New,
}

/// The window has no room; the request is answered 503.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("as many requests are in flight as may be")]
pub struct Full;

impl Window {
    pub fn new(bounds: Bounds) -> Window {
        // Without any wait between them, rounds would never end.
        let at_least = |wait: Duration| wait.max(Duration::from_millis(1));
        let (patience, pause) = (at_least(bounds.patience), at_least(bounds.pause));
        Window {
            bounds: Bounds { patience, pause, ..bounds },
            entries: HashMap::new(),
            answered: Answered::new(bounds.answered, bounds.give_up),
            bytes: 0,
            admitted: 0,
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes a request and sends it to the best peer. One that is already in flight is sent once more to the peer
    /// that has it, or to the next if that one is down.
    pub fn admit(
        &mut self,
        key: Key,
        request: Bytes,
        order: Order,
        priority: Priority,
        standings: &Standings,
        now: Instant,
    ) -> Result<(), Full> {
        let full = self.is_full_for(priority, request.len());
        match self.entries.entry(key) {
            Entry::Occupied(mut held) => match held.get_mut().repeat(standings) {
                Some((peer, request)) => {
                    self.outputs.push_back(Output::Send { key, peer, request, retry: true });
                }
                None => self.advance(key, standings, now),
            },
            Entry::Vacant(_) if full => return Err(Full),
            Entry::Vacant(vacant) => {
                self.bytes += request.len();
                self.admitted += 1;
                let answered = self.answered.holds(key, now);
                vacant.insert(InFlight::new(key, request, self.admitted, order, answered, now));
                self.advance(key, standings, now);
            }
        }
        Ok(())
    }

    pub fn holds(&self, key: Key) -> bool {
        self.entries.contains_key(&key)
    }

    /// A final answer came. False if the request is no longer in flight.
    pub fn answered(&mut self, key: Key, now: Instant) -> bool {
        self.answered.add(key, now);
        self.remove(key).is_some()
    }

    /// How many keys of answered requests were forgotten before their time since this was asked last.
    pub fn take_crowded_out(&mut self) -> u64 {
        self.answered.take_crowded_out()
    }

    /// The peer answered 503: it has not done what was asked and will not.
    pub fn refused(&mut self, key: Key, peer: Peer, standings: &Standings, now: Instant) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let had_it = entry.decline(peer);
        if had_it || (entry.rests() && entry.is_refused()) {
            self.advance(key, standings, now);
        }
    }

    /// The request could not be sent to the peer that an output named.
    pub fn unsent(&mut self, key: Key, peer: Peer, standings: &Standings, now: Instant) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if entry.take_back(peer) {
            self.advance(key, standings, now);
        }
    }

    /// The connection to a peer broke: what it had goes to others.
    pub fn lost(&mut self, peer: Peer, standings: &Standings, now: Instant) {
        self.advance_all(|entry| entry.lose(peer), standings, now);
    }

    /// The peer serves, and did not before: it gets what nobody has.
    pub fn serving(&mut self, peer: Peer, standings: &Standings, now: Instant) {
        self.advance_all(|entry| entry.is_open_to(peer), standings, now);
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    pub fn handle_timeout(&mut self, standings: &Standings, now: Instant) {
        while let Some((due, key)) = self.timers.first().copied() {
            if due > now {
                return;
            }
            match self.entries.get_mut(&key) {
                Some(entry) if entry.gives_up_at(&self.bounds) > now => {
                    entry.begin_round();
                    self.advance(key, standings, now);
                }
                _ => {
                    self.timers.remove(&(due, key));
                    self.remove(key);
                    self.outputs.push_back(Output::GaveUp);
                }
            }
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn is_full_for(&self, priority: Priority, length: usize) -> bool {
        let (requests, bytes) = match priority {
            Priority::InDialog => (self.bounds.requests, self.bounds.bytes),
            Priority::New => (self.bounds.requests / 10 * 9, self.bounds.bytes / 10 * 9),
        };
        self.entries.len() >= requests || self.bytes + length > bytes
    }

    fn advance_all(&mut self, concerns: impl Fn(&mut InFlight) -> bool, standings: &Standings, now: Instant) {
        let concerned = self.entries.iter_mut().filter_map(|(key, entry)| {
            let number = entry.number;
            concerns(entry).then_some((number, *key))
        });
        let mut moving: Vec<_> = concerned.collect();
        // In the order in which they came.
        moving.sort_unstable();
        for (_, key) in moving {
            self.advance(key, standings, now);
        }
    }

    /// Sends to the best peer not yet tried in this round, or rests, or refuses.
    fn advance(&mut self, key: Key, standings: &Standings, now: Instant) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let retry = !entry.is_new();
        let wait = match entry.next(standings) {
            Some((peer, request)) => {
                self.outputs.push_back(Output::Send { key, peer, request, retry });
                self.bounds.patience
            }
            None if !entry.is_refused() => entry.rest(self.bounds.patience),
            None => match entry.wait(standings, &self.bounds, now) {
                Some(wait) => wait,
                None => return self.refuse(key),
            },
        };
        self.timers.remove(&(entry.due, key));
        entry.due = (now + wait).min(entry.gives_up_at(&self.bounds).max(now));
        self.timers.insert((entry.due, key));
    }

    fn refuse(&mut self, key: Key) {
        if let Some(entry) = self.remove(key) {
            self.outputs.push_back(Output::Refuse { request: entry.request });
        }
    }

    fn remove(&mut self, key: Key) -> Option<InFlight> {
        let entry = self.entries.remove(&key)?;
        self.timers.remove(&(entry.due, key));
        self.bytes -= entry.request.len();
        Some(entry)
    }
}

#[cfg(test)]
mod tests;
