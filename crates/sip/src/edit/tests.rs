//! What an edit changes, and that it changes nothing else.

use super::*;
use crate::wire::Limits;

const NOTIFY: &str = "NOTIFY sip:bob@192.0.2.9 SIP/2.0\r\n\
    v:  SIP/2.0/UDP [2001:db8::1];branch=z9hG4bK1;RPORT ; received=6.6.6.6 ,SIP/2.0/TCP h;branch=z9hG4bK2\r\n\
    Via: SIP/2.0/TCP last\r\n\
    X-odd :  as it came\r\n\
    Max-Forwards:  70 \r\n\
    Route: <sip:a,b;lr>, \"x, y\" <sip:c;lr>\r\nRoute: <sip:d;lr>\r\n\
    l: 4\r\n\r\nbody";

fn parse(bytes: impl Into<Bytes>) -> Message {
    Message::parse(bytes.into(), &Limits::default()).unwrap()
}

fn values(message: &Message, name: Name) -> Vec<&str> {
    message.values(name).map(|value| std::str::from_utf8(value).unwrap()).collect()
}

#[test]
fn an_edit_that_wishes_nothing_changes_nothing() {
    let notify = parse(NOTIFY);

    assert_eq!(Edit::new(&notify).finish(), NOTIFY);
}

#[test]
fn another_status_changes_the_start_line_alone() {
    let answer = parse("SIP/2.0 503 Busy\r\nVia: SIP/2.0/UDP h\r\nl: 0\r\n\r\n");

    let told = Edit::new(&answer).status(500).finish();

    assert_eq!(told, "SIP/2.0 500 Server Internal Error\r\nVia: SIP/2.0/UDP h\r\nl: 0\r\n\r\n");
}

#[test]
fn a_pushed_via_popped_again_leaves_the_same_bytes() {
    let notify = parse(NOTIFY);
    let pushed = parse(Edit::new(&notify).push_via(&["SIP/2.0/TCP us;branch=z9hG4bKx"]).finish());

    assert_eq!(pushed.via().unwrap().host, "us");
    assert_eq!(Edit::new(&pushed).pop_via().finish(), NOTIFY);
}

#[test]
fn only_the_topmost_via_of_a_list_is_popped() {
    let notify = parse(NOTIFY);

    let once = parse(Edit::new(&notify).pop_via().finish());
    let twice = parse(Edit::new(&notify).pop_via().pop_via().finish());

    assert_eq!(values(&once, Name::Via), ["SIP/2.0/TCP h;branch=z9hG4bK2", "SIP/2.0/TCP last"]);
    assert_eq!(values(&twice, Name::Via), ["SIP/2.0/TCP last"]);
}

#[test]
fn the_source_replaces_what_the_sender_claimed() {
    let notify = parse(NOTIFY);

    let noted = parse(Edit::new(&notify).note_source("198.51.100.7:40000".parse().unwrap()).finish());

    let via = "SIP/2.0/UDP [2001:db8::1];branch=z9hG4bK1;rport=40000;received=198.51.100.7";
    assert_eq!(values(&noted, Name::Via)[0], via);
    assert_eq!(values(&noted, Name::Via)[1], "SIP/2.0/TCP h;branch=z9hG4bK2");
}

#[test]
fn received_is_spared_if_sent_by_says_the_same() {
    let via = |sent_by: &str, source: &str| {
        let request = parse(format!("OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP {sent_by}\r\n\r\n"));
        let noted = Edit::new(&request).note_source(source.parse().unwrap()).finish();
        values(&parse(noted), Name::Via).concat()
    };

    assert_eq!(via("192.0.2.1:5080", "192.0.2.1:9"), "SIP/2.0/UDP 192.0.2.1:5080");
    assert_eq!(via("192.0.2.1", "[::ffff:192.0.2.1]:9"), "SIP/2.0/UDP 192.0.2.1");
    assert_eq!(via("[2001:db8::1]", "[2001:db8::2]:9"), "SIP/2.0/UDP [2001:db8::1];received=2001:db8::2");
    assert_eq!(
        via("phone.invalid;branch=x", "192.0.2.1:9"),
        "SIP/2.0/UDP phone.invalid;branch=x;received=192.0.2.1"
    );
}

#[test]
fn empty_vias_do_not_hide_the_topmost_one_from_its_source() {
    let request =
        "OPTIONS sip:x SIP/2.0\r\nVia:\r\nVia: , ,SIP/2.0/UDP h;received=6.6.6.6, SIP/2.0/UDP i\r\n\r\n";
    let request = parse(request);

    let noted = parse(Edit::new(&request).note_source("192.0.2.1:9".parse().unwrap()).finish());

    assert_eq!(values(&noted, Name::Via), ["SIP/2.0/UDP h;received=192.0.2.1", "SIP/2.0/UDP i"]);
}

#[test]
fn routes_are_popped_by_value_across_lines() {
    let notify = parse(NOTIFY);
    let routes = |count| values(&parse(Edit::new(&notify).pop_routes(count).finish()), Name::Route).join("|");

    assert_eq!(routes(1), "\"x, y\" <sip:c;lr>|<sip:d;lr>");
    assert_eq!(routes(2), "<sip:d;lr>");
    assert_eq!(routes(3), "");
    assert_eq!(routes(9), "");
}

#[test]
fn what_is_pushed_last_stands_on_top() {
    let notify = parse(NOTIFY);

    let edited = Edit::new(&notify)
        .push_record_route("<sip:public;lr>")
        .push_record_route("<sip:inner;lr>")
        .pop_routes(3)
        .push_route("<sip:next;lr>")
        .finish();

    let edited = parse(edited);
    assert_eq!(values(&edited, Name::RecordRoute), ["<sip:inner;lr>", "<sip:public;lr>"]);
    assert_eq!(values(&edited, Name::Route), ["<sip:next;lr>"]);
    assert_eq!(edited.vias().count(), 3);
}

#[test]
fn hops_are_replaced_or_added() {
    let notify = parse(NOTIFY);
    let bare = parse("OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nTo: sip:x\r\n\r\n");

    let replaced = Edit::new(&notify).max_forwards(69).finish();
    let added = Edit::new(&bare).max_forwards(70).finish();

    assert_eq!(replaced, NOTIFY.replace("  70 ", "  69 "));
    let expected = "OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nMax-Forwards: 70\r\nTo: sip:x\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(added, expected);
}

#[test]
fn lines_are_stripped_appended_and_the_target_replaced() {
    let notify = parse(NOTIFY);

    let edited = Edit::new(&notify)
        .request_uri("sip:bob@[2001:db8::9]")
        .strip(Name::Route)
        .append("X-Via", "a\r\nEvil: 1")
        .finish();

    let edited = parse(edited);
    assert_eq!(edited.request_uri(), "sip:bob@[2001:db8::9]");
    assert_eq!(edited.header(Name::Route), None);
    assert_eq!(edited.extension("x-via"), Some(&b"a  Evil: 1"[..]));
    assert_eq!(edited.extension("Evil"), None);
    assert_eq!(edited.body(), "body");
}

#[test]
fn an_inserted_line_stands_above_those_of_its_name() {
    let register =
        parse("REGISTER sip:x SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nPath: <sip:edge;lr>\r\nTo: sip:x\r\n\r\n");

    let edited = Edit::new(&register).push_via(&["SIP/2.0/UDP us"]).insert("Path", "<sip:us;lr>").finish();

    let text = std::str::from_utf8(&edited).unwrap();
    assert!(text.contains("Via: SIP/2.0/UDP h\r\nPath: <sip:us;lr>\r\nPath: <sip:edge;lr>\r\n"), "{text}");
}

#[test]
fn stray_spaces_of_the_start_line_are_not_passed_on() {
    let request = parse("OPTIONS  sip:x  SIP/2.0 \r\nVia: SIP/2.0/UDP h\r\nContent-Length: 0\r\n\r\n");

    assert!(Edit::new(&request).finish().starts_with(b"OPTIONS sip:x SIP/2.0\r\n"));
}
