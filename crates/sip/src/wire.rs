//! The scanner: bytes of one datagram or one framed message, cut into lines in one pass (DESIGN D13).
//!
//! It decides structure only: where lines, head and body end, and what each header is called. The
//! result points into the bytes received; they are copied once, and only if a header is folded or
//! lines end in a bare LF, so that everything behind the scanner knows one form.
//!
//! Leniency ends where two readers could see two messages: in a message whose first line ends in
//! CRLF, a lone CR or LF is no line end and a fault. A flaw does not stop the scan, since the sender
//! is owed an answer that is built from the readable rest; the first flaw is kept for
//! `Message::check`. Whether the headers make sense is not asked here.

use bytes::Bytes;
use memchr::{memchr, memchr2, memmem};

use crate::fault::{Fault, NotSip};
use crate::header::{Name, lex};
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
        // A message is cut to the limit first, and a limit above 4 GiB is cut to that.
        Span { start: start as u32, end: end as u32 }
    }
}

pub(crate) fn scan(bytes: Bytes, limits: &Limits) -> Result<Scanned, NotSip> {
    let line_ends = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    if line_ends == bytes.len() {
        return Err(NotSip::Empty);
    }
    let mut bytes = bytes.slice(line_ends..);
    let mut fault = None;
    let longest = limits.message.min(u32::MAX as usize);
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
    if ends == LineEnds::Mixed || has_fold(&bytes[..body_at]) {
        let unfolded = unfold(ends, &bytes, body_at);
        body_at = unfolded.1;
        bytes = unfolded.0;
    }

    let head = Head { bytes: &bytes[..body_at], limits };
    let (start, headers_at) = head.start_line(&mut fault)?;
    let lines = head.lines(headers_at, &mut fault);
    let body_end = body_end(&bytes, body_at, &lines, limits, &mut fault);
    bytes.truncate(body_end);
    Ok(Scanned { bytes, start, lines, headers_at, body_at, fault })
}

/// What a Content-Length line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentLength {
    Absent,
    Bytes(usize),
    /// No number, or two different ones.
    Bad,
}

impl ContentLength {
    pub fn of<'a>(values: impl Iterator<Item = &'a [u8]>) -> ContentLength {
        values.fold(ContentLength::Absent, |seen, value| match (seen, lex::clamped_number(value)) {
            (ContentLength::Absent, Some(length)) => ContentLength::Bytes(length as usize),
            (ContentLength::Bytes(first), Some(length)) if first == length as usize => seen,
            _ => ContentLength::Bad,
        })
    }
}

/// What the Content-Length of a head says, of which nothing else is known yet.
pub(crate) fn content_length(head: &[u8], ends: LineEnds) -> ContentLength {
    if ends == LineEnds::Mixed || has_fold(head) {
        let (plain, _) = unfold(ends, head, head.len());
        return declared_length(&plain);
    }
    declared_length(head)
}

fn declared_length(head: &[u8]) -> ContentLength {
    let mut rest = head;
    let lines = std::iter::from_fn(|| {
        let (line, next) = LineEnds::Crlf.first_line(rest)?;
        rest = &rest[next..];
        Some(line)
    });
    ContentLength::of(lines.filter_map(|line| {
        let colon = memchr(b':', line)?;
        let ours = Name::parse(line[..colon].trim_ascii_end()) == Name::ContentLength;
        ours.then(|| lex::trim(&line[colon + 1..]))
    }))
}

/// How the lines of one message end; its first line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineEnds {
    Crlf,
    /// LF, with or without a CR before it.
    Mixed,
}

impl LineEnds {
    /// `None` while no line has ended.
    pub fn of(bytes: &[u8]) -> Option<LineEnds> {
        let end = memchr(b'\n', bytes)?;
        let crlf = end > 0 && bytes[end - 1] == b'\r';
        Some(if crlf { LineEnds::Crlf } else { LineEnds::Mixed })
    }

    /// Just behind the empty line that ends the head, looked for from `from` on.
    pub fn head_end(self, bytes: &[u8], from: usize) -> Option<usize> {
        if self == LineEnds::Crlf {
            return memmem::find(&bytes[from..], b"\r\n\r\n").map(|at| from + at + 4);
        }
        memchr::memchr_iter(b'\n', &bytes[from..]).find_map(|at| match &bytes[from + at + 1..] {
            [b'\n', ..] => Some(from + at + 2),
            [b'\r', b'\n', ..] => Some(from + at + 3),
            _ => None,
        })
    }

    /// The line that starts `bytes`, and where the next one starts; `None` if it never ends.
    fn first_line(self, bytes: &[u8]) -> Option<(&[u8], usize)> {
        if self == LineEnds::Mixed {
            let end = memchr(b'\n', bytes)?;
            let line = &bytes[..end];
            return Some((line.strip_suffix(b"\r").unwrap_or(line), end + 1));
        }
        let mut from = 0;
        loop {
            let at = from + memchr(b'\r', &bytes[from..])?;
            if bytes.get(at + 1) == Some(&b'\n') {
                return Some((&bytes[..at], at + 2));
            }
            from = at + 1;
        }
    }
}

fn has_fold(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| matches!(head.get(at + 1), Some(b' ' | b'\t')))
}

/// The same message with every header on one line and every line ended by CRLF, and where its body is.
fn unfold(ends: LineEnds, bytes: &[u8], body_at: usize) -> (Bytes, usize) {
    let mut plain = Vec::with_capacity(bytes.len() + 64);
    let mut rest = &bytes[..body_at];
    let mut start_line = true;
    let mut foldable = false;
    while let Some((line, next)) = ends.first_line(rest) {
        if foldable && matches!(line.first(), Some(b' ' | b'\t')) {
            plain.truncate(plain.len() - 2);
            plain.push(b' ');
            plain.extend_from_slice(lex::trim(line));
        } else {
            plain.extend_from_slice(line);
            // A start line is never continued; what looks like it stays a line, and a bad one.
            foldable = !start_line;
        }
        start_line = false;
        plain.extend_from_slice(b"\r\n");
        rest = &rest[next..];
    }
    plain.extend_from_slice(rest);
    let plain_body_at = plain.len();
    plain.extend_from_slice(&bytes[body_at..]);
    (Bytes::from(plain), plain_body_at)
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
        ContentLength::Bytes(length) => {
            let too_large = length > limits.message.saturating_sub(body_at);
            note(
                fault,
                match too_large {
                    true => Fault { status: 413, reason: "Request Entity Too Large" },
                    false => Fault::bad("Body Shorter Than Content-Length"),
                },
            );
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
