//! `"Display" <uri>;params` and its short form `uri;params`: From, To, Contact, Route and their kin.
//!
//! The short form gives its parameters to the header, not to the URI (RFC 3261 §20.10), so a tag is
//! found either way. The URI is cut out but not parsed: a From may hold any scheme.

use std::borrow::Cow;

use super::lex;
use super::params::Params;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// As written, without the quotes; any bytes at all, for phones write their local encoding.
    pub display: &'a [u8],
    pub uri: &'a str,
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// One value; `None` if it can not be read in exactly one way.
    pub fn parse(value: &'a [u8]) -> Option<NameAddr<'a>> {
        let value = lex::trim(value);
        match value.first() {
            Some(b'<') => return NameAddr::bracketed(b"", value),
            Some(b'"') => {
                let end = lex::quoted_string(value)?;
                return NameAddr::bracketed(&value[1..end - 1], lex::trim(&value[end..]));
            }
            _ => {}
        }
        let before_params = &value[..lex::find_unquoted(value, b';').unwrap_or(value.len())];
        match before_params.iter().position(|byte| *byte == b'<') {
            Some(open) => {
                let display = lex::trim(&value[..open]);
                // An unquoted name is tokens; other bytes are let pass unless they have a meaning.
                let plain = !display.iter().any(|byte| b",:\">@".contains(byte));
                plain.then(|| NameAddr::bracketed(display, &value[open..]))?
            }
            None => NameAddr::bare(before_params, &value[before_params.len()..]),
        }
    }

    pub fn tag(&self) -> Option<&'a str> {
        self.params.get("tag").flatten().filter(|tag| !tag.is_empty())
    }

    /// `None` if absent, `Some(None)` if it has no value, otherwise the value as written.
    pub fn param(&self, name: &str) -> Option<Option<&'a str>> {
        self.params.get(name)
    }

    /// The display name without escapes, with unreadable bytes replaced.
    pub fn display_text(&self) -> Cow<'a, str> {
        let text = String::from_utf8_lossy(self.display);
        if !text.contains('\\') {
            return text;
        }
        Cow::Owned(lex::unquote(&format!("\"{text}\"")).into_owned())
    }

    fn bracketed(display: &'a [u8], rest: &'a [u8]) -> Option<NameAddr<'a>> {
        let inside = rest.strip_prefix(b"<")?;
        let close = lex::find_any(inside, [b'>'])?;
        NameAddr::new(display, &inside[..close], &inside[close + 1..])
    }

    fn bare(uri: &'a [u8], params: &'a [u8]) -> Option<NameAddr<'a>> {
        // Without brackets a comma or question mark could belong to the header (RFC 3261 §20).
        let ambiguous = uri.iter().any(|byte| b",?".contains(byte));
        (!ambiguous).then(|| NameAddr::new(b"", uri, params))?
    }

    fn new(display: &'a [u8], uri: &'a [u8], params: &'a [u8]) -> Option<NameAddr<'a>> {
        let uri = std::str::from_utf8(lex::trim(uri)).ok().filter(|uri| !uri.is_empty())?;
        let params = std::str::from_utf8(lex::trim(params)).ok()?;
        let separated = params.is_empty() || params.starts_with(';');
        (separated && lex::quotes_are_closed(params.as_bytes())).then_some(NameAddr {
            display,
            uri,
            params: Params::new(params),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<NameAddr<'_>> {
        NameAddr::parse(text.as_bytes())
    }

    #[test]
    fn a_quoted_name_may_hold_commas_semicolons_and_brackets() {
        let bell = parse(r#""Bell, A; <x> \"B\"" <sip:bell@lab.test;lr>;tag=9"#).unwrap();

        assert_eq!(bell.uri, "sip:bell@lab.test;lr");
        assert_eq!(bell.tag(), Some("9"));
        assert_eq!(bell.display_text(), r#"Bell, A; <x> "B""#);
    }

    #[test]
    fn without_brackets_the_parameters_belong_to_the_header() {
        let bob = parse("sip:bob@lab.test ;  tag = x").unwrap();

        assert_eq!(bob.uri, "sip:bob@lab.test");
        assert_eq!(bob.tag(), Some("x"));
    }

    #[test]
    fn with_brackets_a_parameter_inside_is_not_the_headers() {
        let bob = parse("<sip:bob@lab.test;tag=inner>").unwrap();

        assert_eq!(bob.tag(), None);
    }

    #[test]
    fn space_around_brackets_and_none_at_all_are_both_fine() {
        assert_eq!(parse("caller<sip:c@x>;tag=323").unwrap().display, b"caller");
        assert_eq!(parse("\"Watson\" < sip:w@x >").unwrap().uri, "sip:w@x");
    }

    #[test]
    fn a_name_in_a_local_encoding_is_kept_as_bytes() {
        let value = b"\"M\xfcller\" <sip:m@x>";

        assert_eq!(NameAddr::parse(value).unwrap().display, b"M\xfcller");
        assert_eq!(NameAddr::parse(value).unwrap().display_text(), "M\u{fffd}ller");
    }

    #[test]
    fn a_bracket_in_a_quoted_parameter_is_no_address() {
        let phone = parse(r#"sip:a@b;+sip.instance="<urn:uuid:0>""#).unwrap();

        assert_eq!(phone.uri, "sip:a@b");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let ambiguous = [
            "",
            "<>",
            "\"Mr. J. User <sip:j.user@example.com>",
            "Bell, A <sip:a@b>",
            "sip:a@b <sip:c@d>",
            "sip:user@example.com?Route=%3Csip:x%3E",
            "<sip:a@b",
            "<sip:a@b> tag=1",
            "\"x\" sip:a@b",
            "<sip:a@b>;x=\"y",
            "sip:a@b, sip:c@d",
        ];
        for text in ambiguous {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
