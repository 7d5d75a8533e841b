//! What was committed, and what follows from it: the state at the end, who owned what when, and which document was the
//! newest when. Everything else is held against this.

use std::collections::BTreeMap;

use bytes::Bytes;
use placement::{NodeId, PresentityKey};
use presence::compositor::{Contribution, compose};
use presence::position::Position;
use presence::repeat::RepeatKey;
use presence::time::Timestamp;
use presence_agent::shard::{Ended, Presentity, Shard, SubscriptionId};
use proto::v1::command::Kind;

use crate::coverage::{Coverage, Seen};
use crate::log::{self, Entry};

#[derive(Default)]
pub struct History {
    shard: Shard,
    last: u64,
    /// The last stamp, and when it was committed.
    stamped: (u64, u64),
    /// At which indices each request stands in the log.
    requests: BTreeMap<RepeatKey, Vec<u64>>,
    /// By presentity: its documents, each with the position from which it was the newest, and when that was.
    documents: BTreeMap<String, Vec<Document>>,
    /// By the local tag of the dialog.
    tenures: BTreeMap<String, Vec<Tenure>>,
    boots: BTreeMap<NodeId, Vec<(u64, u64)>>,
    /// What owners said of subscriptions that lived until then, in the last entry: that they are at their end.
    pub ends: Vec<End>,
}

#[derive(Debug)]
pub struct Document {
    pub from: Position,
    pub since: u64,
    pub body: Bytes,
}

/// An EndSubscription that met a live subscription.
#[derive(Debug)]
pub struct End {
    pub id: SubscriptionId,
    /// Its owner of an older epoch says so.
    pub stale: bool,
    pub ended: bool,
}

/// Who owned a subscription from an index on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    pub from: u64,
    pub owner: NodeId,
    pub epoch: u32,
    /// Whether the watcher may be shown the state.
    pub shown: bool,
}

impl History {
    /// Somebody is interested in this presentity, of whom nothing may be known yet.
    pub fn watched(&mut self, presentity: &str) {
        let key = PresentityKey::restored(presentity);
        self.documents.entry(presentity.to_owned()).or_insert_with(|| vec![nothing(&key)]);
    }

    pub fn committed(&mut self, entry: &Entry, now: u64, seen: &mut Coverage) {
        let (last_stamp, last_now) = std::mem::replace(&mut self.stamped, (entry.stamp, now));
        if last_stamp > 0 && entry.stamp > last_stamp + (now - last_now) + 1_000 {
            seen.note(Seen::ClockStepped);
        }
        self.last = entry.index;
        self.ends.clear();
        for (offset, submitted) in entry.commands.iter().enumerate() {
            let kind = log::read(&submitted.command);
            let position = Position::new(entry.index, offset);
            self.note(&kind, entry.index, seen);
            let subscriptions = self.shard.subscription_count();
            let end = self.end(&kind);
            let expires = matches!(kind, Kind::Expire(_));
            let changes = if expires { self.changes() } else { 0 };
            self.shard.apply(kind, position, Timestamp(entry.stamp));
            if let Some(end) = end {
                if end.stale {
                    seen.note(Seen::EndOfOldEpoch);
                }
                let held = self.shard.subscription(end.id);
                self.ends.push(End { ended: held.is_none_or(|held| held.ended.is_some()), ..end });
            }
            if expires && self.shard.subscription_count() < subscriptions {
                seen.note(Seen::Expired);
            }
            if expires && self.changes() < changes {
                seen.note(Seen::ChangeForgotten);
            }
            self.note_documents(now);
        }
        self.note_tenures(entry.index);
    }

    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    pub fn last(&self) -> u64 {
        self.last
    }

    /// Where a request first stood in the log, if it did at or before index `at`.
    pub fn stands(&self, request: RepeatKey, at: u64) -> bool {
        self.requests.get(&request).is_some_and(|indices| indices[0] <= at)
    }

    pub fn documents(&self, presentity: &str) -> &[Document] {
        self.documents.get(presentity).map_or(&[], Vec::as_slice)
    }

    pub fn tenure(&self, subscription: &str, at: u64) -> Option<Tenure> {
        self.tenures.get(subscription)?.iter().rev().find(|tenure| tenure.from <= at).copied()
    }

    pub fn is_recorded(&self, subscription: &str) -> bool {
        self.tenures.contains_key(subscription)
    }

    pub fn new_tenures(&self, index: u64) -> impl Iterator<Item = (&String, &Tenure)> {
        let last = self.tenures.iter().filter_map(|(id, tenures)| Some((id, tenures.last()?)));
        last.filter(move |(_, tenure)| tenure.from == index)
    }

    /// The start of a node that the log knew at index `at`.
    pub fn incarnation(&self, node: NodeId, at: u64) -> u64 {
        let boots = self.boots.get(&node).into_iter().flatten();
        boots.filter(|(index, _)| *index <= at).map(|(_, incarnation)| *incarnation).max().unwrap_or(0)
    }

    fn note(&mut self, kind: &Kind, index: u64, seen: &mut Coverage) {
        match kind {
            Kind::Publish(publish) => self.note_request(&publish.repeat_key, index, seen),
            Kind::Subscribe(subscribe) => self.note_request(&subscribe.repeat_key, index, seen),
            Kind::Register(register) => self.note_request(&register.repeat_key, index, seen),
            Kind::Boot(boot) => {
                self.boots.entry(NodeId(boot.node)).or_default().push((index, boot.incarnation));
            }
            Kind::Judge(_) => seen.note(Seen::Judged),
            Kind::TakeOver(take) => {
                let lost = NodeId(take.node);
                let present = self.shard.node(lost).is_some_and(|node| node.incarnation == take.incarnation);
                let taken =
                    self.shard.subscriptions().filter(|(_, held)| present && held.owner == lost).count();
                (0..taken).for_each(|_| seen.note(Seen::TakenOver));
            }
            _ => {}
        }
    }

    /// Whether a command says that a live subscription is at its end.
    fn end(&self, kind: &Kind) -> Option<End> {
        let Kind::EndSubscription(end) = kind else { return None };
        let held = self.shard.subscription(SubscriptionId(end.id)).filter(|held| held.ended.is_none())?;
        Some(End { id: SubscriptionId(end.id), stale: held.epoch > end.epoch, ended: false })
    }

    fn changes(&self) -> usize {
        self.shard.presentities().map(|(_, held)| held.history.changes().len()).sum()
    }

    fn note_request(&mut self, key: &[u8], index: u64, seen: &mut Coverage) {
        let indices = self.requests.entry(RepeatKey::from_bytes(key)).or_default();
        indices.push(index);
        if indices.len() > 1 {
            seen.note(Seen::RepeatInLog);
        }
    }

    fn note_documents(&mut self, now: u64) {
        for (key, presentity) in self.shard.presentities() {
            let documents = self.documents.entry(key.to_string()).or_insert_with(|| vec![nothing(key)]);
            let from = presentity.position;
            if documents.last().is_some_and(|last| last.from < from) {
                documents.push(Document { from, since: now, body: composed(key, presentity) });
            }
        }
        // Of a presentity that nobody holds anything of, nothing is known again.
        for (key, documents) in &mut self.documents {
            let nothing = documents[0].body.clone();
            let is_new = documents.last().is_some_and(|last| last.body != nothing);
            if is_new && self.shard.presentity(&PresentityKey::restored(key)).is_none() {
                documents.push(Document { from: self.shard.position(), since: now, body: nothing });
            }
        }
    }

    fn note_tenures(&mut self, index: u64) {
        for (_, held) in self.shard.subscriptions() {
            let tag = held.dialog.local_tag();
            let shown = !held.is_pending() && held.ended != Some(Ended::Rejected);
            let (owner, epoch) = (held.owner, held.epoch);
            let now = Tenure { from: index, owner, epoch, shown };
            match self.tenures.get_mut(tag) {
                None => drop(self.tenures.insert(tag.to_owned(), vec![now])),
                Some(tenures) => {
                    let last = tenures.last().copied();
                    if last.is_some_and(|last| Tenure { from: index, ..last } != now) {
                        tenures.push(now);
                    }
                }
            }
        }
    }
}

fn nothing(key: &PresentityKey) -> Document {
    Document { from: Position(0), since: 0, body: compose(&key.uri(), &[], false).document }
}

/// What a watcher of this presentity should see.
fn composed(key: &PresentityKey, presentity: &Presentity) -> Bytes {
    let scopes: Vec<_> =
        presentity.publications.iter().map(|(_, held)| format!("{:?}", held.made_by)).collect();
    let contributions: Vec<_> = presentity
        .publications
        .iter()
        .zip(&scopes)
        .map(|((_, held), scope)| Contribution {
            scope,
            newest: held.documented_at.0,
            document: &held.document,
        })
        .collect();
    compose(&key.uri(), &contributions, presentity.is_reachable()).document
}
