//! The few lexical rules that every header shares: white space, quoted strings, lists, tokens.
//!
//! All of it works on bytes that may be anything. A separator counts only outside of quotes, and in
//! lists outside of `<>`; an unclosed quote or bracket reaches to the end of the text.

use std::borrow::Cow;

/// Without the white space at both ends.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    trim_end(trim_start(text))
}

pub(crate) fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !is_space(byte)).map_or(0, |last| last + 1);
    &text[..end]
}

pub(crate) fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_space(byte)).unwrap_or(text.len());
    &text[start..]
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Where the first of the `wanted` bytes is. What is searched here is short: a search that is made for long texts has
/// hardly begun when eight bytes at a time have come to the end.
#[inline]
pub(crate) fn find_any<const N: usize>(text: &[u8], wanted: [u8; N]) -> Option<usize> {
    // Of the eight bytes of a word the lowest that is 0 has its high bit set, and none below it.
    let zeros = |word: u64| word.wrapping_sub(EACH) & !word & (EACH << 7);
    let (words, rest) = text.as_chunks();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = wanted.iter().fold(0, |found, byte| found | zeros(word ^ (EACH * u64::from(*byte))));
        if found != 0 {
            return Some(8 * at + found.trailing_zeros() as usize / 8);
        }
    }
    let found = rest.iter().position(|byte| wanted.contains(byte));
    found.map(|at| text.len() - rest.len() + at)
}

/// A one in each byte.
const EACH: u64 = 0x0101_0101_0101_0101;

/// The first `wanted` outside of quotes.
pub(crate) fn find_unquoted(text: &[u8], wanted: u8) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + find_any(&text[from..], [wanted, b'"'])?;
        if text[at] == wanted {
            return Some(at);
        }
        from = at + quoted_string(&text[at..])?;
    }
}

/// The first `wanted` outside of quotes and of `<>`.
pub(crate) fn find_outside(text: &[u8], wanted: u8) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + find_any(&text[from..], [wanted, b'"', b'<'])?;
        from = at
            + match text[at] {
                found if found == wanted => return Some(at),
                b'"' => quoted_string(&text[at..])?,
                _ => find_any(&text[at..], [b'>'])?,
            };
    }
}

/// The first comma that ends an element of a list.
pub(crate) fn comma(list: &[u8]) -> Option<usize> {
    // Nearly all lists have one element.
    memchr::memchr(b',', list)?;
    find_outside(list, b',')
}

/// Where the quoted string that starts `text` ends (just after its closing quote).
pub(crate) fn quoted_string(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 1,
            b'"' => return Some(at + 1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Whether every quoted string in `text` ends.
pub(crate) fn quotes_are_closed(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(open) = find_any(rest, [b'"']) {
        let Some(end) = quoted_string(&rest[open..]) else { return false };
        rest = &rest[open + end..];
    }
    true
}

/// The elements of a comma list, trimmed, without the empty ones.
pub(crate) fn list(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let Some(at) = comma(text) else { return Some(text) };
        rest = Some(&text[at + 1..]);
        Some(&text[..at])
    })
    .map(trim)
    .filter(|element| !element.is_empty())
}

/// The pieces of `text` between `separator`s outside of quotes, untrimmed.
pub(crate) fn split_text(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        // The separator is ASCII, so both sides of it are whole characters.
        let Some(at) = find_unquoted(text.as_bytes(), separator) else { return Some(text) };
        rest = Some(&text[at + 1..]);
        Some(&text[..at])
    })
}

/// A quoted string without its quotes and escapes; other text as it is.
pub(crate) fn unquote(text: &str) -> Cow<'_, str> {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Cow::Borrowed(text);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next()),
            other => plain.push(other),
        }
    }
    Cow::Owned(plain)
}

/// A token of RFC 3261 §25.1.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && TOKEN.holds_all(text)
}

const TOKEN: Bytes = Bytes::alphanumeric_and(b"-.!%*_+`'~");

/// A set of bytes, looked up instead of compared: every name and every host of a message is held against one.
pub(crate) struct Bytes([bool; 256]);

impl Bytes {
    pub const fn alphanumeric_and(others: &[u8]) -> Bytes {
        let mut held = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            held[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let mut at = 0;
        while at < others.len() {
            held[others[at] as usize] = true;
            at += 1;
        }
        Bytes(held)
    }

    pub fn holds_all(&self, text: &[u8]) -> bool {
        text.iter().all(|byte| self.0[usize::from(*byte)])
    }
}

/// Digits only; a number beyond `u32` clamps (RFC 3261 §20.19 wants 2^32-1 to be the most).
pub(crate) fn clamped_number(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u32, digit: &u8| sum.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
    Some(text.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut_at_commas_outside_of_quotes_and_brackets() {
        let text = br#" "Bell, A." <sip:a,b@x>;q=0.1 , , <sip:c@d> "#;

        let elements: Vec<_> = list(text).collect();

        assert_eq!(elements, [&br#""Bell, A." <sip:a,b@x>;q=0.1"#[..], b"<sip:c@d>"]);
        assert_eq!(list(b"").count(), 0);
    }

    #[test]
    fn an_escaped_quote_does_not_end_a_quoted_string() {
        assert_eq!(quoted_string(br#""a\"b" <x>"#), Some(6));
        assert_eq!(quoted_string(br#""a\""#), None);
        assert_eq!(unquote(r#""J Rosenberg \\\"""#), r#"J Rosenberg \""#);
    }

    #[test]
    fn a_bracket_inside_quotes_and_a_quote_inside_brackets_are_plain_text() {
        assert_eq!(find_outside(br#""a < b" , x"#, b','), Some(8));
        assert_eq!(find_outside(br#"<sip:a"b@c> , x"#, b','), Some(12));
    }

    #[test]
    fn a_byte_is_found_wherever_it_stands_and_whatever_is_around_it() {
        for length in 0..40 {
            let text = vec![0x8a; length];
            assert_eq!(find_any(&text, *b"\r\n"), None);
            for at in 0..length {
                for end in *b"\r\n" {
                    let mut text = text.clone();
                    text[at] = end;
                    text[at + 1..].fill(b'\x0b');
                    assert_eq!(find_any(&text, *b"\r\n"), Some(at));
                    text[at + 1..].fill(b'\n');
                    assert_eq!(find_any(&text, *b"\r\n"), Some(at));
                }
            }
        }
    }

    #[test]
    fn a_number_too_large_for_its_type_is_the_largest_one() {
        assert_eq!(clamped_number(b"4294967296"), Some(u32::MAX));
        assert_eq!(clamped_number(b"0068"), Some(68));
        assert_eq!(clamped_number(b"-1"), None);
        assert_eq!(clamped_number(b""), None);
    }
}
