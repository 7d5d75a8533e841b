//! A node's logs between two starts: random work, as openraft would ask for it, until something stops it.
//!
//! The writer's rounds are turned by hand, so a seed decides what shares a round. A group waits for its vote, truncation
//! or purge before it asks for more; records are appended without waiting.

use std::collections::VecDeque;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::{CommittedLeaderId, EntryPayload, RaftLogReader};
use placement::GroupId;

use super::super::disk::Disk;
use super::super::log_view::next;
use super::super::recovery::BadLog;
use super::super::storage::GroupLog;
use super::super::watermark::Watermark;
use super::super::writer::{Rounds, Writer};
use super::super::{LogId, Payload, RaftEntry, StorageError, Vote};
use super::dice::Dice;
use super::ledger::{Broken, Content, Ledger, Operation};
use crate::entry;
use crate::leadership::clocks::SharedClock;

pub const GROUPS: usize = 3;

pub struct Life {
    rounds: Rounds,
    groups: Vec<Held>,
}

struct Held {
    log: GroupLog,
    ledger: Ledger,
    waiting: VecDeque<Waiting>,
}

/// Something that was asked for, and its step in the ledger.
struct Waiting {
    step: u64,
    promise: bool,
    may_be_followed: bool,
    done: Pin<Box<dyn Future<Output = Result<(), StorageError>>>>,
}

/// Why a start does not give what it should.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("refused: {0}")]
    Refused(#[from] BadLog),
    #[error("{0}")]
    Broken(#[from] Broken),
}

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nothing stopped it.
    Steps,
    /// A write was refused.
    Refusal,
}

/// Whether what was noted outside the store counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    Used,
    Ignored,
}

pub fn nothing_yet() -> Vec<Ledger> {
    (0..GROUPS).map(|_| Ledger::default()).collect()
}

impl Life {
    /// Opens the logs and compares them with what was acknowledged in earlier lives.
    pub fn begin(
        disk: Arc<dyn Disk>,
        folder: &Path,
        ledgers: Vec<Ledger>,
        marks: Marks,
    ) -> Result<Life, Failure> {
        let watermark = Watermark::open(folder).expect("the marks are whole");
        let noted = watermark.marks().clone();
        let (writer, rounds) = Writer::without_thread(disk.clone(), watermark);
        let mut groups = Vec::new();
        for (number, mut ledger) in (0..).zip(ledgers) {
            let group = GroupId(number);
            let mark = match marks {
                Marks::Used => noted.get(&group).copied().unwrap_or_default(),
                Marks::Ignored => Default::default(),
            };
            let log = GroupLog::open(group, disk.clone(), writer.clone(), SharedClock::new(), mark)?;
            let found = read(&log);
            ledger.check(&found)?;
            ledger.settle(found);
            log.sweep().now_or_never().expect("there is room for it").expect("the disk can be read");
            groups.push(Held { log, ledger, waiting: VecDeque::new() });
        }
        Ok(Life { rounds, groups })
    }

    pub fn live(&mut self, steps: u64, dice: &mut Dice) -> End {
        for _ in 0..steps {
            let at = dice.position(self.groups.len());
            let held = &mut self.groups[at];
            match held.waiting.back().is_none_or(|last| last.may_be_followed) && !dice.one_in(3) {
                true => held.ask(dice),
                false => _ = self.rounds.turn(None),
            }
            if self.listen() == End::Refusal {
                return End::Refusal;
            }
        }
        End::Steps
    }

    /// Asks each group for one thing more and returns how many were granted.
    pub fn try_each(&mut self, dice: &mut Dice) -> usize {
        for held in &mut self.groups {
            held.waiting.clear();
            held.ask(dice);
        }
        self.rounds.turn(None);
        let waiting = self.groups.iter_mut().flat_map(|held| held.waiting.iter_mut());
        waiting.map(Waiting::poll).filter(|granted| *granted == Some(true)).count()
    }

    /// What outlives this life.
    pub fn end(self) -> Vec<Ledger> {
        self.groups.into_iter().map(|held| held.ledger).collect()
    }

    fn listen(&mut self) -> End {
        for held in &mut self.groups {
            while let Some(first) = held.waiting.front_mut() {
                match first.poll() {
                    None => break,
                    Some(false) => return End::Refusal,
                    Some(true) if first.promise => held.ledger.acknowledge(first.step),
                    Some(true) => {}
                }
                held.waiting.pop_front();
            }
        }
        End::Steps
    }
}

impl Held {
    fn ask(&mut self, dice: &mut Dice) {
        let content = self.ledger.now();
        if dice.one_in(4) {
            self.take_snapshot(&content, dice);
        }
        let operation = choose(&content, self.ledger.snapshot, dice);
        let step = self.ledger.issue(&operation);
        let mut log = self.log.clone();
        let may_be_followed = matches!(operation, Operation::Append(_));
        let promise = operation.is_promise();
        let done: Pin<Box<dyn Future<Output = _>>> = match operation {
            Operation::Vote(vote) => Box::pin(async move { log.save_vote(&vote).await }),
            Operation::Append(entries) => Box::pin(async move { log.blocking_append(entries).await }),
            Operation::Truncate(since) => Box::pin(async move { log.truncate(since).await }),
            Operation::Purge(upto) => Box::pin(async move { log.purge(upto).await }),
        };
        self.waiting.push_back(Waiting { step, promise, may_be_followed, done });
    }

    /// Our own state at an acknowledged record, or a leader's somewhat ahead.
    fn take_snapshot(&mut self, content: &Content, dice: &mut Dice) {
        let acknowledged = self.ledger.acknowledged_now();
        let taken = match (content.vote, acknowledged.entries.len()) {
            (Some(vote), _) if dice.one_in(6) => Some(id(vote, next(content.last()) + dice.below(5))),
            (_, 0) => None,
            (_, len) => Some(&acknowledged.entries[dice.position(len)])
                .filter(|entry| content.entries.contains(entry))
                .map(|entry| entry.log_id),
        };
        self.ledger.snapshot = self.ledger.snapshot.max(taken);
    }
}

impl Waiting {
    /// Whether it was granted, if that is known by now.
    fn poll(&mut self) -> Option<bool> {
        match self.done.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result.is_ok()),
            Poll::Pending => None,
        }
    }
}

fn choose(content: &Content, snapshot: Option<LogId>, dice: &mut Dice) -> Operation {
    let last = content.last();
    let Some(vote) = content.vote.filter(|_| !dice.one_in(8)) else {
        return Operation::Vote(risen(content.vote, dice));
    };
    let term = |id: LogId| id.leader_id.term;
    // What a snapshot holds was committed, and is never cut off.
    let loose = content.entries.iter().position(|entry| Some(entry.log_id) > snapshot);
    let loose = loose.map_or(&[][..], |first| &content.entries[first..]);
    match dice.below(6) {
        // A log that does not reach its snapshot is purged before anything else happens to it.
        _ if next(snapshot) > next(last) => Operation::Purge(snapshot.expect("it is beyond the last record")),
        0 if snapshot > content.purged => Operation::Purge(snapshot.expect("it is beyond the purged record")),
        1 if !loose.is_empty() && last.is_some_and(|last| term(last) < vote.leader_id.term) => {
            Operation::Truncate(loose[dice.position(loose.len())].log_id)
        }
        _ => {
            let many = if dice.one_in(10) { 16 } else { 4 };
            let indices = (next(last)..).take(1 + dice.position(many));
            Operation::Append(indices.map(|index| record(vote, index, dice)).collect())
        }
    }
}

fn risen(vote: Option<Vote>, dice: &mut Dice) -> Vote {
    match vote {
        Some(vote) if !vote.committed && dice.one_in(2) => {
            Vote::new_committed(vote.leader_id.term, vote.leader_id.node_id)
        }
        vote => Vote::new(vote.map_or(1, |vote| vote.leader_id.term + 1), dice.below(3)),
    }
}

fn record(vote: Vote, index: u64, dice: &mut Dice) -> RaftEntry {
    let filler = vec![dice.below(256) as u8; dice.position(100)];
    let bytes = entry::encode(index, Vec::new()).into_iter().chain(filler).collect();
    RaftEntry { log_id: id(vote, index), payload: EntryPayload::Normal(Payload(bytes)) }
}

fn id(vote: Vote, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(vote.leader_id.term, vote.leader_id.node_id), index)
}

fn read(log: &GroupLog) -> Content {
    const FROM_MEMORY: &str = "so short a log is in memory";
    let mut log = log.clone();
    let read = async {
        let vote = log.read_vote().await?;
        let purged = log.get_log_state().await?.last_purged_log_id;
        let entries = log.try_get_log_entries(..).await?;
        Ok::<Content, StorageError>(Content { vote, purged, entries })
    };
    read.now_or_never().expect(FROM_MEMORY).expect(FROM_MEMORY)
}
