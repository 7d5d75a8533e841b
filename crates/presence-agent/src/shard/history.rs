//! The history of one presentity: what was said of it, by whom and when.
//!
//! It is bounded by number and by age. A change is recorded when somebody says something new, takes it back, or lets it
//! expire; who says again what he said last adds nothing, so a program that repeats itself pushes nothing out. How long a
//! change is kept stands in the command that made it, because nothing here knows a configuration. What was recorded is
//! kept for as long as was said then, whatever later commands say.
//!
//! Deliberately absent: bindings (a registrar knows no words), refreshes, and what other presentities of the same user say.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use presence::position::Position;
use presence::time::{Lifetime, Timestamp};
use prost::Message as _;
use proto::v1;

use super::{Moment, Presentity};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// As the last command said. What expires has no command of its own that could.
    keep: Lifetime,
    /// Oldest first.
    changes: Vec<Change>,
}

/// An entry of the history: 32 bytes and a deed, which most entries share with an earlier one.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub position: Position,
    pub at: Timestamp,
    pub deed: Arc<Deed>,
    kept_until: Minute,
    /// That of the deed: which deeds differ is known without looking them up.
    fingerprint: u32,
}

/// A whole minute of log time: what is kept goes at these, so that one Expire drops many entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Minute(u32);

/// Who did what.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Deed {
    /// An API source by its name, or "phone" and where it published from.
    pub source: Box<str>,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Hash)]
pub enum What {
    /// A `Said` as the command has it: what one build takes for a status must be the same record to another.
    Said(Box<[u8]>),
    Removed,
    Expired,
}

impl History {
    /// Takes note of a command: what it did, if anything, and that changes are kept for so long from now on.
    pub(super) fn note(&mut self, keep: u32, deed: Option<Deed>, moment: Moment) {
        self.keep = Lifetime(keep);
        if let Some(deed) = deed {
            self.record(deed, moment);
        }
    }

    /// Writes a deed down, unless it is the last one of its source already. At the limit the oldest goes.
    pub(super) fn record(&mut self, deed: Deed, moment: Moment) {
        if self.keep == Lifetime::ZERO {
            return;
        }
        let fingerprint = deed.fingerprint();
        // Phones say the same few things again and again: each is held once.
        let deed = match self.changes.iter().rposition(|change| change.is_of(&deed, fingerprint)) {
            Some(known) if !self.speaks_after(known) => return,
            Some(known) => self.changes[known].deed.clone(),
            None => Arc::new(deed),
        };
        if self.changes.len() >= Presentity::MAX_CHANGES {
            self.changes.remove(0);
        }
        let kept_until = Minute::after(moment.now + self.keep);
        self.changes.push(Change { position: moment.at, at: moment.now, deed, kept_until, fingerprint });
    }

    /// Whether the source of a change has done anything since.
    fn speaks_after(&self, at: usize) -> bool {
        let source = &self.changes[at].deed.source;
        self.changes[at + 1..].iter().any(|change| change.deed.source == *source)
    }

    /// Drops what has been kept for long enough.
    pub(super) fn forget(&mut self, now: Timestamp) {
        self.changes.retain(|change| now < change.kept_until.begin());
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.changes.iter().map(|change| change.kept_until.begin()).min()
    }

    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

impl Change {
    fn is_of(&self, deed: &Deed, fingerprint: u32) -> bool {
        self.fingerprint == fingerprint && *self.deed == *deed
    }
}

impl Minute {
    const MILLISECONDS: u64 = 60_000;

    /// The first that is not earlier.
    fn after(time: Timestamp) -> Minute {
        Minute(u32::try_from(time.0.div_ceil(Minute::MILLISECONDS)).unwrap_or(u32::MAX))
    }

    fn begin(self) -> Timestamp {
        Timestamp(u64::from(self.0) * Minute::MILLISECONDS)
    }
}

impl Deed {
    /// Of this process: no other one hears of it.
    fn fingerprint(&self) -> u32 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish() as u32
    }

    pub(super) fn of_source(source: &v1::SetSource) -> Deed {
        let what = if source.document.is_empty() { What::Removed } else { What::said(&source.said) };
        Deed { source: source.source.as_str().into(), what }
    }

    /// None for a refresh: it says nothing.
    pub(super) fn of_publish(publish: &v1::Publish) -> Option<Deed> {
        let what = match (publish.expires, publish.document.is_empty()) {
            (0, _) => What::Removed,
            (_, true) => return None,
            (_, false) => What::said(&publish.said),
        };
        Some(Deed { source: phone(&publish.source), what })
    }

    /// What was said, if anything was.
    pub fn said(&self) -> Option<v1::Said> {
        match &self.what {
            What::Said(words) => Some(v1::Said::decode(&**words).unwrap_or_default()),
            What::Removed | What::Expired => None,
        }
    }
}

impl What {
    /// A copy: the bytes of a command are a part of its whole entry, which would be held as long.
    fn said(words: &[u8]) -> What {
        What::Said(words.into())
    }
}

/// A phone has no name; where it publishes from is what an operator can look for.
pub(super) fn phone(address: &str) -> Box<str> {
    ["phone ", address].concat().into()
}

/// As a snapshot holds it.
impl History {
    pub(super) fn write(&self, record: &mut v1::PresentityRecord) {
        let mut deeds: Vec<&Arc<Deed>> = Vec::new();
        for change in &self.changes {
            let known = deeds.iter().position(|deed| Arc::ptr_eq(deed, &change.deed));
            let deed = known.unwrap_or(deeds.len());
            if known.is_none() {
                deeds.push(&change.deed);
            }
            record.history.push(v1::ChangeRecord {
                position: change.position.0,
                at: change.at.0,
                kept_until: change.kept_until.begin().0,
                deed: deed as u32,
            });
        }
        record.deeds = deeds.into_iter().map(|deed| deed_record(deed)).collect();
        record.keep = self.keep.0;
    }

    pub(super) fn read(keep: u32, changes: Vec<v1::ChangeRecord>, deeds: Vec<v1::DeedRecord>) -> History {
        let deeds: Vec<_> = deeds.into_iter().map(deed).map(Arc::new).collect();
        let change = |change: v1::ChangeRecord| {
            let deed = deeds.get(change.deed as usize)?.clone();
            Some(Change {
                position: Position(change.position),
                at: Timestamp(change.at),
                kept_until: Minute::after(Timestamp(change.kept_until)),
                fingerprint: deed.fingerprint(),
                deed,
            })
        };
        History { keep: Lifetime(keep), changes: changes.into_iter().filter_map(change).collect() }
    }
}

fn deed_record(deed: &Deed) -> v1::DeedRecord {
    let (kind, said) = match &deed.what {
        What::Said(words) => (v1::DeedKind::Said, Bytes::copy_from_slice(words)),
        What::Removed => (v1::DeedKind::Removed, Bytes::new()),
        What::Expired => (v1::DeedKind::Expired, Bytes::new()),
    };
    v1::DeedRecord { source: deed.source.to_string(), kind: kind.into(), said }
}

fn deed(record: v1::DeedRecord) -> Deed {
    let what = match record.kind() {
        v1::DeedKind::Said => What::Said((&*record.said).into()),
        v1::DeedKind::Removed => What::Removed,
        v1::DeedKind::Expired => What::Expired,
    };
    Deed { source: record.source.into(), what }
}

#[cfg(test)]
mod tests;
