//! P4: what a watcher sees was once true, never goes back in time, is not older than what somebody had been granted
//! before the watcher asked, and in the end is the newest.

use std::collections::BTreeMap;

use bytes::Bytes;
use presence::position::Position;
use sip::{Message, Name};

use super::history::Document;
use super::{Check, History, Publications, broken};
use crate::phone::{Ask, Dialog, Heard};

#[derive(Default)]
pub struct Watchers {
    /// By presentity: the newest position that a publisher was told of.
    granted: BTreeMap<String, Position>,
    /// By Call-ID: what had been granted when the watcher began.
    floors: BTreeMap<String, Position>,
    /// By subscription.
    views: BTreeMap<String, View>,
}

#[derive(Default)]
struct View {
    /// Which of the documents it saw last, and under which CSeq.
    held: usize,
    cseq: u32,
    ended: bool,
}

impl Watchers {
    pub fn asked(&mut self, ask: &Ask) {
        if ask.purpose.method() == "SUBSCRIBE" && !self.floors.contains_key(&ask.call.id) {
            let floor = self.granted.get(&ask.presentity).copied().unwrap_or_default();
            self.floors.insert(ask.call.id.clone(), floor);
        }
    }

    /// A publisher hears that its change stands.
    pub fn answered(&mut self, ask: &Ask, answer: &Message, history: &History) {
        let tag = answer.text(Name::SipEtag).filter(|_| answer.status() == Some(200));
        let position = tag.and_then(position_of);
        let position = position.filter(|position| position.entry() <= history.last());
        if let Some(position) = position {
            let granted = self.granted.entry(ask.presentity.clone()).or_default();
            *granted = position.max(*granted);
        }
    }

    pub fn heard(&mut self, heard: &Heard, history: &History) -> Check {
        let floor = self.floors.get(&heard.call_id).copied().unwrap_or_default();
        let view = self.views.entry(heard.id.clone()).or_default();
        if view.ended || heard.cseq <= view.cseq {
            return broken("a NOTIFY out of its place was taken", format!("{heard:?}"));
        }
        (view.cseq, view.ended) = (heard.cseq, heard.terminated);
        // Whether nothing had to be shown is looked at where the NOTIFY left.
        if heard.body.is_empty() {
            return Ok(());
        }
        let documents = history.documents(&heard.presentity);
        let is_granted = |at: usize| documents.get(at + 1).is_none_or(|next| next.from > floor);
        let is_it = |(at, document): &(usize, &Document)| {
            *at >= view.held && is_granted(*at) && document.body == heard.body
        };
        match documents.iter().enumerate().find(is_it) {
            Some((at, _)) => {
                view.held = at;
                Ok(())
            }
            None => {
                let known: Vec<_> =
                    documents.iter().map(|document| (document.from, &document.body)).collect();
                let held = view.held;
                broken("P4 back in time", format!("{heard:?}; held {held}, floor {floor}, of {known:?}"))
            }
        }
    }

    /// Faults have stopped a while ago: does this watcher see the newest?
    pub fn is_served(
        &self,
        presentity: &str,
        dialog: &Dialog,
        history: &History,
        publications: &Publications,
        now: u64,
    ) -> Check {
        let who = || format!("{} of {presentity}", dialog.call.id);
        let tag = dialog.remote_tag.as_deref().unwrap_or_default();
        let held = history.shard().subscription_of(tag);
        if held.is_none_or(|held| held.ended.is_some()) {
            return broken("P4 a subscription is forgotten", who());
        }
        let Some(body) = &dialog.body else { return broken("P4 a grant without a NOTIFY", who()) };
        let newest = history.documents(presentity).last();
        if newest.is_some_and(|newest| newest.since + 3_000 < now && newest.body != *body) {
            let newest = newest.map(|newest| (&newest.body, newest.since));
            return broken("P4 not the newest", format!("{}: {body:?}, newest {newest:?}", who()));
        }
        match publications.in_force(presentity).find(|document| !says(body, document)) {
            Some(missing) if newest.is_none_or(|newest| newest.since + 3_000 < now) => {
                broken("P4 a publication is not seen", format!("{}: {body:?} lacks {missing:?}", who()))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a composed document tells what a publication noted.
fn says(composed: &Bytes, published: &Bytes) -> bool {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let published = text(published);
    let note = published.split_once("<note>").and_then(|(_, rest)| rest.split_once("</note>"));
    note.is_none_or(|(note, _)| text(composed).contains(note))
}

/// The place in the log that an entity-tag names.
fn position_of(tag: &str) -> Option<Position> {
    let mut parts = tag.split('-').skip(1);
    let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
    Some(Position::new(number()?, number()? as usize))
}
