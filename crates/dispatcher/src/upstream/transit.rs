//! Requests on their way to the upstream: which server has each, and when another should get it (RFC 3263 4.3).
//!
//! A server that can not be reached, that answers 503, or that says nothing for [`Bounds::silence`] is followed by the next;
//! it is asked last by all others for [`Bounds::shun`]. Until a first word comes the request is repeated over UDP, since its
//! sender may have come over a stream. From then on it is the upstream's, and only the way that it went is kept: for
//! repeats, which get their answer again, and for the CANCEL and the ACK that must follow it.
//!
//! Who is told nothing by any server is told nothing by us either, except that all of them failed: 408 is not for what is no
//! INVITE (RFC 4320), and the caller's own timer ends an INVITE. Pure: the caller drains [`Transit::poll_output`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use sip::Instant;

use super::found::{Target, Targets};
use super::share::{Shares, TooMuch};
use crate::branch::Key;
use crate::throttle::Source;

pub struct Transit<R> {
    bounds: Bounds,
    entries: BTreeMap<Key, Entry<R>>,
    /// Of those that are still tried.
    timers: BTreeSet<(Instant, Key)>,
    /// Of those that were taken.
    endings: BTreeSet<(Instant, Key)>,
    shares: Shares,
    shunned: BTreeMap<Target, Instant>,
    outputs: VecDeque<Output<R>>,
}

#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Requests that no server has answered yet. Full: a new one is answered 503.
    pub requests: usize,
    /// Bytes of those; refused alike.
    pub bytes: usize,
    /// Requests of one source among those, and as large a part of the bytes. Full: a new one is answered 480.
    pub of_source: usize,
    /// Requests that a server has taken. Beyond them the one that would be forgotten first is: its repeats count as new.
    pub taken: usize,
    /// Without a word for so long the next server is tried.
    pub silence: Duration,
    /// An unanswered request is forgotten after this, and how it went so long after its answer.
    pub give_up: Duration,
    /// A call that rings on without an answer is forgotten after this (Timer C).
    pub ringing: Duration,
    /// For so long a server that failed is asked last.
    pub shun: Duration,
}

/// What the caller must do.
#[derive(Debug, PartialEq)]
pub enum Output<R> {
    /// Send to this server; call [`Transit::unsent`] if that is impossible.
    Send { key: Key, target: Target, attempt: u8, request: R },
    /// No server takes it: answer 503.
    Refuse { request: R },
    /// Forgotten without an answer.
    GaveUp,
}

/// The way that a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub target: Target,
    pub attempt: u8,
}

/// A word of the upstream about a request.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    pub attempt: u8,
    pub status: u16,
    /// About an INVITE, of which several answers may count.
    pub is_call: bool,
}

/// What becomes of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Passage<R> {
    Pass,
    /// It is not for the phone.
    Absorb,
    /// Nor is this, but whoever has refused the call waits for an ACK.
    Acknowledge {
        request: R,
        way: Way,
    },
}

struct Entry<R> {
    targets: Targets,
    at: usize,
    /// Those up to this one were asked.
    reached: usize,
    state: State<R>,
    /// As its timer says.
    due: Instant,
}

enum State<R> {
    Tried {
        request: R,
        toll: Toll,
        silent_at: Instant,
        ends_at: Instant,
        pause: Duration,
    },
    /// A call for which several servers were asked keeps its request: another one may still refuse it, and waits for an ACK.
    Taken {
        answered: bool,
        kept: Option<(R, Toll)>,
        /// When its sender said it again.
        repeated: Option<Instant>,
    },
}

/// What a request that is still tried takes of the room, and whose share of it; nobody's, of whoever brings the requests
/// of many.
#[derive(Clone, Copy, Debug)]
pub struct Toll {
    pub bytes: usize,
    pub source: Option<Source>,
}

/// T1 and T2 of RFC 3261 17.1.2.2.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// Nobody who waits for an answer repeats a request faster (T1 is half a second); what does is not taken further.
const BETWEEN_REPEATS: Duration = Duration::from_millis(200);
/// So many failed servers are known at most; a [`super::found::Found`] has fewer.
const SHUNNED: usize = 64;

impl<R: Clone> Transit<R> {
    pub fn new(bounds: Bounds) -> Transit<R> {
        Transit {
            bounds,
            entries: BTreeMap::new(),
            timers: BTreeSet::new(),
            endings: BTreeSet::new(),
            shares: Shares::new(bounds.requests, bounds.bytes, bounds.of_source),
            shunned: BTreeMap::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes a request for the first of these servers, which are in their order. A repeat of one that is taken goes the same
    /// way again; of one that is still tried it says nothing new.
    pub fn admit(
        &mut self,
        key: Key,
        request: R,
        toll: Toll,
        targets: Targets,
        now: Instant,
    ) -> Result<(), TooMuch> {
        if let Some(entry) = self.entries.get_mut(&key) {
            if let State::Taken { answered, repeated, .. } = &mut entry.state {
                if repeated.is_some_and(|before| now < before + BETWEEN_REPEATS) {
                    return Ok(());
                }
                *repeated = Some(now);
                // The sender has not heard the answer, so the next one is for it.
                *answered = false;
                let Way { target, attempt } = entry.way();
                self.outputs.push_back(Output::Send { key, target, attempt, request });
            }
            return Ok(());
        }
        // Whoever looked for servers a moment ago may have found none, counting on an entry that has gone since.
        if targets.is_empty() {
            return Err(TooMuch::InAll);
        }
        self.shares.take(toll)?;
        let ends_at = now + self.bounds.give_up;
        let state = State::Tried { request, toll, silent_at: now, ends_at, pause: FIRST_PAUSE };
        self.timers.insert((now, key));
        self.entries.insert(key, Entry { targets, at: 0, reached: 0, state, due: now });
        self.attempt(key, 0, now);
        Ok(())
    }

    /// The way that a request went, if it is known.
    pub fn way(&self, key: Key) -> Option<Way> {
        self.entries.get(&key).map(Entry::way)
    }

    /// These servers as they would be tried now.
    pub fn ranked(&self, mut targets: Targets, now: Instant) -> Targets {
        targets.sort_by_key(|target| self.shunned.get(target).is_some_and(|until| now < *until));
        targets
    }

    /// Its sender does not want it any more: no further server is asked.
    pub fn cancelled(&mut self, key: Key) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.targets.truncate(entry.at + 1);
        }
    }

    pub fn heard(&mut self, key: Key, word: Word, now: Instant) -> Passage<R> {
        let Some(entry) = self.entries.get_mut(&key) else { return Passage::Pass };
        let is_current = usize::from(word.attempt) == entry.at;
        let by = entry.targets.get(usize::from(word.attempt)).copied();
        let is_refused = word.status == 503;
        let is_final = word.status >= 200;
        let passage = match entry.state {
            State::Tried { .. } if is_refused && is_current && entry.at + 1 < entry.targets.len() => {
                let (next, passage) = (entry.at + 1, entry.absorbed(word));
                self.shun(by, now);
                self.attempt(key, next, now);
                return passage;
            }
            _ if is_refused && !is_current => entry.absorbed(word),
            // A server that was given up on says no to what another one has taken.
            State::Taken { .. } if word.status >= 300 && !is_current => entry.absorbed(word),
            State::Taken { answered: true, .. } if is_final && !word.is_call => Passage::Absorb,
            State::Taken { .. } => {
                self.settle(key, word, now);
                Passage::Pass
            }
            State::Tried { .. } => {
                // Whichever server took it, it is that one's from now on.
                entry.at = usize::from(word.attempt).min(entry.targets.len() - 1);
                self.settle(key, word, now);
                Passage::Pass
            }
        };
        match by {
            Some(by) if !is_refused => drop(self.shunned.remove(&by)),
            by if is_current => self.shun(by, now),
            _ => {}
        }
        passage
    }

    /// A server can not be reached: what it has not answered goes to the next, and it is asked last.
    pub fn failed(&mut self, target: Target, now: Instant) {
        self.shun(Some(target), now);
        self.lost(target, now);
    }

    /// The connection to a server broke, which may mean no more than that it was idle.
    pub fn lost(&mut self, target: Target, now: Instant) {
        let concerned =
            self.entries.iter().filter(|(_, entry)| entry.is_tried() && entry.way().target == target);
        for key in concerned.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.unsent(key, now);
        }
    }

    /// The request could not be sent to the server that an output named.
    pub fn unsent(&mut self, key: Key, now: Instant) {
        let Some(entry) = self.entries.get(&key) else { return };
        match entry.at + 1 {
            next if next < entry.targets.len() && entry.is_tried() => self.attempt(key, next, now),
            _ if entry.is_tried() => {
                if let Some(State::Tried { request, .. }) = self.remove(key) {
                    self.outputs.push_back(Output::Refuse { request });
                }
            }
            _ => {}
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((due, key)) = self.endings.first().copied().filter(|(due, _)| *due <= now) {
            self.endings.remove(&(due, key));
            self.remove(key);
        }
        while let Some((_, key)) = self.timers.first().copied().filter(|(due, _)| *due <= now) {
            self.wake(key, now);
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.timers.first(), self.endings.first()].into_iter().flatten().map(|(due, _)| *due).min()
    }

    pub fn poll_output(&mut self) -> Option<Output<R>> {
        self.outputs.pop_front()
    }

    /// Requests that no server has answered.
    pub fn unanswered(&self) -> usize {
        self.timers.len()
    }

    fn wake(&mut self, key: Key, now: Instant) {
        let Some(entry) = self.entries.get(&key) else { return };
        let State::Tried { silent_at, ends_at, .. } = &entry.state else { return };
        let (is_over, is_silent) = (now >= *ends_at, now >= *silent_at);
        let (at, target) = (entry.at, entry.way().target);
        if is_over {
            self.remove(key);
            self.outputs.push_back(Output::GaveUp);
        } else if is_silent && at + 1 < entry.targets.len() {
            self.shun(Some(target), now);
            self.attempt(key, at + 1, now);
        } else {
            self.repeat(key, now);
        }
    }

    /// Sends to the server at this place.
    fn attempt(&mut self, key: Key, at: usize, now: Instant) {
        let silence = self.bounds.silence;
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.at = at;
        entry.reached = entry.reached.max(at);
        if let State::Tried { silent_at, pause, .. } = &mut entry.state {
            *silent_at = now + silence;
            *pause = FIRST_PAUSE;
        }
        self.repeat(key, now);
    }

    /// Sends over UDP, and over a stream the first time; and sets the timer for what comes next.
    fn repeat(&mut self, key: Key, now: Instant) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let Way { target, attempt } = entry.way();
        let is_last = entry.at + 1 >= entry.targets.len();
        let State::Tried { request, silent_at, ends_at, pause, .. } = &mut entry.state else { return };
        if !target.transport.reliable() || *pause == FIRST_PAUSE {
            let request = request.clone();
            self.outputs.push_back(Output::Send { key, target, attempt, request });
        }
        let mut due = (now + *pause).min(*ends_at);
        if !is_last {
            due = due.min(*silent_at);
        }
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        self.timers.remove(&(entry.due, key));
        entry.due = due;
        self.timers.insert((due, key));
    }

    /// A server has it: what is left to know is the way.
    fn settle(&mut self, key: Key, word: Word, now: Instant) {
        let is_final = word.status >= 200;
        let life = if is_final { self.bounds.give_up } else { self.bounds.ringing };
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let before = (entry.due, key);
        let empty = State::Taken { answered: is_final, kept: None, repeated: None };
        entry.state = match std::mem::replace(&mut entry.state, empty) {
            State::Tried { request, toll, .. } => {
                self.timers.remove(&before);
                let may_refuse_yet = word.is_call && entry.reached > 0;
                if !may_refuse_yet {
                    self.shares.give_back(toll);
                }
                let kept = may_refuse_yet.then_some((request, toll));
                State::Taken { answered: is_final, kept, repeated: None }
            }
            State::Taken { answered, kept, repeated } => {
                self.endings.remove(&before);
                State::Taken { answered: answered | is_final, kept, repeated }
            }
        };
        entry.due = now + life;
        self.endings.insert((entry.due, key));
        if self.endings.len() > self.bounds.taken
            && let Some((_, oldest)) = self.endings.pop_first()
        {
            self.remove(oldest);
        }
    }

    fn shun(&mut self, target: Option<Target>, now: Instant) {
        let Some(target) = target else { return };
        self.shunned.retain(|_, until| now < *until);
        if self.shunned.len() < SHUNNED {
            self.shunned.insert(target, now + self.bounds.shun);
        }
    }

    fn remove(&mut self, key: Key) -> Option<State<R>> {
        let entry = self.entries.remove(&key)?;
        self.timers.remove(&(entry.due, key));
        if let State::Tried { toll, .. } | State::Taken { kept: Some((_, toll)), .. } = &entry.state {
            self.shares.give_back(*toll);
        }
        Some(entry.state)
    }
}

impl<R: Clone> Entry<R> {
    /// What becomes of a word that is not for the phone.
    fn absorbed(&self, word: Word) -> Passage<R> {
        let (State::Tried { request, .. } | State::Taken { kept: Some((request, _)), .. }) = &self.state
        else {
            return Passage::Absorb;
        };
        match self.targets.get(usize::from(word.attempt)) {
            Some(target) if word.is_call && word.status >= 300 => Passage::Acknowledge {
                request: request.clone(),
                way: Way { target: *target, attempt: word.attempt },
            },
            _ => Passage::Absorb,
        }
    }
}

impl<R> Entry<R> {
    fn is_tried(&self) -> bool {
        matches!(self.state, State::Tried { .. })
    }

    fn way(&self) -> Way {
        Way { target: self.targets[self.at], attempt: u8::try_from(self.at).unwrap_or(u8::MAX) }
    }
}

#[cfg(test)]
mod tests;
