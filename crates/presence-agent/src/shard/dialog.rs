//! The dialog of a subscription, in one piece of text: the lines that its NOTIFYs repeat, as they stand in them, around
//! these what only the record needs. Everything else is a span of that text, so a record is small and is read where it
//! lies, and a NOTIFY is written by copying.

use std::sync::Arc;

use bytes::Bytes;
use presence::repeat::RepeatKey;
use presence::time::Lifetime;
use proto::v1;
use proto::v1::Standing;

use super::parts::Parts;
use super::wording::{Wording, Wordings, Words};

/// What a subscription's requests have said, as far as it outlasts them.
#[derive(Clone, Debug, PartialEq)]
pub struct Dialog {
    text: Box<str>,
    ends: Ends,
    presentity: Span,
    watcher: Span,
    wording: Arc<Wording>,
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

/// Where each value ends, in the order of the text. Between two of them stands what separates them in a NOTIFY.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Ends {
    event_id: u16,
    remote_target: u16,
    routes: u16,
    local_party: u16,
    local_tag: u16,
    remote_party: u16,
    remote_tag: u16,
    call_id: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Span {
    start: u16,
    end: u16,
}

const ROUTE: &str = "Route: ";
const FROM: &str = "From: <";
const TO: &str = "\r\nTo: <";
const TAG: &str = ">;tag=";
const CALL_ID: &str = "\r\nCall-ID: ";
const END: &str = "\r\n";

impl Dialog {
    /// `None` if it says more than 64 KiB, or what would end a line of a NOTIFY.
    pub fn of(request: &v1::Subscribe) -> Option<Dialog> {
        let parts = Parts::read(&request.dialog)?;
        let numbers = Numbers {
            repeat: RepeatKey::from_bytes(&request.repeat_key),
            cseq: request.cseq,
            lifetime: Lifetime(request.expires),
            standing: request.standing(),
        };
        Dialog::made_of(&parts, Arc::new(Wording::new(parts.words)), numbers)
    }

    fn made_of(parts: &Parts<'_>, wording: Arc<Wording>, numbers: Numbers) -> Option<Dialog> {
        let mut text = Text(String::with_capacity(512));
        let ends = text.lines(parts);
        let presentity = text.find_or_add(parts.presentity, ends.local_party);
        let watcher = text.find_or_add(parts.watcher, ends.remote_party);
        // Only now is it known that no position was cut short.
        let fits = text.0.len() + wording.size() <= usize::from(u16::MAX);
        // Copied, so that it takes no more room than it needs.
        fits.then(|| Dialog { text: text.0.as_str().into(), ends, presentity, watcher, wording, numbers })
    }

    /// The same dialog. What others say in the same words is held once.
    pub(super) fn sharing(self, wordings: &mut Wordings) -> Dialog {
        Dialog { wording: wordings.shared(&self.wording), ..self }
    }

    /// What a request in the dialog makes of it; what it does not say again stays. `None` if that is too long.
    pub(super) fn refreshed(&self, said: Dialog) -> Option<Dialog> {
        let mut numbers = Numbers { standing: self.numbers.standing, ..said.numbers };
        // A node that did not know the dialog has asked about whom To names, which may be somebody else.
        let is_judged =
            said.numbers.standing != Standing::Unspecified && said.presentity() == self.presentity();
        if is_judged {
            numbers.standing = said.numbers.standing;
        }
        // Phones mostly repeat themselves.
        let repeats = self.wording == said.wording && self.ends == said.ends && self.text == said.text;
        if !repeats && let Some((parts, wording)) = self.changed(&said, is_judged) {
            return Dialog::made_of(&parts, wording, numbers);
        }
        Some(Dialog { numbers, ..said })
    }

    /// The text that a request in the dialog leaves, or `None` if that is what it said itself.
    fn changed<'a>(&'a self, said: &'a Dialog, is_judged: bool) -> Option<(Parts<'a>, Arc<Wording>)> {
        let (held, new) = (self.parts(), said.parts());
        let mut words = Words { content_type: new.words.content_type, ..held.words };
        let mut route_set = held.route_set;
        // Without a route of ours the request says nothing of how the watcher is reached.
        if !new.route_set.is_empty() {
            words.contact = new.words.contact;
            route_set = new.route_set.clone();
        }
        if is_judged {
            words.tenant = new.words.tenant;
        }
        let made = Parts { remote_target: new.remote_target, route_set, words, ..held };
        if made == new {
            return None;
        }
        let known = [&self.wording, &said.wording].into_iter().find(|known| known.words() == words);
        Some((made, known.cloned().unwrap_or_else(|| Arc::new(Wording::new(words)))))
    }

    pub(super) fn is_same_usage(&self, other: &Dialog) -> bool {
        fn usage(of: &Dialog) -> [&str; 6] {
            [of.call_id(), of.local_tag(), of.remote_tag(), of.event(), of.event_id(), of.watcher()]
        }
        usage(self) == usage(other)
    }

    /// Whether NOTIFYs of both go the same way.
    pub(super) fn is_reached_like(&self, other: &Dialog) -> bool {
        (self.route_lines(), self.remote_target()) == (other.route_lines(), other.remote_target())
    }

    /// What `of` was given, as far as it is kept.
    pub fn record(&self) -> v1::Subscribe {
        v1::Subscribe {
            repeat_key: Bytes::copy_from_slice(&self.numbers.repeat.0),
            dialog: self.parts().lines(),
            cseq: self.numbers.cseq,
            expires: self.numbers.lifetime.0,
            standing: self.numbers.standing.into(),
            ..v1::Subscribe::default()
        }
    }

    fn parts(&self) -> Parts<'_> {
        Parts {
            event_id: self.event_id(),
            remote_target: self.remote_target(),
            route_set: self.route_set().collect(),
            local_party: self.local_party(),
            local_tag: self.local_tag(),
            remote_party: self.remote_party(),
            remote_tag: self.remote_tag(),
            call_id: self.call_id(),
            presentity: self.presentity(),
            watcher: self.watcher(),
            words: self.wording.words(),
        }
    }

    pub fn presentity(&self) -> &str {
        self.at(self.presentity.start, "", self.presentity.end)
    }

    pub fn event(&self) -> &str {
        self.wording.words().event
    }

    /// The account.
    pub fn watcher(&self) -> &str {
        self.at(self.watcher.start, "", self.watcher.end)
    }

    pub fn call_id(&self) -> &str {
        self.at(self.ends.remote_tag, CALL_ID, self.ends.call_id)
    }

    pub fn local_tag(&self) -> &str {
        self.at(self.ends.local_party, TAG, self.ends.local_tag)
    }

    pub fn remote_target(&self) -> &str {
        self.at(self.ends.event_id, "", self.ends.remote_target)
    }

    pub fn route_set(&self) -> impl Iterator<Item = &str> {
        self.route_lines().lines().map(|line| line.strip_prefix(ROUTE).unwrap_or(line))
    }

    /// The content type of its bodies.
    pub fn accept(&self) -> &str {
        self.wording.words().content_type
    }

    /// Whose customer the watcher is.
    pub fn tenant(&self) -> &str {
        self.wording.words().tenant
    }

    pub fn event_id(&self) -> &str {
        self.at(0, "", self.ends.event_id)
    }

    /// How long all of it is.
    pub fn size(&self) -> usize {
        self.text.len() + self.wording.size()
    }

    /// The lines Route, From, To and Call-ID of a NOTIFY.
    pub fn parties_lines(&self) -> &str {
        self.at(self.ends.remote_target, "", self.ends.call_id + END.len() as u16)
    }

    /// The lines Contact and Event of a NOTIFY, up to the event's id.
    pub fn wording_lines(&self) -> &str {
        self.wording.lines()
    }

    fn route_lines(&self) -> &str {
        self.at(self.ends.remote_target, "", self.ends.routes)
    }

    fn local_party(&self) -> &str {
        self.at(self.ends.routes, FROM, self.ends.local_party)
    }

    fn remote_party(&self) -> &str {
        self.at(self.ends.local_tag, TO, self.ends.remote_party)
    }

    fn remote_tag(&self) -> &str {
        let behind_party = self.at(self.ends.remote_party, "", self.ends.remote_tag);
        behind_party.strip_prefix(TAG).unwrap_or_default()
    }

    /// The value that ends at `end`: it follows `separator`, and that the value that ends at `before`.
    fn at(&self, before: u16, separator: &str, end: u16) -> &str {
        &self.text[usize::from(before) + separator.len()..usize::from(end)]
    }
}

/// Text that grows. Its positions are those of a whole one only while it is shorter than 64 KiB.
struct Text(String);

impl Text {
    fn lines(&mut self, parts: &Parts<'_>) -> Ends {
        let event_id = self.add("", parts.event_id);
        let remote_target = self.add("", parts.remote_target);
        for route in &parts.route_set {
            self.add(ROUTE, route);
            self.0.push_str(END);
        }
        let routes = self.end();
        let local_party = self.add(FROM, parts.local_party);
        let local_tag = self.add(TAG, parts.local_tag);
        let remote_party = self.add(TO, parts.remote_party);
        // Clients of RFC 2543 send no From tag, and get none back.
        let remote_tag = self.add(if parts.remote_tag.is_empty() { ">" } else { TAG }, parts.remote_tag);
        let call_id = self.add(CALL_ID, parts.call_id);
        self.0.push_str(END);
        Ends { event_id, remote_target, routes, local_party, local_tag, remote_party, remote_tag, call_id }
    }

    /// Gives where the value ends.
    fn add(&mut self, separator: &str, value: &str) -> u16 {
        self.0.push_str(separator);
        self.0.push_str(value);
        self.end()
    }

    /// A name that mostly is the end of the URI that ends here.
    fn find_or_add(&mut self, name: &str, end: u16) -> Span {
        let known = self.0.get(..end.into()).is_some_and(|uri| uri.ends_with(name));
        let end = if known { end } else { self.add("", name) };
        Span { start: end.wrapping_sub(name.len() as u16), end }
    }

    fn end(&self) -> u16 {
        self.0.len() as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<'a>() -> Parts<'a> {
        Parts {
            event_id: "7",
            remote_target: "sip:bob@192.0.2.7:5062",
            local_party: "sip:alice@lab.test",
            local_tag: "000-ours",
            remote_party: "sip:bob@lab.test",
            remote_tag: "theirs",
            call_id: "call",
            presentity: "alice@lab.test",
            watcher: "bob@lab.test",
            words: Words {
                contact: "sip:192.0.2.1:5060",
                event: "presence",
                content_type: "application/pidf+xml",
                tenant: "acme",
            },
            route_set: ["<sip:token@127.0.0.1:5070;lr>", "<sip:192.0.2.1;lr>"].into_iter().collect(),
        }
    }

    fn request(said: &Parts<'_>) -> v1::Subscribe {
        v1::Subscribe {
            repeat_key: vec![7; 16].into(),
            dialog: said.lines(),
            cseq: 3,
            expires: 600,
            standing: Standing::Active.into(),
            ..v1::Subscribe::default()
        }
    }

    fn dialog(said: &Parts<'_>) -> Dialog {
        Dialog::of(&request(said)).unwrap()
    }

    #[test]
    fn a_dialog_is_read_as_it_was_said() {
        let sparse = Parts { call_id: "call", ..Parts::default() };

        for said in [said(), sparse].map(|said| request(&said)) {
            assert_eq!(Dialog::of(&said).unwrap().record(), said);
        }
    }

    #[test]
    fn a_refresh_changes_what_it_says_and_nothing_else() {
        let held = dialog(&said());
        let words = Words {
            contact: "sip:192.0.2.2:5060",
            content_type: "application/other",
            tenant: "other",
            ..said().words
        };
        let route_set = ["<sip:other@127.0.0.1:5070;lr>"].into_iter().collect();
        let moved = Parts { remote_target: "sip:bob@192.0.2.8", words, route_set, ..said() };
        for (routed, judged) in [(true, true), (true, false), (false, true), (false, false)] {
            let (mut new, mut expected) = (moved.clone(), moved.clone());
            let (mut standing, mut kept) = (Standing::Pending, Standing::Pending);
            if !routed {
                new.route_set.clear();
                (expected.route_set, expected.words.contact) = (said().route_set, said().words.contact);
            }
            if !judged {
                (standing, kept) = (Standing::Unspecified, Standing::Active);
                expected.words.tenant = said().words.tenant;
            }
            let new = v1::Subscribe { cseq: 4, standing: standing.into(), ..request(&new) };
            let expected = v1::Subscribe { cseq: 4, standing: kept.into(), ..request(&expected) };
            let refreshed = held.refreshed(Dialog::of(&new).unwrap()).unwrap();
            assert_eq!(refreshed.record(), expected, "routed {routed}, judged {judged}");
        }
    }

    #[test]
    fn a_refresh_that_says_the_same_leaves_the_same_text() {
        let held = dialog(&said());
        let new = v1::Subscribe { cseq: 4, ..request(&said()) };

        assert_eq!(held.refreshed(Dialog::of(&new).unwrap()).unwrap().record(), new);
    }

    #[test]
    fn its_lines_stand_in_it_as_a_notify_repeats_them() {
        let dialog = dialog(&said());

        assert_eq!(
            dialog.parties_lines(),
            "Route: <sip:token@127.0.0.1:5070;lr>\r\nRoute: <sip:192.0.2.1;lr>\r\n\
             From: <sip:alice@lab.test>;tag=000-ours\r\nTo: <sip:bob@lab.test>;tag=theirs\r\nCall-ID: call\r\n"
        );
        assert_eq!(dialog.wording_lines(), "Contact: <sip:192.0.2.1:5060>\r\nEvent: presence");
    }

    #[test]
    fn what_a_name_repeats_is_not_kept_twice() {
        let dialog = dialog(&said());

        assert_eq!(dialog.text.matches("alice@lab.test").count(), 1);
        assert_eq!((dialog.presentity(), dialog.watcher()), ("alice@lab.test", "bob@lab.test"));
    }

    #[test]
    fn nobody_writes_headers_through_it() {
        let dialog = dialog(&Parts { call_id: "a\r\nFrom: <sip:eve@lab.test>", ..said() });

        assert_eq!(dialog.parties_lines().matches("From: ").count(), 2);
        assert_eq!(dialog.parties_lines().matches("\r\nFrom: ").count(), 1);
    }

    #[test]
    fn one_that_says_too_much_is_none() {
        let long = "x".repeat(65_536);

        assert_eq!(Dialog::of(&request(&Parts { remote_party: &long, ..said() })), None);
    }
}
