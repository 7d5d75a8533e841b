//! The simple types of the presence schemas: what a value must look like for every validator to take it.
//!
//! Each is the part on which XML Schema, the RFC and libxml2 agree, so a value is now and then refused that one
//! of them would take; it is then left out of the composed document.

use super::lexis;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simple {
    Any,
    AnyUri,
    Boolean,
    DateTime,
    Integer,
    PositiveInteger,
    Language,
    /// The values of rpid:user-input.
    ActiveIdle,
    /// xs:ID; whether it is unique is not a matter of its letters.
    Id,
}

impl Simple {
    /// Whether the trimmed text is a value of this type.
    pub fn admits(self, text: &str) -> bool {
        match self {
            Simple::Any => true,
            Simple::AnyUri => is_uri(text),
            Simple::Boolean => matches!(text, "true" | "false" | "0" | "1"),
            Simple::DateTime => is_date_time(text),
            Simple::Integer => is_integer(text.strip_prefix('-').unwrap_or(text)),
            Simple::PositiveInteger => is_integer(text) && text.bytes().any(|digit| digit != b'0'),
            Simple::Language => is_language(text),
            Simple::ActiveIdle => matches!(text, "active" | "idle"),
            Simple::Id => is_id(text),
        }
    }
}

/// An xs:ID of ASCII letters: older validators know fewer letters than XML now does.
pub fn is_id(text: &str) -> bool {
    text.is_ascii() && lexis::is_nc_name(text)
}

/// The priority of a contact: 0 to 1 with at most three decimals.
pub fn is_priority(text: &str) -> bool {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = (1..=3).contains(&decimals.len()) && decimals.bytes().all(|digit| digit.is_ascii_digit());
    match whole {
        "0" => digits,
        "1" => digits && decimals.bytes().all(|digit| digit == b'0'),
        _ => false,
    }
}

fn is_integer(digits: &str) -> bool {
    (1..=18).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())
}

fn is_language(text: &str) -> bool {
    let mut parts = text.split('-');
    let fits = |part: &str| (1..=8).contains(&part.len());
    parts.next().is_some_and(|part| fits(part) && part.bytes().all(|byte| byte.is_ascii_alphabetic()))
        && parts.all(|part| fits(part) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// A date and time with its offset, as RFC 3339 and xs:dateTime both have it: `2026-11-21T02:04:35.917Z`.
fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once('T') else { return false };
    let Some(zone) = time.find(['Z', '+', '-']) else { return false };
    let (clock, zone) = time.split_at(zone);
    let (seconds, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let fraction = (1..=9).contains(&fraction.len()) && fraction.bytes().all(|digit| digit.is_ascii_digit());
    fraction && is_date(date) && is_clock(seconds) && is_zone(zone)
}

fn is_date(text: &str) -> bool {
    let Some([year, month, day]) = numbers(text, '-', [4, 2, 2]) else { return false };
    year > 0 && jiff::civil::Date::new(year, month as i8, day as i8).is_ok()
}

fn is_clock(text: &str) -> bool {
    matches!(numbers(text, ':', [2, 2, 2]), Some([0..=23, 0..=59, 0..=59]))
}

fn is_zone(text: &str) -> bool {
    match text.strip_prefix(['+', '-']) {
        Some(offset) => matches!(numbers(offset, ':', [2, 2]), Some([0..=13, 0..=59])),
        None => text == "Z",
    }
}

/// Numbers of exactly these widths.
fn numbers<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[i16; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next()?;
        let digits = part.len() == width && part.bytes().all(|digit| digit.is_ascii_digit());
        *number = digits.then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(numbers)
}

/// A URI reference that is worth showing: not empty, its parts where RFC 2396 has them.
///
/// RFC 2732 lets brackets stand in a SIP URI (`sip:alice@[2001:db8::1]`), and so do we; libxml2 does not, but a
/// contact that can be called is worth more than its applause.
fn is_uri(text: &str) -> bool {
    let printable = text.chars().all(|character| character > ' ' && character != '\u{7F}');
    if text.is_empty() || !printable || text.matches('#').count() > 1 || !has_good_escapes(text) {
        return false;
    }
    let scheme_end = text.find([':', '/', '?', '#']).filter(|&at| text[at..].starts_with(':'));
    let (scheme, rest) = scheme_end.map_or(("", text), |at| (&text[..at], &text[at + 1..]));
    if scheme_end.is_some() && !is_scheme(scheme) {
        return false;
    }
    match rest.strip_prefix("//") {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            is_authority(authority) && !path.contains(['[', ']'])
        }
        None => matches!(scheme, "sip" | "sips") || !rest.contains(['[', ']']),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn is_authority(text: &str) -> bool {
    let host =
        text.rsplit_once('@').map_or(text, |(user, host)| if user.contains(['[', ']']) { "[" } else { host });
    let (host, port) = match host.strip_prefix('[').map(|address| address.split_once(']')) {
        Some(Some((address, port))) => {
            let legal = address.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
            (if legal && !address.is_empty() { "" } else { "[" }, port)
        }
        Some(None) => ("[", ""),
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port = port.strip_prefix(':').unwrap_or(port);
    !host.contains(['[', ']']) && port.len() <= 5 && port.bytes().all(|digit| digit.is_ascii_digit())
}

fn has_good_escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn judges(simple: Simple, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(simple.admits(text), "{simple:?} {text}");
        }
        for text in bad {
            assert!(!simple.admits(text), "{simple:?} {text}");
        }
    }

    #[test]
    fn a_timestamp_is_rfc_3339_and_names_a_day_that_exists() {
        let good = ["2026-11-21T02:04:35.917Z", "2024-02-29T23:59:59+13:59", "0001-01-01T00:00:00-00:00"];
        let bad = [
            "",
            "now",
            "2026-02-29T00:00:00Z",
            "2026-11-21T02:04:35",
            "2026-11-21 02:04:35Z",
            "2026-11-21",
            "2026-11-21t02:04:35z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T02:04:60Z",
            "0000-11-21T02:04:35Z",
            "2026-11-21T02:04:35.Z",
            "2026-11-21T02:04:35+0100",
            "+026-11-21T02:04:35Z",
            "2026-11-21T02:04Z",
            "2026-1-21T02:04:35Z",
            "2026-11-21T02:04:35ZZ",
            "2026-11-21T02:04:35+14:00",
        ];
        judges(Simple::DateTime, &good, &bad);
    }

    #[test]
    fn a_contact_is_a_uri() {
        let good = [
            "sip:alice@lab.test",
            "sip:a%20b@lab.test;x=y?z=1&u=2",
            "tel:+15551234",
            "sip:alice@[2001:db8::1]:5060",
            "http://[::1]:80/icon",
            "im:é@lab.test",
            "card.vcf",
            "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
            "http://user@host/",
            "mailto:<a>",
        ];
        let bad = [
            "",
            "sip:a b",
            ":a",
            "1sip:a",
            "sip:a%zz",
            "sip:a%2",
            "a#b#c",
            "http://a:b/",
            "http://a:123456/",
            "http://[::1/",
            "http://a[/",
            "mailto:[a]",
            "http://[x]/",
            "http://[a@b/",
        ];
        judges(Simple::AnyUri, &good, &bad);
    }

    #[test]
    fn a_priority_is_between_nought_and_one() {
        for good in ["0", "1", "0.8", "0.123", "1.000"] {
            assert!(is_priority(good), "{good}");
        }
        for bad in ["", "1.5", "0.1234", ".5", "0.", "-0", "01", "1.001", "high", "0,8"] {
            assert!(!is_priority(bad), "{bad}");
        }
    }

    #[test]
    fn small_types_take_what_the_schema_takes() {
        judges(Simple::Id, &["t1", "_a.b-c"], &["", "1t", "a:b", "a b", "größe"]);
        judges(Simple::Language, &["en", "de-CH-1996"], &["", "!!", "e1", "en_US", "abcdefghi", "en-"]);
        judges(Simple::Boolean, &["true", "0"], &["", "yes", "True"]);
        judges(Simple::Integer, &["0", "-120", "60"], &["", "-", "1.5", "+-1", "9999999999999999999"]);
        judges(Simple::PositiveInteger, &["1", "090"], &["0", "00", "-1", ""]);
        judges(Simple::ActiveIdle, &["active", "idle"], &["", "Idle"]);
    }
}
