//! What real clients sent (baresip, linphone, pjsua, SIPp, SIP.js, JsSIP): every message must pass, and what
//! is odd about them must stay readable.

use crate::corpus;

use bytes::Bytes;
use sip::{Edit, Frame, Limits, Message, Method, Name, ResponseWriter, StreamFramer};

const CAPTURES: &str = "captures/messages";

#[test]
fn every_captured_message_passes_and_is_kept_byte_for_byte() {
    for sample in corpus::shared(CAPTURES) {
        let message = sample.parse().unwrap();

        assert_eq!(message.check(), Ok(()), "{}", sample.name);
        assert_eq!(message.bytes(), &sample.bytes, "{}", sample.name);
        assert_ne!(message.method(), Method::Other, "{}", sample.name);
    }
}

#[test]
fn every_captured_message_survives_a_proxy() {
    for sample in corpus::shared(CAPTURES) {
        let message = sample.parse().unwrap();

        let forwarded =
            Edit::new(&message).push_via(&["SIP/2.0/TCP 192.0.2.1:5070;branch=z9hG4bKx"]).finish();
        let forwarded = Message::parse(forwarded, &Limits::default()).unwrap();
        let returned = Edit::new(&forwarded).pop_via().finish();

        let length = format!("Content-Length: {}\r\n\r\n", message.body().len());
        let had_length = message.header(Name::ContentLength).is_some();
        let expected = String::from_utf8_lossy(&sample.bytes);
        let expected = if had_length {
            expected.to_string()
        } else {
            expected.replacen("\r\n\r\n", &format!("\r\n{length}"), 1)
        };
        assert_eq!(forwarded.check(), Ok(()), "{}", sample.name);
        assert_eq!(String::from_utf8_lossy(&returned), expected, "{}", sample.name);
    }
}

#[test]
fn every_captured_request_can_be_answered() {
    for sample in corpus::shared(CAPTURES) {
        let message = sample.parse().unwrap();
        if !message.is_request() {
            continue;
        }
        let answer = ResponseWriter::new(&message, 200).to_tag("us").header(Name::Expires, 60).finish();
        let answer = Message::parse(answer, &Limits::default()).unwrap();

        assert_eq!(answer.check(), Ok(()), "{}", sample.name);
        assert_eq!(answer.method(), message.method(), "{}", sample.name);
        assert!(answer.to().unwrap().tag().is_some(), "{}", sample.name);
    }
}

#[test]
fn captured_messages_with_a_length_come_out_of_one_stream() {
    let samples: Vec<_> = corpus::shared(CAPTURES)
        .into_iter()
        .filter(|sample| sample.parse().unwrap().header(Name::ContentLength).is_some())
        .collect();
    let stream: Vec<u8> = samples.iter().flat_map(|sample| sample.bytes.clone()).collect();
    let mut framer = StreamFramer::new(Limits::default());
    let mut frames = Vec::new();

    for chunk in stream.chunks(1_000) {
        framer.push(chunk);
        frames.extend(std::iter::from_fn(|| framer.next()).map(Result::unwrap));
    }

    let expected: Vec<_> =
        samples.into_iter().map(|sample| Frame::Message(Bytes::from(sample.bytes).into())).collect();
    assert_eq!(frames, expected);
}

#[test]
fn the_habits_of_real_clients_are_read_right() {
    let linphone = "PUBLISH sip:alice@lab.test SIP/2.0\r\n\
        Via: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK.1;rport\r\nFrom: <sip:alice@lab.test>;tag=a\r\n\
        To: sip:alice@lab.test\r\nCSeq: 20 PUBLISH\r\nCall-ID: x\r\n\
        Accept: multipart/related\r\nAccept: application/pidf+xml\r\nAccept: application/rlmi+xml\r\n\
        Supported: \r\nSupported: eventlist\r\nSupported: outbound, gruu\r\n\
        Contact: <sip:alice@lab.test;gr=urn:uuid:1>;expires=300;+sip.instance=\"<urn:uuid:1>\"\r\n\
        Proxy-Authorization:  Digest realm=\"lab.test\", nonce=\"n\", algorithm=MD5, username=\"alice\",  uri=\"sip:lab.test\", response=\"r\", cnonce=\"c\", nc=00000004, qop=auth\r\n\
        Event: presence\r\nExpires: 0\r\n\r\n";
    let message = Message::parse(linphone.into(), &Limits::default()).unwrap();

    assert_eq!(message.check(), Ok(()));
    assert_eq!(message.values(Name::Accept).count(), 3);
    let supported: Vec<_> = message.values(Name::Supported).collect();
    assert_eq!(supported, [&b"eventlist"[..], b"outbound", b"gruu"]);
    let contact = message.contact().unwrap().unwrap();
    assert_eq!(contact.uri, "sip:alice@lab.test;gr=urn:uuid:1");
    assert_eq!(contact.params.unquoted("+sip.instance").unwrap(), "<urn:uuid:1>");
    let credentials = sip::digest::credentials(&message, "lab.test").unwrap();
    assert_eq!((credentials.username.as_ref(), credentials.nc), ("alice", Some("00000004")));
    assert_eq!(message.body(), "");
}
