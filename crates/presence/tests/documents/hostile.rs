//! Whatever a peer sends: an answer, never a panic, and never much work.

use std::collections::BTreeSet;

use presence::compositor::{Contribution, compose};
use presence::format::pidf::{BadDocument, Basic, Document, Limits};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::{ENTITY, assert_valid, captured, composed};

const PIDF: &str = "urn:ietf:params:xml:ns:pidf";

#[track_caller]
fn refused(document: &str) -> BadDocument {
    let refusal = Document::parse(document.as_bytes(), &Limits::default()).expect_err(document);
    let line = refusal.to_string();
    assert!(line.len() < 160 && !line.contains(char::is_control), "{line}");
    refusal
}

fn presence(inside: &str) -> String {
    format!("<presence xmlns='{PIDF}' xmlns:x='urn:x'>{inside}</presence>")
}

#[test]
fn a_document_that_grows_by_its_entities_is_refused() {
    let laughs = format!(
        "<!DOCTYPE presence [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;'><!ENTITY c '&b;&b;&b;&b;'>]>{}",
        presence("<note>&c;</note>")
    );

    assert_eq!(refused(&laughs), BadDocument::Doctype);
    assert_eq!(refused(&presence("<note>&c;</note>")), BadDocument::Entity("c".into()));
}

#[test]
fn nesting_stops_at_the_limit() {
    let nested = |depth: usize| presence(&format!("{}{}", "<x:a>".repeat(depth), "</x:a>".repeat(depth)));

    assert!(Document::parse(nested(31).as_bytes(), &Limits::default()).is_ok());
    assert_eq!(refused(&nested(32)), BadDocument::TooDeep(32));
    assert_eq!(refused(&nested(5_000)), BadDocument::TooDeep(32));
}

#[test]
fn size_stops_at_the_limit_wherever_the_bytes_are() {
    for long in [
        presence(&format!("<x:a b='{}'/>", "b".repeat(65_536))),
        presence(&format!("<note>{}</note>", "n".repeat(65_536))),
        presence(&format!("<!--{}-->", "c".repeat(65_536))),
    ] {
        assert_eq!(refused(&long), BadDocument::TooLarge(65_536));
    }
}

#[test]
fn another_root_another_namespace_and_no_namespace_are_refused() {
    for document in [
        "<presence/>",
        "<presence xmlns='urn:ietf:params:xml:ns:pidf:'/>",
        "<presence xmlns='jabber:client' from='a'/>",
        "<p:tuple xmlns:p='urn:ietf:params:xml:ns:pidf'/>",
    ] {
        assert!(matches!(refused(document), BadDocument::NotPresence(_)), "{document}");
    }
    let prefixed = format!("<p:presence xmlns:p='{PIDF}'/>");
    assert!(Document::parse(prefixed.as_bytes(), &Limits::default()).is_ok());
}

#[test]
fn an_extension_that_must_be_understood_is_refused_if_it_is_unknown() {
    for insistent in [
        "<x:a mustUnderstand='true'/>",
        "<x:a xmlns:p='urn:ietf:params:xml:ns:pidf' p:mustUnderstand='1'/>",
        "<tuple id='a'><status><x:a><x:b mustUnderstand=' true '/></x:a></status></tuple>",
    ] {
        assert!(matches!(refused(&presence(insistent)), BadDocument::NotUnderstood(_)), "{insistent}");
    }
    for modest in ["<x:a mustUnderstand='false'/>", "<x:a x:mustUnderstand='true'/>"] {
        assert!(Document::parse(presence(modest).as_bytes(), &Limits::default()).is_ok(), "{modest}");
    }
}

#[test]
fn a_byte_order_mark_is_tolerated_and_other_encodings_are_not() {
    let marked = format!("\u{FEFF}<?xml version='1.0' encoding='utf-8'?>{}", presence(""));
    let latin = format!("<?xml version='1.0' encoding='ISO-8859-1'?>{}", presence(""));

    assert!(Document::parse(marked.as_bytes(), &Limits::default()).is_ok());
    assert_eq!(refused(&latin), BadDocument::ForeignEncoding("ISO-8859-1".into()));
    let bytes = [presence("<note>").as_bytes(), b"\xC0\x80"].concat();
    assert_eq!(Document::parse(&bytes, &Limits::default()).unwrap_err(), BadDocument::NotUtf8);
}

#[test]
fn sections_comments_and_instructions_are_read_over() {
    let document = presence(
        "<!-- --><?p i?><tuple id='a'><!-- --><status><basic><![CDATA[open]]><!-- --></basic></status>\
         <note>a<![CDATA[<b>]]><?p?>&#99;</note></tuple>",
    );

    let composed = composed(&[document.as_bytes()]);

    assert_eq!((composed.basic, composed.notes), (Basic::Open, vec!["a<b>c".to_owned()]));
}

#[test]
fn a_document_that_cannot_be_read_is_left_out() {
    let good = presence("<tuple id='a'><status><basic>open</basic></status></tuple>");

    assert_eq!(composed(&[b"\xFF", good.as_bytes(), b"<a>"]), composed(&[b"", good.as_bytes()]));
}

#[test]
fn declarations_repeated_on_many_elements_cannot_blow_a_document_up() {
    let uri = "u".repeat(30_000);
    let document = format!(
        "<presence xmlns='{PIDF}' xmlns:x='{uri}'><tuple id='a'>{}</tuple></presence>",
        "<x:a/>".repeat(5_000)
    );
    assert!(Document::parse(document.as_bytes(), &Limits::default()).is_ok());

    let composed = composed(&[document.as_bytes(); 8]);

    assert!(composed.document.len() < 512 * 1024, "{}", composed.document.len());
    assert_valid(&[("bounded".into(), composed.document.to_vec())]);
}

#[test]
fn thousands_of_equal_parts_get_ids_of_their_own() {
    // A search that starts anew for each of them would make this test take a minute.
    for part in [
        "<tuple id='a'/>",
        "<tuple/>",
        "<note>a</note>",
        "<x:a/>",
        "<d:device xmlns:d='urn:ietf:params:xml:ns:pidf:data-model'><d:deviceID>urn:a</d:deviceID></d:device>",
        "<d:person xmlns:d='urn:ietf:params:xml:ns:pidf:data-model'><x:a/><x:b/></d:person>",
    ] {
        let document = presence(&part.repeat(65_000 / part.len() - 10));
        assert!(Document::parse(document.as_bytes(), &Limits::default()).is_ok(), "{part}");

        let composed = composed(&[document.as_bytes(); 4]);

        let limits = Limits { bytes: composed.document.len(), ..Limits::default() };
        let composed = Document::parse(&composed.document, &limits).unwrap();
        let ids: BTreeSet<_> = composed.tuples().map(|tuple| tuple.id()).collect();
        assert_eq!(ids.len(), composed.tuples().count(), "{part}");
    }
}

/// Bodies to damage: captured ones, and one with a bit of everything.
fn corpus() -> Vec<Vec<u8>> {
    let everything = presence(
        "<tuple id='a'><status><basic>open</basic><x:o b=\"&#x41;&amp;\"/></status><contact priority='0.5'>sip:a</contact>\
         <note xml:lang='en'>n<![CDATA[x]]></note><timestamp>2026-11-21T02:26:30Z</timestamp></tuple><!-- c --><?p i?>\
         <d:person xmlns:d='urn:ietf:params:xml:ns:pidf:data-model' id='p'><r:activities \
         xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' from='2026-11-21T02:26:30Z'><r:other>o</r:other><x:y/></r:activities>\
         <x:z><r:mood xmlns:r='urn:ietf:params:xml:ns:pidf:rpid'><r:sad/></r:mood></x:z></d:person>",
    );
    let mut corpus: Vec<Vec<u8>> = captured().into_iter().map(|(_, body)| body).collect();
    corpus.push(everything.into_bytes());
    corpus
}

/// Composes, and holds the result to what no input may change.
fn compose_and_read(bytes: &[u8]) {
    let contribution = Contribution { scope: "s", newest: 1, document: bytes };

    let composed = compose(ENTITY, &[contribution], true);

    let document = Document::parse(&composed.document, &Limits::default());
    assert!(document.is_ok_and(|document| document.tuples().count() > 0), "{composed:?}");
    let again = compose(ENTITY, &[Contribution { document: &composed.document, ..contribution }], true);
    assert_eq!(again.document, composed.document);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        compose_and_read(&bytes);
    }

    #[test]
    fn arbitrary_markup_never_panics(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..40),
    ) {
        compose_and_read(presence(&pieces.concat()).as_bytes());
        compose_and_read(pieces.concat().as_bytes());
    }

    #[test]
    fn damaged_documents_never_panic(
        document in any::<Index>(),
        damage in proptest::collection::vec((any::<Index>(), 0..4_u8, any::<u8>(), any::<Index>()), 1..6),
    ) {
        let corpus = corpus();
        let mut bytes = document.get(&corpus).clone();
        for (at, how, byte, other) in damage {
            if bytes.is_empty() {
                break;
            }
            let (at, other) = (at.index(bytes.len()), other.index(bytes.len()));
            match how {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, byte),
                _ => bytes.truncate(at.max(other)),
            }
        }
        compose_and_read(&bytes);
    }
}

const PIECES: &[&str] = &[
    "<",
    ">",
    "</",
    "/>",
    "<tuple",
    "<tuple>",
    "</tuple>",
    " id='a'",
    "<status>",
    "</status>",
    "<basic>open</basic>",
    "<note>",
    "</note>",
    "<x:a",
    "<x:a>",
    "</x:a>",
    " xmlns='urn:x'",
    " xmlns=''",
    " xmlns:x='urn:y'",
    "&",
    "&amp;",
    "&#65;",
    "&#0;",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<?p",
    "?>",
    "<!DOCTYPE a>",
    "'",
    "\"",
    "=",
    "é",
    "\u{FFFE}",
    "\r\n",
    "<d:person xmlns:d='urn:ietf:params:xml:ns:pidf:data-model'>",
    "</d:person>",
    "\0",
    "<r:mood xmlns:r='urn:ietf:params:xml:ns:pidf:rpid'>",
    "</r:mood>",
    "<r:sad/>",
    "<?xml version='1.0'?>",
];
