//! Where the lines and the head of a message end, and how long its body says it is: what the scanner and
//! the stream framer must see alike.
//!
//! RFC 3261 §7 wants CRLF. A message whose first line ends in a bare LF is taken as one whose lines all do. In
//! either kind the other line end is none, and a fault: two readers could see two messages there.

use bytes::Bytes;
use memchr::{memchr, memchr_iter, memmem};

use crate::header::{Name, lex};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineEnds {
    Crlf,
    Lf,
}

/// What the Content-Length lines of one head say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentLength {
    Absent,
    Bytes(usize),
    /// No number, or two different ones.
    Bad,
}

impl LineEnds {
    /// Told by the first line; `None` while that has not ended.
    pub fn of(bytes: &[u8]) -> Option<LineEnds> {
        let end = memchr(b'\n', bytes)?;
        let crlf = end > 0 && bytes[end - 1] == b'\r';
        Some(if crlf { LineEnds::Crlf } else { LineEnds::Lf })
    }

    /// Just behind the empty line that ends the head, looked for from `from` on.
    pub fn head_end(self, bytes: &[u8], from: usize) -> Option<usize> {
        if self == LineEnds::Crlf {
            return memmem::find(&bytes[from..], b"\r\n\r\n").map(|at| from + at + 4);
        }
        memchr_iter(b'\n', &bytes[from..]).find_map(|at| match &bytes[from + at + 1..] {
            [b'\n', ..] => Some(from + at + 2),
            // With its stray CR it is no empty line, but nobody can have meant anything else.
            [b'\r', b'\n', ..] => Some(from + at + 3),
            _ => None,
        })
    }

    /// The line that starts `bytes`, and where the next one starts; `None` if it never ends.
    pub fn first_line(self, bytes: &[u8]) -> Option<(&[u8], usize)> {
        if self == LineEnds::Lf {
            return memchr(b'\n', bytes).map(|end| (&bytes[..end], end + 1));
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

impl ContentLength {
    pub fn of<'a>(values: impl Iterator<Item = &'a [u8]>) -> ContentLength {
        values.fold(ContentLength::Absent, |seen, value| match (seen, lex::clamped_number(value)) {
            (ContentLength::Absent, Some(length)) => ContentLength::Bytes(length as usize),
            (ContentLength::Bytes(first), Some(length)) if first == length as usize => seen,
            _ => ContentLength::Bad,
        })
    }

    /// Of a head of which nothing else is known yet.
    pub fn of_head(head: &[u8]) -> ContentLength {
        match LineEnds::of(head) {
            Some(ends) if need_unfolding(ends, head) => {
                ContentLength::of_lines(&unfold(ends, head, head.len()).0)
            }
            _ => ContentLength::of_lines(head),
        }
    }

    fn of_lines(mut head: &[u8]) -> ContentLength {
        let lines = std::iter::from_fn(|| {
            let (line, next) = LineEnds::Crlf.first_line(head)?;
            head = &head[next..];
            Some(line)
        });
        ContentLength::of(lines.filter_map(|line| {
            let colon = memchr(b':', line)?;
            let ours = Name::parse(lex::trim(&line[..colon])) == Name::ContentLength;
            ours.then(|| lex::trim(&line[colon + 1..]))
        }))
    }
}

/// Whether `unfold` would change anything.
fn need_unfolding(ends: LineEnds, head: &[u8]) -> bool {
    let folded = |at| matches!(head.get(at + 1), Some(b' ' | b'\t'));
    ends == LineEnds::Lf || memchr_iter(b'\n', head).any(folded)
}

/// The same message with every header on one line and every line ended by CRLF, and where its body is.
pub(crate) fn unfold(ends: LineEnds, bytes: &[u8], body_at: usize) -> (Bytes, usize) {
    let mut plain = Vec::with_capacity(bytes.len() + 64);
    let mut rest = &bytes[..body_at];
    let (mut start_line, mut foldable) = (true, false);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_tells_how_all_lines_end() {
        assert_eq!(LineEnds::of(b"a\r\nb\n"), Some(LineEnds::Crlf));
        assert_eq!(LineEnds::of(b"a\nb\r\n"), Some(LineEnds::Lf));
        assert_eq!(LineEnds::of(b"a\r"), None);
    }

    #[test]
    fn a_lone_line_end_of_the_other_kind_ends_no_line() {
        assert_eq!(LineEnds::Crlf.first_line(b"a\nb\rc\r\nd"), Some((&b"a\nb\rc"[..], 7)));
        assert_eq!(LineEnds::Lf.first_line(b"a\r\nb"), Some((&b"a\r"[..], 3)));
        assert_eq!(LineEnds::Crlf.head_end(b"a\r\nb\n\nc\r\n\r\nd", 0), Some(11));
    }

    #[test]
    fn a_length_counts_if_all_lines_agree() {
        let length = |head: &[u8]| ContentLength::of_head(head);

        assert_eq!(length(b"x\r\nTo: y\r\n\r\n"), ContentLength::Absent);
        assert_eq!(length(b"x\r\nl :\r\n 07\r\nCONTENT-LENGTH: 7\r\n\r\n"), ContentLength::Bytes(7));
        assert_eq!(length(b"x\nl: 7\n\n"), ContentLength::Bytes(7));
        assert_eq!(length(b"x\r\nl: 7\r\nl: 8\r\n\r\n"), ContentLength::Bad);
        assert_eq!(length(b"x\r\nl: +7\r\n\r\n"), ContentLength::Bad);
    }
}
