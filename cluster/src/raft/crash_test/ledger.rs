//! What a group's log may hold after a crash: everything acknowledged, and of the rest some first part.

use std::collections::VecDeque;
use std::fmt;

use super::super::log_view::next;
use super::super::{LogId, RaftEntry, Vote};

/// A log, as its reader sees it.
#[derive(Clone, Default, PartialEq)]
pub struct Content {
    pub vote: Option<Vote>,
    pub purged: Option<LogId>,
    pub entries: Vec<RaftEntry>,
}

#[derive(Clone, Debug)]
pub enum Operation {
    Vote(Vote),
    Append(Vec<RaftEntry>),
    Truncate(LogId),
    Purge(LogId),
}

/// Everything that the log may hold by now, step by step. A record more or less is a step.
#[derive(Clone, Default)]
pub struct Ledger {
    /// The first one is acknowledged as a whole.
    steps: VecDeque<Content>,
    /// Number of the first one.
    first: u64,
    /// The last record of the newest snapshot.
    pub snapshot: Option<LogId>,
}

#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("found {found:?}\nwhere {acknowledged:?}\nis acknowledged, and {asked:?}\nwas asked for")]
    NotWhatWasWritten { found: Box<Content>, acknowledged: Box<Content>, asked: Box<Content> },
    #[error("the records do not follow each other: {0:?}")]
    Gap(Vec<LogId>),
    #[error("the log begins after {purged:?}, the snapshot ends at {snapshot:?}")]
    Apart { purged: Option<LogId>, snapshot: Option<LogId> },
}

impl Operation {
    /// Nobody relies on a truncation or a purge alone: where it is undone, it has only to be done again.
    pub fn is_promise(&self) -> bool {
        matches!(self, Operation::Vote(_) | Operation::Append(_))
    }
}

impl Ledger {
    /// What the log holds once everything is done.
    pub fn now(&self) -> Content {
        self.steps.back().cloned().unwrap_or_default()
    }

    /// What the log holds for certain.
    pub fn acknowledged_now(&self) -> Content {
        self.steps.front().cloned().unwrap_or_default()
    }

    /// Takes down what is being asked for, and returns the number of its last step.
    pub fn issue(&mut self, operation: &Operation) -> u64 {
        let mut content = self.now();
        if self.steps.is_empty() {
            self.steps.push_back(content.clone());
        }
        match operation {
            Operation::Vote(vote) => {
                content.vote = Some(*vote);
                self.steps.push_back(content);
            }
            Operation::Append(entries) => {
                for entry in entries {
                    content.entries.push(entry.clone());
                    self.steps.push_back(content.clone());
                }
            }
            Operation::Truncate(since) => {
                while content.entries.pop_if(|entry| entry.log_id.index >= since.index).is_some() {
                    self.steps.push_back(content.clone());
                }
            }
            Operation::Purge(upto) => {
                content.purged = Some(*upto);
                content.entries.retain(|entry| entry.log_id.index > upto.index);
                self.steps.push_back(content);
            }
        }
        self.first + self.steps.len() as u64 - 1
    }

    /// This step, and all before it, is done.
    pub fn acknowledge(&mut self, step: u64) {
        while self.first < step {
            self.steps.pop_front();
            self.first += 1;
        }
    }

    /// Whether a log may hold this after a crash. Records that were purged may be back: they are still right.
    pub fn check(&self, found: &Content) -> Result<(), Broken> {
        let ids: Vec<LogId> = found.entries.iter().map(|entry| entry.log_id).collect();
        if !ids.iter().map(|id| id.index).eq((next(found.purged)..).take(ids.len())) {
            return Err(Broken::Gap(ids));
        }
        if found.purged > self.snapshot {
            return Err(Broken::Apart { purged: found.purged, snapshot: self.snapshot });
        }
        let default = VecDeque::from([Content::default()]);
        let steps = if self.steps.is_empty() { &default } else { &self.steps };
        if steps.iter().any(|step| step.is_in(found)) {
            return Ok(());
        }
        let [found, acknowledged, asked] = [found.clone(), self.acknowledged_now(), self.now()].map(Box::new);
        Err(Broken::NotWhatWasWritten { found, acknowledged, asked })
    }

    /// From now on this is what was acknowledged.
    pub fn settle(&mut self, found: Content) {
        self.first += self.steps.len() as u64;
        self.steps = VecDeque::from([found]);
    }
}

impl Content {
    pub fn last(&self) -> Option<LogId> {
        self.entries.last().map_or(self.purged, |entry| Some(entry.log_id))
    }

    fn is_in(&self, found: &Content) -> bool {
        let beyond = |entry: &&RaftEntry| Some(entry.log_id.index) > self.purged.map(|id| id.index);
        found.vote == self.vote
            && found.purged <= self.purged
            && found.entries.iter().filter(beyond).eq(&self.entries)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vote {:?}, purged {:?}, entries", self.vote, self.purged.map(|id| id.to_string()))?;
        self.entries.iter().try_for_each(|entry| write!(f, " {}", entry.log_id))
    }
}
