//! What a dialog says, value by value, and as the one text in which commands and snapshots carry it: a value on each line,
//! the routes last, for there may be any number of them. One text is written, sent and read for what a single field would
//! cost.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::wording::Words;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts<'a> {
    pub event_id: &'a str,
    pub remote_target: &'a str,
    /// Local is the presentity's side.
    pub local_party: &'a str,
    pub local_tag: &'a str,
    pub remote_party: &'a str,
    pub remote_tag: &'a str,
    pub call_id: &'a str,
    pub presentity: &'a str,
    /// The account.
    pub watcher: &'a str,
    pub words: Words<'a>,
    pub route_set: SmallVec<[&'a str; 4]>,
}

impl<'a> Parts<'a> {
    /// What `lines` wrote. `None` if there is something in it that ends a line elsewhere: nobody writes headers through us.
    pub fn read(text: &'a str) -> Option<Parts<'a>> {
        // Each byte is looked at, which is faster than to stop at one.
        if text.bytes().fold(false, |broken, byte| broken | matches!(byte, b'\r' | b'\0')) {
            return None;
        }
        let mut lines = text.split('\n');
        let mut next = || lines.next().unwrap_or_default();
        let mut parts = Parts {
            event_id: next(),
            remote_target: next(),
            local_party: next(),
            local_tag: next(),
            remote_party: next(),
            remote_tag: next(),
            call_id: next(),
            presentity: next(),
            watcher: next(),
            words: Words { contact: next(), event: next(), content_type: next(), tenant: next() },
            route_set: SmallVec::new(),
        };
        parts.route_set.extend(lines);
        Some(parts)
    }

    pub fn lines(&self) -> String {
        let Words { contact, event, content_type, tenant } = self.words;
        let values = [
            self.event_id,
            self.remote_target,
            self.local_party,
            self.local_tag,
            self.remote_party,
            self.remote_tag,
            self.call_id,
            self.presentity,
            self.watcher,
            contact,
            event,
            content_type,
            tenant,
        ];
        let mut text = String::with_capacity(512);
        for value in values.iter().chain(&self.route_set) {
            text.push_str(&one_line(value));
            text.push('\n');
        }
        text.pop();
        text
    }
}

/// With every line end in it made a space.
fn one_line(value: &str) -> Cow<'_, str> {
    let is_broken = |broken, byte| broken | matches!(byte, b'\r' | b'\n' | b'\0');
    match value.bytes().fold(false, is_broken) {
        true => Cow::Owned(value.replace(['\r', '\n', '\0'], " ")),
        false => Cow::Borrowed(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(Parts::read(&Parts::default().lines()), Some(Parts::default()));
        assert_eq!(Parts::read(&routed().lines()), Some(routed()));
    }

    fn routed<'a>() -> Parts<'a> {
        Parts {
            event_id: "7",
            remote_tag: "theirs",
            words: Words { event: "presence", tenant: "acme", ..Words::default() },
            route_set: ["<sip:p1;lr>", "<sip:p2;lr>"].into_iter().collect(),
            ..Parts::default()
        }
    }

    #[test]
    fn a_value_stays_on_its_line() {
        let text = Parts { event_id: "a\nb\r\nc\0", ..Parts::default() }.lines();

        assert_eq!(Parts::read(&text).unwrap().event_id, "a b  c ");
    }

    #[test]
    fn what_could_end_a_line_elsewhere_is_not_read() {
        for text in ["a\r", "\n\n\0"] {
            assert_eq!(Parts::read(text), None);
        }
    }
}
