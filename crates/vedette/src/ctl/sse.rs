//! Server-sent events, as much of them as the API speaks: `data:` lines, and a blank line after each event.

/// A line longer than this is no event of ours.
const MAX_EVENT: usize = 4 * 1024 * 1024;

/// Cuts a stream of bytes into the data of its events.
#[derive(Default)]
pub struct Decoder {
    line: Vec<u8>,
    data: String,
}

/// The event never ends.
#[derive(Debug, PartialEq)]
pub struct TooLong;

impl Decoder {
    /// The events that end in `bytes`. Comments, which keep the stream alive, are none.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLong> {
        let mut events = Vec::new();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.line.len() + self.data.len() + piece.len() > MAX_EVENT {
                return Err(TooLong);
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                events.extend(self.end_of_line());
            }
        }
        Ok(events)
    }

    fn end_of_line(&mut self) -> Option<String> {
        let line = String::from_utf8_lossy(&self.line);
        let line = line.trim_end_matches(['\r', '\n']);
        let event = line.is_empty() && !self.data.is_empty();
        if let Some(data) = line.strip_prefix("data:") {
            if !self.data.is_empty() {
                self.data.push('\n');
            }
            self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
        }
        self.line.clear();
        event.then(|| std::mem::take(&mut self.data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_the_stream_is_cut() {
        let stream = ": alive\n\nid: 1.0\ndata: {\"a\":\ndata: 1}\n\r\n:\ndata:\u{e4}\n\n";
        for size in 1..stream.len() {
            let mut decoder = Decoder::default();

            let events: Vec<_> =
                stream.as_bytes().chunks(size).flat_map(|c| decoder.push(c).unwrap()).collect();

            assert_eq!(events, ["{\"a\":\n1}", "\u{e4}"], "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_an_end_is_refused() {
        let mut decoder = Decoder::default();
        let piece = vec![b'x'; MAX_EVENT / 2];

        assert_eq!(decoder.push(&piece), Ok(vec![]));
        assert_eq!(decoder.push(&piece), Ok(vec![]));
        assert_eq!(decoder.push(b"x"), Err(TooLong));
    }
}
