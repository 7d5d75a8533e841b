//! Event packages: what differs from one to the next (RFC 6665 §5.4), a file and a line in `PACKAGES` each.
//!
//! A package is a record, not a trait object: subscriptions, publications and the notifier are the same for
//! all of them, and ask the record for its name, its lifetime and its document types.

mod presence;

use std::sync::LazyLock;

use crate::format::pidf::BadDocument;
use crate::said::Said;

static PACKAGES: &[Package] = &[presence::PACKAGE];

static ACCEPT: LazyLock<String> = LazyLock::new(|| {
    PACKAGES.iter().flat_map(|package| package.content_types).copied().collect::<Vec<_>>().join(", ")
});

static ALLOW_EVENTS: LazyLock<String> =
    LazyLock::new(|| PACKAGES.iter().map(|package| package.name).collect::<Vec<_>>().join(", "));

/// One event package.
#[derive(Debug)]
pub struct Package {
    /// The token of the Event header; compared byte for byte (RFC 6665 §8.2.1).
    pub name: &'static str,
    /// The lifetime in seconds of a subscription or publication that asks for none.
    pub default_expires: u32,
    /// What it can be published and delivered as, the best first.
    pub content_types: &'static [&'static str],
    check: fn(&[u8]) -> Result<Said, BadDocument>,
}

/// The package of that name, unless a peer asks for one that is not built.
pub fn find(name: &str) -> Option<&'static Package> {
    PACKAGES.iter().find(|package| package.name == name)
}

/// The value of Allow-Events: every package there is.
pub fn allow_events() -> &'static str {
    &ALLOW_EVENTS
}

/// The value of Accept: every type that can be published or delivered.
pub fn accept() -> &'static str {
    &ACCEPT
}

impl Package {
    /// Whether a body can be published in this package; what it says, if so.
    pub fn check_body(&self, body: &[u8]) -> Result<Said, BadDocument> {
        (self.check)(body)
    }

    /// The type delivered to a watcher that sent no Accept.
    pub fn default_type(&self) -> &'static str {
        self.content_types[0]
    }

    /// The type a watcher prefers among those of this package, or `None` for a 406.
    ///
    /// The most specific range decides a type's weight (RFC 9110 §12.5.1, to which RFC 3261 §20.1 defers).
    /// An Accept without any range in it counts as absent: phones do send empty headers.
    pub fn accepts<'a>(&self, accept: impl Iterator<Item = &'a str>) -> Option<&'static str> {
        let ranges: Vec<Range> = accept.flat_map(|line| line.split(',')).filter_map(Range::parse).collect();
        if ranges.is_empty() {
            return Some(self.default_type());
        }
        let mut best = None;
        for &candidate in self.content_types {
            let weight = weight(candidate, &ranges);
            if weight > best.map_or(0, |(_, weight)| weight) {
                best = Some((candidate, weight));
            }
        }
        best.map(|(candidate, _)| candidate)
    }
}

/// One media range of an Accept, with its q in thousandths.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    weight: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Range<'a>> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let weight = parts.find_map(quality).unwrap_or(1000);
        Some(Range { kind: kind.trim_end(), subtype: subtype.trim_start(), weight })
    }

    /// How closely this range names the type; `None` if it does not cover it.
    fn closeness(&self, content_type: &str) -> Option<u8> {
        let (kind, subtype) = content_type.split_once('/')?;
        let same_kind = self.kind.eq_ignore_ascii_case(kind);
        match (self.kind, self.subtype) {
            ("*", "*") => Some(0),
            (_, "*") if same_kind => Some(1),
            (_, own) if same_kind && own.eq_ignore_ascii_case(subtype) => Some(2),
            _ => None,
        }
    }
}

fn weight(content_type: &str, ranges: &[Range]) -> u16 {
    ranges
        .iter()
        .filter_map(|range| Some((range.closeness(content_type)?, range.weight)))
        .max()
        .map_or(0, |(_, weight)| weight)
}

/// The thousandths in `q=0.5`. A weight nobody can read is taken as 1: the type was named, after all.
fn quality(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let weight = value.trim().parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight));
    Some(weight.map_or(1000, |weight| (weight * 1000.0) as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIDF: &str = "application/pidf+xml";

    #[test]
    fn an_unknown_package_is_not_found_and_case_matters() {
        assert!(find("presence").is_some());

        assert!(find("Presence").is_none());
        assert!(find("dialog").is_none());
    }

    #[test]
    fn allow_events_names_every_package() {
        assert_eq!(allow_events(), "presence");
    }

    #[test]
    fn a_body_of_another_format_is_refused() {
        let presence = find("presence").unwrap();

        assert!(presence.check_body(b"Messages-Waiting: yes").is_err());
        assert!(presence.check_body(b"<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\"/>").is_err());
    }

    #[test]
    fn the_type_is_negotiated_as_the_watcher_wrote_it() {
        let accepted = [
            &[][..],
            &[""],
            &["application/pidf+xml"],
            &["APPLICATION/PIDF+XML;charset=utf-8"],
            &["*/*"],
            &["application/*;q=0.1"],
            &["multipart/related, application/rlmi+xml", "application/pidf+xml"],
            &["application/pidf+xml;q=0.2, */*;q=0"],
        ];
        let refused = [
            &["application/xpidf+xml"][..],
            &["application/pidf+xml;q=0"],
            &["*/*, application/pidf+xml;q=0.0"],
            &["text/*"],
        ];
        let presence = find("presence").unwrap();

        for accept in accepted {
            assert_eq!(presence.accepts(accept.iter().copied()), Some(PIDF), "{accept:?}");
        }
        for accept in refused {
            assert_eq!(presence.accepts(accept.iter().copied()), None, "{accept:?}");
        }
    }
}
