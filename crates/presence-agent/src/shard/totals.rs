//! How much a shard holds, kept beside the records, so that an operator's question costs nothing.

use super::{Presentity, Shard, Subscription};

/// Publications, sources and bindings; and the subscriptions that have ended but are still kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Totals {
    held: Holdings,
    ended: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Holdings {
    pub publications: usize,
    pub sources: usize,
    pub bindings: usize,
}

impl Totals {
    pub fn replaced(&mut self, before: Holdings, after: Holdings) {
        let replaced = |total: usize, before: usize, after: usize| total + after - before;
        self.held = Holdings {
            publications: replaced(self.held.publications, before.publications, after.publications),
            sources: replaced(self.held.sources, before.sources, after.sources),
            bindings: replaced(self.held.bindings, before.bindings, after.bindings),
        };
    }

    pub fn moved(&mut self, before: Option<&Subscription>, after: Option<&Subscription>) {
        let ended = |held: Option<&Subscription>| usize::from(held.is_some_and(|held| held.ended.is_some()));
        self.ended = self.ended + ended(after) - ended(before);
    }
}

impl Presentity {
    pub(super) fn holdings(&self) -> Holdings {
        Holdings {
            publications: self.publications.len(),
            sources: self.sources.len(),
            bindings: self.bindings.len(),
        }
    }
}

impl Shard {
    pub fn presentity_count(&self) -> usize {
        self.slots.values().map(|slot| slot.presentities.len()).sum()
    }

    /// Those that have not ended.
    pub fn subscription_count(&self) -> usize {
        self.slots.values().map(|slot| slot.subscriptions.len()).sum::<usize>() - self.totals.ended
    }

    pub fn publication_count(&self) -> usize {
        self.totals.held.publications
    }

    pub fn source_count(&self) -> usize {
        self.totals.held.sources
    }

    pub fn binding_count(&self) -> usize {
        self.totals.held.bindings
    }
}
