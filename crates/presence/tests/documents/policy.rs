//! The policy of composition by example: who gives the words, and what a phone that looks at the first tuple sees.

use presence::compositor::{Composed, Contribution, compose};
use presence::format::pidf::{Basic, Document, Limits};
use presence::said::said;
use presence::status::Status;

use crate::support::{ENTITY, assert_valid};

fn presence(inside: &str) -> String {
    format!(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
         xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' xmlns:x='urn:x'>{inside}</presence>"
    )
}

fn tuple(id: &str, basic: &str, more: &str) -> String {
    format!("<tuple id='{id}'><status><basic>{basic}</basic></status>{more}</tuple>")
}

fn person(activities: &str, more: &str) -> String {
    format!("<dm:person id='p'><rpid:activities>{activities}</rpid:activities>{more}</dm:person>")
}

/// Composes what stands in the roots of the sources' documents, each newer than the one before.
fn composed(insides: &[&str], reachable: bool) -> Composed {
    let scopes = ["a", "b", "c", "d"];
    let documents: Vec<String> = insides.iter().map(|inside| presence(inside)).collect();
    let contributions: Vec<_> = (1..)
        .zip(scopes.iter().zip(&documents))
        .map(|(newest, (scope, document))| Contribution { scope, newest, document: document.as_bytes() })
        .collect();
    let composed = compose(ENTITY, &contributions, reachable);
    assert_valid(&[(insides.concat(), composed.document.to_vec())]);
    composed
}

fn text(composed: &Composed) -> &str {
    std::str::from_utf8(&composed.document).unwrap()
}

/// The ids of the tuples and whether they are open, the first one first.
fn tuples(composed: &Composed) -> Vec<(String, Option<Basic>)> {
    let document = Document::parse(&composed.document, &Limits::default()).unwrap();
    document.tuples().map(|tuple| (tuple.id().unwrap().into_owned(), tuple.basic())).collect()
}

const OPEN: Option<Basic> = Some(Basic::Open);
const CLOSED: Option<Basic> = Some(Basic::Closed);

#[track_caller]
fn shows(composed: &Composed, expected: &[(&str, Option<Basic>)]) {
    let expected: Vec<_> = expected.iter().map(|(id, basic)| (id.to_string(), *basic)).collect();
    assert_eq!(tuples(composed), expected, "{}", text(composed));
}

#[test]
fn whose_status_it_is_gives_the_words_however_new_the_others_are() {
    let meeting = person("<rpid:meeting/><x:with who='Bob'/>", "<dm:note>till 3</dm:note><x:room>7</x:room>");
    let away = person(
        "<rpid:away/>",
        "<dm:note>gone</dm:note><x:room>none</x:room><rpid:mood><rpid:sad/></rpid:mood>",
    );

    let composed = composed(&[&meeting, &away], true);

    let expected = "<rpid:activities><rpid:meeting/><x:with xmlns:x=\"urn:x\" who='Bob'/></rpid:activities>\
                    <rpid:mood><rpid:sad/></rpid:mood><x:room xmlns:x=\"urn:x\">7</x:room>\
                    <dm:note>till 3</dm:note><dm:note>gone</dm:note></dm:person>";
    assert!(text(&composed).contains(expected), "{}", text(&composed));
    assert_eq!((composed.status, composed.activities), (Status::InConference, vec!["meeting".to_owned()]));
}

#[test]
fn of_two_who_say_the_same_status_the_newer_gives_the_words() {
    let composed = composed(&[&person("<rpid:vacation/>", ""), &person("<rpid:meal/>", "")], true);

    assert_eq!((composed.status, composed.activities), (Status::Away, vec!["meal".to_owned()]));
}

#[test]
fn a_status_said_in_another_vocabulary_is_told_in_rpid_too() {
    let digium = "<tuple id='digium-presence'><status><digium_presence type='dnd'>till 3</digium_presence>\
                  </status></tuple>";
    let snom = tuple("s", "open", "<note>In_A_Call</note>");

    let of_digium = composed(&[&tuple("t", "open", ""), digium], true);
    let of_snom = composed(&[&snom], true);

    let busy = "<rpid:activities><rpid:busy/></rpid:activities><dm:note>Do not disturb: till 3</dm:note>";
    assert!(text(&of_digium).contains(busy), "{}", text(&of_digium));
    shows(&of_digium, &[("digium-presence", CLOSED), ("t", CLOSED)]);
    let calls = "<rpid:activities><rpid:on-the-phone/></rpid:activities><dm:note>On the phone</dm:note>";
    assert!(text(&of_snom).contains(calls), "{}", text(&of_snom));
}

#[test]
fn a_person_who_is_busy_is_not_taken_for_one_who_refuses_because_the_phones_are_off() {
    let composed = composed(&[&tuple("t", "closed", ""), &person("<rpid:busy/>", "")], true);

    assert_eq!((composed.status, composed.basic), (Status::OnThePhone, Basic::Closed));
    assert_eq!(said(&composed.document).status, Some(Status::OnThePhone));
}

#[test]
fn who_chats_is_closed_to_calls_and_open_to_text() {
    let chat = person("<rpid:other>chat</rpid:other>", "");
    let phone = tuple("phone", "open", "");
    let pager = tuple("pager", "open", "<contact>im:alice@lab.test</contact>");

    shows(&composed(&[&chat, &phone], false), &[("phone", CLOSED), ("text", OPEN)]);
    shows(&composed(&[&chat, &phone, &pager], false), &[("phone", CLOSED), ("pager", OPEN)]);
    shows(&composed(&[&chat, &pager], false), &[("voice", CLOSED), ("pager", OPEN)]);
    shows(&composed(&[&chat], true), &[("reachability", CLOSED), ("text", OPEN)]);
    shows(&composed(&[&chat], false), &[("reachability", CLOSED)]);
    let off = tuple("phone", "closed", "");
    shows(&composed(&[&chat, &off], true), &[("phone", CLOSED)]);
}

#[test]
fn the_service_of_the_source_that_decides_stands_before_its_equals() {
    let ringing = tuple("rings", "open", "<note>Ringing</note>");

    let composed = composed(&[&ringing, &tuple("newer", "open", ""), &tuple("off", "closed", "")], false);

    shows(&composed, &[("rings", OPEN), ("newer", OPEN), ("off", CLOSED)]);
    assert_eq!(composed.status, Status::Ringing);
}

#[test]
fn a_binding_counts_where_no_service_says_open_or_closed() {
    let silent = "<tuple id='silent'><status/></tuple>";

    shows(&composed(&[silent], true), &[("reachability", OPEN), ("silent", None)]);
    shows(&composed(&[silent], false), &[("reachability", CLOSED), ("silent", None)]);
    shows(&composed(&[&tuple("off", "closed", "")], true), &[("off", CLOSED)]);
    assert_eq!(composed(&[silent], true).status, Status::Available);
}

#[test]
fn who_is_not_to_be_disturbed_is_not_called_offline() {
    let dnd = person("<rpid:busy/>", "<dm:note>Dnd_All</dm:note>") + &tuple("t", "closed", "");

    let on = composed(&[&dnd, &tuple("other", "open", "<note>Available</note>")], true);
    let off = composed(&[&dnd, &tuple("other", "closed", "<note>Offline</note>")], false);

    for composed in [&on, &off] {
        shows(composed, &[("t", CLOSED), ("other", CLOSED)]);
        assert_eq!((composed.status, &composed.notes[0]), (Status::DoNotDisturb, &"Dnd_All".to_owned()));
    }
}

#[test]
fn what_nobody_here_knows_comes_out_as_it_went_in_whoever_decides() {
    let unknown = "<x:mood  level = '3'>\n<!-- why --><x:crossing-my-fingers/></x:mood>";
    let copied = unknown.replacen("<x:mood", "<x:mood xmlns:x=\"urn:x\"", 1);
    let phone = tuple("t", "open", unknown) + &person("<rpid:away/>", unknown);
    for status in Status::names().map(Status::parse) {
        let of_api = Status::document(status, ENTITY, None, &[]);
        let of_phone = presence(&phone);
        let contributions = [("api", 2, &of_api[..]), ("phone", 1, of_phone.as_bytes())]
            .map(|(scope, newest, document)| Contribution { scope, newest, document });

        let composed = compose(ENTITY, &contributions, true);

        assert_eq!(text(&composed).matches(&copied).count(), 2, "{}", text(&composed));
    }
}

#[test]
fn a_page_that_is_full_still_says_the_status() {
    let long = tuple("t", "open", &format!("<note>{}</note>", "n".repeat(30_000)));
    for name in Status::names() {
        let status = Status::parse(name);
        let of_api = Status::document(status, ENTITY, None, &[]);
        let of_phone = presence(&long);
        let contributions = [("api", &of_api[..]), ("phone", of_phone.as_bytes())]
            .map(|(scope, document)| Contribution { scope, newest: 1, document });

        let composed = compose(ENTITY, &contributions, true);
        let again =
            compose(ENTITY, &[Contribution { document: &composed.document, ..contributions[0] }], false);

        let expected = status.filter(|status| *status != Status::Unreachable).or(Some(Status::Available));
        assert_eq!((said(&composed.document).status, Some(composed.status)), (expected, expected), "{name}");
        assert_eq!(again.document, composed.document, "{name}");
    }
}
