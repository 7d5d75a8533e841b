//! The scanner: bytes of one datagram or one framed message, cut into lines in one pass.
//!
//! It decides structure only: where lines, head and body end, and what each header is called. The
//! result points into the bytes received; they are copied once, and only if a header is folded or
//! lines end in a bare LF, so that everything behind the scanner knows one form.
//!
//! Leniency ends where two readers could see two messages (`line_ends`). A flaw does not stop the scan, since the sender
//! is owed an answer that is built from the readable rest; the first flaw is kept for
//! `Message::check`. Whether the headers make sense is not asked here.

use bytes::Bytes;
use memchr::memchr2;

use crate::fault::{Fault, NotSip};
use crate::header::{Name, lex};
use crate::header_lines::{Line, Lines};
use crate::line_ends::{ContentLength, LineEnds, unfold};
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
    pub head: Head,
}

/// What one pass over the head finds.
pub(crate) struct Head {
    pub start: StartLine,
    pub lines: Lines,
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

impl Span {
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }

    pub fn new(start: usize, end: usize) -> Span {
        // It fits, because a message is cut to `LONGEST` first.
        Span { start: start as u32, end: end as u32 }
    }
}

/// What offsets of 32 bits can address, with room for what unfolding may add.
pub(crate) const LONGEST: usize = 1 << 30;

pub(crate) fn scan(bytes: Bytes, limits: &Limits) -> Result<Scanned, NotSip> {
    let line_ends = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    if line_ends == bytes.len() {
        return Err(NotSip::Empty);
    }
    let mut bytes = bytes.slice(line_ends..);
    let longest = limits.message.min(LONGEST);
    let is_cut = bytes.len() > longest;
    bytes.truncate(longest);
    let mut head = match Head::read(&bytes, limits)? {
        Some(head) => head,
        None => {
            let ends = LineEnds::of(&bytes).ok_or(NotSip::NoStartLine)?;
            let head_end = ends.head_end(&bytes, 0);
            let (plain, body_at) = unfold(ends, &bytes, head_end.unwrap_or(bytes.len()));
            bytes = plain;
            Head::read_unfolded(&bytes[..body_at], limits, head_end.is_some())?
        }
    };
    if is_cut {
        head.fault = Some(Fault { status: 413, reason: "Message Too Large" });
    }
    let body_end = head.body_end(&bytes, limits);
    bytes.truncate(body_end);
    Ok(Scanned { bytes, head })
}

impl Head {
    /// Of bytes that begin with a start line and may go on behind the head. `None` if a header is folded or lines end in a
    /// bare LF: then it is to be unfolded first.
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Option<Head>, NotSip> {
        let mut reader = Reader { bytes, limits, at: 0, fault: None };
        let is_lf = |bytes: &[u8]| LineEnds::of(bytes) == Some(LineEnds::Lf);
        let Some(line) = reader.next_line() else {
            return if is_lf(bytes) { Ok(None) } else { Err(NotSip::NoStartLine) };
        };
        if line.has_lone_ends && is_lf(bytes) {
            return Ok(None);
        }
        let (start, headers_at) = (reader.start_line(&line)?, reader.at);
        let mut lines = Lines::new();
        while let Some(line) = reader.next_line() {
            match line.text.first() {
                Some(b' ' | b'\t') => return Ok(None),
                Some(_) => reader.take(&line, &mut lines),
                None => {
                    let Reader { at: body_at, fault, .. } = reader;
                    return Ok(Some(Head { start, lines, headers_at, body_at, fault }));
                }
            }
        }
        // A last line that does not end was cut off on the way: half a header is none.
        let fault = Some(NOT_TERMINATED);
        Ok(Some(Head { start, lines, headers_at, body_at: bytes.len(), fault }))
    }

    /// Of a head alone, which `unfold` has made.
    fn read_unfolded(bytes: &[u8], limits: &Limits, is_terminated: bool) -> Result<Head, NotSip> {
        let fault = if is_terminated { None } else { Some(NOT_TERMINATED) };
        let mut reader = Reader { bytes, limits, at: 0, fault };
        let line = reader.next_line().ok_or(NotSip::NoStartLine)?;
        let (start, headers_at) = (reader.start_line(&line)?, reader.at);
        let mut lines = Lines::new();
        while let Some(line) = reader.next_line().filter(|line| !line.text.is_empty()) {
            reader.take(&line, &mut lines);
        }
        Ok(Head { start, lines, headers_at, body_at: bytes.len(), fault: reader.fault })
    }

    pub fn content_length(&self, bytes: &[u8]) -> ContentLength {
        ContentLength::of(self.lines.of(Name::ContentLength).map(|line| line.value.of(bytes)))
    }

    /// Where the message ends: bytes behind its Content-Length are none of it (RFC 3261 §18.3).
    fn body_end(&mut self, bytes: &[u8], limits: &Limits) -> usize {
        let fault = match self.content_length(bytes) {
            ContentLength::Absent => return bytes.len(),
            ContentLength::Bytes(length) if length <= bytes.len() - self.body_at => {
                return self.body_at + length;
            }
            ContentLength::Bytes(length) if length > limits.message.saturating_sub(self.body_at) => {
                Fault { status: 413, reason: "Request Entity Too Large" }
            }
            ContentLength::Bytes(_) => Fault::bad("Body Shorter Than Content-Length"),
            ContentLength::Bad => Fault::bad("Bad Content-Length"),
        };
        note(&mut self.fault, fault);
        bytes.len()
    }
}

const NOT_TERMINATED: Fault = Fault::bad("Head Not Terminated");

/// Goes over the head line by line, and notes the first flaw. What it does for each line is inlined by force: calling it
/// costs as much as doing it.
struct Reader<'a> {
    bytes: &'a [u8],
    limits: &'a Limits,
    /// Where the next line starts.
    at: usize,
    fault: Option<Fault>,
}

/// A line without its CRLF, and where it starts.
struct RawLine<'a> {
    text: &'a [u8],
    start: usize,
    has_lone_ends: bool,
}

impl<'a> Reader<'a> {
    /// `None` if it never ends.
    #[inline(always)]
    fn next_line(&mut self) -> Option<RawLine<'a>> {
        let (start, mut has_lone_ends, mut from) = (self.at, false, self.at);
        loop {
            let end = from + memchr2(b'\r', b'\n', &self.bytes[from..])?;
            if self.bytes[end] == b'\r' && self.bytes.get(end + 1) == Some(&b'\n') {
                self.at = end + 2;
                return Some(RawLine { text: &self.bytes[start..end], start, has_lone_ends });
            }
            (has_lone_ends, from) = (true, end + 1);
        }
    }

    fn start_line(&mut self, line: &RawLine) -> Result<StartLine, NotSip> {
        let start = match line.text.get(..4) {
            Some(version) if version.eq_ignore_ascii_case(b"SIP/") => status_line(line.text, &mut self.fault),
            _ => request_line(line.text, &mut self.fault)?,
        };
        if line.text.len() > self.limits.start_line {
            self.note(Fault { status: 414, reason: "Request-URI Too Long" });
        }
        self.note_lone_ends(line);
        Ok(start)
    }

    #[inline(always)]
    fn take(&mut self, line: &RawLine, lines: &mut Lines) {
        if lines.len() >= self.limits.headers {
            return self.note(Fault::bad("Too Many Headers"));
        }
        if line.text.len() > self.limits.header {
            self.note(Fault::bad("Header Too Long"));
        }
        self.note_lone_ends(line);
        match header(line, self.at) {
            Some(line) => lines.push(line),
            None => self.note(Fault::bad("Bad Header Line")),
        }
    }

    fn note_lone_ends(&mut self, line: &RawLine) {
        if line.has_lone_ends {
            self.note(Fault::bad("Lone CR Or LF"));
        }
    }

    fn note(&mut self, found: Fault) {
        note(&mut self.fault, found);
    }
}

/// A header that ends before `next`.
#[inline]
fn header(line: &RawLine, next: usize) -> Option<Line> {
    let RawLine { text, start, .. } = *line;
    let colon = lex::find_any(text, [b':'])?;
    let mut name = &text[..colon];
    while let [before @ .., b' ' | b'\t'] = name {
        name = before;
    }
    let known = Name::parse(name);
    if known == Name::Other && !lex::is_token(name) {
        return None;
    }
    let value = trimmed(text, colon + 1, text.len());
    Some(Line {
        name: known,
        whole: Span::new(start, next),
        name_end: (start + name.len()) as u32,
        value: Span::new(start + value.start as usize, start + value.end as usize),
    })
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
    let method_end = lex::find_any(line, [b' ']).ok_or(NotSip::NoStartLine)?;
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

/// The span from `start` to `end` without the white space at both ends.
fn trimmed(text: &[u8], start: usize, end: usize) -> Span {
    let behind = lex::trim_start(&text[start..end]);
    let value = end - behind.len();
    Span::new(value, value + lex::trim_end(behind).len())
}

fn note_version(version: &[u8], fault: &mut Option<Fault>) {
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        note(fault, Fault { status: 505, reason: "Version Not Supported" });
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
        scanned.head.lines.iter().map(text).collect()
    }

    #[test]
    fn a_plain_message_is_not_copied() {
        let bytes = Bytes::from_static(b"\r\n\r\nOPTIONS sip:a SIP/2.0\r\nTo: x\r\n\r\nbody");

        let scanned = scan(bytes.clone(), &Limits::default()).unwrap();

        assert_eq!(scanned.bytes.as_ptr(), bytes[4..].as_ptr());
        assert_eq!(&scanned.bytes[scanned.head.body_at..], b"body");
    }

    #[test]
    fn a_folded_header_becomes_one_line() {
        let scanned =
            scanned("OPTIONS sip:a SIP/2.0\r\nSubject :\r\n \t one\r\n\ttwo \r\n \r\nTo:x\r\n\r\nbody");

        assert_eq!(values(&scanned), ["one two", "x"]);
        assert_eq!(&scanned.bytes[scanned.head.body_at..], b"body");
        assert_eq!(scanned.head.fault, None);
    }

    #[test]
    fn a_start_line_is_never_continued() {
        let scanned = scanned("OPTIONS sip:a SIP/2.0\r\n Via: x\r\nTo: y\r\n\r\n");

        assert_eq!(scanned.head.fault, Some(Fault::bad("Bad Header Line")));
        assert_eq!(values(&scanned), ["y"]);
    }

    #[test]
    fn bytes_behind_the_content_length_are_discarded_and_none_are_made_up() {
        let surplus = scanned("OPTIONS sip:a SIP/2.0\r\nl: 2\r\n\r\nbody");
        let missing = scanned("OPTIONS sip:a SIP/2.0\r\nl: 5\r\n\r\nbody");

        assert_eq!(&surplus.bytes[surplus.head.body_at..], b"bo");
        assert_eq!(missing.head.fault, Some(Fault::bad("Body Shorter Than Content-Length")));
    }

    #[test]
    fn a_header_cut_off_in_the_middle_is_not_read() {
        let scanned = scanned("OPTIONS sip:a SIP/2.0\r\nTo: x\r\nFrom: sip:ali");

        assert_eq!(values(&scanned), ["x"]);
        assert_eq!(scanned.head.fault, Some(Fault::bad("Head Not Terminated")));
    }

    #[test]
    fn the_first_flaw_is_the_one_that_is_kept() {
        let scanned = scanned("OPTIONS sip:a SIP/3.0\r\nno colon\r\nContent-Length: x\r\n\r\n");

        assert_eq!(scanned.head.fault.map(|fault| fault.status), Some(505));
    }

    #[test]
    fn other_protocols_are_not_sip() {
        for text in ["GET / HTTP/1.1\r\n\r\n", "hello\r\n\r\n", "OPTIONS sip:a SIP/2.0", "\0\0\0\0"] {
            let refused = scan(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).err();
            assert_eq!(refused, Some(NotSip::NoStartLine), "{text:?}");
        }
    }
}
