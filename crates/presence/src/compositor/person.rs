//! The one person: whose status outweighs the others says what the person is doing, of the rest the newest.

use std::collections::{BTreeMap, BTreeSet};

use super::sources::{Source, Sources};
use super::summary::Summary;
use crate::format::markup::{Namespace, Node};
use crate::format::page::Page;
use crate::format::pidf::{Note, Part};
use crate::format::schema::write_extension;
use crate::said;
use crate::status::Status;

/// The id of the person, which is that of the newest source that knows one; `None` if nobody speaks of a person.
pub fn id(sources: &Sources, page: &mut Page) -> Option<String> {
    match sources.each(|document| document.persons()).next() {
        Some((source, newest)) => {
            Some(page.ids.assign('p', sources.get(source).scope, &newest.id().unwrap_or_default()))
        }
        None => sources.decisive().map(|_| page.ids.assign('p', "", "person")),
    }
}

pub fn write(sources: &Sources, page: &mut Page, summary: &mut Summary, id: &str) {
    let start = page.mark();
    page.markup("<");
    page.name(Namespace::DataModel, "person");
    page.attribute("id", id);
    page.markup(">");
    let inside = page.mark();

    // Activities come first, because whatever is left out of a page that is full, the status is not.
    let note = match sources.decisive() {
        Some((status, source)) => write_status(status, sources.get(source), page, summary),
        None => {
            write_newest(sources, page, summary, is_activities);
            None
        }
    };
    write_newest(sources, page, summary, |element| !is_activities(element));
    write_notes(sources, note, page, summary);
    let mut timestamps = sources.each(|document| document.persons().filter_map(Part::timestamp));
    if let Some((_, timestamp)) = timestamps.next() {
        page.simple(Namespace::DataModel, "timestamp", &timestamp);
    }
    if page.since(inside).is_empty() {
        page.back_to(start);
        return;
    }
    page.close(Namespace::DataModel, "person");
    page.markup("\n");
}

/// Writes what the person is doing in the words of the source that decides. If that spoke another language than RPID,
/// or if its words would mean something else beside the services of the others, in ours, and gives the note to them.
fn write_status(
    status: Status,
    source: &Source,
    page: &mut Page,
    summary: &mut Summary,
) -> Option<Note<'static>> {
    let own = &source.statement.activities;
    if !page.is_full() && said::of_activities(own, summary.basic()) == Some(status) {
        for &element in own {
            write_extension(page, element, Namespace::DataModel);
            summary.add_activities(element);
        }
        return None;
    }
    let comment = source.statement.comment.as_deref();
    status.write_activities(page, comment);
    summary.add_activity(status.activity());
    status.note(comment).map(|text| Note { text: text.into(), language: None })
}

/// Writes those elements of the person that are asked for, each from the newest source that has it; what only the
/// source that decides the status can explain stays with that status.
fn write_newest(sources: &Sources, page: &mut Page, summary: &mut Summary, is_asked_for: fn(&Node) -> bool) {
    let elements = || sources.each(|document| document.persons().flat_map(Part::extensions));
    let decisive = sources.decisive().map(|(_, source)| source);
    let of_decisive = elements().filter(|(source, _)| Some(*source) == decisive);
    let unknown = of_decisive.filter(|(_, element)| element.namespace() == Namespace::Foreign);
    let mut winners: BTreeMap<_, _> =
        unknown.map(|(source, element)| (element.expanded_name(), source)).collect();
    for (source, element) in elements().filter(|(_, element)| is_asked_for(element)) {
        // What the schema refuses is not had: an empty <mood/> does not outdo a happy one.
        let won = winners.get(&element.expanded_name()).is_none_or(|&winner| winner == source);
        if won && write_extension(page, element, Namespace::DataModel) {
            winners.insert(element.expanded_name(), source);
            summary.add_activities(element);
        }
    }
}

/// Writes the notes on the person, each once: of the status, of the source that decides it, then of the newest.
fn write_notes(sources: &Sources, note: Option<Note>, page: &mut Page, summary: &mut Summary) {
    let all = || sources.each(|document| document.persons().flat_map(Part::notes));
    let decisive = sources.decisive().map(|(_, source)| source);
    let of_decisive = all().filter(|(source, _)| Some(*source) == decisive);
    let mut seen = BTreeSet::new();
    for note in note.into_iter().chain(of_decisive.chain(all()).map(|(_, note)| note)) {
        if !page.is_full() && seen.insert(note.clone()) {
            note.write(page, Namespace::DataModel);
            summary.add_note(&note);
        }
    }
}

fn is_activities(element: &Node) -> bool {
    element.is(Namespace::Rpid, "activities")
}
