//! What a head whose end has not come may grow to.
//!
//! A whole head that is beyond its limits is answered, and the stream goes on behind it. One that is on its way can only
//! grow further, so nobody waits for its end. Each byte is looked at once, however few come at a time.

use memchr::memchr_iter;

use crate::header::lex;
use crate::wire::Limits;

#[derive(Default)]
pub(crate) struct HeadSoFar {
    /// Where the line starts that has not ended.
    line_at: usize,
    seen: usize,
    /// Lines that have ended, folded ones as one; the start line too.
    lines: usize,
    /// The length of the last of them.
    length: usize,
}

impl HeadSoFar {
    /// `head`: what it was before, and what has come since.
    pub fn exceeds(&mut self, head: &[u8], limits: &Limits) -> bool {
        let seen = std::mem::replace(&mut self.seen, head.len());
        for end in memchr_iter(b'\n', &head[seen..]) {
            let end = seen + end;
            self.end_line(&head[self.line_at..end]);
            self.line_at = end + 1;
            if self.lines > limits.headers + 1 || self.length > longest(self.lines, limits) {
                return true;
            }
        }
        // A CR may be the first half of its end.
        head.len() - self.line_at > longest(self.lines + 1, limits) + 1
    }

    fn end_line(&mut self, line: &[u8]) {
        if self.lines > 1 && matches!(line.first(), Some(b' ' | b'\t')) {
            self.length += 1 + lex::trim(line).len();
        } else {
            self.lines += 1;
            self.length = line.strip_suffix(b"\r").unwrap_or(line).len();
        }
    }
}

fn longest(line: usize, limits: &Limits) -> usize {
    if line == 1 { limits.start_line } else { limits.header }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { message: 1_000, start_line: 20, headers: 3, header: 10 };

    /// How many bytes of it come, one by one, before it is too much.
    fn exceeded_at(head: &str) -> Option<usize> {
        let mut so_far = HeadSoFar::default();
        let at = (1..=head.len()).find(|come| so_far.exceeds(&head.as_bytes()[..*come], &LIMITS));
        assert_eq!(HeadSoFar::default().exceeds(head.as_bytes(), &LIMITS), at.is_some(), "at once");
        at
    }

    #[test]
    fn a_line_may_have_its_length_and_no_byte_more() {
        let start = "OPTIONS s:12 SIP/2.0\r\n";

        assert_eq!(exceeded_at(&format!("{start}123:567890\r\nA: b\r\n")), None);
        assert_eq!(exceeded_at(&format!("{start}123:5678901\r\n")), Some(start.len() + 12));
        assert_eq!(exceeded_at(&"x".repeat(100)), Some(22));
        assert_eq!(exceeded_at(&format!("{start}{}", "x".repeat(100))), Some(start.len() + 12));
    }

    #[test]
    fn a_head_may_have_its_headers_and_none_more() {
        assert_eq!(exceeded_at("OPTIONS\r\nA: b\r\nA: b\r\nA: b\r\nA"), None);
        assert_eq!(exceeded_at("OPTIONS\nA: b\nA: b\nA: b\nA: b\n"), Some(28));
    }

    #[test]
    fn folded_lines_are_one_header_of_their_length_together() {
        assert_eq!(exceeded_at("OPTIONS\r\nA: b\r\n c\r\n \t d \r\n e\r\nA: b\r\nA: b\r\n"), None);
        assert_eq!(exceeded_at("OPTIONS\r\nA: b\r\n cd\r\n efg\r\n"), Some(26));
    }
}
