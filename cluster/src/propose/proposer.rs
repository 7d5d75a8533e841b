//! At the leader: makes log entries of what waits in the intake, in order, a bounded number in flight.
//!
//! An idle log takes a command at once in an entry of its own, and while entries are in flight the next one grows; when
//! it waits for more, `gather` says. What openraft refuses, because the leadership is gone, is dropped here: the
//! nodes it came from propose it again. When the leadership goes, nothing is in flight any more: openraft never answers
//! for an entry that a snapshot of the next leader covers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use proto::v1::LogItem;
use tokio::sync::mpsc;
use tracing::debug;

use crate::config::{Limits, MAX_UNPACKED_BYTES};
use crate::entry::{self, ITEM_OVERHEAD};
use crate::leadership::clocks::SharedClock;
use crate::propose::Proposals;
use crate::propose::gather::Gather;
use crate::raft::group::{InFlight, Leadership, LeadershipWatch, RaftGroup};

pub struct Proposer {
    pub raft: RaftGroup,
    pub proposals: Arc<Proposals>,
    pub clock: SharedClock,
    pub limits: Limits,
    pub items: mpsc::Receiver<LogItem>,
    pub watch: LeadershipWatch,
}

/// An entry on its way into the log.
struct Flight {
    submitted: InFlight,
    commands: usize,
}

impl Proposer {
    /// Ends when the group does.
    pub async fn run(mut self) {
        let mut held = VecDeque::new();
        let mut in_flight: VecDeque<Flight> = VecDeque::new();
        let mut gather = Gather::new(self.limits.gather);
        let mut leadership = Leadership::default();
        loop {
            let room = in_flight.len() < self.limits.entries_in_flight.max(1);
            let full = held.len() >= self.limits.entry_commands;
            let until = gather.until(held.len(), Instant::now()).filter(|_| !full);
            if room && !held.is_empty() && until.is_none() {
                let (entry, commands) = self.next_entry(&mut held);
                match self.raft.submit(entry).await {
                    Some(submitted) => in_flight.push_back(Flight { submitted, commands }),
                    None => return,
                }
                // More may have come meanwhile, and belongs into the next entry.
                self.top_up(&mut held);
                continue;
            }
            tokio::select! {
                now = self.watch.changed() => match now {
                    Some(now) => {
                        if (now.term, now.mine) != (leadership.term, leadership.mine) {
                            in_flight.clear();
                        }
                        leadership = now;
                    }
                    None => return,
                },
                Some(applied) = first(&mut in_flight) => {
                    if let Some(Flight { commands, .. }) = in_flight.pop_front() {
                        self.top_up(&mut held);
                        gather.applied(commands, held.len(), Instant::now());
                    }
                    if !applied {
                        debug!(group = %self.proposals.group, "An entry was refused or overruled");
                    }
                }
                more = receive(&mut self.items, &mut held), if held.is_empty() || room => if !more { return },
                () = sleep_until(until), if room && !held.is_empty() => {}
            }
            self.top_up(&mut held);
        }
    }

    /// Takes what is there, up to the commands of one entry.
    fn top_up(&mut self, held: &mut VecDeque<LogItem>) {
        while held.len() < self.limits.entry_commands.max(1)
            && let Ok(item) = self.items.try_recv()
        {
            held.push_back(item);
        }
        self.proposals.metrics.proposals_queued.set(self.items.len() as f64);
    }

    /// The entry, and how many commands it holds.
    fn next_entry(&self, held: &mut VecDeque<LogItem>) -> (Bytes, usize) {
        let (entry, count) = fill(self.clock.stamp(), held, &self.limits);
        held.drain(..count);
        self.proposals.metrics.entries_proposed.increment(1);
        self.proposals.metrics.commands_per_entry.record(count as f64);
        (entry, count)
    }
}

/// An entry of the first commands: as many as it has room for when they are packed, but always one.
fn fill(stamp: u64, held: &VecDeque<LogItem>, limits: &Limits) -> (Bytes, usize) {
    let mut bytes = 0;
    let fits = |item: &&LogItem| {
        bytes += item.command.len() + ITEM_OVERHEAD;
        bytes <= MAX_UNPACKED_BYTES
    };
    let fitting = held.iter().take(limits.entry_commands.max(1)).take_while(fits).count();
    let mut count = fitting.max(1).min(held.len());
    loop {
        let entry = entry::encode(stamp, held.iter().take(count).cloned().collect());
        if count <= 1 || entry.len() <= limits.entry_bytes {
            return (entry, count);
        }
        count = count.div_ceil(2);
    }
}

/// Waits for something to propose. False if nothing will come any more.
async fn receive(items: &mut mpsc::Receiver<LogItem>, held: &mut VecDeque<LogItem>) -> bool {
    match items.recv().await {
        Some(item) => {
            held.push_back(item);
            true
        }
        None => false,
    }
}

/// Waits for the oldest entry. `None` at once if none is in flight.
async fn first(in_flight: &mut VecDeque<Flight>) -> Option<bool> {
    Some(in_flight.front_mut()?.submitted.applied().await)
}

async fn sleep_until(until: Option<Instant>) {
    if let Some(until) = until {
        tokio::time::sleep_until(until.into()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: usize = 1000;

    /// Commands of which nothing is said twice.
    fn held(count: u64) -> VecDeque<LogItem> {
        let mut draw = 1_u64;
        let mut byte = || {
            draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (draw >> 56) as u8
        };
        let mut command = || -> Vec<u8> { (0..COMMAND).map(|_| byte()).collect() };
        (0..count).map(|ticket| LogItem { ticket, command: command().into(), ..LogItem::default() }).collect()
    }

    fn commands_in(held: &VecDeque<LogItem>, limits: &Limits) -> usize {
        let (entry, count) = fill(1, held, limits);
        assert!(count == 1 || entry.len() <= limits.entry_bytes);
        assert_eq!(entry::decode(1, entry).unwrap().commands.len(), count);
        count
    }

    #[test]
    fn commands_that_resemble_each_other_share_an_entry_beyond_its_bytes() {
        let limits = Limits::default();
        let alike = held(1).into_iter().cycle().take(200).collect();

        assert_eq!(commands_in(&alike, &limits), 200);
        assert!(commands_in(&held(200), &limits) < 200);
    }

    #[test]
    fn an_entry_holds_one_command_whatever_its_length_and_never_more_than_its_number() {
        let limits = Limits { entry_bytes: COMMAND / 2, entry_commands: 3, ..Limits::default() };

        assert_eq!(commands_in(&held(2), &limits), 1);
        assert_eq!(commands_in(&held(9), &Limits { entry_bytes: 9 * COMMAND, ..limits }), 3);
    }
}
