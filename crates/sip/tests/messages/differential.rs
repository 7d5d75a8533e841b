//! Our scanner against rsip over the whole corpus: where they differ, the difference is known and named.
//!
//! rsip 0.4.0 is no reference; it is a second opinion. Whatever it accepts we must read the same, and whatever
//! it refuses that we accept must be one of its known gaps.

use crate::corpus;

use std::collections::BTreeMap;

use rsip::headers::{ToTypedHeader, UntypedHeader};
use rsip::message::{HasHeaders, HeadersExt};
use sip::{Message, Name};

/// Why rsip refuses a message that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    FoldedLines,
    Ipv6,
    UnknownMethod,
    NotUtf8,
    SpaceBeforeColon,
    BareLineFeed,
    /// Space in the start line, which we tolerate or leave to `check`.
    StartLine,
    /// A Request-URI it cannot read: other schemes, headers, escapes, odd characters.
    RequestUri,
    /// Faults that we record for `check`, and it refuses at once.
    OurFault,
}

fn gap(message: &Message, bytes: &[u8]) -> Option<Gap> {
    let head = &bytes[..bytes.windows(4).position(|end| end == b"\r\n\r\n").unwrap_or(bytes.len())];
    let folded = head.windows(2).any(|pair| matches!(pair, b"\n " | b"\n\t"));
    let start_line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let spaced =
        |line: &[u8]| line.split(|byte| *byte == b':').next().is_some_and(|name| name.ends_with(b" "));
    let odd_uri = |uri: &str| !uri.starts_with("sip:") || uri.contains(['?', '<', ';', ',', ' ', '!', '%']);
    let known = [
        (Gap::BareLineFeed, !head.contains(&b'\r')),
        (Gap::FoldedLines, folded),
        (Gap::NotUtf8, std::str::from_utf8(head).is_err()),
        (Gap::Ipv6, message.request_uri().contains('[')),
        (Gap::UnknownMethod, message.is_request() && message.method() == sip::Method::Other),
        (Gap::StartLine, start_line.windows(2).any(|pair| pair == b"  ") || start_line.ends_with(b" ")),
        (Gap::SpaceBeforeColon, head.split(|byte| *byte == b'\n').skip(1).any(spaced)),
        (Gap::RequestUri, message.is_request() && odd_uri(message.request_uri())),
        (Gap::OurFault, message.check().is_err()),
    ];
    known.into_iter().find(|(_, applies)| *applies).map(|(gap, _)| gap)
}

#[test]
fn rsip_refuses_only_what_it_is_known_not_to_read() {
    let mut gaps: BTreeMap<Gap, Vec<String>> = BTreeMap::new();
    for sample in samples() {
        let (Ok(ours), Err(_)) = (sample.parse(), rsip::SipMessage::try_from(sample.bytes.as_slice())) else {
            continue;
        };
        let gap = gap(&ours, &sample.bytes)
            .unwrap_or_else(|| panic!("rsip refuses {} for no known reason", sample.name));
        gaps.entry(gap).or_default().push(sample.name);
    }
    eprintln!("refused by rsip only: {gaps:#?}");
}

#[test]
fn what_rsip_reads_we_read_the_same() {
    for sample in samples() {
        let (Ok(ours), Ok(theirs)) = (sample.parse(), rsip::SipMessage::try_from(sample.bytes.as_slice()))
        else {
            continue;
        };
        assert_eq!(ours.is_request(), theirs.is_request(), "{}", sample.name);
        if ours.check().is_ok() {
            compare(&ours, &theirs, &sample.name);
        }
    }
}

fn compare(ours: &Message, theirs: &rsip::SipMessage, name: &str) {
    // rsip does not know compact names: "missing" there says nothing.
    if let Ok(call_id) = theirs.call_id_header() {
        assert_eq!(ours.call_id(), call_id.value(), "{name}");
    }
    if let Ok(cseq) = theirs.cseq_header().and_then(|cseq| cseq.typed()) {
        assert_eq!(ours.cseq().unwrap().number, cseq.seq, "{name}");
    }
    if let Ok(from) = theirs.from_header().and_then(|from| from.typed()) {
        assert_eq!(ours.from().unwrap().tag(), from.tag().map(|tag| tag.value()), "{name}");
    }
    if let Ok(via) = theirs.via_header().and_then(|via| via.typed()) {
        let branch = via.branch().map(|branch| branch.value().to_string());
        assert_eq!(ours.via().unwrap().branch.map(str::to_string), branch, "{name}");
    }
    // rsip takes everything behind the head for the body, whatever Content-Length says.
    if let Some(length) = ours.text(Name::ContentLength).and_then(|length| length.parse().ok()) {
        let body = theirs.body();
        assert_eq!(&ours.body()[..], &body[..body.len().min(length)], "{name}");
    }
    assert!(theirs.headers().iter().count() >= 5 || !ours.is_request(), "{name}");
}

fn samples() -> Vec<corpus::Sample> {
    let mut samples = corpus::shared("captures/messages");
    samples.extend(corpus::shared("data/rfc4475"));
    samples.extend(corpus::shared("data/rfc5118"));
    samples.extend(
        KNOWN.map(|(name, text, _)| corpus::Sample {
            name: name.to_string(),
            bytes: text.as_bytes().to_vec(),
        }),
    );
    samples
}

/// One message per difference, so that the list holds without the files; and whether rsip reads it.
const KNOWN: [(&str, &str, bool); 9] = [
    (
        "plain",
        "OPTIONS sip:a@b.test SIP/2.0\r\nVia: SIP/2.0/UDP h.test;branch=z9hG4bK1\r\nCSeq: 1 OPTIONS\r\n\r\n",
        true,
    ),
    ("compact", "OPTIONS sip:a@b.test SIP/2.0\r\nv: SIP/2.0/UDP h.test;branch=z9hG4bK1\r\n\r\n", true),
    ("surplus", "OPTIONS sip:a@b.test SIP/2.0\r\nContent-Length: 0\r\n\r\nmore", true),
    ("folded", "OPTIONS sip:a@b.test SIP/2.0\r\nSubject: x\r\n y\r\n\r\n", false),
    ("ipv6", "OPTIONS sip:a@[2001:db8::1] SIP/2.0\r\nSubject: x\r\n\r\n", false),
    ("unknown method", "FROBNICATE sip:a@b.test SIP/2.0\r\nSubject: x\r\n\r\n", false),
    ("space before colon", "OPTIONS sip:a@b.test SIP/2.0\r\nSubject : x\r\n\r\n", false),
    ("tel, read as a host of that name", "OPTIONS tel:+123 SIP/2.0\r\nSubject: x\r\n\r\n", true),
    ("keep-alive in front", "\r\n\r\nOPTIONS sip:a@b.test SIP/2.0\r\nSubject: x\r\n\r\n", false),
];

#[test]
fn the_known_gaps_of_rsip_are_still_there_and_none_of_them_is_ours() {
    for (name, text, read_by_rsip) in KNOWN {
        let sample = corpus::Sample { name: name.to_string(), bytes: text.as_bytes().to_vec() };

        assert!(sample.parse().is_ok(), "{name}");
        assert_eq!(rsip::SipMessage::try_from(text).is_ok(), read_by_rsip, "{name}");
    }
}
