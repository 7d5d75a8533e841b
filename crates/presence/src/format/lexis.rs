//! The letters of XML 1.0: which characters and names are legal, what a reference stands for, how text is escaped.
//!
//! quick-xml splits a document into tags and text but lets illegal names, characters and references through.
//! Extensions are copied to watchers as they came, so whatever passes here must satisfy the strictest parser.

use std::borrow::Cow;

/// A name without a colon (Namespaces in XML §3).
pub fn is_nc_name(text: &str) -> bool {
    // Nearly every name is made of these.
    let usual = |byte: u8| byte.is_ascii_alphabetic() || byte == b'-';
    if text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(usual) {
        return true;
    }
    let mut characters = text.chars();
    characters.next().is_some_and(starts_name) && characters.all(continues_name)
}

/// Splits `prefix:local`, the prefix empty where there is none; `None` if it is not a legal qualified name.
pub fn split_name(name: &str) -> Option<(&str, &str)> {
    match split_at(name, b':') {
        None => is_nc_name(name).then_some(("", name)),
        Some((prefix, local)) => (is_nc_name(prefix) && is_nc_name(local)).then_some((prefix, local)),
    }
}

fn starts_name(character: char) -> bool {
    match character {
        'a'..='z' | 'A'..='Z' | '_' => true,
        '\0'..='\x7f' => false,
        _ => matches!(character,
            '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}'
            | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
            | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}'
            | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}'),
    }
}

fn continues_name(character: char) -> bool {
    starts_name(character)
        || matches!(character,
            '0'..='9' | '-' | '.' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

/// Whether XML 1.0 can carry the character at all.
fn is_character(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// Where the first character stands that XML 1.0 cannot carry.
pub fn illegal_character(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    // A pass without branches decides for nearly every document; it takes 0xEF for suspicious, which begins the
    // two characters at the end of the basic plane, but others too.
    let suspicious = |byte: u8| ((byte < 0x20) & !matches!(byte, b'\t' | b'\n' | b'\r')) | (byte == 0xEF);
    if !bytes.iter().fold(false, |found, &byte| found | suspicious(byte)) {
        return None;
    }
    text.char_indices().find(|&(_, character)| !is_character(character)).map(|(at, _)| at)
}

pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

pub fn trim(text: &str) -> &str {
    let start = text.bytes().position(|byte| !is_space(byte)).unwrap_or(text.len());
    let end = text.bytes().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// The `name="value"` pairs of a tag; `None` for what is not one, which ends them (XML 1.0 production 41).
pub fn pairs(tag: &str) -> impl Iterator<Item = Option<(&str, &str)>> {
    let mut rest = tag;
    std::iter::from_fn(move || {
        if rest.bytes().all(is_space) {
            return None;
        }
        let first = first_pair(rest);
        rest = first.map_or("", |(_, _, rest)| rest);
        Some(first.map(|(name, value, _)| (name, value)))
    })
}

fn first_pair(tag: &str) -> Option<(&str, &str, &str)> {
    let spaces = tag.bytes().take_while(|&byte| is_space(byte)).count();
    if spaces == 0 {
        return None;
    }
    let (name, value) = split_at(&tag[spaces..], b'=')?;
    let value = &value[value.bytes().take_while(|&byte| is_space(byte)).count()..];
    let quote = value.bytes().next().filter(|quote| matches!(quote, b'"' | b'\''))?;
    let (value, rest) = split_at(&value[1..], quote)?;
    Some((trim(name), value, rest))
}

/// Around the first such byte, which is ASCII. Byte by byte: names and values are short.
fn split_at(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|one| one == byte)?;
    Some((&text[..at], &text[at + 1..]))
}

/// The character behind `&name;`: one of the five, or a number.
pub fn reference(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let (digits, radix) = match number.strip_prefix('x') {
                Some(digits) => (digits, 16),
                None => (number, 10),
            };
            // from_str_radix takes a sign, XML does not.
            let unsigned = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let code = unsigned.then(|| u32::from_str_radix(digits, radix).ok())??;
            char::from_u32(code).filter(|&character| is_character(character))
        }
    }
}

/// The names of the references in a piece of text. An ampersand that begins none yields its rest as the name,
/// which no reference matches.
pub fn references(text: &str) -> impl Iterator<Item = &str> {
    text.split('&').skip(1).map(|rest| rest.split_once(';').map_or(rest, |(name, _)| name))
}

/// An attribute's value as it is meant: references resolved, each white space a blank (XML 1.0 §3.3.3).
pub fn attribute_value(raw: &str) -> Cow<'_, str> {
    if !raw.bytes().any(|byte| matches!(byte, b'&' | b'\t' | b'\n' | b'\r')) {
        return Cow::Borrowed(raw);
    }
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find(['&', '\t', '\n', '\r']) {
        value.push_str(&rest[..at]);
        let special = &rest[at..];
        let taken = match special.strip_prefix('&').and_then(|text| text.split_once(';')) {
            Some((name, _)) => {
                value.extend(reference(name));
                name.len() + 2
            }
            None => {
                value.push(' ');
                if special.starts_with("\r\n") { 2 } else { 1 }
            }
        };
        rest = &special[taken..];
    }
    value.push_str(rest);
    Cow::Owned(value)
}

/// Writes text so that it reads back the same inside an element. What XML cannot carry is left out: the text may
/// come from an API or a SIP header.
pub fn escape_text(text: &str, out: &mut String) {
    escape(text, out, |character| match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        // Bare, a reader would make a line feed of it.
        '\r' => Some("&#13;"),
        _ => None,
    });
}

/// The same between double quotes, where a reader makes blanks of all white space.
pub fn escape_attribute(text: &str, out: &mut String) {
    escape(text, out, |character| match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '"' => Some("&quot;"),
        '\t' => Some("&#9;"),
        '\n' => Some("&#10;"),
        '\r' => Some("&#13;"),
        _ => None,
    });
}

fn escape(text: &str, out: &mut String, replace: impl Fn(char) -> Option<&'static str>) {
    let ordinary = |byte: u8| matches!(byte, b' '..=b'~') & !matches!(byte, b'&' | b'<' | b'>' | b'"');
    if text.bytes().all(ordinary) {
        out.push_str(text);
        return;
    }
    let mut plain = 0;
    for (at, character) in text.char_indices() {
        let replacement = match replace(character) {
            Some(replacement) => replacement,
            None if is_character(character) => continue,
            None => "",
        };
        out.push_str(&text[plain..at]);
        out.push_str(replacement);
        plain = at + character.len_utf8();
    }
    out.push_str(&text[plain..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_starts_with_a_letter_and_has_at_most_one_colon() {
        assert_eq!(split_name("dm:person"), Some(("dm", "person")));
        assert_eq!(split_name("größe"), Some(("", "größe")));

        for bad in ["", ":", "a:", ":a", "a:b:c", "1a", "-a", "a b", "a/b", "\u{D7}"] {
            assert_eq!(split_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_reference_is_one_of_five_or_a_legal_number() {
        assert_eq!(reference("amp"), Some('&'));
        assert_eq!(reference("#233"), Some('é'));
        assert_eq!(reference("#x1F600"), Some('😀'));

        for bad in ["nbsp", "#", "#x", "#0", "#xD800", "#xFFFF", "#+65", "#99999999999", "#1f", "AMP", ""] {
            assert_eq!(reference(bad), None, "{bad}");
        }
    }

    #[test]
    fn escaped_text_reads_back_the_same_without_what_xml_cannot_carry() {
        let mut out = String::new();

        escape_attribute("a<b>&\"c'\r\n\u{0}\u{FFFF}é", &mut out);

        assert_eq!(attribute_value(&out), "a<b>&\"c'\r\né");
    }

    #[test]
    fn white_space_in_an_attribute_becomes_blanks() {
        assert_eq!(attribute_value("a\r\nb\tc&#10;d"), "a b c\nd");
    }

    #[test]
    fn control_characters_and_non_characters_are_found_where_they_stand() {
        assert_eq!(illegal_character("a\t\r\nb\u{FFFD}"), None);
        assert_eq!(illegal_character("ab\u{0}"), Some(2));
        assert_eq!(illegal_character("a\u{FFFE}"), Some(1));
    }
}
