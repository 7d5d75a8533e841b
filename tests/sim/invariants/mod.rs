//! What must hold, a file for each promise, looked at after every step. The first thing broken ends a run.

pub mod accounts;
mod answers;
mod history;
mod notifies;
mod owners;
mod publications;
mod replicas;
mod watchers;

use sip::Message;

use crate::coverage::Coverage;
use crate::log::Entry;
use crate::phone::{Ask, Heard};

pub use answers::Answers;
pub use history::History;
pub use notifies::{Notifies, Sender};
pub use owners::Owners;
pub use publications::Publications;
pub use replicas::{Replicas, hash};
pub use watchers::Watchers;

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Broken {
    pub rule: &'static str,
    pub detail: String,
}

pub type Check = Result<(), Broken>;

#[derive(Default)]
pub struct Invariants {
    pub history: History,
    pub answers: Answers,
    pub publications: Publications,
    pub owners: Owners,
    pub notifies: Notifies,
    pub watchers: Watchers,
    pub replicas: Replicas,
    pub seen: Coverage,
}

pub fn broken(rule: &'static str, detail: impl Into<String>) -> Check {
    Err(Broken { rule, detail: detail.into() })
}

impl Invariants {
    /// A majority holds an entry: from now on it is history.
    pub fn committed(&mut self, entry: &Entry, now: u64) -> Check {
        if entry.commands.is_empty() {
            self.history.ends.clear();
            return Ok(());
        }
        self.answers.committed(entry, &mut self.seen)?;
        self.history.committed(entry, now, &mut self.seen);
        self.publications.committed(entry, &self.history)?;
        self.owners.committed(entry.index, &self.history)?;
        self.replicas.reference(entry.index, self.history.shard());
        Ok(())
    }

    pub fn asked(&mut self, ask: &Ask, now: u64) {
        self.answers.asked(ask, now);
        self.history.watched(&ask.presentity);
        self.watchers.asked(ask);
    }

    /// A node answers a request, having applied the log up to `applied`.
    pub fn responded(&mut self, node: usize, answer: &Message, applied: u64) -> Check {
        let Some(request) = self.answers.request_of(answer) else { return Ok(()) };
        let (key, ask) = (request.key, request.ask.clone());
        self.answers.responded(node, answer, applied, &self.history)?;
        if ask.purpose.method() == "PUBLISH" {
            self.publications.responded(answer, key, applied)?;
        }
        Ok(())
    }

    /// A phone hears an answer.
    pub fn answered(&mut self, answer: &Message) -> Check {
        self.answers.answered(answer, &self.history, &mut self.seen)?;
        if let Some(request) = self.answers.request_of(answer) {
            self.watchers.answered(&request.ask, answer, &self.history);
        }
        Ok(())
    }

    pub fn notify_left(&mut self, sender: &Sender, notify: &Message) -> Check {
        self.notifies.left(sender, notify, &self.history)
    }

    pub fn heard(&mut self, heard: &Heard) -> Check {
        self.watchers.heard(heard, &self.history)
    }

    pub fn applied(&mut self, node: usize, index: u64, shard: impl FnOnce() -> u64) -> Check {
        self.replicas.applied(node, index, shard)
    }
}
