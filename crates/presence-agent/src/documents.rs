//! The composed document of a presentity, made once per change and shared by all its watchers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use placement::PresentityKey;
use presence::compositor::{Composed, Contribution, compose};
use presence::position::Position;
use sip::Instant;

use crate::shard::Presentity;

/// Documents serve those who are told at the same time; what nobody was shown lately is composed again. They are kept in
/// two generations: what is asked for stays with the younger one, and the older one goes as a whole.
#[derive(Debug)]
pub(crate) struct Documents {
    younger: Generation,
    older: Generation,
    capacity: usize,
    /// There was no room since this was last looked at.
    overflowed: bool,
    next_turn: Instant,
}

type Generation = BTreeMap<PresentityKey, (Position, Arc<Composed>)>;

/// How long a generation is the younger one.
const GENERATION: Duration = Duration::from_secs(15);

impl Documents {
    pub fn new(capacity: usize) -> Documents {
        let (younger, older) = (BTreeMap::new(), BTreeMap::new());
        Documents { younger, older, capacity, overflowed: false, next_turn: Instant::default() }
    }

    pub fn take_overflowed(&mut self) -> bool {
        std::mem::take(&mut self.overflowed)
    }

    /// Lets those go that nobody was shown for one or two generations.
    pub fn forget_old(&mut self, now: Instant) {
        if self.next_turn <= now {
            self.next_turn = now + GENERATION;
            self.turn();
        }
    }

    /// What a watcher of the presentity with this key sees in `event`. Somebody of whom nothing is known is offline, not
    /// unknown.
    pub fn composed(&mut self, key: &str, event: &str, presentity: Option<&Presentity>) -> Arc<Composed> {
        let Some(presentity) = presentity else {
            return Arc::new(compose(&PresentityKey::restored(key).uri(), &[], false));
        };
        if let Some((position, composed)) = self.younger.get(key)
            && *position == presentity.position
        {
            return composed.clone();
        }
        let (held, known) = self.older.remove_entry(key).unzip();
        let key = held.unwrap_or_else(|| PresentityKey::restored(key));
        let known = known.filter(|(position, _)| *position == presentity.position);
        let composed = match known {
            Some((_, composed)) => composed,
            None => Arc::new(compose_presentity(&key, event, presentity)),
        };
        if self.younger.len() >= self.capacity / 2 && !self.younger.contains_key(&key) {
            self.overflowed |= !self.older.is_empty();
            self.turn();
        }
        self.younger.insert(key, (presentity.position, composed.clone()));
        composed
    }

    fn turn(&mut self) {
        self.older = std::mem::take(&mut self.younger);
    }
}

fn compose_presentity(key: &PresentityKey, event: &str, presentity: &Presentity) -> Composed {
    // A publication keeps the name of the request that made it, so that its tuples keep their ids from one document
    // to the next although its entity-tag changes.
    let scopes: Vec<_> =
        presentity.publications.iter().map(|(_, held)| format!("{:?}", held.made_by)).collect();
    let published = presentity.publications.iter().zip(&scopes).filter(|((_, held), _)| held.event == event);
    let published = published.map(|((_, held), scope)| Contribution {
        scope,
        newest: held.documented_at.0,
        document: &held.document,
    });
    let sources = presentity.sources.iter().map(|(name, source)| Contribution {
        scope: name,
        newest: source.documented_at.0,
        document: &source.document,
    });
    let contributions: Vec<_> = published.chain(sources).collect();
    compose(&key.uri(), &contributions, presentity.is_reachable())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(documents: &mut Documents, key: &str) -> Arc<Composed> {
        documents.composed(key, "presence", Some(&Presentity::default()))
    }

    fn held(documents: &Documents) -> usize {
        documents.younger.len() + documents.older.len()
    }

    #[test]
    fn a_document_is_shared_until_nobody_asked_for_it_for_two_generations() {
        let mut documents = Documents::new(8);
        let first = shown(&mut documents, "alice@lab.test");
        documents.forget_old(Instant(0));
        assert!(Arc::ptr_eq(&first, &shown(&mut documents, "alice@lab.test")));

        documents.forget_old(Instant(0) + GENERATION);
        assert_eq!(held(&documents), 1);
        documents.forget_old(Instant(0) + 2 * GENERATION);

        assert_eq!(held(&documents), 0);
    }

    #[test]
    fn a_document_is_composed_anew_when_its_presentity_changed() {
        let mut documents = Documents::new(8);
        let first = shown(&mut documents, "alice@lab.test");
        documents.forget_old(Instant(0));

        let mut changed = Presentity::default();
        changed.position = Position(1);
        let second = documents.composed("alice@lab.test", "presence", Some(&changed));

        assert!(!Arc::ptr_eq(&first, &second));
        assert_eq!(held(&documents), 1);
    }

    #[test]
    fn there_are_never_more_than_the_capacity_and_that_some_had_to_go_is_told_once() {
        let mut documents = Documents::new(4);
        for n in 0..4 {
            shown(&mut documents, &format!("user{n}@lab.test"));
        }
        assert_eq!((held(&documents), documents.take_overflowed()), (4, false));

        shown(&mut documents, "another@lab.test");

        assert!(held(&documents) <= 4);
        assert_eq!((documents.take_overflowed(), documents.take_overflowed()), (true, false));
    }
}
