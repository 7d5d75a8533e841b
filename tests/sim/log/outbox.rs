//! A node's own commands whose fate is open, in the order in which they came: the contract of `cluster::propose`.
//!
//! A command that no leader ever took fails after a while. One that a leader may have taken is never said to have
//! failed: it goes to the next leader again, under the same ticket, and in the end is lost: nobody knows.

use std::collections::BTreeMap;

use bytes::Bytes;

#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub leaderless: u64,
    pub propose_again: u64,
    pub give_up: u64,
}

#[derive(Debug)]
pub struct Outbox {
    patience: Patience,
    /// By ticket; tickets rise.
    open: BTreeMap<u64, Open>,
    pub under_way: Option<Batch>,
    pub not_before: u64,
    batches: u64,
}

#[derive(Debug)]
struct Open {
    command: Bytes,
    since: u64,
    taken_at: u64,
    exposed: bool,
    waits: bool,
}

/// Commands on their way to a leader.
#[derive(Debug)]
pub struct Batch {
    pub id: u64,
    pub sent_at: u64,
    /// With whether a leader may have had each before.
    tickets: Vec<(u64, bool)>,
}

pub enum Fate {
    Failed(u64),
    Lost(u64),
}

impl Outbox {
    pub fn new(patience: Patience) -> Outbox {
        Outbox { patience, open: BTreeMap::new(), under_way: None, not_before: 0, batches: 0 }
    }

    pub fn add(&mut self, ticket: u64, command: Bytes, now: u64) {
        let open = Open { command, since: now, taken_at: now, exposed: false, waits: true };
        self.open.insert(ticket, open);
    }

    /// What waits, at most `limit` of it; gives the number of the batch.
    pub fn take(&mut self, limit: usize, now: u64) -> Option<(u64, Vec<(u64, Bytes)>)> {
        if self.under_way.is_some() || now < self.not_before {
            return None;
        }
        let (mut tickets, mut commands) = (Vec::new(), Vec::new());
        for (&ticket, open) in self.open.iter_mut().filter(|(_, open)| open.waits).take(limit) {
            tickets.push((ticket, open.exposed));
            commands.push((ticket, open.command.clone()));
            (open.waits, open.exposed, open.taken_at) = (false, true, now);
        }
        if commands.is_empty() {
            return None;
        }
        self.batches += 1;
        self.under_way = Some(Batch { id: self.batches, sent_at: now, tickets });
        Some((self.batches, commands))
    }

    /// The leader took the batch, or nothing of it.
    pub fn answered(&mut self, id: u64, taken: bool, now: u64) {
        let Some(batch) = self.under_way.take_if(|batch| batch.id == id) else { return };
        if taken {
            return;
        }
        for (ticket, was_exposed) in batch.tickets {
            if let Some(open) = self.open.get_mut(&ticket) {
                (open.waits, open.exposed) = (true, was_exposed);
            }
        }
        self.not_before = now + 50;
    }

    /// Nobody answered: the leader may have the batch or not.
    pub fn unanswered(&mut self) {
        for (ticket, _) in self.under_way.take().into_iter().flat_map(|batch| batch.tickets) {
            if let Some(open) = self.open.get_mut(&ticket) {
                open.waits = true;
            }
        }
    }

    pub fn leader_changed(&mut self) {
        self.under_way = None;
        self.open.values_mut().for_each(|open| open.waits = true);
    }

    /// The command was seen in the log.
    pub fn committed(&mut self, ticket: u64) {
        self.open.remove(&ticket);
    }

    pub fn tick(&mut self, now: u64) -> Vec<Fate> {
        if self.under_way.as_ref().is_some_and(|batch| now - batch.sent_at >= 1_000) {
            self.unanswered();
        }
        let mut ended = Vec::new();
        for (&ticket, open) in &mut self.open {
            let age = now - open.since;
            if open.exposed && age >= self.patience.give_up {
                ended.push(Fate::Lost(ticket));
            } else if !open.exposed && age >= self.patience.leaderless {
                ended.push(Fate::Failed(ticket));
            } else if now - open.taken_at >= self.patience.propose_again {
                open.waits = true;
            }
        }
        for Fate::Failed(ticket) | Fate::Lost(ticket) in &ended {
            self.open.remove(ticket);
        }
        ended
    }
}
