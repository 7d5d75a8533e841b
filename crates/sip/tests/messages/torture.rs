//! The torture messages of RFC 4475 and RFC 5118, each with what we make of it.
//!
//! The verdict is of the message layer alone: `Accept` means that the message can be acted upon; what the
//! server then supports (methods, extensions, bodies) is decided above. Where an RFC leaves a choice, we
//! tolerate what can mean only one thing, and refuse what a proxy must not pass on.

use crate::corpus;

use bytes::Bytes;
use sip::{Limits, Message, Name};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Accept,
    /// A request that is answered with this status.
    Refuse(u16),
    /// Not answered: a response with a flaw, or bytes that are no message.
    Drop,
}

use Verdict::{Accept, Drop, Refuse};

const RFC_4475: [(&str, Verdict); 49] = [
    // §3.1.1, valid messages.
    ("wsinv.dat", Accept), // 3.1.1.1: folds, odd white space, empty headers: tortuous and valid
    ("intmeth.dat", Accept), // 3.1.1.2: every character a token may have; 405 is said above
    ("esc01.dat", Accept), // 3.1.1.3: escapes in URIs
    ("escnull.dat", Accept), // 3.1.1.4: an escaped zero is a character like others
    ("esc02.dat", Accept), // 3.1.1.5: % in a method, name or token is no escape
    ("lwsdisp.dat", Accept), // 3.1.1.6: no white space between name and <
    ("longreq.dat", Accept), // 3.1.1.7: long values, within our limits
    ("dblreq.dat", Accept), // 3.1.1.8: the second request in the datagram is surplus, discarded
    ("semiuri.dat", Accept), // 3.1.1.9: ; in a user part
    ("transports.dat", Accept), // 3.1.1.10: unknown transports in Vias that are not ours
    ("mpart01.dat", Accept), // 3.1.1.11: binary body
    ("unreason.dat", Accept), // 3.1.1.12: UTF-8 in the reason phrase
    ("noreason.dat", Accept), // 3.1.1.13: no reason phrase
    // §3.1.2, invalid messages.
    ("badinv01.dat", Refuse(400)),   // 3.1.2.1: a lone ; is no Via
    ("clerr.dat", Refuse(400)),      // 3.1.2.2: Content-Length beyond the datagram
    ("ncl.dat", Refuse(400)),        // 3.1.2.3: negative Content-Length
    ("scalar02.dat", Refuse(400)),   // 3.1.2.4: CSeq beyond 2^31; its Expires alone would be clamped
    ("scalarlg.dat", Drop),          // 3.1.2.5: the same in a response
    ("quotbal.dat", Refuse(400)),    // 3.1.2.6: a quote that never closes
    ("ltgtruri.dat", Refuse(400)),   // 3.1.2.7: <> around the Request-URI
    ("lwsruri.dat", Refuse(400)),    // 3.1.2.8: white space inside the Request-URI
    ("lwsstart.dat", Accept), // 3.1.2.9: extra spaces in the start line may be ignored, and are not passed on
    ("trws.dat", Accept),     // 3.1.2.10: the same behind the version
    ("escruri.dat", Refuse(400)), // 3.1.2.11: headers in the Request-URI, which a proxy must not pass on
    ("baddate.dat", Accept),  // 3.1.2.12: a Date in EST may be ignored by who does not need it
    ("regbadct.dat", Refuse(400)), // 3.1.2.13: ? in a Contact without <>
    ("badaspec.dat", Accept), // 3.1.2.14: spaces at the ends of <> may be ignored
    ("baddn.dat", Refuse(400)), // 3.1.2.15: a comma in a name without quotes (this copy lacks its last CRLF, too)
    ("badvers.dat", Refuse(505)), // 3.1.2.16: SIP/7.0
    ("mismatch01.dat", Refuse(400)), // 3.1.2.17: CSeq names another method
    ("mismatch02.dat", Refuse(400)), // 3.1.2.18: the same with an unknown method: 400 or 501, and 400 is the flaw
    ("bigcode.dat", Drop),           // 3.1.2.19: a status beyond 699
    // §3.2, transactions.
    ("badbranch.dat", Accept), // 3.2.1: the cookie alone: falls back to the matching of RFC 2543
    // §3.3, what the application makes of it.
    ("insuf.dat", Refuse(400)), // 3.3.1: no Call-ID, From, To; its Via still takes the answer back
    ("unkscm.dat", Refuse(416)), // 3.3.2: a scheme nobody knows in the Request-URI
    ("novelsc.dat", Refuse(416)), // 3.3.3: a registered scheme that is none of ours
    ("unksm2.dat", Refuse(400)), // 3.3.4: a REGISTER's To must be a SIP or SIPS URI
    ("bext01.dat", Accept),     // 3.3.5: 420 is said above, where the extensions are known
    ("invut.dat", Accept),      // 3.3.6: 415 is said above
    ("regaut01.dat", Accept),   // 3.3.7: an unknown scheme is no credentials; 401 is said above
    ("multi01.dat", Refuse(400)), // 3.3.8: two different values of single headers
    ("mcl01.dat", Refuse(400)), // 3.3.9: two different Content-Lengths
    ("bcast.dat", Accept),      // 3.3.10: well-formed; it matches no transaction, so it is dropped above
    ("zeromf.dat", Accept),     // 3.3.11: legal; 483 is said by who would forward it
    ("cparam01.dat", Accept),   // 3.3.12: parameter of the Contact
    ("cparam02.dat", Accept),   // 3.3.13: parameter of the URI in the Contact
    ("regescrt.dat", Accept),   // 3.3.14: headers in a Contact URI are fine
    ("sdp01.dat", Accept),      // 3.3.15: 406 is said above
    // §3.4, backward compatibility.
    ("inv2543.dat", Accept), // 3.4.1: no branch, no From-tag, no Max-Forwards, no Content-Length
];

const RFC_5118: [(&str, Verdict); 12] = [
    ("ipv6-good.dat", Accept),                     // 4.1: references everywhere
    ("ipv6-bad.dat", Refuse(400)),                 // 4.2: an address without brackets in the Request-URI
    ("port-ambiguous.dat", Accept),                // 4.3: inside the brackets it is address, not port
    ("port-unambiguous.dat", Accept),              // 4.4
    ("via-received-param-with-delim.dat", Accept), // 4.5: received= with brackets ...
    ("via-received-param-no-delim.dat", Accept),   // 4.5: ... and without
    ("ipv6-in-sdp.dat", Refuse(400)), // 4.6: the RFC miscounts its body, which is shorter than it says (RFC 3261 §18.3)
    ("mult-ip-in-header.dat", Accept), // 4.7: both families in the Vias
    ("mult-ip-in-sdp.dat", Accept),   // 4.8: both families in the body
    ("ipv4-mapped-ipv6.dat", Accept), // 4.9: ::ffff:192.0.2.2
    ("ipv6-bug-abnf-3-colons.dat", Accept), // 4.10: "must tolerate" the third colon of the old grammar
    ("ipv6-correct-abnf-2-colons.dat", Accept), // 4.10
];

fn verdict(bytes: &[u8]) -> Verdict {
    let Ok(message) = Message::parse(Bytes::copy_from_slice(bytes), &Limits::default()) else { return Drop };
    match message.check() {
        Ok(()) => Accept,
        Err(fault) if message.answerable() => Refuse(fault.status),
        Err(_) => Drop,
    }
}

fn judge(folder: &str, table: &[(&str, Verdict)]) {
    let samples = corpus::shared(folder);
    for sample in &samples {
        let expected = table.iter().find(|(name, _)| *name == sample.name).map(|(_, verdict)| *verdict);
        assert_eq!(Some(verdict(&sample.bytes)), expected, "{}", sample.name);
    }
    assert!(samples.is_empty() || samples.len() == table.len());
}

#[test]
fn every_message_of_rfc_4475_gets_its_verdict() {
    judge("data/rfc4475", &RFC_4475);
}

#[test]
fn every_message_of_rfc_5118_gets_its_verdict() {
    judge("data/rfc5118", &RFC_5118);
}

#[test]
fn ipv6_in_a_body_is_fine_once_its_length_is_right() {
    for sample in corpus::shared("data/rfc5118").iter().filter(|sample| sample.name == "ipv6-in-sdp.dat") {
        let text = String::from_utf8(sample.bytes.clone()).unwrap();
        let body = text.len() - text.find("\r\n\r\n").map_or(0, |head| head + 4);

        assert_eq!(verdict(text.replace("Length: 268", &format!("Length: {body}")).as_bytes()), Accept);
    }
}

/// A request of our own with one thing made odd, so that the rules are held without the files, too.
fn with(what: &str, instead: &str) -> Verdict {
    const SUBSCRIBE: &str = "SUBSCRIBE sip:bob@lab.test SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK74bf9;rport\r\n\
        Max-Forwards: 70\r\n\
        From: \"Alice\" <sip:alice@lab.test>;tag=9fxced76sl\r\n\
        To: <sip:bob@lab.test>\r\n\
        Call-ID: 3848276298220188511@lab.test\r\n\
        CSeq: 1 SUBSCRIBE\r\n\
        Contact: <sip:alice@192.0.2.1:5062>\r\n\
        Event: presence\r\n\
        Expires: 600\r\n\
        Content-Length: 0\r\n\r\n";
    assert!(SUBSCRIBE.contains(what), "{what}");
    verdict(SUBSCRIBE.replacen(what, instead, 1).as_bytes())
}

#[test]
fn what_can_mean_only_one_thing_is_accepted() {
    let tolerated = [
        ("Event: presence", "Event: presence"),
        ("Via: ", "v  :\r\n\t"),
        ("Content-Length: 0\r\n", ""),
        ("Max-Forwards: 70\r\n", "max-FORWARDS:\t0068\r\n"),
        ("Max-Forwards: 70\r\n", ""),
        ("Expires: 600", "Expires: 99999999999999999999"),
        ("Expires: 600\r\n", "Expires: 600\r\nExpires: 600\r\n"),
        (";tag=9fxced76sl", ""),
        ("<sip:bob@lab.test>\r\nCall", "sip:bob@lab.test;tag=x\r\nCall"),
        ("\"Alice\"", "\"Alice, \\\"A\\\" <a>;\""),
        ("\"Alice\"", "Al ice"),
        ("192.0.2.1:5062;branch", "[2001:db8:::192.0.2.1]:5062 ; branch"),
        ("sip:bob@lab.test SIP", "pres:bob@lab.test SIP"),
        ("sip:bob@lab.test SIP", " sip:bob@lab.test  SIP"),
        ("Event: presence", "Supported:\r\no: presence"),
        ("Contact: ", "Contact: \"A, B\" <sip:a@b?Route=%3Csip:x%3E>, "),
        ("\r\n\r\n", "\r\n\r\nOPTIONS sip:surplus SIP/2.0\r\n\r\n"),
        ("SUBSCRIBE sip", "\r\n\r\nSUBSCRIBE sip"),
    ];
    for (what, instead) in tolerated {
        assert_eq!(with(what, instead), Accept, "{instead:?} instead of {what:?}");
    }
}

#[test]
fn what_is_missing_contradictory_or_ambiguous_is_refused_with_its_status() {
    let refused = [
        ("SIP/2.0\r\nVia", "SIP/7.0\r\nVia", 505),
        ("sip:bob@lab.test SIP", "isbn:2983792873 SIP", 416),
        ("sip:bob@lab.test SIP", "<sip:bob@lab.test> SIP", 400),
        ("sip:bob@lab.test SIP", "sip:bob@lab.test; lr SIP", 400),
        ("sip:bob@lab.test SIP", "sip:bob@lab.test?Route=%3Csip:x%3E SIP", 400),
        ("sip:bob@lab.test SIP", "sip:bob@2001:db8::1 SIP", 400),
        ("SUBSCRIBE sip", "NOTIFY sip", 400),
        ("SUBSCRIBE sip", "SUB(SCRIBE sip", 400),
        ("To: ", "X: ", 400),
        ("From: ", "X: ", 400),
        ("Call-ID: ", "X: ", 400),
        ("CSeq: ", "X: ", 400),
        ("CSeq: 1 ", "CSeq: 2147483648 ", 400),
        ("To: ", "To: sip:eve@lab.test\r\nTo: ", 400),
        ("Call-ID: 3", "Call-ID: \r\nX: 3", 400),
        ("Call-ID: 3", "Call-ID: a b", 400),
        ("\"Alice\"", "\"Alice", 400),
        ("\"Alice\"", "Alice, A", 400),
        ("<sip:alice@lab.test>", "<sip:alice@lab.test@eve.test>", 400),
        ("Contact: <sip:alice@192.0.2.1:5062>", "Contact: *", 400),
        ("Contact: <sip:alice@192.0.2.1:5062>", "Contact: sip:a@b?X=y", 400),
        ("Max-Forwards: 70", "Max-Forwards: 256", 400),
        ("Expires: 600", "Expires: -1", 400),
        ("Event: presence", "Event: presence, dialog", 400),
        ("Event: presence", "Event: presence\r\nEvent: dialog", 400),
        ("Content-Length: 0", "Content-Length: 1", 400),
        ("Content-Length: 0", "Content-Length: 999999", 413),
        ("Content-Length: 0", "Content-Length: 0\r\nl: 1", 400),
        ("Event: presence", "Event: presence\nX: 1", 400),
        ("Event: presence", "Event: presence\rX: 1", 400),
        ("Event: presence", "Event: presence\r\nno colon", 400),
        ("Event: presence", "Event: presence\r\nRoute: <sip:a", 400),
        ("\r\n\r\n", "\r\n", 400),
    ];
    for (what, instead, status) in refused {
        assert_eq!(with(what, instead), Refuse(status), "{instead:?} instead of {what:?}");
    }
}

#[test]
fn what_can_not_be_answered_is_dropped() {
    assert_eq!(with("Via: SIP/2.0/UDP", "Via: nonsense"), Drop);
    assert_eq!(with("SUBSCRIBE sip:bob@lab.test SIP/2.0", "SIP/2.0 4294967301 x"), Drop);
    assert_eq!(with("SUBSCRIBE sip:bob@lab.test SIP/2.0", "GET / HTTP/1.1"), Drop);
    for noise in [&b""[..], b"\r\n\r\n", b"\0\x01\0\0\x21\x12\xa4\x42", b"x", b"OPTIONS sip:x SIP/2.0"] {
        assert_eq!(verdict(noise), Drop);
    }
}

#[test]
fn a_message_in_bare_line_feeds_is_read_and_comes_out_in_crlf() {
    let text = "OPTIONS sip:a SIP/2.0\nVia: SIP/2.0/UDP h\nTo: sip:a\nFrom:\n sip:b\nCall-ID: c\nCSeq: 1 OPTIONS\n\nbody\n";

    let message = Message::parse(text.into(), &Limits::default()).unwrap();

    assert_eq!(message.check(), Ok(()));
    assert_eq!(message.header(Name::From), Some(&b"sip:b"[..]));
    assert_eq!(message.body(), "body\n");
    assert!(message.bytes().starts_with(b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n"));
}

#[test]
fn a_message_beyond_the_limits_is_still_answerable() {
    let head = "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nTo: sip:a\r\nFrom: sip:b\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n";
    let cases = [
        (format!("{head}X: {}\r\n\r\n", "x".repeat(9_000)), 400),
        (format!("{head}{}\r\n", "X: y\r\n".repeat(200)), 400),
        (format!("{head}\r\n{}", "x".repeat(70_000)), 413),
        (format!("{head}X: {}", "x".repeat(1_000_000)), 413),
        (head.replace("sip:a SIP", &format!("sip:{} SIP", "a".repeat(9_000))) + "\r\n", 414),
    ];
    for (text, status) in cases {
        assert_eq!(verdict(text.as_bytes()), Refuse(status), "{:.80}", &text[text.len() - 80..]);
    }
}

#[test]
fn an_ack_is_never_answered() {
    let ack = "ACK sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n\r\n";

    assert_eq!(verdict(ack.as_bytes()), Drop);
}
