//! P1 and P2: what a PUBLISH is answered follows from its place in the log. RFC 3903 is told here once more, as briefly
//! as can be, to hold the shard against it.

use std::collections::BTreeMap;

use placement::{PresentityKey, Slot};
use presence::entity_tag::EntityTag;
use presence::position::Position;
use presence::repeat::RepeatKey;
use proto::v1;
use proto::v1::command::Kind;
use sip::{Message, Name};

use super::{Check, History, broken};
use crate::log::{self, Entry};

#[derive(Default)]
pub struct Publications {
    live: BTreeMap<String, Live>,
    /// What each request came to, at each place where it stands in the log.
    outcomes: BTreeMap<RepeatKey, Vec<(u64, Outcome)>>,
}

/// A publication under its present entity-tag.
#[derive(Clone, Debug)]
struct Live {
    presentity: String,
    made_by: RepeatKey,
    changed_by: RepeatKey,
    source: String,
    document: bytes::Bytes,
    expires_at: u64,
}

#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Granted(String),
    Refused,
    /// A late copy of a request whose traces are gone: it changes nothing, and nobody waits for its answer.
    Late,
}

impl Publications {
    pub fn committed(&mut self, entry: &Entry, history: &History) -> Check {
        let mut touched = Vec::new();
        for (offset, submitted) in entry.commands.iter().enumerate() {
            if let Kind::Publish(publish) = log::read(&submitted.command) {
                touched.push(publish.presentity.clone());
                self.publish(publish, Position::new(entry.index, offset), entry.stamp);
            }
        }
        self.live.retain(|_, held| entry.stamp < held.expires_at);
        touched.iter().try_for_each(|presentity| self.agrees(presentity, entry.stamp, history))
    }

    /// A node's answer is the one that the log gave, at a place that this node has applied.
    pub fn responded(&self, answer: &Message, key: RepeatKey, applied: u64) -> Check {
        let said = match answer.status() {
            Some(200) => Outcome::Granted(answer.text(Name::SipEtag).unwrap_or_default().to_owned()),
            Some(412) => Outcome::Refused,
            _ => return Ok(()),
        };
        let outcomes = self.outcomes.get(&key).map_or(&[][..], Vec::as_slice);
        let mut true_ones = outcomes.iter().filter(|(index, _)| *index <= applied);
        if true_ones.any(|(_, outcome)| *outcome == said || *outcome == Outcome::Late) {
            return Ok(());
        }
        broken(
            "P2 an answer that the log did not give",
            format!("{said:?}, but {outcomes:?}, applied {applied}"),
        )
    }

    /// Whether a document of somebody's is in force.
    pub fn in_force(&self, presentity: &str) -> impl Iterator<Item = &bytes::Bytes> {
        self.live.values().filter(move |held| held.presentity == presentity).map(|held| &held.document)
    }

    fn publish(&mut self, publish: v1::Publish, at: Position, stamp: u64) {
        let key = RepeatKey::from_bytes(&publish.repeat_key);
        let outcome = match self.outcomes.contains_key(&key) {
            true => self.repeated(key),
            false => self.first(publish, key, at, stamp),
        };
        self.outcomes.entry(key).or_default().push((at.entry(), outcome));
    }

    fn repeated(&self, key: RepeatKey) -> Outcome {
        let held = self.live.iter().find(|(_, held)| held.made_by == key || held.changed_by == key);
        match held {
            Some((tag, _)) => Outcome::Granted(tag.clone()),
            None if self.outcomes[&key][0].1 == Outcome::Refused => Outcome::Refused,
            None => Outcome::Late,
        }
    }

    fn first(&mut self, publish: v1::Publish, key: RepeatKey, at: Position, stamp: u64) -> Outcome {
        let slot = Slot::of(&PresentityKey::restored(&publish.presentity));
        let tag = EntityTag::minted(slot, at).to_string();
        let old = match publish.if_match.as_str() {
            "" => None,
            quoted => match self.live.remove(quoted).filter(|held| stamp < held.expires_at) {
                Some(held) => Some(held),
                None => return Outcome::Refused,
            },
        };
        if let Some(old) = old.as_ref().filter(|_| publish.expires == 0 || !publish.document.is_empty()) {
            let is_twin = |held: &Live| {
                held.made_by == held.changed_by
                    && (&held.presentity, &held.source, &held.document)
                        == (&old.presentity, &old.source, &old.document)
            };
            self.live.retain(|_, held| !is_twin(held));
        }
        if publish.expires > 0 {
            let made_by = old.as_ref().map_or(key, |old| old.made_by);
            let document = match old.filter(|_| publish.document.is_empty()) {
                Some(old) => old.document,
                None => publish.document,
            };
            let (presentity, source) = (publish.presentity, publish.source);
            let expires_at = stamp + u64::from(publish.expires) * 1_000;
            let held = Live { presentity, made_by, changed_by: key, source, document, expires_at };
            self.live.insert(tag.clone(), held);
        }
        Outcome::Granted(tag)
    }

    /// The shard holds the same publications as this page, none more and none fewer.
    fn agrees(&self, presentity: &str, stamp: u64, history: &History) -> Check {
        let told = self.live.iter().filter(|(_, held)| held.presentity == presentity);
        let told: Vec<_> = told.map(|(tag, _)| tag.clone()).collect();
        let held = history.shard().presentity(&PresentityKey::restored(presentity));
        let held = held.into_iter().flat_map(|held| held.publications.iter());
        let mut held: Vec<_> =
            held.filter(|(_, held)| stamp < held.expires_at.0).map(|(tag, _)| tag.to_string()).collect();
        held.sort();
        if told == held {
            return Ok(());
        }
        broken("P2 another state than the log tells", format!("{presentity}: told {told:?}, held {held:?}"))
    }
}
