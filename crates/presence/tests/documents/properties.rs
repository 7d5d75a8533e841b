//! What holds of every composition, tried on documents that are untidy in every way one could think of.

use std::collections::BTreeSet;

use presence::compositor::{Composed, Contribution, compose};
use presence::format::pidf::{Basic, Document, Limits};
use presence::status::Status;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use crate::support::{ENTITY, assert_valid};

/// Bits of tuples, persons and devices, good and bad ones; `r`, `rpid` and `d` are bound to RPID and data model.
const PARTS: &[&str] = &[
    "<status><basic>open</basic></status>",
    "<status><basic> closed\n</basic><x:mood a='\"1\"'>&lt;<![CDATA[<]]></x:mood></status>",
    "<status><basic>maybe</basic><rpid:class>a  b</rpid:class></status>",
    "<status/>",
    "<p:status xmlns:p='urn:ietf:params:xml:ns:pidf'><p:basic>open</p:basic></p:status>",
    "<contact priority='0.8'>sip:a@lab.test</contact>",
    "<contact priority='1.5'> tel:+1 </contact>",
    "<contact>::bad</contact>",
    "<contact>im:a@lab.test</contact>",
    "<status><digium_presence type='dnd'>till 3</digium_presence></status>",
    "<status><x:digium_presence type='available' subtype='s'/></status>",
    "<note>Ringing</note>",
    "<note>Dnd_All</note>",
    "<r:activities><r:other>chat</r:other></r:activities>",
    "<r:activities><r:note>On the phone</r:note></r:activities>",
    "<servcaps xmlns='urn:ietf:params:xml:ns:pidf:caps'><message>1</message><audio>false</audio></servcaps>",
    "<note>n1</note>",
    "<note xml:lang='de'>n1 &amp; more</note>",
    "<note xml:lang='!!'>n2&#13;</note>",
    "<note><b xmlns=''/></note>",
    "<d:note>n1</d:note>",
    "<timestamp>2026-11-21T02:26:30Z</timestamp>",
    "<timestamp>yesterday</timestamp>",
    "<d:timestamp>2026-02-30T00:00:00Z</d:timestamp>",
    "<d:deviceID>urn:uuid:1</d:deviceID>",
    "<d:deviceID>urn:uuid:2</d:deviceID>",
    "<d:deviceID>:</d:deviceID>",
    "<d:person id='nested'/>",
    "<r:activities/>",
    "<rpid:activities id='a1' from='2026-11-21T02:26:30Z' until='later'><rpid:busy>x</rpid:busy></rpid:activities>",
    "<r:activities x:seen='1' other='2'><r:away/><r:note>why</r:note><r:ill/><x:y/><z xmlns=''/></r:activities>",
    "<rpid:activities id='t1'><rpid:note>only</rpid:note></rpid:activities>",
    "<rpid:activities><rpid:unknown/></rpid:activities>",
    "<rpid:activities><rpid:other xml:lang='en'>o</rpid:other><rpid:unknown/></rpid:activities>",
    "<rpid:mood><rpid:note>no mood</rpid:note></rpid:mood>",
    "<rpid:mood><rpid:happy/><x:crossing-my-fingers/></rpid:mood>",
    "<rpid:mood>text<rpid:unknown/></rpid:mood>",
    "<rpid:place-is><rpid:video><rpid:dark/></rpid:video><rpid:audio><rpid:ok/><rpid:noisy/></rpid:audio></rpid:place-is>",
    "<rpid:place-is><rpid:audio/></rpid:place-is>",
    "<rpid:place-type><x:office/><rpid:other>o</rpid:other></rpid:place-type>",
    "<rpid:place-type/>",
    "<rpid:privacy><rpid:video/><rpid:audio/><rpid:unknown/></rpid:privacy>",
    "<rpid:privacy><rpid:unknown/></rpid:privacy>",
    "<rpid:relationship a='1'><rpid:self/><rpid:friend/></rpid:relationship>",
    "<rpid:service-class><rpid:electronic/></rpid:service-class>",
    "<rpid:sphere><rpid:work/></rpid:sphere>",
    "<rpid:sphere><x:bowling/><x:golf/></rpid:sphere>",
    "<rpid:status-icon>http://lab.test/i.png</rpid:status-icon>",
    "<rpid:status-icon id='t1'>http://[</rpid:status-icon>",
    "<rpid:time-offset description='here'> 60 </rpid:time-offset>",
    "<rpid:time-offset>1h</rpid:time-offset>",
    "<rpid:user-input idle-threshold='0' last-input='2026-11-21T02:26:30Z'>idle</rpid:user-input>",
    "<rpid:user-input>asleep</rpid:user-input>",
    "<rpid:future/>",
    "<c:card xmlns:c='urn:ietf:params:xml:ns:pidf:cipid'>http://lab.test/card</c:card>",
    "<c:display-name xmlns:c='urn:ietf:params:xml:ns:pidf:cipid' a=''>A &lt; B</c:display-name>",
    "<servcaps xmlns='urn:ietf:params:xml:ns:pidf:caps'><video>yes</video><text>true</text><audio>true</audio>\
     <methods><supported><BYE/><ACK/></supported></methods><schemes><supported/></schemes>\
     <priority><supported><equals/><range minvalue='1' maxvalue='2'/></supported></priority></servcaps>",
    "<devcaps xmlns='urn:ietf:params:xml:ns:pidf:caps'><mobility><supported><mobile/></supported></mobility></devcaps>",
    "<x:e a='&quot;' >\n <?pi?><!-- c --><inner/><x:f xmlns:x='urn:y' x:g='1'/></x:e>",
    "<x:e xmlns:r='urn:other'><r:activities/></x:e>",
    "<x:e><rpid:mood/></x:e>",
    "<x:e><rpid:activities><rpid:busy/></rpid:activities></x:e>",
    "<x:e><rpid:activities><rpid:busy/><x:g><rpid:mood><rpid:sad/></rpid:mood></x:g></rpid:activities></x:e>",
    "<x:e><rpid:activities id='t1'><rpid:busy/></rpid:activities></x:e>",
    "<x:e><rpid:activities><rpid:busy> </rpid:busy></rpid:activities></x:e>",
    "<x:e><d:person id='t1'/></x:e>",
    "<x:e xml:lang='!!'/>",
    "<x:e xml:id='t1'/>",
    "<x:e xmlns:i='http://www.w3.org/2001/XMLSchema-instance' i:type='x:t'/>",
    "<x:e q='rpid:busy'/>",
    "<rpid:activities xmlns:rpid='urn:not-rpid'/>",
    "<none xmlns=''/>",
    "text",
];

const IDS: &[&str] =
    &["", " id='t1'", " id='t1'", " id='t2'", " id='1t'", " id='a b'", " id='ü'", " id='a1'"];

fn element(name: &'static str) -> impl Strategy<Value = String> {
    (select(IDS), vec(select(PARTS), 0..6))
        .prop_map(move |(id, parts)| format!("<{name}{id}>{}</{name}>", parts.concat()))
}

fn document() -> impl Strategy<Value = String> {
    let child = prop_oneof![
        3 => element("tuple"),
        2 => element("d:person"),
        1 => element("d:device"),
        2 => select(PARTS).prop_map(str::to_owned),
    ];
    vec(child, 0..5).prop_map(|children| {
        let children: String = children.iter().filter(|child| *child != "text").map(String::as_str).collect();
        format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:d='urn:ietf:params:xml:ns:pidf:data-model' \
             xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' \
             xmlns:x='urn:x?a=1&amp;b=2' entity='sip:other@lab.test'>{children}</presence>"
        )
    })
}

/// Documents with the position of their newest change; equal positions happen.
fn sources() -> impl Strategy<Value = Vec<(u64, String)>> {
    vec((0..3_u64, document()), 0..4)
}

fn compose_all(sources: &[(u64, String)], order: impl Fn(&mut Vec<Contribution>)) -> Composed {
    let scopes = ["b", "a", "d", "c"];
    let mut contributions: Vec<Contribution> = sources
        .iter()
        .zip(scopes)
        .map(|((newest, document), scope)| Contribution {
            scope,
            newest: *newest,
            document: document.as_bytes(),
        })
        .collect();
    order(&mut contributions);
    compose(ENTITY, &contributions, true)
}

fn recomposed(composed: &Composed) -> Composed {
    let contribution = Contribution { scope: "elsewhere", newest: 7, document: &composed.document };
    compose(ENTITY, &[contribution], false)
}

proptest! {
    #![proptest_config(Config { cases: 500, ..Config::default() })]

    #[test]
    fn the_order_of_contributions_never_matters(sources in sources()) {
        let composed = compose_all(&sources, |_| {});

        prop_assert_eq!(&composed, &compose_all(&sources, |contributions| contributions.reverse()));
        prop_assert_eq!(&composed, &compose_all(&sources, |contributions| contributions.sort_by_key(|one| one.scope)));
    }

    #[test]
    fn composing_a_composed_document_changes_no_byte(sources in sources()) {
        let composed = compose_all(&sources, |_| {});

        let again = recomposed(&composed);

        prop_assert_eq!(std::str::from_utf8(&again.document), std::str::from_utf8(&composed.document));
        prop_assert_eq!((again.status, again.basic), (composed.status, composed.basic));
        prop_assert_eq!(as_set(&again.notes), as_set(&composed.notes));
        prop_assert_eq!(as_set(&again.activities), as_set(&composed.activities));
    }

    #[test]
    fn every_id_is_unique_and_there_is_one_person_at_most(sources in sources()) {
        let composed = compose_all(&sources, |_| {});

        let document = Document::parse(&composed.document, &Limits::default()).unwrap();
        let parts = document.persons().chain(document.devices()).map(|part| part.id());
        let ids: Vec<_> = document.tuples().map(|tuple| tuple.id()).chain(parts).map(Option::unwrap).collect();
        prop_assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        prop_assert!(document.persons().count() <= 1);
        prop_assert_eq!(document.entity().unwrap(), ENTITY);
    }

    #[test]
    fn no_tuple_is_lost_and_the_first_says_whether_a_call_makes_sense(sources in sources()) {
        let composed = compose_all(&sources, |_| {});

        let published: usize = sources.iter().map(|(_, document)| tuples(document.as_bytes()).len()).sum();
        let shown = tuples(&composed.document);
        let chats = composed.status == Status::Chat;
        let made = shown.len() - published;
        prop_assert!(made <= if chats { 2 } else { 1 }, "{made} tuples that nobody published");
        let in_order = shown.is_sorted_by_key(|basic| match basic {
            Some(Basic::Closed) if chats => 0,
            Some(Basic::Open) => 1,
            Some(Basic::Closed) => 2,
            None => 3,
        });
        prop_assert!(in_order);
        prop_assert!(shown[0].is_some());
        prop_assert_eq!(composed.basic == Basic::Open, shown.contains(&Some(Basic::Open)));
    }
}

fn tuples(document: &[u8]) -> Vec<Option<Basic>> {
    Document::parse(document, &Limits::default()).unwrap().tuples().map(|tuple| tuple.basic()).collect()
}

#[test]
fn every_composed_document_is_valid() {
    let mut runner = TestRunner::deterministic();
    let mut documents: Vec<(String, Vec<u8>)> = Vec::new();
    for part in PARTS.iter().filter(|part| part.starts_with('<')) {
        let tuple = format!("<tuple id='t1'>{part}</tuple><d:person id='t1'>{part}</d:person>{part}");
        let document = format!(
            "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:d='urn:ietf:params:xml:ns:pidf:data-model' \
             xmlns:r='urn:ietf:params:xml:ns:pidf:rpid' xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' \
             xmlns:x='urn:x'>{tuple}</presence>"
        );
        documents.push(((*part).into(), compose_all(&[(0, document)], |_| {}).document.to_vec()));
    }
    for case in 0..150 {
        let sources = sources().new_tree(&mut runner).unwrap().current();
        documents.push((format!("{case}: {sources:#?}"), compose_all(&sources, |_| {}).document.to_vec()));
    }

    assert_valid(&documents);
}

fn as_set(texts: &[String]) -> BTreeSet<&String> {
    texts.iter().collect()
}
