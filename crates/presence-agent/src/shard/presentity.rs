//! One presentity: its publications, API sources and bindings, and who watches it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use presence::entity_tag::EntityTag;
use presence::position::Position;
use presence::publication::{Change, Publications, Publish, Request};
use presence::registration::{Bindings, ContactRequest, Register, RegisterRequest};
use presence::repeat::RepeatKey;
use presence::time::{Lifetime, Timestamp};
use proto::v1;

use crate::bound::Bound;

use super::history::{Deed, History, What, phone};
use super::totals::Holdings;
use super::{Moment, Outcome, Refusal, SubscriptionId};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Presentity {
    /// The last change that a watcher could see.
    pub position: Position,
    pub publications: Publications,
    pub sources: BTreeMap<String, Source>,
    pub bindings: Bindings,
    pub history: History,
    /// Derived from the subscriptions of the slot.
    pub watchers: BTreeSet<SubscriptionId>,
    /// What the deadline index holds for this presentity.
    indexed: Option<Timestamp>,
    /// What the totals hold for this presentity.
    counted: Holdings,
}

/// What a program says of a presentity; named, so it needs no entity-tag.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub document: Bytes,
    pub expires_at: Timestamp,
    pub documented_at: Position,
    /// The change that made it so.
    pub changed_by: RepeatKey,
}

/// What a command did to a presentity.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// Whether a watcher can see it.
    pub visibly: bool,
    /// The requests that no record tells of any more.
    pub forgotten: Vec<RepeatKey>,
}

/// What is derived from a presentity: as the indices have it, and as it is now.
pub(super) struct Settled {
    pub deadline: (Option<Timestamp>, Option<Timestamp>),
    pub holdings: (Holdings, Holdings),
    /// Nothing is left of it.
    pub is_empty: bool,
}

/// What time did to a presentity.
#[derive(Debug)]
pub(super) struct Expired {
    /// Whether a watcher can see it.
    pub visibly: bool,
    /// The requests that no record tells of any more, with the entity-tag that was their answer.
    pub forgotten: Vec<(RepeatKey, EntityTag)>,
}

impl Presentity {
    /// More publications than this are refused: a publisher that never refreshes would grow us.
    pub const MAX_PUBLICATIONS: usize = 32;
    pub const MAX_SOURCES: usize = 32;
    pub const MAX_WATCHERS: usize = 100_000;
    /// Of the history; the oldest go first.
    pub const MAX_CHANGES: usize = 32;

    /// A repeat gets the first answer.
    pub(super) fn publish(
        &mut self,
        publish: v1::Publish,
        fresh: EntityTag,
        moment: Moment,
    ) -> Result<(Outcome, Changed), Refusal> {
        let repeat = RepeatKey::from_bytes(&publish.repeat_key);
        if let Some((tag, known)) = self.publications.find_repeat(repeat) {
            let known = Outcome::Published { tag: tag.clone(), lifetime: known.lifetime };
            return Ok((known, Changed::default()));
        }
        let (keep, deed) = (publish.keep, Deed::of_publish(&publish));
        let request = publish_request(publish);
        let published = Outcome::Published { tag: fresh.clone(), lifetime: request.lifetime };
        if matches!(request.request, Request::Initial { .. })
            && self.publications.len() >= Self::MAX_PUBLICATIONS
        {
            return Err(Refusal::TooMany(Self::MAX_PUBLICATIONS, Bound::Publications));
        }
        let accepted = self.publications.apply(request, fresh, moment.at, moment.now)?;
        let visibly = self.changed(accepted.change == Change::Document, moment);
        self.history.note(keep, deed.filter(|_| visibly), moment);
        Ok((published, Changed { visibly, forgotten: accepted.forgotten }))
    }

    pub(super) fn set_source(&mut self, source: v1::SetSource, moment: Moment) -> Result<Changed, Refusal> {
        let changed_by = RepeatKey::from_bytes(&source.repeat_key);
        let held = self.sources.get(&source.source).map(|held| held.changed_by);
        if held == Some(changed_by) {
            return Ok(Changed::default());
        }
        // A late copy of what this change replaces must not replace it in turn.
        let forgotten: Vec<_> = held.into_iter().collect();
        let (keep, deed) = (source.keep, Deed::of_source(&source));
        if source.document.is_empty() {
            let removed = self.sources.remove(&source.source).is_some();
            self.history.note(keep, removed.then_some(deed), moment);
            let forgotten = forgotten.into_iter().chain([changed_by]).collect();
            return Ok(Changed { visibly: self.changed(removed, moment), forgotten });
        }
        if self.sources.len() >= Self::MAX_SOURCES && !self.sources.contains_key(&source.source) {
            return Err(Refusal::TooMany(Self::MAX_SOURCES, Bound::Sources));
        }
        let expires_at =
            if source.expires == 0 { Timestamp::NEVER } else { moment.now + Lifetime(source.expires) };
        let document = own(&source.document);
        let held = Source { document, expires_at, documented_at: moment.at, changed_by };
        self.sources.insert(source.source, held);
        self.history.note(keep, Some(deed), moment);
        Ok(Changed { visibly: self.changed(true, moment), forgotten })
    }

    pub(super) fn register(&mut self, register: v1::Register, moment: Moment) -> Result<Changed, Refusal> {
        let register = register_request(register);
        if self.bindings.knows(register.repeat) {
            return Ok(Changed::default());
        }
        let reachable = self.is_reachable();
        let forgotten = self.bindings.apply(register, moment.now)?;
        Ok(Changed { visibly: self.changed(reachable != self.is_reachable(), moment), forgotten })
    }

    /// Drops what is due. A late copy of a request that made or changed it must not bring it back, so those are
    /// forgotten like the requests behind a removal, each under the entity-tag that the publication had last.
    pub(super) fn expire(&mut self, moment: Moment) -> Expired {
        let now = moment.now;
        self.record_expired(moment);
        let due = self.publications.iter().filter(|(_, held)| held.expires_at <= now);
        let due: Vec<_> = due.map(|(tag, held)| (tag.clone(), [held.made_by, held.changed_by])).collect();
        let published = due.iter().filter(|(tag, _)| self.publications.expire(tag, now)).count();
        let mut forgotten: Vec<_> =
            due.into_iter().flat_map(|(tag, keys)| keys.map(|key| (key, tag.clone()))).collect();

        let sources = self.sources.len();
        let keys = self.sources.values().map(|source| (source.expires_at, source.changed_by));
        let keys = keys.chain(self.bindings.iter().map(|binding| (binding.expires_at, binding.changed_by)));
        let keys = keys.filter(|(expires_at, _)| *expires_at <= now);
        forgotten.extend(keys.map(|(_, key)| (key, EntityTag::default())));
        self.sources.retain(|_, source| now < source.expires_at);
        let reachable = self.is_reachable();
        self.bindings.expire(now);
        // One REGISTER may have made bindings of several lifetimes.
        forgotten.retain(|(key, _)| !self.bindings.knows(*key));

        let visible = published > 0 || self.sources.len() < sources || reachable != self.is_reachable();
        Expired { visibly: self.changed(visible, moment), forgotten }
    }

    fn record_expired(&mut self, moment: Moment) {
        self.history.forget(moment.now);
        let is_due = |expires_at: Timestamp| expires_at <= moment.now;
        let publications = self.publications.iter().filter(|(_, held)| is_due(held.expires_at));
        let sources = self.sources.iter().filter(|(_, held)| is_due(held.expires_at));
        let phones = publications.map(|(_, held)| phone(&held.source));
        for source in phones.chain(sources.map(|(name, _)| name.as_str().into())) {
            self.history.record(Deed { source, what: What::Expired }, moment);
        }
    }

    pub fn is_reachable(&self) -> bool {
        !self.bindings.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.publications.is_empty()
            && self.sources.is_empty()
            && self.bindings.is_empty()
            && self.history.is_empty()
            && self.watchers.is_empty()
    }

    /// Computes anew what is derived from it.
    pub(super) fn settle(&mut self) -> Settled {
        let (deadline, holdings) = (self.next_deadline(), self.holdings());
        Settled {
            deadline: (std::mem::replace(&mut self.indexed, deadline), deadline),
            holdings: (std::mem::replace(&mut self.counted, holdings), holdings),
            is_empty: self.is_empty(),
        }
    }

    /// The earliest of what it holds.
    fn next_deadline(&self) -> Option<Timestamp> {
        let publications = self.publications.iter().map(|(_, publication)| publication.expires_at);
        let sources = self.sources.values().map(|source| source.expires_at);
        let bindings = self.bindings.iter().map(|binding| binding.expires_at);
        let records = publications.chain(sources).chain(bindings);
        records.chain(self.history.next_deadline()).min().filter(|at| *at < Timestamp::NEVER)
    }

    fn changed(&mut self, visibly: bool, moment: Moment) -> bool {
        if visibly {
            self.position = moment.at;
        }
        visibly
    }
}

/// A copy: the bytes of a command are a part of its whole entry, which would be held as long.
pub(super) fn own(document: &Bytes) -> Bytes {
    Bytes::copy_from_slice(document)
}

fn publish_request(publish: v1::Publish) -> Publish {
    let v1::Publish { repeat_key, event, source, if_match, document, expires, .. } = publish;
    let document = own(&document);
    let tag = EntityTag::from(if_match.as_str());
    let request = match (if_match.is_empty(), expires, document.is_empty()) {
        (true, ..) => Request::Initial { document },
        (false, 0, _) => Request::Remove { tag },
        (false, _, true) => Request::Refresh { tag },
        (false, _, false) => Request::Modify { tag, document },
    };
    Publish {
        event,
        source,
        request,
        lifetime: Lifetime(expires),
        repeat: RepeatKey::from_bytes(&repeat_key),
    }
}

fn register_request(register: v1::Register) -> Register {
    let request = if register.remove_all {
        RegisterRequest::RemoveAll
    } else {
        let contacts = register.bindings.into_iter().map(|binding| ContactRequest {
            contact: binding.contact,
            instance: binding.instance,
            reg_id: binding.reg_id,
            q: binding.q,
            lifetime: Lifetime(binding.expires),
        });
        RegisterRequest::Contacts(contacts.collect())
    };
    let repeat = RepeatKey::from_bytes(&register.repeat_key);
    Register { call_id: register.call_id, cseq: register.cseq, repeat, request }
}
