//! The compositor: from what every source of a presentity says to the one document its watchers see.
//!
//! RFC 3903 §2 leaves composition to local policy; this is ours (RFC 4479 §3.2 gives the shape). Services and
//! devices are united, since each source speaks of its own. There is one person, so its sources can disagree:
//! for each element of the person the newest source that has it wins. Of the order in which contributions are
//! handed in nothing depends, and composing a composed document changes no byte of it.
//!
//! Deliberately absent: which watcher may see what, and precedence between kinds of sources.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::format::markup::{Namespace, Node};
use crate::format::page::{FULL, Page};
use crate::format::pidf::{Basic, Contact, Document, Limits, Note, Part, Tuple};
use crate::format::schema::write_extension;
use crate::format::simple::Simple;
use crate::format::vocabulary;

/// What one source says: a phone's publication, an API client, a calendar.
#[derive(Clone, Copy, Debug)]
pub struct Contribution<'a> {
    /// Unique among the sources of a presentity and as lasting as the source: made ids depend on it.
    pub scope: &'a str,
    /// When it was last changed, as a position; larger is newer.
    pub newest: u64,
    pub document: &'a [u8],
}

/// The presentity as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    /// PIDF, valid by its schemas.
    pub document: Bytes,
    /// Open if any service is.
    pub basic: Basic,
    /// The notes without repetition: of the person, of the services, of the presentity; at most `SHOWN`.
    pub notes: Vec<String>,
    /// RPID names of what the person is doing, at most `SHOWN`.
    pub activities: Vec<String>,
}

/// As many notes and activities as a list of people could show; the document has them all.
pub const SHOWN: usize = 32;

// A composed document can itself be a contribution, and carries declarations its parts did not; so the bounds
// are wider than those a publisher must keep, and only a backstop.
const READ: Limits = Limits { bytes: 4 * FULL, depth: 64, attributes: 256, namespaces: 256 };

/// Composes what the sources say of `entity`, which is written as given.
///
/// If none speaks of a service, being `reachable` - some binding of the presentity lives - is the news there is.
/// Documents that cannot be read are left out; a publisher of one was refused.
pub fn compose(entity: &str, contributions: &[Contribution], reachable: bool) -> Composed {
    let sources = Sources::read(contributions);
    let mut page = Page::default();
    let tuples = sources.tuples(&mut page);
    let devices = sources.devices(&mut page);
    let person_id = sources.person_id(&mut page);

    let mut summary = Summary::default();
    for tuple in &tuples {
        if !page.is_full() {
            tuple.part.write(&mut page, &tuple.id);
        }
    }
    if tuples.is_empty() {
        write_reachability(&mut page, &mut summary, entity, reachable);
    }
    sources.write_notes(&mut page);
    if let Some(id) = person_id {
        sources.write_person(&mut page, &mut summary, &id);
    }
    for device in &devices {
        if !page.is_full() {
            let (part, urn) = &device.part;
            part.write_device(&mut page, &device.id, urn);
        }
    }
    sources.write_extensions(&mut page);

    tuples.iter().for_each(|tuple| summary.add_tuple(tuple.part));
    sources.notes().for_each(|note| summary.add_note(&note));
    summary.finish(page.finish(entity))
}

/// The one tuple of a presentity no source of which speaks of a service.
fn write_reachability(page: &mut Page, summary: &mut Summary, entity: &str, reachable: bool) {
    let basic = if reachable { Basic::Open } else { Basic::Closed };
    page.markup("<tuple");
    let id = page.ids.assign('t', "", REACHABILITY);
    page.attribute("id", &id);
    page.markup("><status>");
    page.simple(Namespace::Pidf, "basic", basic.as_str());
    page.markup("</status>");
    if reachable && Simple::AnyUri.admits(entity) {
        Contact { uri: Cow::Borrowed(entity), priority: None }.write(page);
    }
    if !reachable {
        page.simple(Namespace::Pidf, "note", OFFLINE);
        summary.notes.push(OFFLINE.to_owned());
    }
    page.markup("</tuple>\n");
    summary.open = reachable;
}

const REACHABILITY: &str = "reachability";
const OFFLINE: &str = "Offline";

/// The contributions that could be read, newest first.
struct Sources<'a> {
    newest_first: Vec<Source<'a>>,
}

struct Source<'a> {
    scope: &'a str,
    document: Document<'a>,
    /// Its place among the sources by scope.
    place: usize,
}

/// A part of a source's document that goes into the composed one, and the id it has there.
struct Placed<P> {
    part: P,
    source: usize,
    id: String,
}

impl<'a> Sources<'a> {
    fn read(contributions: &[Contribution<'a>]) -> Sources<'a> {
        let mut order: Vec<&Contribution<'a>> = contributions.iter().collect();
        // The document decides last, should a caller give two sources one scope.
        order.sort_by_key(|one| (Reverse(one.newest), one.scope, one.document));
        let read = |one: &&Contribution<'a>| {
            let document = Document::parse(one.document, &READ).ok()?;
            Some(Source { scope: one.scope, document, place: 0 })
        };
        let mut newest_first: Vec<Source> = order.iter().filter_map(read).collect();

        let mut by_scope: Vec<usize> = (0..newest_first.len()).collect();
        by_scope.sort_by_key(|&source| newest_first[source].scope);
        for (place, source) in by_scope.into_iter().enumerate() {
            newest_first[source].place = place;
        }
        Sources { newest_first }
    }

    /// Every tuple: the open ones first, because there are phones that look at the first only, then the newest.
    fn tuples(&self, page: &mut Page) -> Vec<Placed<Tuple<'_>>> {
        let tuples = self.each(|document| document.tuples());
        let mut placed = self.place(tuples, page, 't', |tuple| tuple.id());
        placed.sort_by_key(|tuple| (tuple.part.basic() != Some(Basic::Open), tuple.source));
        placed
    }

    /// Every device with its URN; of several with the same one the newest.
    fn devices(&self, page: &mut Page) -> Vec<Placed<(Part<'_>, Cow<'_, str>)>> {
        let mut seen = BTreeSet::new();
        let devices = self.each(|document| document.devices());
        let named = devices.filter_map(|(source, part)| Some((source, (part, part.device_id()?))));
        let chosen = named.filter(|(_, (_, urn))| seen.insert(urn.clone()));
        let mut placed = self.place(chosen, page, 'd', |(part, _)| part.id());
        placed.sort_by_key(|device| device.source);
        placed
    }

    /// The id of the one person, which is that of the newest source that knows one.
    fn person_id(&self, page: &mut Page) -> Option<String> {
        let (source, newest) = self.each(|document| document.persons()).next()?;
        Some(page.ids.assign('p', self.newest_first[source].scope, &newest.id().unwrap_or_default()))
    }

    /// Gives ids by scope, so that a source's do not change because another one spoke more recently.
    fn place<'s, P>(
        &'s self,
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

    /// Writes the one person: for each element the newest source that has one wins, notes are united.
    fn write_person(&self, page: &mut Page, summary: &mut Summary, id: &str) {
        let start = page.mark();
        page.markup("<");
        page.name(Namespace::DataModel, "person");
        page.attribute("id", id);
        page.markup(">");
        let inside = page.mark();

        let mut winners = BTreeMap::new();
        for (source, element) in self.each(|document| document.persons().flat_map(Part::extensions)) {
            // What the schema refuses is not had: an empty <activities/> does not outdo a busy one.
            let won = winners.get(&element.expanded_name()).is_none_or(|&winner| winner == source);
            if won && write_extension(page, element, Namespace::DataModel) {
                winners.insert(element.expanded_name(), source);
                summary.add_activities(element);
            }
        }
        let mut seen = BTreeSet::new();
        for (_, note) in self.each(|document| document.persons().flat_map(Part::notes)) {
            if !page.is_full() && seen.insert(note.clone()) {
                note.write(page, Namespace::DataModel);
                summary.add_note(&note);
            }
        }
        let mut timestamps = self.each(|document| document.persons().filter_map(Part::timestamp));
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

    /// The notes on the presentity as a whole, each once.
    fn notes(&self) -> impl Iterator<Item = Note<'_>> {
        let mut seen = BTreeSet::new();
        self.each(|document| document.notes())
            .map(|(_, note)| note)
            .filter(move |note| seen.insert(note.clone()))
    }

    fn write_notes(&self, page: &mut Page) {
        for note in self.notes() {
            if !page.is_full() {
                note.write(page, Namespace::Pidf);
                page.markup("\n");
            }
        }
    }

    /// What else stands in the documents; of equal elements one.
    fn write_extensions(&self, page: &mut Page) {
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

    /// Goes through all documents, the newest first, and says which source each thing is from.
    fn each<'s, T, I: Iterator<Item = T>>(
        &'s self,
        look: impl Fn(&'s Document<'a>) -> I,
    ) -> impl Iterator<Item = (usize, T)> {
        let sources = self.newest_first.iter().enumerate();
        sources.flat_map(move |(at, source)| look(&source.document).map(move |thing| (at, thing)))
    }
}

/// What the document says, for those who do not read PIDF.
#[derive(Default)]
struct Summary {
    open: bool,
    notes: Vec<String>,
    activities: Vec<String>,
}

impl Summary {
    fn add_tuple(&mut self, tuple: Tuple) {
        self.open |= tuple.basic() == Some(Basic::Open);
        tuple.notes().for_each(|note| self.add_note(&note));
        tuple.extensions().for_each(|extension| self.add_activities(extension));
    }

    fn add_note(&mut self, note: &Note) {
        if self.notes.len() < SHOWN && !self.notes.iter().any(|shown| *shown == note.text) {
            self.notes.push(note.text.clone().into_owned());
        }
    }

    fn add_activities(&mut self, element: Node) {
        if !element.is(Namespace::Rpid, "activities") {
            return;
        }
        for child in element.children().filter(|child| child.namespace() == Namespace::Rpid) {
            let name = child.local();
            let new = !self.activities.iter().any(|shown| shown == name);
            if new && self.activities.len() < SHOWN && vocabulary::is_activity(name) {
                self.activities.push(name.to_owned());
            }
        }
    }

    fn finish(self, document: Bytes) -> Composed {
        let basic = if self.open { Basic::Open } else { Basic::Closed };
        Composed { document, basic, notes: self.notes, activities: self.activities }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "sip:alice@lab.test";

    fn presence(inside: &str) -> String {
        format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
             xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' xmlns:x='urn:x' entity='sip:alice@lab.test'>{inside}</presence>"
        )
    }

    /// Composes sources named by their scope, each newer than the one before, and returns what is in the root.
    fn inside(sources: &[(&str, &str)]) -> String {
        let documents: Vec<String> = sources.iter().map(|(_, inside)| presence(inside)).collect();
        let contributions: Vec<Contribution> = (0..)
            .zip(sources.iter().zip(&documents))
            .map(|(newest, ((scope, _), document))| Contribution {
                scope,
                newest,
                document: document.as_bytes(),
            })
            .collect();
        let composed = compose(ALICE, &contributions, false);
        let document = std::str::from_utf8(&composed.document).unwrap();
        let (_, rest) = document.split_once("entity=\"sip:alice@lab.test\">\n").unwrap();
        rest.strip_suffix("</presence>\n").unwrap().to_owned()
    }

    fn tuple(id: &str, basic: &str) -> String {
        format!("<tuple id=\"{id}\"><status><basic>{basic}</basic></status></tuple>\n")
    }

    #[test]
    fn nobody_who_published_nothing_is_open_if_he_can_be_reached() {
        let composed = compose(ALICE, &[], true);

        let document = std::str::from_utf8(&composed.document).unwrap();
        assert!(
            document.contains("<basic>open</basic></status><contact>sip:alice@lab.test</contact>"),
            "{document}"
        );
        assert_eq!((composed.basic, composed.notes), (Basic::Open, vec![]));
    }

    #[test]
    fn nobody_who_cannot_be_reached_is_offline() {
        let composed = compose(ALICE, &[], false);

        let document = std::str::from_utf8(&composed.document).unwrap();
        assert!(
            document.contains("<basic>closed</basic></status><note>Offline</note></tuple>"),
            "{document}"
        );
        assert_eq!((composed.basic, composed.notes), (Basic::Closed, vec!["Offline".to_owned()]));
    }

    #[test]
    fn a_source_that_knows_no_service_leaves_the_word_to_reachability() {
        let inside =
            inside(&[("a", "<dm:person id='p'><rpid:activities><rpid:away/></rpid:activities></dm:person>")]);

        assert!(inside.starts_with("<tuple id=\"reachability\"><status><basic>closed</basic>"), "{inside}");
        assert!(inside.contains("<rpid:away/>"), "{inside}");
    }

    #[test]
    fn the_entity_is_written_as_given() {
        let composed = compose("sip:a&\"b<@lab.test", &[], false);

        let document = std::str::from_utf8(&composed.document).unwrap();
        assert!(document.contains("entity=\"sip:a&amp;&quot;b&lt;@lab.test\""), "{document}");
    }

    #[test]
    fn open_tuples_come_first_and_among_them_the_newest() {
        let inside = inside(&[
            ("a", &tuple("old-open", "open")),
            ("b", &(tuple("closed", "closed") + &tuple("open", "open") + &tuple("second", "open"))),
        ]);

        let expected = tuple("open", "open") + &tuple("second", "open") + &tuple("old-open", "open");
        assert_eq!(inside, expected + &tuple("closed", "closed"));
    }

    #[test]
    fn of_equal_ids_the_first_scope_keeps_its_own_however_new_it_is() {
        let newer_b = inside(&[("a", &tuple("t", "open")), ("b", &tuple("t", "closed"))]);
        let newer_a = inside(&[("b", &tuple("t", "closed")), ("a", &tuple("t", "open"))]);

        assert_eq!(newer_a, newer_b);
        assert!(newer_a.starts_with(&tuple("t", "open")), "{newer_a}");
    }

    #[test]
    fn a_missing_or_illegal_id_is_made_up_and_stays() {
        let first = inside(&[("a", "<tuple><status/></tuple><tuple id='7'><status/></tuple>")]);
        let later = inside(&[("a", "<tuple><status/></tuple>"), ("b", &tuple("t", "open"))]);

        let id = first.split('"').nth(1).unwrap();
        assert!(later.contains(id), "{first}{later}");
    }

    #[test]
    fn for_each_element_of_the_person_the_newest_source_wins() {
        let older = "<dm:person id='p'><rpid:activities><rpid:away/></rpid:activities><rpid:mood><rpid:sad/></rpid:mood>\
                     <dm:note>one</dm:note><dm:timestamp>2026-11-21T02:00:00Z</dm:timestamp></dm:person>";
        let newer = "<dm:person id='q'><rpid:activities><rpid:busy/></rpid:activities><dm:note>two</dm:note>\
                     <dm:note>one</dm:note></dm:person>";

        let inside = inside(&[("a", older), ("b", newer)]);

        let person = "<dm:person id=\"q\"><rpid:activities><rpid:busy/></rpid:activities><rpid:mood><rpid:sad/>\
                      </rpid:mood><dm:note>two</dm:note><dm:note>one</dm:note>\
                      <dm:timestamp>2026-11-21T02:00:00Z</dm:timestamp></dm:person>\n";
        assert!(inside.ends_with(person), "{inside}");
    }

    #[test]
    fn empty_activities_do_not_outdo_those_of_an_older_source() {
        let busy = "<dm:person id='p'><rpid:activities><rpid:busy/></rpid:activities></dm:person>";
        let empty = "<dm:person id='q'><rpid:activities/></dm:person>";

        assert!(inside(&[("a", busy), ("b", empty)]).contains("<rpid:busy/>"));
        assert!(!inside(&[("a", empty)]).contains("person"));
    }

    #[test]
    fn devices_are_united_and_of_one_urn_the_newest_is_shown() {
        let device = |id: &str, urn: &str, note: &str| {
            format!(
                "<dm:device id='{id}'><dm:note>{note}</dm:note><dm:deviceID>{urn}</dm:deviceID></dm:device>"
            )
        };

        let inside = inside(&[
            ("a", &(device("one", "urn:x:1", "old") + &device("two", "urn:x:2", "other"))),
            ("b", &(device("three", "urn:x:1", "new") + "<dm:device id='none'/>")),
        ]);

        let shown = "<dm:device id=\"three\"><dm:deviceID>urn:x:1</dm:deviceID><dm:note>new</dm:note></dm:device>\n\
                     <dm:device id=\"two\"><dm:deviceID>urn:x:2</dm:deviceID><dm:note>other</dm:note></dm:device>\n";
        assert!(inside.ends_with(shown), "{inside}");
    }

    #[test]
    fn notes_and_equal_extensions_of_several_sources_are_shown_once() {
        let one = "<note>away</note><note xml:lang='de'>away</note><x:a b='1'/>";

        let inside = inside(&[("a", one), ("b", one)]);

        let shown = "<note>away</note>\n<note xml:lang=\"de\">away</note>\n<x:a xmlns:x=\"urn:x\" b='1'/>\n";
        assert!(inside.ends_with(shown), "{inside}");
    }
}
