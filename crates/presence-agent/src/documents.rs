//! The composed document of a presentity, made once per change and shared by all its watchers.

use std::collections::BTreeMap;
use std::sync::Arc;

use placement::PresentityKey;
use presence::compositor::{Composed, Contribution, compose};
use presence::position::Position;

use crate::shard::Presentity;

#[derive(Debug)]
pub(crate) struct Documents {
    held: BTreeMap<PresentityKey, (Position, Arc<Composed>)>,
    capacity: usize,
    /// There was no room since this was last looked at.
    overflowed: bool,
}

impl Documents {
    pub fn new(capacity: usize) -> Documents {
        Documents { held: BTreeMap::new(), capacity, overflowed: false }
    }

    pub fn take_overflowed(&mut self) -> bool {
        std::mem::take(&mut self.overflowed)
    }

    /// What a watcher of the presentity with this key sees in `event`. Somebody of whom nothing is known is offline, not
    /// unknown.
    pub fn composed(&mut self, key: &str, event: &str, presentity: Option<&Presentity>) -> Arc<Composed> {
        let Some(presentity) = presentity else {
            return Arc::new(compose(&PresentityKey::restored(key).uri(), &[], false));
        };
        if let Some((position, composed)) = self.held.get(key)
            && *position == presentity.position
        {
            return composed.clone();
        }
        let key = PresentityKey::restored(key);
        let composed = Arc::new(compose_presentity(&key, event, presentity));
        // At the limit all go: composing again is cheap beside keeping score of what was used when.
        if self.held.len() >= self.capacity && !self.held.contains_key(&key) {
            self.overflowed = true;
            self.held.clear();
        }
        self.held.insert(key, (presentity.position, composed.clone()));
        composed
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
