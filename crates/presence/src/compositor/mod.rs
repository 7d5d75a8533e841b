//! The compositor: from what every source of a presentity says to the one document its watchers see.
//!
//! RFC 3903 section 2 leaves composition to local policy; this is ours (RFC 4479 section 3.2 gives the shape).
//! Services and devices are united, since each source speaks of its own. There is one person, so its sources can
//! disagree: the status that outweighs the others (`Status`) is the person's, and of the sources that say it the newest
//! gives its words; of everything else about the person the newest source that has it wins.
//!
//! Whoever says no status is available while a service is open; and if no source says whether one is, while some
//! binding of theirs lives. Otherwise they are offline. So `Unreachable` is no veto: who says so and has another phone
//! open, or gave another number, is reached there.
//!
//! Many lamps look at the first tuple alone, and a call is what their key makes; so the first tuple always says open or
//! closed, and it says whether a call makes sense:
//!
//! | status | first tuple | the others |
//! |---|---|---|
//! | `DoNotDisturb` | closed | closed, whatever their sources say |
//! | `Chat` | closed | closed if they take calls; one for text is open if anything was |
//! | `Available` | open | as their sources say, open ones first |
//! | `Unreachable` | closed | none is open |
//! | any other | open if any is | as their sources say, open ones first |
//!
//! Among equals that of the source whose status it is comes first, so that the note fits, and then the newest.
//!
//! Of the order in which contributions are handed in nothing depends, and composing a composed document changes no
//! byte of it: what it says reads as the status it was composed for, in whichever vocabulary the source spoke.
//!
//! Deliberately absent: which watcher may see what, and precedence between kinds of sources.

mod person;
mod services;
mod sources;
mod summary;

use bytes::Bytes;

use crate::format::page::Page;
use crate::format::pidf::{Basic, Limits};
use crate::status::Status;

use services::Services;
use sources::Sources;
use summary::Summary;

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
    /// The one that outweighs the others.
    pub status: Status,
    /// Open if any service is.
    pub basic: Basic,
    /// The notes without repetition: of the person, of the services, of the presentity; at most `SHOWN`.
    pub notes: Vec<String>,
    /// RPID names of what the person is doing, at most `SHOWN`.
    pub activities: Vec<String>,
}

/// As many notes and activities as a list of people could show; the document has them all.
pub const SHOWN: usize = 32;

/// Composes what the sources say of `entity`, which is written as given.
///
/// `reachable` says that some binding of the presentity lives. Documents that cannot be read are left out; a publisher
/// of one was refused.
pub fn compose(entity: &str, contributions: &[Contribution], reachable: bool) -> Composed {
    let documents = sources::read(contributions, &Limits::COMPOSED);
    let sources = Sources::of(&documents);
    let mut page = Page::default();
    let services = Services::of(&sources, entity, reachable, &mut page);
    let devices = sources.devices(&mut page);
    let person_id = person::id(&sources, &mut page);

    let mut summary = Summary::default();
    services.write(&mut page, &mut summary);
    sources.write_notes(&mut page);
    if let Some(id) = person_id {
        person::write(&sources, &mut page, &mut summary, &id);
    }
    for device in &devices {
        if !page.is_full() {
            let (part, urn) = &device.part;
            part.write_device(&mut page, &device.id, urn);
        }
    }
    sources.write_extensions(&mut page);

    services.add_words(&mut summary);
    sources.notes().for_each(|note| summary.add_note(&note));
    let said = sources.decisive().map(|(status, _)| status);
    summary.finish(said, page.finish(entity))
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
        let first = inside(&[("a", "<tuple><status><basic>open</basic></status></tuple><tuple id='7'/>")]);
        let later = inside(&[("a", "<tuple/>"), ("b", &tuple("t", "open"))]);

        let id = first.split('"').nth(1).unwrap();
        assert!(later.contains(id), "{first}{later}");
    }

    #[test]
    fn for_each_element_of_the_person_the_newest_source_wins() {
        let older = "<dm:person id='p'><rpid:activities><rpid:away/></rpid:activities><rpid:mood><rpid:sad/></rpid:mood>\
                     <dm:note>one</dm:note><dm:timestamp>2026-11-21T02:00:00Z</dm:timestamp></dm:person>";
        let newer = "<dm:person id='q'><rpid:activities><rpid:meal/></rpid:activities><dm:note>two</dm:note>\
                     <dm:note>one</dm:note></dm:person>";

        let inside = inside(&[("a", older), ("b", newer)]);

        let person = "<dm:person id=\"q\"><rpid:activities><rpid:meal/></rpid:activities><rpid:mood><rpid:sad/>\
                      </rpid:mood><dm:note>two</dm:note><dm:note>one</dm:note>\
                      <dm:timestamp>2026-11-21T02:00:00Z</dm:timestamp></dm:person>\n";
        assert!(inside.ends_with(person), "{inside}");
    }

    #[test]
    fn empty_activities_do_not_outdo_those_of_an_older_source() {
        let away = "<dm:person id='p'><rpid:activities><rpid:away/></rpid:activities></dm:person>";
        let empty = "<dm:person id='q'><rpid:activities/></dm:person>";

        assert!(inside(&[("a", away), ("b", empty)]).contains("<rpid:away/>"));
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
