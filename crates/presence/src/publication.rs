//! Publications: the soft state publishers keep at the event state compositor (RFC 3903).
//!
//! Every accepted PUBLISH renames its publication with a fresh entity-tag, and the publisher quotes the latest one in
//! its next request. A publisher that missed an update is refused, so it cannot overwrite state newer than it has
//! seen (RFC 3903 section 6).
//!
//! Nothing here reads a clock or draws a random number, so replicas that apply the same requests in the same order
//! hold the same publications.

use bytes::Bytes;

use crate::entity_tag::EntityTag;
use crate::position::Position;
use crate::repeat::RepeatKey;
use crate::time::{Lifetime, Timestamp};

/// The publications of one presentity, of all its event packages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Publications {
    /// By their tags. There are few, mostly one.
    held: Vec<(EntityTag, Publication)>,
}

/// What one publisher contributes, until `expires_at`.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    pub event: String,
    /// Where the publisher sent its last request from; empty when nobody knows.
    pub source: String,
    pub document: Bytes,
    pub lifetime: Lifetime,
    pub expires_at: Timestamp,
    /// When the document came: of two that disagree, the newer one wins.
    pub documented_at: Position,
    /// The requests that made it and that changed it last, so that a repeat of either is known.
    pub made_by: RepeatKey,
    pub changed_by: RepeatKey,
}

/// One PUBLISH. `tag` is its SIP-If-Match (RFC 3903 section 4.1).
#[derive(Clone, Debug)]
pub struct Publish {
    pub event: String,
    pub source: String,
    pub request: Request,
    pub lifetime: Lifetime,
    pub repeat: RepeatKey,
}

/// The four things a PUBLISH can ask.
#[derive(Clone, Debug)]
pub enum Request {
    Initial { document: Bytes },
    Refresh { tag: EntityTag },
    Modify { tag: EntityTag, document: Bytes },
    Remove { tag: EntityTag },
}

/// What an accepted PUBLISH did, and which earlier requests no record tells of any more: a late copy of one of them must
/// not bring back what is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    pub change: Change,
    pub forgotten: Vec<RepeatKey>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// The composed state may differ now.
    Document,
    /// Nothing that a watcher could see: at most the entity-tag and the lifetime moved.
    Refreshed,
}

/// No live publication carries the quoted entity-tag; the publisher is answered 412.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("no live publication has entity-tag {0}")]
pub struct TagUnmatched(pub EntityTag);

impl Publications {
    /// Applies one PUBLISH at log position `at`, or refuses it and changes nothing.
    pub fn apply(
        &mut self,
        publish: Publish,
        fresh: EntityTag,
        at: Position,
        now: Timestamp,
    ) -> Result<Accepted, TagUnmatched> {
        let mut forgotten = Vec::new();
        let Publish { event, source, request, lifetime, repeat } = publish;
        let (document, documented_at, made_by, change) = match request {
            // A publication that is to live for no time is accepted and never stored (RFC 3903 section 6 step 6).
            Request::Initial { .. } if lifetime == Lifetime::ZERO => {
                return Ok(Accepted { change: Change::Refreshed, forgotten: vec![repeat] });
            }
            Request::Initial { document } => (document, at, repeat, Change::Document),
            Request::Refresh { tag } => {
                let old = self.take(&tag, &event, now)?;
                (old.document, old.documented_at, old.made_by, Change::Refreshed)
            }
            Request::Modify { tag, document } => {
                let old = self.take(&tag, &event, now)?;
                forgotten = self.drop_twins(&old);
                (document, at, old.made_by, Change::Document)
            }
            Request::Remove { tag } => {
                let old = self.take(&tag, &event, now)?;
                forgotten = self.drop_twins(&old);
                forgotten.extend([old.made_by, old.changed_by, repeat]);
                return Ok(Accepted { change: Change::Document, forgotten });
            }
        };
        let expires_at = now + lifetime;
        let changed_by = repeat;
        let publication =
            Publication { event, source, document, lifetime, expires_at, documented_at, made_by, changed_by };
        self.insert(fresh, publication);
        Ok(Accepted { change, forgotten })
    }

    /// Drops one publication if its time has come, and says whether it did.
    pub fn expire(&mut self, tag: &EntityTag, now: Timestamp) -> bool {
        let due = self.find(tag).ok().filter(|at| self.held[*at].1.expires_at <= now);
        due.map(|at| self.held.remove(at)).is_some()
    }

    /// The publication that a request with this key made or changed.
    pub fn find_repeat(&self, key: RepeatKey) -> Option<(&EntityTag, &Publication)> {
        self.iter().find(|(_, held)| held.changed_by == key || held.made_by == key)
    }

    pub fn get(&self, tag: &EntityTag) -> Option<&Publication> {
        self.find(tag).ok().map(|at| &self.held[at].1)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&EntityTag, &Publication)> {
        self.held.iter().map(|(tag, held)| (tag, held))
    }

    pub fn len(&self) -> usize {
        self.held.len()
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Drops what the same publisher said in the same words and has forgotten. Real phones publish twice at their start,
    /// before the first answer is there, and then know the second entity-tag only; the first publication would go on
    /// saying what has just been changed or taken back. One that was refreshed or changed since is not forgotten.
    /// (Two phones of one user behind one proxy share an address; if they said the same, the one that changes it takes
    /// the other's along, and that one is told by a 412 at its refresh.) Gives the requests that made what is dropped.
    fn drop_twins(&mut self, said: &Publication) -> Vec<RepeatKey> {
        let mut dropped = Vec::new();
        self.held.retain(|(_, held)| {
            let forgotten = held.made_by == held.changed_by && !held.source.is_empty();
            let twin =
                held.event == said.event && held.source == said.source && held.document == said.document;
            if forgotten && twin {
                dropped.push(held.made_by);
            }
            !(forgotten && twin)
        });
        dropped
    }

    fn take(&mut self, tag: &EntityTag, event: &str, now: Timestamp) -> Result<Publication, TagUnmatched> {
        // To its publisher an expired publication is gone, yet it stays until `expire` drops it: dropping it here
        // would change the state without anyone telling the watchers.
        let live = |held: &Publication| now < held.expires_at && held.event == event;
        let found = self.find(tag).ok().filter(|at| live(&self.held[*at].1));
        found.map(|at| self.held.remove(at).1).ok_or_else(|| TagUnmatched(tag.clone()))
    }

    fn insert(&mut self, tag: EntityTag, publication: Publication) {
        match self.find(&tag) {
            Ok(at) => self.held[at].1 = publication,
            Err(at) => {
                // One at a time: a presentity has room for what it says, and no more.
                self.held.reserve_exact(1);
                self.held.insert(at, (tag, publication));
            }
        }
    }

    /// Where it is, or would be.
    fn find(&self, tag: &EntityTag) -> Result<usize, usize> {
        self.held.binary_search_by(|(held, _)| held.cmp(tag))
    }
}

/// Rebuilds what a snapshot held.
impl FromIterator<(EntityTag, Publication)> for Publications {
    fn from_iter<I: IntoIterator<Item = (EntityTag, Publication)>>(held: I) -> Publications {
        let mut publications = Publications::default();
        held.into_iter().for_each(|(tag, publication)| publications.insert(tag, publication));
        publications
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(request: Request, repeat: u8) -> Publish {
        let (event, source) = ("presence".into(), "192.0.2.7:5060".into());
        Publish { event, source, request, lifetime: Lifetime(60), repeat: RepeatKey([repeat; 16]) }
    }

    fn published() -> Publications {
        let mut publications = Publications::default();
        let initial = publish(Request::Initial { document: "open".into() }, 1);
        publications.apply(initial, "first".into(), Position(1), Timestamp(0)).unwrap();
        publications
    }

    #[test]
    fn a_refresh_renames_the_publication_and_keeps_its_document() {
        let mut publications = published();

        let refresh = publish(Request::Refresh { tag: "first".into() }, 2);
        let change = publications.apply(refresh, "second".into(), Position(2), Timestamp(30_000)).unwrap();

        let held = publications.get(&"second".into()).unwrap();
        assert_eq!(change.change, Change::Refreshed);
        assert_eq!((held.document.as_ref(), held.expires_at), (b"open".as_ref(), Timestamp(90_000)));
        assert_eq!(publications.len(), 1);
    }

    #[test]
    fn a_publisher_quoting_an_older_tag_is_refused_and_changes_nothing() {
        let mut publications = published();
        let modify = publish(Request::Modify { tag: "first".into(), document: "closed".into() }, 2);
        publications.apply(modify, "second".into(), Position(2), Timestamp(0)).unwrap();
        let before = publications.clone();

        let late = publish(Request::Remove { tag: "first".into() }, 3);
        let refused = publications.apply(late, "third".into(), Position(3), Timestamp(0));

        assert_eq!(refused, Err(TagUnmatched("first".into())));
        assert_eq!(publications, before);
    }

    #[test]
    fn a_phone_that_published_twice_in_the_same_words_changes_both_at_once() {
        let mut publications = published();
        let again = publish(Request::Initial { document: "open".into() }, 2);
        publications.apply(again, "second".into(), Position(2), Timestamp(0)).unwrap();
        assert_eq!(publications.len(), 2);

        let closed = publish(Request::Modify { tag: "second".into(), document: "closed".into() }, 3);
        publications.apply(closed, "third".into(), Position(3), Timestamp(0)).unwrap();

        let left: Vec<_> = publications.iter().map(|(tag, _)| tag.as_str()).collect();
        assert_eq!(left, ["third"]);
    }

    #[test]
    fn a_publication_of_another_phone_or_one_that_was_refreshed_is_no_twin() {
        let mut publications = published();
        let mut elsewhere = publish(Request::Initial { document: "open".into() }, 2);
        elsewhere.source = "192.0.2.8:5060".into();
        publications.apply(elsewhere, "elsewhere".into(), Position(2), Timestamp(0)).unwrap();
        let refresh = publish(Request::Refresh { tag: "first".into() }, 3);
        publications.apply(refresh, "refreshed".into(), Position(3), Timestamp(0)).unwrap();
        let again = publish(Request::Initial { document: "open".into() }, 4);
        publications.apply(again, "again".into(), Position(4), Timestamp(0)).unwrap();

        publications
            .apply(publish(Request::Remove { tag: "again".into() }, 5), "x".into(), Position(5), Timestamp(0))
            .unwrap();

        assert_eq!(publications.len(), 2);
    }

    #[test]
    fn a_tag_of_another_event_package_is_unmatched() {
        let mut publications = published();

        let mut other = publish(Request::Refresh { tag: "first".into() }, 2);
        other.event = "dialog".into();

        assert!(publications.apply(other, "second".into(), Position(2), Timestamp(0)).is_err());
    }

    #[test]
    fn an_expired_publication_is_refused_but_left_for_the_sweep() {
        let mut publications = published();

        let late = publish(Request::Refresh { tag: "first".into() }, 2);
        let refused = publications.apply(late, "second".into(), Position(2), Timestamp(60_000));

        assert_eq!(refused, Err(TagUnmatched("first".into())));
        assert!(publications.expire(&"first".into(), Timestamp(60_000)));
        assert!(publications.is_empty());
    }

    #[test]
    fn a_repeat_is_found_by_the_request_that_made_or_changed_the_publication() {
        let mut publications = published();
        let refresh = publish(Request::Refresh { tag: "first".into() }, 2);
        publications.apply(refresh, "second".into(), Position(2), Timestamp(0)).unwrap();

        let found = |n| publications.find_repeat(RepeatKey([n; 16])).map(|(tag, _)| tag.as_str());

        assert_eq!((found(1), found(2), found(3)), (Some("second"), Some("second"), None));
    }
}
