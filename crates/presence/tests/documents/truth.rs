//! One composed truth: whatever the sources say, in whichever vocabulary, one status comes of it, and it is the same
//! in each way of telling it.

use std::sync::LazyLock;

use presence::compositor::{Composed, Contribution, compose};
use presence::format::pidf::{Basic, Document, Limits};
use presence::said::said;
use presence::status::{AltContact, Status};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use crate::support::{ENTITY, assert_valid, captured};

static CAPTURED: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| captured().into_iter().map(|(_, body)| body).collect());

fn statuses() -> Vec<Status> {
    Status::names().map(|name| Status::parse(name).unwrap()).collect()
}

fn presence(inside: &str) -> Vec<u8> {
    format!(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
         xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' xmlns:x='urn:x' entity='{ENTITY}'>{inside}</presence>"
    )
    .into_bytes()
}

/// A document of the table, as an API or a feature code makes it.
fn by_name() -> impl Strategy<Value = Vec<u8>> {
    let comments = &["till 3", "Ringing", "Do not disturb", "Available: Dnd_All", "<&\"ü"];
    let contacts = vec(select(vec![("tel:+4930123456", 800), ("im:a@lab.test", 0)]), 0..3);
    (option::of(select(statuses())), option::of(select(&comments[..])), contacts).prop_map(
        |(status, comment, contacts)| {
            let contacts = AltContact::list(contacts.into_iter()).unwrap();
            Status::document(status, ENTITY, comment, &contacts)
        },
    )
}

/// A document of a phone: tuples that say open, closed or nothing, a person who does something or not.
fn by_phone() -> impl Strategy<Value = Vec<u8>> {
    let basics = &["", "<basic>open</basic>", "<basic>closed</basic>"];
    let more = &[
        "",
        "<note>On the phone</note>",
        "<note>Dnd_All</note>",
        "<note>Ringing</note>",
        "<note>off to lunch</note>",
        "<caps:servcaps xmlns:caps='urn:ietf:params:xml:ns:pidf:caps'><caps:message>true</caps:message></caps:servcaps>",
        "<contact>mailto:a@lab.test</contact>",
        "<x:mood><x:y/></x:mood>",
    ];
    let tuple = (select(&basics[..]), select(&more[..]))
        .prop_map(|(basic, more)| format!("<tuple id='t'><status>{basic}</status>{more}</tuple>"));
    let digium = select(&["not_set", "unavailable", "available", "away", "xa", "chat", "dnd"][..]).prop_map(|state| {
        format!("<tuple id='d'><status><digium_presence type='{state}'>till 3</digium_presence></status></tuple>")
    });
    let activities = &[
        "<rpid:busy/>",
        "<rpid:on-the-phone/><x:y/>",
        "<rpid:meeting/><rpid:away/>",
        "<rpid:other>chat</rpid:other>",
        "<rpid:other>fishing</rpid:other>",
        "<rpid:permanent-absence/>",
        "<rpid:working/>",
        "<rpid:note>Ringing</rpid:note>",
        "<rpid:unknown/>",
        "<rpid:other><x:y/></rpid:other>",
        "",
    ];
    let notes = &["", "<dm:note>Ringing</dm:note>", "<dm:note>why</dm:note>", "<x:mood/>"];
    let person = (select(&activities[..]), select(&notes[..])).prop_map(|(activities, note)| {
        format!("<dm:person id='p'><rpid:activities>{activities}</rpid:activities>{note}</dm:person>")
    });
    let parts = prop_oneof![3 => tuple, 1 => digium, 2 => person];
    vec(parts, 0..4).prop_map(|parts| presence(&parts.concat()))
}

fn document() -> impl Strategy<Value = Vec<u8>> {
    let on_the_wire = any::<Index>().prop_map(|which| match CAPTURED.is_empty() {
        true => presence("<tuple id='t'><status><basic>open</basic></status></tuple>"),
        false => which.get(&CAPTURED).clone(),
    });
    prop_oneof![3 => by_name(), 3 => by_phone(), 1 => on_the_wire]
}

/// What the sources of somebody say, with the position of each change, and whether a binding lives.
#[derive(Clone, Debug)]
struct Sources {
    said: Vec<(u64, Vec<u8>)>,
    reachable: bool,
}

fn sources() -> impl Strategy<Value = Sources> {
    (vec((0..3_u64, document()), 0..5), any::<bool>())
        .prop_map(|(said, reachable)| Sources { said, reachable })
}

impl Sources {
    fn compose(&self) -> Composed {
        self.compose_as(|_| {})
    }

    fn compose_as(&self, arrive: impl Fn(&mut Vec<Contribution>)) -> Composed {
        let scopes = ["c", "a", "e", "b", "d"];
        let said = self.said.iter().zip(scopes);
        let mut contributions: Vec<_> = said
            .map(|((newest, document), scope)| Contribution { scope, newest: *newest, document })
            .collect();
        arrive(&mut contributions);
        compose(ENTITY, &contributions, self.reachable)
    }

    /// What must come of it.
    fn expected(&self) -> Status {
        let said: Vec<_> = self.said.iter().map(|(_, document)| said(document)).collect();
        let strongest = said.iter().filter_map(|said| said.status).min();
        let basics: Vec<_> = said.iter().filter_map(|said| said.basic).collect();
        match strongest.filter(|status| *status < Status::Available) {
            Some(status) => status,
            None if basics.contains(&Basic::Open) => Status::Available,
            None if basics.is_empty() && self.reachable => Status::Available,
            None => Status::Unreachable,
        }
    }
}

fn tuples(composed: &Composed) -> Vec<Option<Basic>> {
    let document = Document::parse(&composed.document, &Limits::default()).unwrap();
    document.tuples().map(|tuple| tuple.basic()).collect()
}

proptest! {
    #![proptest_config(Config { cases: 2_000, ..Config::default() })]

    #[test]
    fn the_status_that_outweighs_the_others_is_the_presentitys(sources in sources()) {
        let composed = sources.compose();

        prop_assert_eq!(composed.status, sources.expected());
    }

    #[test]
    fn the_composed_document_reads_as_its_status(sources in sources()) {
        let composed = sources.compose();

        let read = said(&composed.document);
        prop_assert_eq!((read.status, read.basic), (Some(composed.status), Some(composed.basic)));
    }

    #[test]
    fn the_order_of_arrival_never_matters(sources in sources()) {
        let composed = sources.compose();

        prop_assert_eq!(&composed, &sources.compose_as(|arrived| arrived.reverse()));
        prop_assert_eq!(&composed, &sources.compose_as(|arrived| arrived.sort_by_key(|one| one.scope)));
    }

    // Whatever the schemas refuse is repaired on the way through, so this says that nothing was left to repair as well.
    #[test]
    fn composing_the_composed_document_changes_no_byte(sources in sources(), reachable in any::<bool>()) {
        let composed = sources.compose();

        let again = Sources { said: vec![(7, composed.document.to_vec())], reachable }.compose();

        prop_assert_eq!(std::str::from_utf8(&again.document), std::str::from_utf8(&composed.document));
        prop_assert_eq!((again.status, again.basic), (composed.status, composed.basic));
    }

    #[test]
    fn who_is_not_to_be_disturbed_is_reached_by_no_service(mut sources in sources(), newest in 0..3_u64) {
        sources.said.push((newest, Status::document(Some(Status::DoNotDisturb), ENTITY, None, &[])));

        let composed = sources.compose();

        prop_assert_eq!((composed.status, composed.basic), (Status::DoNotDisturb, Basic::Closed));
        let tuples = tuples(&composed);
        prop_assert!(tuples[0] == Some(Basic::Closed) && !tuples.contains(&Some(Basic::Open)));
    }

    #[test]
    fn the_first_tuple_is_open_if_a_call_can_be_taken(sources in sources()) {
        let composed = sources.compose();

        let can_be_called = composed.basic == Basic::Open && composed.status != Status::Chat;
        prop_assert_eq!(tuples(&composed)[0], Some(if can_be_called { Basic::Open } else { Basic::Closed }));
    }

    #[test]
    fn there_is_one_person_at_most(sources in sources()) {
        let composed = sources.compose();

        let document = Document::parse(&composed.document, &Limits::default()).unwrap();
        prop_assert!(document.persons().count() <= 1);
    }
}

#[test]
fn of_every_two_statuses_the_higher_one_is_shown_however_new_the_other_is() {
    let statuses = statuses();
    for (position, higher) in statuses.iter().enumerate() {
        for lower in &statuses[position..] {
            for (of_higher, of_lower) in [(1, 2), (2, 1), (1, 1)] {
                let document = |status: &Status| Status::document(Some(*status), ENTITY, None, &[]);
                let said = vec![(of_higher, document(higher)), (of_lower, document(lower))];

                let composed = Sources { said, reachable: true }.compose();

                assert_eq!(composed.status, *higher, "{higher:?} and {lower:?}");
            }
        }
    }
}

#[test]
fn a_status_is_the_same_by_its_name_in_its_document_and_composed() {
    for name in Status::names() {
        let status = Status::parse(name).unwrap();
        for comment in [None, Some("till 3"), Some("Ringing"), Some("Do not disturb"), Some("Offline")] {
            let document = Status::document(Some(status), ENTITY, comment, &[]);
            let composed = Sources { said: vec![(1, document.clone())], reachable: false }.compose();

            assert_eq!(said(&document).status, Some(status), "{name} {comment:?}");
            assert_eq!(composed.status, status, "{name} {comment:?}");
            assert_eq!(said(&composed.document).status, Some(status), "{name} {comment:?}");
            assert_eq!(said(&document).basic, Some(status.basic()), "{name} {comment:?}");
        }
    }
}

#[test]
fn every_composition_of_the_table_is_valid() {
    let mut runner = TestRunner::deterministic();
    let documents: Vec<_> = (0..200)
        .map(|_| sources().new_tree(&mut runner).unwrap().current())
        .map(|sources| (format!("{sources:?}"), sources.compose().document.to_vec()))
        .collect();

    assert_valid(&documents);
}
