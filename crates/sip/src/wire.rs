//! The scanner: bytes of one datagram or one framed message, cut into lines in one pass (DESIGN D13).
//!
//! It decides structure only: where lines, head and body end, and what each header is called. The
//! result points into the bytes received; they are copied once, and only if a header is folded or
//! lines end in a bare LF, so that everything behind the scanner knows one form.
//!
//! Leniency ends where two readers could see two messages (`lines`). A flaw does not stop the scan, since the sender
//! is owed an answer that is built from the readable rest; the first flaw is kept for
//! `Message::check`. Whether the headers make sense is not asked here.

use bytes::Bytes;
use memchr::{memchr, memchr2};

use crate::fault::{Fault, NotSip};
use crate::header::{Name, lex};
use crate::lines::{self, ContentLength, LineEnds};
use crate::method::Method;

/// What one message may cost. Beyond `message` bytes it is cut and answered 413; beyond the others it is
/// read as far as they go and answered 400 (414 for the start line).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub message: usize,
    pub start_line: usize,
    /// Header lines, after unfolding.
    pub headers: usize,
    /// Bytes of one header line, after unfolding.
    pub header: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { message: 65_535, start_line: 8 * 1024, headers: 128, header: 8 * 1024 }
    }
}

/// A scanned message: its bytes, and where things are in them.
pub(crate) struct Scanned {
    pub bytes: Bytes,
    pub start: StartLine,
    pub lines: Vec<Line>,
    /// Just behind the start line's CRLF, and just behind the empty line.
    pub headers_at: usize,
    pub body_at: usize,
    /// The first flaw met.
    pub fault: Option<Fault>,
}

pub(crate) enum StartLine {
    Request { method: Method, text: Span, uri: Span },
    Response { status: u16 },
}

#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub start: u32,
    pub end: u32,
}

/// One header line; the spans count from the start of the message.
pub(crate) struct Line {
    pub name: Name,
    /// From the name's first byte to just behind the line's CRLF.
    pub whole: Span,
    pub name_end: u32,
    pub value: Span,
}

impl Span {
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }

    fn new(start: usize, end: usize) -> Span {
        // It fits, because a message is cut to `LONGEST` first.
        Span { start: start as u32, end: end as u32 }
    }
}

/// What offsets of 32 bits can address, with room for what unfolding may add.
const LONGEST: usize = 1 << 30;

pub(crate) fn scan(bytes: Bytes, limits: &Limits) -> Result<Scanned, NotSip> {
    let line_ends = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    if line_ends == bytes.len() {
        return Err(NotSip::Empty);
    }
    let mut bytes = bytes.slice(line_ends..);
    let mut fault = None;
    let longest = limits.message.min(LONGEST);
    if bytes.len() > longest {
        bytes.truncate(longest);
        note(&mut fault, Fault { status: 413, reason: "Message Too Large" });
    }

    let ends = LineEnds::of(&bytes).ok_or(NotSip::NoStartLine)?;
    let head = ends.head_end(&bytes, 0);
    if head.is_none() {
        note(&mut fault, Fault::bad("Head Not Terminated"));
    }
    let mut body_at = head.unwrap_or(bytes.len());
    if lines::need_unfolding(ends, &bytes[..body_at]) {
        (bytes, body_at) = lines::unfold(ends, &bytes, body_at);
    }

    let head = Head { bytes: &bytes[..body_at], limits };
    let (start, headers_at) = head.start_line(&mut fault)?;
    let lines = head.lines(headers_at, &mut fault);
    let body_end = body_end(&bytes, body_at, &lines, limits, &mut fault);
    bytes.truncate(body_end);
    Ok(Scanned { bytes, start, lines, headers_at, body_at, fault })
}

/// The head, in which every line ends in CRLF and none is folded.
struct Head<'a> {
    bytes: &'a [u8],
    limits: &'a Limits,
}

impl Head<'_> {
    fn start_line(&self, fault: &mut Option<Fault>) -> Result<(StartLine, usize), NotSip> {
        let (line, next) = LineEnds::Crlf.first_line(self.bytes).ok_or(NotSip::NoStartLine)?;
        let start = match line.get(..4) {
            Some(version) if version.eq_ignore_ascii_case(b"SIP/") => status_line(line, fault),
            _ => request_line(line, fault)?,
        };
        if line.len() > self.limits.start_line {
            note(fault, Fault { status: 414, reason: "Request-URI Too Long" });
        }
        note_lone_line_ends(line, fault);
        Ok((start, next))
    }

    fn lines(&self, headers_at: usize, fault: &mut Option<Fault>) -> Vec<Line> {
        let mut lines = Vec::with_capacity(16);
        let mut at = headers_at;
        // A last line that does not end was cut off on the way: half a header is none.
        while let Some((text, length)) = LineEnds::Crlf.first_line(&self.bytes[at..]) {
            if text.is_empty() {
                break;
            }
            if lines.len() == self.limits.headers {
                note(fault, Fault::bad("Too Many Headers"));
                break;
            }
            if text.len() > self.limits.header {
                note(fault, Fault::bad("Header Too Long"));
            }
            note_lone_line_ends(text, fault);
            match line(text, at, length) {
                Some(line) => lines.push(line),
                None => note(fault, Fault::bad("Bad Header Line")),
            }
            at += length;
        }
        lines
    }
}

fn status_line(line: &[u8], fault: &mut Option<Fault>) -> StartLine {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let version = words.next().unwrap_or_default();
    let code = words.next().unwrap_or_default();
    note_version(version, fault);
    let status = match (code.len(), lex::clamped_number(code)) {
        (3, Some(status @ 100..=699)) => status as u16,
        _ => {
            note(fault, Fault::bad("Bad Status Code"));
            0
        }
    };
    StartLine::Response { status }
}

/// More than one space between the parts, or one behind them, may be ignored (RFC 4475 §3.1.2.9, §3.1.2.10).
/// White space inside of the Request-URI is left for the URI to refuse.
fn request_line(line: &[u8], fault: &mut Option<Fault>) -> Result<StartLine, NotSip> {
    let line = &line[..line.trim_ascii_end().len()];
    let method_end = memchr(b' ', line).ok_or(NotSip::NoStartLine)?;
    let version_at = line.iter().rposition(|byte| *byte == b' ').ok_or(NotSip::NoStartLine)? + 1;
    let (method, version) = (&line[..method_end], &line[version_at..]);
    if !version.get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"SIP/")) {
        return Err(NotSip::NoStartLine);
    }
    note_version(version, fault);
    if !lex::is_token(method) {
        note(fault, Fault::bad("Bad Method"));
    }
    let known = std::str::from_utf8(method).map_or(Method::Other, Method::parse);
    Ok(StartLine::Request {
        method: known,
        text: Span::new(0, method_end),
        uri: trimmed(line, method_end, version_at),
    })
}

fn line(text: &[u8], at: usize, length: usize) -> Option<Line> {
    let colon = memchr(b':', text)?;
    let name = text[..colon].trim_ascii_end();
    let value = trimmed(text, colon + 1, text.len());
    lex::is_token(name).then(|| Line {
        name: Name::parse(name),
        whole: Span::new(at, at + length),
        name_end: (at + name.len()) as u32,
        value: Span { start: value.start + at as u32, end: value.end + at as u32 },
    })
}

/// The span from `start` to `end` without the white space at both ends.
fn trimmed(text: &[u8], start: usize, end: usize) -> Span {
    let inside = &text[start..end];
    let value = lex::trim(inside);
    let before = inside.len() - lex::trim_start(inside).len();
    Span::new(start + before, start + before + value.len())
}

/// Where the message ends: bytes behind its Content-Length are none of it (RFC 3261 §18.3).
fn body_end(
    bytes: &[u8],
    body_at: usize,
    lines: &[Line],
    limits: &Limits,
    fault: &mut Option<Fault>,
) -> usize {
    let lengths = lines.iter().filter(|line| line.name == Name::ContentLength);
    match ContentLength::of(lengths.map(|line| line.value.of(bytes))) {
        ContentLength::Absent => bytes.len(),
        ContentLength::Bytes(length) if length <= bytes.len() - body_at => body_at + length,
        ContentLength::Bytes(length) if length > limits.message.saturating_sub(body_at) => {
            note(fault, Fault { status: 413, reason: "Request Entity Too Large" });
            bytes.len()
        }
        ContentLength::Bytes(_) => {
            note(fault, Fault::bad("Body Shorter Than Content-Length"));
            bytes.len()
        }
        ContentLength::Bad => {
            note(fault, Fault::bad("Bad Content-Length"));
            bytes.len()
        }
    }
}

fn note_version(version: &[u8], fault: &mut Option<Fault>) {
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        note(fault, Fault { status: 505, reason: "Version Not Supported" });
    }
}

fn note_lone_line_ends(line: &[u8], fault: &mut Option<Fault>) {
    if memchr2(b'\r', b'\n', line).is_some() {
        note(fault, Fault::bad("Lone CR Or LF"));
    }
}

fn note(fault: &mut Option<Fault>, found: Fault) {
    fault.get_or_insert(found);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(text: &str) -> Scanned {
        scan(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
    }

    fn values(scanned: &Scanned) -> Vec<&str> {
        let text = |line: &Line| std::str::from_utf8(line.value.of(&scanned.bytes)).unwrap();
        scanned.lines.iter().map(text).collect()
    }

    #[test]
    fn a_plain_message_is_not_copied() {
        let bytes = Bytes::from_static(b"\r\n\r\nOPTIONS sip:a SIP/2.0\r\nTo: x\r\n\r\nbody");

        let scanned = scan(bytes.clone(), &Limits::default()).unwrap();

        assert_eq!(scanned.bytes.as_ptr(), bytes[4..].as_ptr());
        assert_eq!(&scanned.bytes[scanned.body_at..], b"body");
    }

    #[test]
    fn a_folded_header_becomes_one_line() {
        let scanned =
            scanned("OPTIONS sip:a SIP/2.0\r\nSubject :\r\n \t one\r\n\ttwo \r\n \r\nTo:x\r\n\r\nbody");

        assert_eq!(values(&scanned), ["one two", "x"]);
        assert_eq!(&scanned.bytes[scanned.body_at..], b"body");
        assert_eq!(scanned.fault, None);
    }

    #[test]
    fn a_start_line_is_never_continued() {
        let scanned = scanned("OPTIONS sip:a SIP/2.0\r\n Via: x\r\nTo: y\r\n\r\n");

        assert_eq!(scanned.fault, Some(Fault::bad("Bad Header Line")));
        assert_eq!(values(&scanned), ["y"]);
    }

    #[test]
    fn bytes_behind_the_content_length_are_discarded_and_none_are_made_up() {
        let surplus = scanned("OPTIONS sip:a SIP/2.0\r\nl: 2\r\n\r\nbody");
        let missing = scanned("OPTIONS sip:a SIP/2.0\r\nl: 5\r\n\r\nbody");

        assert_eq!(&surplus.bytes[surplus.body_at..], b"bo");
        assert_eq!(missing.fault, Some(Fault::bad("Body Shorter Than Content-Length")));
    }

    #[test]
    fn a_header_cut_off_in_the_middle_is_not_read() {
        let scanned = scanned("OPTIONS sip:a SIP/2.0\r\nTo: x\r\nFrom: sip:ali");

        assert_eq!(values(&scanned), ["x"]);
        assert_eq!(scanned.fault, Some(Fault::bad("Head Not Terminated")));
    }

    #[test]
    fn the_first_flaw_is_the_one_that_is_kept() {
        let scanned = scanned("OPTIONS sip:a SIP/3.0\r\nno colon\r\nContent-Length: x\r\n\r\n");

        assert_eq!(scanned.fault.map(|fault| fault.status), Some(505));
    }

    #[test]
    fn other_protocols_are_not_sip() {
        for text in ["GET / HTTP/1.1\r\n\r\n", "hello\r\n\r\n", "OPTIONS sip:a SIP/2.0", "\0\0\0\0"] {
            let refused = scan(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).err();
            assert_eq!(refused, Some(NotSip::NoStartLine), "{text:?}");
        }
    }
}
