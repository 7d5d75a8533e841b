//! The documents that are composed, newest first, and who of them decides the status.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::Contribution;
use crate::format::markup::Namespace;
use crate::format::page::Page;
use crate::format::pidf::{Document, Limits, Note, Part};
use crate::format::schema::write_extension;
use crate::said::Statement;
use crate::status::Status;

/// A contribution that could be read.
pub struct Read<'a> {
    scope: &'a str,
    document: Document<'a>,
}

/// Reads the contributions; the newest comes first.
pub fn read<'a>(contributions: &[Contribution<'a>], limits: &Limits) -> Vec<Read<'a>> {
    let mut order: Vec<&Contribution<'a>> = contributions.iter().collect();
    // The document decides last, should a caller give two sources one scope.
    order.sort_by_key(|one| (Reverse(one.newest), one.scope, one.document));
    let read = |one: &&Contribution<'a>| {
        Some(Read { scope: one.scope, document: Document::parse(one.document, limits).ok()? })
    };
    order.iter().filter_map(read).collect()
}

pub struct Sources<'s> {
    newest_first: Vec<Source<'s>>,
    decisive: Option<(Status, usize)>,
}

pub struct Source<'s> {
    pub scope: &'s str,
    pub document: &'s Document<'s>,
    pub statement: Statement<'s>,
    /// Its place among the sources by scope.
    place: usize,
}

/// A part of a source's document that goes into the composed one, and the id it has there.
pub struct Placed<P> {
    pub part: P,
    pub source: usize,
    pub id: String,
}

impl<'s> Sources<'s> {
    pub fn of(documents: &'s [Read<'s>]) -> Sources<'s> {
        let mut newest_first: Vec<_> = documents
            .iter()
            .map(|Read { scope, document }| Source {
                scope,
                document,
                statement: Statement::of(document),
                place: 0,
            })
            .collect();
        let mut by_scope: Vec<usize> = (0..newest_first.len()).collect();
        by_scope.sort_by_key(|&source| newest_first[source].scope);
        for (place, source) in by_scope.into_iter().enumerate() {
            newest_first[source].place = place;
        }
        let said = newest_first.iter().enumerate();
        let said = said.filter_map(|(at, source)| Some((source.statement.status?, at)));
        Sources { decisive: said.min(), newest_first }
    }

    /// The status that outweighs the others and the newest source that says it, if any says one.
    pub fn decisive(&self) -> Option<(Status, usize)> {
        self.decisive
    }

    pub fn get(&self, source: usize) -> &Source<'s> {
        &self.newest_first[source]
    }

    /// Goes through all documents, the newest first, and says which source each thing is from.
    pub fn each<T, I: Iterator<Item = T>>(
        &self,
        look: impl Fn(&'s Document<'s>) -> I,
    ) -> impl Iterator<Item = (usize, T)> {
        let sources = self.newest_first.iter().enumerate();
        sources.flat_map(move |(at, source)| look(source.document).map(move |thing| (at, thing)))
    }

    /// Gives ids by scope, so that a source's do not change because another one spoke more recently.
    pub fn place<P>(
        &self,
        parts: impl Iterator<Item = (usize, P)>,
        page: &mut Page,
        letter: char,
        original: impl Fn(&P) -> Option<Cow<'s, str>>,
    ) -> Vec<Placed<P>> {
        let mut placed: Vec<_> =
            parts.map(|(source, part)| Placed { part, source, id: String::new() }).collect();
        placed.sort_by_key(|one| self.newest_first[one.source].place);
        for one in &mut placed {
            let scope = self.newest_first[one.source].scope;
            one.id = page.ids.assign(letter, scope, &original(&one.part).unwrap_or_default());
        }
        placed
    }

    /// Every device with its URN; of several with the same one the newest.
    pub fn devices(&self, page: &mut Page) -> Vec<Placed<(Part<'s>, Cow<'s, str>)>> {
        let mut seen = BTreeSet::new();
        let devices = self.each(|document| document.devices());
        let named = devices.filter_map(|(source, part)| Some((source, (part, part.device_id()?))));
        let chosen = named.filter(|(_, (_, urn))| seen.insert(urn.clone()));
        let mut placed = self.place(chosen, page, 'd', |(part, _)| part.id());
        placed.sort_by_key(|device| device.source);
        placed
    }

    /// The notes on the presentity as a whole, each once.
    pub fn notes(&self) -> impl Iterator<Item = Note<'s>> {
        let mut seen = BTreeSet::new();
        self.each(|document| document.notes())
            .map(|(_, note)| note)
            .filter(move |note| seen.insert(note.clone()))
    }

    pub fn write_notes(&self, page: &mut Page) {
        for note in self.notes() {
            if !page.is_full() {
                note.write(page, Namespace::Pidf);
                page.markup("\n");
            }
        }
    }

    /// What else stands in the documents; of equal elements one.
    pub fn write_extensions(&self, page: &mut Page) {
        let mut seen = BTreeSet::new();
        for (_, extension) in self.each(|document| document.extensions()) {
            let start = page.mark();
            if !write_extension(page, extension, Namespace::Pidf) {
                continue;
            }
            match seen.insert(page.since(start).to_owned()) {
                true => page.markup("\n"),
                false => page.back_to(start),
            }
        }
    }
}
