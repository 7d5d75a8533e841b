//! A proxy's edits: a few lines change, every other byte travels as it came (RFC 3261 §16.6, §16.7, §16.11).
//!
//! The wishes are collected and written in one pass by `finish`. A pushed line goes in front of the first
//! line of its name, so what was pushed last stands on top. Two things change unasked: stray spaces of
//! the start line go (RFC 4475 §3.1.2.9), and a message without Content-Length gets one, since the next
//! hop may be a stream. Meant for messages that passed `check`; on any other it does not panic.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use crate::digits::push_decimal;
use crate::header::{Name, Via, lex};
use crate::header_lines::{Line, Names};
use crate::host;
use crate::message::Message;
use crate::status;
use crate::wire::StartLine;
use crate::write::{push_clean, push_line};

pub struct Edit<'a> {
    message: &'a Message,
    request_uri: Option<String>,
    status: Option<u16>,
    vias: Stack,
    routes: Stack,
    record_routes: Stack,
    source: Option<SocketAddr>,
    max_forwards: Option<u8>,
    stripped: Names,
    inserted: Vec<u8>,
    appended: Vec<u8>,
}

/// What happens at the top of a header that is a stack.
#[derive(Default)]
struct Stack {
    /// The lines that come on top, as they are written.
    pushed: Vec<u8>,
    popped: usize,
}

/// The edited message as it grows: spans of the old one, and what is put between them.
struct Splice<'a> {
    old: &'a [u8],
    /// Up to here the old one is copied or left out.
    at: usize,
    new: Vec<u8>,
}

impl<'a> Edit<'a> {
    pub fn new(message: &'a Message) -> Edit<'a> {
        Edit {
            message,
            request_uri: None,
            status: None,
            vias: Stack::default(),
            routes: Stack::default(),
            record_routes: Stack::default(),
            source: None,
            max_forwards: None,
            stripped: Names::default(),
            inserted: Vec::new(),
            appended: Vec::new(),
        }
    }

    pub fn request_uri(mut self, uri: &str) -> Self {
        self.request_uri = Some(uri.to_string());
        self
    }

    /// Of a response, with the usual phrase.
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// A Via whose value is all these parts, one behind the other.
    pub fn push_via(mut self, parts: &[&str]) -> Self {
        self.vias.push(Name::Via, parts);
        self
    }

    /// Removes the topmost Via that came with the message, also out of a comma list; once per call.
    pub fn pop_via(mut self) -> Self {
        self.vias.popped += 1;
        self
    }

    /// Writes into the topmost Via that came where it came from: `received` unless sent-by says the
    /// same, and `rport` if it was asked for (RFC 3261 §18.2.1, RFC 3581 §4). What the sender claimed
    /// in their place goes.
    pub fn note_source(mut self, source: SocketAddr) -> Self {
        self.source = Some(source);
        self
    }

    /// Removes the `count` topmost Route values.
    pub fn pop_routes(mut self, count: usize) -> Self {
        self.routes.popped += count;
        self
    }

    pub fn push_route(mut self, value: &str) -> Self {
        self.routes.push(Name::Route, &[value]);
        self
    }

    pub fn push_record_route(mut self, value: &str) -> Self {
        self.record_routes.push(Name::RecordRoute, &[value]);
        self
    }

    /// Replaces the value, or adds the header.
    pub fn max_forwards(mut self, hops: u8) -> Self {
        self.max_forwards = Some(hops);
        self
    }

    /// Removes every line of that name that came.
    pub fn strip(mut self, name: Name) -> Self {
        self.stripped.insert(name);
        self
    }

    /// Adds a line right below the Vias, and so above those of its name that came.
    pub fn insert(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        push_line(&mut self.inserted, format_args!("{}: {}", name.as_ref(), value.as_ref()));
        self
    }

    /// Adds a line at the end of the head.
    pub fn append(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        push_line(&mut self.appended, format_args!("{}: {}", name.as_ref(), value.as_ref()));
        self
    }

    pub fn finish(mut self) -> Bytes {
        let message = self.message;
        let head = &message.scanned().head;
        let mut copy = Splice::of(message.bytes(), self.added());
        self.write_start_line(&mut copy);
        let below_vias =
            head.lines.iter().rposition(|line| line.name == Name::Via).map_or(0, |last| last + 1);
        let touched = self.touched();
        let mut end = head.headers_at;
        for (at, line) in head.lines.iter().enumerate() {
            // A line that could not be read stands between the two, and goes.
            if line.whole.start as usize != end {
                copy.keep_until(end);
                copy.leave_out_until(line.whole.start as usize);
            }
            if at == below_vias {
                copy.keep_until(end);
                self.write_missing(&mut copy.new);
            }
            if touched.holds(line.name) {
                self.write_line(line, &mut copy);
            }
            end = line.whole.end as usize;
        }
        copy.keep_until(end);
        if below_vias == head.lines.len() {
            self.write_missing(&mut copy.new);
        }
        let mut new = copy.new;
        new.extend_from_slice(&self.appended);
        if message.header(Name::ContentLength).is_none() {
            push_line(&mut new, format_args!("Content-Length: {}", message.bytes().len() - head.body_at));
        }
        new.extend_from_slice(b"\r\n");
        new.extend_from_slice(&message.bytes()[head.body_at..]);
        Bytes::from(new)
    }

    /// The names that `write_line` and `write_pushed` ask for: a line of another one is copied unseen.
    fn touched(&self) -> Names {
        let mut touched = self.stripped;
        for name in [Name::Via, Name::Route, Name::RecordRoute, Name::MaxForwards] {
            touched.insert(name);
        }
        touched
    }

    /// How much longer the message may become.
    fn added(&self) -> usize {
        let stacks = [&self.vias, &self.routes, &self.record_routes];
        let pushed: usize = stacks.iter().map(|stack| stack.pushed.len()).sum();
        let uri = self.request_uri.as_ref().map_or(0, String::len);
        pushed + uri + self.inserted.len() + self.appended.len() + SMALL_THINGS
    }

    fn write_start_line(&self, copy: &mut Splice) {
        let head = &self.message.scanned().head;
        let StartLine::Request { text, uri, .. } = &head.start else {
            if let Some(status) = self.status {
                push_line(&mut copy.new, format_args!("SIP/2.0 {status} {}", status::reason(status)));
                copy.leave_out_until(head.headers_at);
            }
            return;
        };
        copy.put(text.of(copy.old));
        copy.put(b" ");
        match &self.request_uri {
            // Without what would end the URI: nobody writes headers through us.
            Some(uri) => copy.new.extend(uri.bytes().filter(|byte| !byte.is_ascii_whitespace())),
            None => copy.put(uri.of(copy.old)),
        }
        copy.put(b" SIP/2.0\r\n");
        copy.leave_out_until(head.headers_at);
    }

    /// What the message has no line of yet, so that no line of it can say where it belongs.
    fn write_missing(&mut self, new: &mut Vec<u8>) {
        for stack in [&mut self.vias, &mut self.record_routes, &mut self.routes] {
            new.append(&mut stack.pushed);
        }
        new.append(&mut self.inserted);
        if let (Some(hops), None) = (self.max_forwards, self.message.header(Name::MaxForwards)) {
            push_line(new, format_args!("Max-Forwards: {hops}"));
        }
    }

    fn write_line(&mut self, line: &Line, copy: &mut Splice<'a>) {
        self.write_pushed(line, copy);
        if self.stripped.holds(line.name) {
            return copy.leave_out(line);
        }
        match line.name {
            Name::Via if self.vias.popped > 0 || self.source.is_some() => {
                let Some(rest) = pop(line.value.of(copy.old), &mut self.vias.popped) else {
                    return copy.leave_out(line);
                };
                // An empty line is no Via, so the topmost one is still to come.
                let topmost = lex::list(rest).next().is_some();
                copy.replace(line, |new| match self.source.take_if(|_| topmost) {
                    Some(source) => push_with_source(new, rest, source),
                    None => new.extend_from_slice(rest),
                });
            }
            Name::Route if self.routes.popped > 0 => {
                match pop(line.value.of(copy.old), &mut self.routes.popped) {
                    Some(rest) => copy.replace(line, |new| new.extend_from_slice(rest)),
                    None => copy.leave_out(line),
                }
            }
            Name::MaxForwards => {
                if let Some(hops) = self.max_forwards {
                    copy.replace(line, |new| push_decimal(new, hops.into()));
                }
            }
            _ => {}
        }
    }

    /// In front of the first line of that name, or, if there is none, where `write_missing` stands.
    fn write_pushed(&mut self, line: &Line, copy: &mut Splice) {
        let stack = match line.name {
            Name::Via => &mut self.vias,
            Name::Route => &mut self.routes,
            Name::RecordRoute => &mut self.record_routes,
            _ => return,
        };
        if !stack.pushed.is_empty() {
            copy.keep_until(line.whole.start as usize);
            copy.new.append(&mut stack.pushed);
        }
    }
}

/// Bytes that a source in a Via, a count of hops and a Content-Length may take.
const SMALL_THINGS: usize = 128;

impl Stack {
    fn push(&mut self, name: Name, parts: &[&str]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let mut line = Vec::with_capacity(name.canonical().len() + length + 4 + self.pushed.len());
        line.extend_from_slice(name.canonical().as_bytes());
        line.extend_from_slice(b": ");
        parts.iter().for_each(|part| push_clean(&mut line, part));
        line.extend_from_slice(b"\r\n");
        line.append(&mut self.pushed);
        self.pushed = line;
    }
}

impl<'a> Splice<'a> {
    fn of(old: &'a [u8], added: usize) -> Splice<'a> {
        Splice { old, at: 0, new: Vec::with_capacity(old.len() + added) }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.new.extend_from_slice(bytes);
    }

    fn keep_until(&mut self, end: usize) {
        if self.at < end {
            self.new.extend_from_slice(&self.old[self.at..end]);
            self.at = end;
        }
    }

    fn leave_out_until(&mut self, end: usize) {
        self.at = self.at.max(end);
    }

    fn leave_out(&mut self, line: &Line) {
        self.keep_until(line.whole.start as usize);
        self.leave_out_until(line.whole.end as usize);
    }

    /// The line as it came, but with the value that `write` writes.
    fn replace(&mut self, line: &Line, write: impl FnOnce(&mut Vec<u8>)) {
        self.keep_until(line.value.start as usize);
        write(&mut self.new);
        self.leave_out_until(line.value.end as usize);
    }
}

/// The list without its first `count` elements, `None` if nothing is left; what was popped is counted off.
fn pop<'a>(list: &'a [u8], count: &mut usize) -> Option<&'a [u8]> {
    let mut rest = list;
    while *count > 0 {
        let comma = lex::comma(rest);
        if !lex::trim(&rest[..comma.unwrap_or(rest.len())]).is_empty() {
            *count -= 1;
        }
        rest = lex::trim(&rest[comma? + 1..]);
    }
    (rest.is_empty() == list.is_empty()).then_some(rest)
}

/// A Via list whose first element says where it came from.
fn push_with_source(new: &mut Vec<u8>, list: &[u8], source: SocketAddr) {
    let empty = list.iter().take_while(|byte| b", \t".contains(byte)).count();
    let list = &list[empty..];
    let (first, behind) = list.split_at(lex::comma(list).unwrap_or(list.len()));
    let (sent_by, params) = first.split_at(lex::find_any(first, [b';']).unwrap_or(first.len()));
    let Ok(params) = std::str::from_utf8(params) else { return new.extend_from_slice(list) };
    new.extend_from_slice(sent_by.trim_ascii_end());
    let address = source.ip().to_canonical();
    let mut asks_for_port = false;
    for piece in lex::split_text(params, b';').map(str::trim).filter(|piece| !piece.is_empty()) {
        let name = piece.split('=').next().unwrap_or_default().trim_end();
        if name.eq_ignore_ascii_case("rport") {
            asks_for_port = true;
            new.extend_from_slice(b";rport=");
            push_decimal(new, source.port().into());
        } else if !name.eq_ignore_ascii_case("received") {
            new.push(b';');
            new.extend_from_slice(piece.as_bytes());
        }
    }
    let says_so = || {
        let host = Via::parse(first).and_then(|via| host::literal(via.host));
        host.map(|host| host.to_canonical()) == Some(address)
    };
    if asks_for_port || !says_so() {
        new.extend_from_slice(b";received=");
        push_address(new, address);
    }
    new.extend_from_slice(behind);
}

fn push_address(new: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        return new.extend_from_slice(address.to_string().as_bytes());
    };
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            new.push(b'.');
        }
        push_decimal(new, octet.into());
    }
}

#[cfg(test)]
mod tests;
