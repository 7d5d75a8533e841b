//! New messages: an answer to a request, or a request of our own.
//!
//! What an answer repeats is copied byte for byte (RFC 3261 §8.2.6.2). Values may come from strangers'
//! text, so a line end inside a value becomes a space: nobody writes headers through us.

use std::fmt::{self, Display, Write};

use bytes::Bytes;

use crate::header::{Name, lex};
use crate::message::Message;
use crate::status;

/// An answer: Via, From, To, Call-ID and CSeq of the request, then what is added.
pub struct ResponseWriter<'a> {
    request: &'a Message,
    status: u16,
    reason: Option<&'a str>,
    to_tag: Option<&'a str>,
    added: Added<'a>,
}

/// A request: everything but the start line and Content-Length is added by the caller, in its order.
pub struct RequestWriter<'a>(Added<'a>);

impl<'a> ResponseWriter<'a> {
    pub fn new(request: &'a Message, status: u16) -> ResponseWriter<'a> {
        ResponseWriter { request, status, reason: None, to_tag: None, added: Added::default() }
    }

    /// Instead of the usual phrase.
    pub fn reason(mut self, reason: &'a str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Used only if the request's To has no tag yet.
    pub fn to_tag(mut self, tag: &'a str) -> Self {
        self.to_tag = Some(tag);
        self
    }

    pub fn header(mut self, name: impl AsRef<str>, value: impl Display) -> Self {
        self.added.header(name.as_ref(), &value);
        self
    }

    /// Every line of that name in the request, in order: Record-Route, Timestamp.
    pub fn copy(mut self, name: Name) -> Self {
        copy_lines(&mut self.added.head, self.request, name);
        self
    }

    pub fn body(mut self, content_type: &str, body: &'a [u8]) -> Self {
        self.added.body(content_type, body);
        self
    }

    pub fn finish(self) -> Bytes {
        let mut bytes = Vec::with_capacity(512 + self.added.head.len() + self.added.body.len());
        let reason = self.reason.unwrap_or_else(|| status::reason(self.status));
        push_line(&mut bytes, format_args!("SIP/2.0 {} {reason}", self.status));
        copy_lines(&mut bytes, self.request, Name::Via);
        copy_lines(&mut bytes, self.request, Name::From);
        self.write_to(&mut bytes);
        copy_lines(&mut bytes, self.request, Name::CallId);
        copy_lines(&mut bytes, self.request, Name::CSeq);
        bytes.extend_from_slice(&self.added.head);
        finish(bytes, self.added.body)
    }

    fn write_to(&self, bytes: &mut Vec<u8>) {
        let to = self.request.to().ok();
        let tagged = to.is_some_and(|to| to.tag().is_some());
        let (false, Some(tag), Some(line)) = (tagged, self.to_tag, self.request.lines_of(Name::To).next())
        else {
            return copy_lines(bytes, self.request, Name::To);
        };
        if let Some(to) = to.filter(|to| to.param("tag").is_some()) {
            // With the empty `tag=` left in, the answer would have two.
            return push_line(bytes, format_args!("To: <{}>;tag={tag}", to.uri));
        }
        bytes.extend_from_slice(&self.request.bytes()[line.whole.start as usize..line.value.end as usize]);
        push_line(bytes, format_args!(";tag={tag}"));
    }
}

impl<'a> RequestWriter<'a> {
    pub fn new(method: &str, uri: &str) -> RequestWriter<'a> {
        let mut head = Vec::with_capacity(TYPICAL);
        for part in [method, " ", uri, " SIP/2.0"] {
            push_clean(&mut head, part);
        }
        head.extend_from_slice(b"\r\n");
        RequestWriter(Added { head, body: &[] })
    }

    pub fn header(mut self, name: impl AsRef<str>, value: impl Display) -> Self {
        self.0.header(name.as_ref(), &value);
        self
    }

    pub fn body(mut self, content_type: &str, body: &'a [u8]) -> Self {
        self.0.body(content_type, body);
        self
    }

    pub fn finish(self) -> Bytes {
        finish(self.0.head, self.0.body)
    }
}

/// Room for the head of most requests, so that it is written without moving.
const TYPICAL: usize = 1024;

/// The headers and the body that the caller adds.
#[derive(Default)]
struct Added<'a> {
    head: Vec<u8>,
    body: &'a [u8],
}

impl<'a> Added<'a> {
    fn header(&mut self, name: &str, value: &dyn Display) {
        push_line(&mut self.head, format_args!("{name}: {value}"));
    }

    fn body(&mut self, content_type: &str, body: &'a [u8]) {
        self.header(Name::ContentType.canonical(), &content_type);
        self.body = body;
    }
}

fn finish(mut bytes: Vec<u8>, body: &[u8]) -> Bytes {
    bytes.reserve(body.len() + 32);
    push_line(&mut bytes, format_args!("Content-Length: {}", body.len()));
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    Bytes::from(bytes)
}

/// One line and its CRLF, with every other line end in it made a space.
pub(crate) fn push_line(bytes: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    let _infallible = OneLine(bytes).write_fmt(text);
    bytes.extend_from_slice(b"\r\n");
}

struct OneLine<'a>(&'a mut Vec<u8>);

impl Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        push_clean(self.0, text);
        Ok(())
    }
}

/// The text, with every line end in it made a space.
pub(crate) fn push_clean(bytes: &mut Vec<u8>, text: &str) {
    let begins = bytes.len();
    bytes.extend_from_slice(text.as_bytes());
    if lex::find_any(text.as_bytes(), [b'\r', b'\n', 0]).is_some() {
        let ends = |byte: &&mut u8| matches!(**byte, b'\r' | b'\n' | 0);
        bytes[begins..].iter_mut().filter(ends).for_each(|byte| *byte = b' ');
    }
}

fn copy_lines(bytes: &mut Vec<u8>, request: &Message, name: Name) {
    for line in request.lines_of(name) {
        bytes.extend_from_slice(line.whole.of(request.bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Limits;

    const SUBSCRIBE: &str = "SUBSCRIBE sip:bob@lab.test SIP/2.0\r\n\
        v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;rport\r\n\
        Via:SIP/2.0/TCP 192.0.2.2;branch=z9hG4bK2\r\n\
        Record-Route: <sip:p1;lr>\r\nRecord-Route: <sip:p2;lr>, <sip:p3;lr>\r\n\
        From: \"A\" <sip:alice@lab.test>;tag=a\r\nTO :  sip:bob@lab.test\r\n\
        i: 1@lab\r\nCSeq:   7 SUBSCRIBE\r\nContent-Length: 0\r\n\r\n";

    fn parse(bytes: impl Into<Bytes>) -> Message {
        Message::parse(bytes.into(), &Limits::default()).unwrap()
    }

    #[test]
    fn an_answer_repeats_the_requests_lines_byte_for_byte() {
        let request = parse(SUBSCRIBE);

        let answer = ResponseWriter::new(&request, 200)
            .to_tag("b")
            .copy(Name::RecordRoute)
            .header(Name::Expires, 600)
            .body("text/plain", b"hello")
            .finish();

        let expected = "SIP/2.0 200 OK\r\n\
            v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;rport\r\n\
            Via:SIP/2.0/TCP 192.0.2.2;branch=z9hG4bK2\r\n\
            From: \"A\" <sip:alice@lab.test>;tag=a\r\nTO :  sip:bob@lab.test;tag=b\r\n\
            i: 1@lab\r\nCSeq:   7 SUBSCRIBE\r\n\
            Record-Route: <sip:p1;lr>\r\nRecord-Route: <sip:p2;lr>, <sip:p3;lr>\r\n\
            Expires: 600\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(std::str::from_utf8(&answer), Ok(expected));
        assert_eq!(parse(answer).check(), Ok(()));
    }

    #[test]
    fn a_to_that_has_a_tag_keeps_it() {
        let request = parse(SUBSCRIBE.replace("TO :  sip:bob@lab.test", "To: <sip:bob@lab.test>;tag=first"));

        let answer = parse(ResponseWriter::new(&request, 481).to_tag("second").finish());

        assert_eq!(answer.to().unwrap().tag(), Some("first"));
        assert_eq!(answer.status(), Some(481));
    }

    #[test]
    fn an_empty_tag_is_replaced() {
        let request = parse(SUBSCRIBE.replace("TO :  sip:bob@lab.test", "To: <sip:bob@lab.test>;tag="));

        let answer = parse(ResponseWriter::new(&request, 200).to_tag("b").finish());

        assert_eq!(answer.header(Name::To), Some(&b"<sip:bob@lab.test>;tag=b"[..]));
    }

    #[test]
    fn a_line_end_in_a_value_starts_no_header() {
        let request = parse(SUBSCRIBE);

        let answer = ResponseWriter::new(&request, 200).header("Warning", "x\r\nEvil: 1\n\0").finish();

        assert_eq!(parse(answer).extension("Evil"), None);
    }

    #[test]
    fn what_is_missing_in_the_request_is_missing_in_the_answer() {
        let request = parse("OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n\r\n");

        let answer = ResponseWriter::new(&request, 400).reason("Missing To").to_tag("b").finish();

        assert_eq!(answer, "SIP/2.0 400 Missing To\r\nVia: SIP/2.0/UDP h\r\nContent-Length: 0\r\n\r\n");
    }

    #[test]
    fn a_request_states_its_length_even_without_a_body() {
        let request =
            RequestWriter::new("OPTIONS", "sip:ping@192.0.2.1").header(Name::MaxForwards, 70).finish();

        let expected = "OPTIONS sip:ping@192.0.2.1 SIP/2.0\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(request, expected);
    }
}
