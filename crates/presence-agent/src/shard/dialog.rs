//! The dialog of a subscription, in one piece of text: the lines that its NOTIFYs repeat, as they stand in them, and
//! behind these what only the record needs. Everything else is a span of that text, so a record is small and is read
//! where it lies, and a NOTIFY is written by copying.

use std::sync::Arc;

use bytes::Bytes;
use presence::repeat::RepeatKey;
use presence::time::Lifetime;
use proto::v1;
use proto::v1::Standing;

/// What a subscription's requests have said, as far as it outlasts them.
#[derive(Clone, Debug, PartialEq)]
pub struct Dialog {
    text: Arc<str>,
    spans: Spans,
    pub numbers: Numbers,
}

/// What the last request said besides text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numbers {
    pub repeat: RepeatKey,
    pub cseq: u32,
    pub lifetime: Lifetime,
    pub standing: Standing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Span {
    start: u16,
    end: u16,
}

/// Where things are in the text, in its order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Spans {
    remote_target: Span,
    routes: Span,
    local_party: Span,
    local_tag: Span,
    remote_party: Span,
    remote_tag: Span,
    call_id: Span,
    /// Route, From, To and Call-ID.
    parties: Span,
    contact: Span,
    event: Span,
    event_id: Span,
    /// Contact and Event.
    usage: Span,
    accept: Span,
    presentity: Span,
    watcher: Span,
    tenant: Span,
}

/// The same, before and after.
struct Parts<'a> {
    remote_target: &'a str,
    route_set: Vec<&'a str>,
    local_party: &'a str,
    local_tag: &'a str,
    remote_party: &'a str,
    remote_tag: &'a str,
    call_id: &'a str,
    contact: &'a str,
    event: &'a str,
    event_id: &'a str,
    accept: &'a str,
    presentity: &'a str,
    watcher: &'a str,
    tenant: &'a str,
    numbers: Numbers,
}

const ROUTE: &str = "Route: ";
const END: &str = "\r\n";

impl Dialog {
    /// `None` if it says more than 64 KiB.
    pub fn of(request: &v1::Subscribe) -> Option<Dialog> {
        Dialog::made_of(&Parts {
            remote_target: &request.remote_target,
            route_set: request.route_set.iter().map(String::as_str).collect(),
            local_party: &request.local_party,
            local_tag: &request.local_tag,
            remote_party: &request.remote_party,
            remote_tag: &request.remote_tag,
            call_id: &request.call_id,
            contact: &request.contact,
            event: &request.event,
            event_id: &request.event_id,
            accept: request.accept.first().map_or("", String::as_str),
            presentity: &request.presentity,
            watcher: &request.watcher,
            tenant: &request.tenant,
            numbers: Numbers {
                repeat: RepeatKey::from_bytes(&request.repeat_key),
                cseq: request.cseq,
                lifetime: Lifetime(request.expires),
                standing: request.standing(),
            },
        })
    }

    fn made_of(parts: &Parts<'_>) -> Option<Dialog> {
        let mut text = Text::default();
        let mut spans = Spans { remote_target: text.add(parts.remote_target), ..Spans::default() };
        text.parties(parts, &mut spans);
        text.usage(parts, &mut spans);
        spans.accept = text.add(parts.accept);
        spans.presentity = text.find_or_add(parts.presentity);
        spans.watcher = text.find_or_add(parts.watcher);
        spans.tenant = text.find_or_add(parts.tenant);
        // Only now is it known that no position was cut short.
        let fits = text.0.len() <= usize::from(u16::MAX);
        fits.then(|| Dialog { text: text.0.into(), spans, numbers: parts.numbers })
    }

    /// What a request in the dialog makes of it: who speaks of what is not said again.
    pub(super) fn refreshed(&self, said: &Dialog) -> Option<Dialog> {
        let (mut made, said) = (self.parts(), said.parts());
        // Without a route of ours the request says nothing of how the watcher is reached.
        if !said.route_set.is_empty() {
            (made.route_set, made.contact) = (said.route_set, said.contact);
        }
        let mut numbers = Numbers { standing: made.numbers.standing, ..said.numbers };
        // A node that did not know the dialog has asked about whom To names, which may be somebody else.
        if said.numbers.standing != Standing::Unspecified && said.presentity == made.presentity {
            (numbers.standing, made.tenant) = (said.numbers.standing, said.tenant);
        }
        Dialog::made_of(&Parts { remote_target: said.remote_target, accept: said.accept, numbers, ..made })
    }

    pub(super) fn is_same_usage(&self, other: &Dialog) -> bool {
        let usage = |of: &Spans| [of.call_id, of.remote_tag, of.local_tag, of.event, of.event_id, of.watcher];
        usage(&self.spans).map(|span| self.at(span)) == usage(&other.spans).map(|span| other.at(span))
    }

    /// Whether NOTIFYs of both go the same way.
    pub(super) fn is_reached_like(&self, other: &Dialog) -> bool {
        let way = |of: &Spans| [of.routes, of.remote_target];
        way(&self.spans).map(|span| self.at(span)) == way(&other.spans).map(|span| other.at(span))
    }

    /// What `of` was given, as far as it is kept.
    pub fn record(&self) -> v1::Subscribe {
        let parts = self.parts();
        let accept = Some(parts.accept).filter(|accept| !accept.is_empty());
        v1::Subscribe {
            repeat_key: Bytes::copy_from_slice(&self.numbers.repeat.0),
            presentity: parts.presentity.into(),
            event: parts.event.into(),
            event_id: parts.event_id.into(),
            watcher: parts.watcher.into(),
            call_id: parts.call_id.into(),
            remote_tag: parts.remote_tag.into(),
            local_tag: parts.local_tag.into(),
            remote_party: parts.remote_party.into(),
            local_party: parts.local_party.into(),
            remote_target: parts.remote_target.into(),
            route_set: parts.route_set.into_iter().map(str::to_owned).collect(),
            contact: parts.contact.into(),
            accept: accept.map(str::to_owned).into_iter().collect(),
            cseq: self.numbers.cseq,
            expires: self.numbers.lifetime.0,
            standing: self.numbers.standing.into(),
            tenant: parts.tenant.into(),
            ..v1::Subscribe::default()
        }
    }

    fn parts(&self) -> Parts<'_> {
        let spans = &self.spans;
        Parts {
            remote_target: self.remote_target(),
            route_set: self.route_set().collect(),
            local_party: self.at(spans.local_party),
            local_tag: self.local_tag(),
            remote_party: self.at(spans.remote_party),
            remote_tag: self.at(spans.remote_tag),
            call_id: self.call_id(),
            contact: self.at(spans.contact),
            event: self.event(),
            event_id: self.at(spans.event_id),
            accept: self.accept(),
            presentity: self.presentity(),
            watcher: self.watcher(),
            tenant: self.tenant(),
            numbers: self.numbers,
        }
    }

    pub fn presentity(&self) -> &str {
        self.at(self.spans.presentity)
    }

    pub fn event(&self) -> &str {
        self.at(self.spans.event)
    }

    /// The account.
    pub fn watcher(&self) -> &str {
        self.at(self.spans.watcher)
    }

    pub fn call_id(&self) -> &str {
        self.at(self.spans.call_id)
    }

    pub fn local_tag(&self) -> &str {
        self.at(self.spans.local_tag)
    }

    pub fn remote_target(&self) -> &str {
        self.at(self.spans.remote_target)
    }

    pub fn route_set(&self) -> impl Iterator<Item = &str> {
        let lines = self.at(self.spans.routes).split_terminator(END);
        lines.map(|line| line.strip_prefix(ROUTE).unwrap_or(line))
    }

    /// The content type of its bodies.
    pub fn accept(&self) -> &str {
        self.at(self.spans.accept)
    }

    /// Whose customer the watcher is.
    pub fn tenant(&self) -> &str {
        self.at(self.spans.tenant)
    }

    /// How long all of it is.
    pub fn size(&self) -> usize {
        self.text.len()
    }

    /// The lines Route, From, To and Call-ID of a NOTIFY.
    pub fn parties_lines(&self) -> &str {
        self.at(self.spans.parties)
    }

    /// The lines Contact and Event of a NOTIFY.
    pub fn usage_lines(&self) -> &str {
        self.at(self.spans.usage)
    }

    fn at(&self, span: Span) -> &str {
        &self.text[usize::from(span.start)..usize::from(span.end)]
    }
}

/// Text that grows. Its positions are those of a whole one only while it is shorter than 64 KiB.
#[derive(Default)]
struct Text(String);

impl Text {
    fn parties(&mut self, parts: &Parts<'_>, spans: &mut Spans) {
        let begins = self.0.len();
        for route in &parts.route_set {
            self.literal(ROUTE);
            self.add(route);
            self.literal(END);
        }
        spans.routes = self.since(begins);
        self.literal("From: <");
        spans.local_party = self.add(parts.local_party);
        self.literal(">;tag=");
        spans.local_tag = self.add(parts.local_tag);
        self.literal("\r\nTo: <");
        spans.remote_party = self.add(parts.remote_party);
        // Clients of RFC 2543 send no From tag, and get none back.
        self.literal(if parts.remote_tag.is_empty() { ">" } else { ">;tag=" });
        spans.remote_tag = self.add(parts.remote_tag);
        self.literal("\r\nCall-ID: ");
        spans.call_id = self.add(parts.call_id);
        self.literal(END);
        spans.parties = self.since(begins);
    }

    fn usage(&mut self, parts: &Parts<'_>, spans: &mut Spans) {
        let begins = self.0.len();
        self.literal("Contact: <");
        spans.contact = self.add(parts.contact);
        self.literal(">\r\nEvent: ");
        spans.event = self.add(parts.event);
        self.literal(if parts.event_id.is_empty() { "" } else { ";id=" });
        spans.event_id = self.add(parts.event_id);
        self.literal(END);
        spans.usage = self.since(begins);
    }

    fn literal(&mut self, text: &str) {
        self.0.push_str(text);
    }

    /// In one line: nobody writes headers through us.
    fn add(&mut self, value: &str) -> Span {
        let begins = self.0.len();
        match value.contains(['\r', '\n', '\0']) {
            true => self.0.push_str(&value.replace(['\r', '\n', '\0'], " ")),
            false => self.0.push_str(value),
        }
        self.since(begins)
    }

    /// Most of these stand in a URI already.
    fn find_or_add(&mut self, value: &str) -> Span {
        match self.0.find(value) {
            Some(at) => span(at, at + value.len()),
            None => self.add(value),
        }
    }

    fn since(&self, begins: usize) -> Span {
        span(begins, self.0.len())
    }
}

fn span(start: usize, end: usize) -> Span {
    Span { start: start as u16, end: end as u16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> v1::Subscribe {
        v1::Subscribe {
            repeat_key: vec![7; 16].into(),
            presentity: "alice@lab.test".into(),
            event: "presence".into(),
            event_id: "7".into(),
            watcher: "bob@lab.test".into(),
            call_id: "call".into(),
            remote_tag: "theirs".into(),
            local_tag: "000-ours".into(),
            remote_party: "sip:bob@lab.test".into(),
            local_party: "sip:alice@lab.test".into(),
            remote_target: "sip:bob@192.0.2.7:5062".into(),
            route_set: vec!["<sip:token@127.0.0.1:5070;lr>".into(), "<sip:192.0.2.1;lr>".into()],
            contact: "sip:192.0.2.1:5060".into(),
            accept: vec!["application/pidf+xml".into()],
            cseq: 3,
            expires: 600,
            standing: Standing::Active.into(),
            tenant: "acme".into(),
            ..v1::Subscribe::default()
        }
    }

    #[test]
    fn a_dialog_is_read_as_it_was_said() {
        let sparse =
            v1::Subscribe { call_id: "call".into(), repeat_key: vec![1; 16].into(), ..Default::default() };

        for said in [request(), sparse] {
            assert_eq!(Dialog::of(&said).unwrap().record(), said);
        }
    }

    #[test]
    fn its_lines_stand_in_it_as_a_notify_repeats_them() {
        let dialog = Dialog::of(&request()).unwrap();

        assert_eq!(
            dialog.parties_lines(),
            "Route: <sip:token@127.0.0.1:5070;lr>\r\nRoute: <sip:192.0.2.1;lr>\r\n\
             From: <sip:alice@lab.test>;tag=000-ours\r\nTo: <sip:bob@lab.test>;tag=theirs\r\nCall-ID: call\r\n"
        );
        assert_eq!(dialog.usage_lines(), "Contact: <sip:192.0.2.1:5060>\r\nEvent: presence;id=7\r\n");
    }

    #[test]
    fn what_a_name_repeats_is_not_kept_twice() {
        let dialog = Dialog::of(&request()).unwrap();

        assert_eq!(dialog.text.matches("alice@lab.test").count(), 1);
        assert_eq!((dialog.presentity(), dialog.watcher()), ("alice@lab.test", "bob@lab.test"));
    }

    #[test]
    fn nobody_writes_headers_through_it() {
        let said = v1::Subscribe { call_id: "a\r\nFrom: <sip:eve@lab.test>".into(), ..request() };

        assert_eq!(Dialog::of(&said).unwrap().parties_lines().matches("From: ").count(), 2);
        assert_eq!(Dialog::of(&said).unwrap().parties_lines().matches("\r\nFrom: ").count(), 1);
    }

    #[test]
    fn one_that_says_too_much_is_none() {
        let said = v1::Subscribe { remote_party: "x".repeat(65_536), ..request() };

        assert_eq!(Dialog::of(&said), None);
    }
}
