//! The commands proposed on this node whose fate is open, in the order they came.
//!
//! A command waits until it is taken to a leader. From then on a leader may have it in its log, so it is taken to the
//! next leader again, with the same ticket, until it is seen in this node's own log. One that no leader ever took
//! fails after `leaderless_wait`; one that a leader may have taken is given up, its fate unknown, after `give_up`.
//! At `capacity` open commands the next one is refused.
//!
//! A value: time is an argument, the courier moves the commands.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::groups::Full;

#[derive(Debug)]
pub struct Outbox {
    patience: Patience,
    capacity: usize,
    /// By place; places rise, so the oldest command comes first.
    open: BTreeMap<Place, Open>,
    places: HashMap<u64, Place>,
    waiting: BTreeSet<Place>,
    next: Place,
    /// Commands that can never be proposed; they end at the next tick.
    doomed: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub leaderless_wait: Duration,
    pub repropose_after: Duration,
    pub give_up: Duration,
}

type Place = u64;

#[derive(Debug)]
struct Open {
    ticket: u64,
    command: Bytes,
    since: Instant,
    /// When it was last taken to a leader; only meaningful while it does not wait.
    taken_at: Instant,
    /// A leader may have it.
    exposed: bool,
}

/// A command on its way to a leader.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    place: Place,
    was_exposed: bool,
    pub ticket: u64,
    pub command: Bytes,
}

/// How a command ended that was not seen in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Failed { ticket: u64 },
    Lost { ticket: u64 },
}

impl Outbox {
    pub fn new(capacity: usize, patience: Patience) -> Outbox {
        let (open, places, waiting, doomed) = Default::default();
        Outbox { patience, capacity, open, places, waiting, next: 0, doomed }
    }

    pub fn propose(&mut self, ticket: u64, command: Bytes, now: Instant) -> Result<(), Full> {
        if self.len() >= self.capacity {
            return Err(Full);
        }
        let place = self.next;
        self.next += 1;
        self.open.insert(place, Open { ticket, command, since: now, taken_at: now, exposed: false });
        self.places.insert(ticket, place);
        self.waiting.insert(place);
        Ok(())
    }

    /// A command that no entry can hold: it fails.
    pub fn doom(&mut self, ticket: u64) -> Result<(), Full> {
        if self.len() >= self.capacity {
            return Err(Full);
        }
        self.doomed.push(ticket);
        Ok(())
    }

    /// The oldest commands that wait: at least one if any does, more while they stay below both limits.
    pub fn take(&mut self, max_commands: usize, max_bytes: usize, now: Instant) -> Vec<Taken> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(&place) = self.waiting.first() {
            let Some(open) = self.open.get_mut(&place) else {
                self.waiting.remove(&place);
                continue;
            };
            bytes += open.command.len();
            if !batch.is_empty() && (batch.len() >= max_commands || bytes > max_bytes) {
                break;
            }
            self.waiting.remove(&place);
            let was_exposed = std::mem::replace(&mut open.exposed, true);
            open.taken_at = now;
            batch.push(Taken { place, was_exposed, ticket: open.ticket, command: open.command.clone() });
        }
        batch
    }

    /// The leader took nothing of the batch.
    pub fn refused(&mut self, batch: &[Taken]) {
        for taken in batch {
            if let Some(open) = self.open.get_mut(&taken.place) {
                open.exposed = taken.was_exposed;
                self.waiting.insert(taken.place);
            }
        }
    }

    /// Nobody knows whether the leader took the batch.
    pub fn unanswered(&mut self, batch: &[Taken]) {
        self.waiting
            .extend(batch.iter().map(|taken| taken.place).filter(|place| self.open.contains_key(place)));
    }

    /// What the former leader had may be gone with it.
    pub fn leader_changed(&mut self) {
        self.waiting.extend(self.open.keys().copied());
    }

    /// The command stands in the log. False if it was already known, or given up.
    pub fn committed(&mut self, ticket: u64) -> bool {
        match self.places.remove(&ticket) {
            Some(place) => {
                self.waiting.remove(&place);
                self.open.remove(&place);
                true
            }
            None => false,
        }
    }

    /// Ends what waited too long, and lets commands that should long be in the log wait for a leader again.
    pub fn tick(&mut self, now: Instant) -> Vec<Fate> {
        let patience = self.patience;
        let soonest = patience.leaderless_wait.min(patience.repropose_after).min(patience.give_up);
        let mut ended: Vec<Fate> = self.doomed.drain(..).map(|ticket| Fate::Failed { ticket }).collect();
        for (&place, open) in &self.open {
            let age = now.saturating_duration_since(open.since);
            if age < soonest {
                break;
            }
            let ticket = open.ticket;
            if open.exposed && age >= patience.give_up {
                ended.push(Fate::Lost { ticket });
            } else if !open.exposed && age >= patience.leaderless_wait {
                ended.push(Fate::Failed { ticket });
            } else if now.saturating_duration_since(open.taken_at) >= patience.repropose_after {
                self.waiting.insert(place);
            }
        }
        for fate in &ended {
            let (Fate::Failed { ticket } | Fate::Lost { ticket }) = *fate;
            self.committed(ticket);
        }
        ended
    }

    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub fn len(&self) -> usize {
        self.open.len() + self.doomed.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        leaderless_wait: Duration::from_secs(3),
        repropose_after: Duration::from_secs(2),
        give_up: Duration::from_secs(10),
    };

    #[test]
    fn commands_are_taken_in_the_order_they_came() {
        let (mut outbox, now) = outbox(&[1, 2, 3]);

        assert_eq!(tickets(&outbox.take(2, 1_000, now)), [1, 2]);
        assert_eq!(tickets(&outbox.take(2, 1_000, now)), [3]);
        assert!(!outbox.has_waiting());
    }

    #[test]
    fn a_batch_keeps_to_its_bytes_but_a_large_command_goes_alone() {
        let now = Instant::now();
        let mut outbox = Outbox::new(10, PATIENCE);
        for (ticket, len) in [(1, 900), (2, 10), (3, 10)] {
            outbox.propose(ticket, Bytes::from(vec![0; len]), now).unwrap();
        }

        assert_eq!(tickets(&outbox.take(10, 100, now)), [1]);
        assert_eq!(tickets(&outbox.take(10, 100, now)), [2, 3]);
    }

    #[test]
    fn a_full_outbox_refuses_until_a_command_ends() {
        let now = Instant::now();
        let mut outbox = Outbox::new(1, PATIENCE);
        outbox.propose(1, Bytes::new(), now).unwrap();

        assert_eq!(outbox.propose(2, Bytes::new(), now), Err(Full));
        outbox.committed(1);
        assert_eq!(outbox.propose(2, Bytes::new(), now), Ok(()));
    }

    #[test]
    fn a_command_that_no_leader_took_fails() {
        let (mut outbox, now) = outbox(&[1]);
        let batch = outbox.take(10, 1_000, now);
        outbox.refused(&batch);

        assert_eq!(outbox.tick(now + Duration::from_millis(2_999)), []);
        assert_eq!(outbox.tick(now + Duration::from_secs(3)), [Fate::Failed { ticket: 1 }]);
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn a_command_that_a_leader_may_have_is_lost_and_never_failed() {
        let (mut outbox, now) = outbox(&[1]);
        let batch = outbox.take(10, 1_000, now);
        outbox.unanswered(&batch);
        let again = outbox.take(10, 1_000, now);
        outbox.refused(&again);

        assert_eq!(outbox.tick(now + Duration::from_millis(9_999)), []);
        assert_eq!(outbox.tick(now + Duration::from_secs(10)), [Fate::Lost { ticket: 1 }]);
    }

    #[test]
    fn the_next_leader_gets_everything_that_is_open_in_the_same_order() {
        let (mut outbox, now) = outbox(&[1, 2, 3]);
        outbox.take(2, 1_000, now);
        outbox.committed(1);
        outbox.leader_changed();

        assert_eq!(tickets(&outbox.take(10, 1_000, now)), [2, 3]);
    }

    #[test]
    fn a_command_that_should_long_be_in_the_log_is_proposed_again() {
        let (mut outbox, now) = outbox(&[1]);
        outbox.take(10, 1_000, now);

        outbox.tick(now + Duration::from_secs(1));
        assert!(!outbox.has_waiting());
        outbox.tick(now + Duration::from_secs(2));
        assert!(outbox.has_waiting());
    }

    #[test]
    fn a_command_that_no_entry_can_hold_fails_and_is_never_taken() {
        let (mut outbox, now) = outbox(&[]);
        outbox.doom(1).unwrap();

        assert_eq!(outbox.take(10, 1_000, now), []);
        assert_eq!(outbox.tick(now), [Fate::Failed { ticket: 1 }]);
        assert_eq!(outbox.tick(now), []);
    }

    #[test]
    fn a_command_ends_once() {
        let (mut outbox, now) = outbox(&[1]);
        let batch = outbox.take(10, 1_000, now);

        assert!(outbox.committed(1));
        assert!(!outbox.committed(1));
        outbox.refused(&batch);
        outbox.unanswered(&batch);
        assert!(!outbox.has_waiting());
        assert_eq!(outbox.tick(now + Duration::from_secs(20)), []);
    }

    fn outbox(tickets: &[u64]) -> (Outbox, Instant) {
        let now = Instant::now();
        let mut outbox = Outbox::new(10, PATIENCE);
        for &ticket in tickets {
            outbox.propose(ticket, Bytes::from_static(b"x"), now).unwrap();
        }
        (outbox, now)
    }

    fn tickets(batch: &[Taken]) -> Vec<u64> {
        batch.iter().map(|taken| taken.ticket).collect()
    }
}
