//! Messages out of a byte stream (RFC 3261 §18.3, RFC 5626 §3.5.1).
//!
//! Content-Length says where a message ends; without one it has no body. A message that is too large or
//! whose length is unreadable still comes out, cut behind its head, so that it can be answered
//! (`Message::check` gives its fault), and so does a head that grows beyond its limits; the error that follows says that
//! the stream is lost, because nobody knows where the next message starts. The connection is to be closed then.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use crate::fault::NotSip;
use crate::head_so_far::HeadSoFar;
use crate::line_ends::{ContentLength, LineEnds};
use crate::message::Message;
use crate::wire::{self, Head, Limits, Scanned};

#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Message(Framed),
    /// A double CRLF between messages, to be answered with a single one.
    KeepAlive,
}

/// The bytes of one message, and its head if that had to be read to find where the message ends.
pub struct Framed {
    bytes: Bytes,
    head: Option<Head>,
}

/// Holds what has come of the next message: never more than a message may have, plus one `push`.
pub struct StreamFramer {
    buffer: BytesMut,
    limits: Limits,
    /// Up to here the head does not end.
    searched: usize,
    /// The next message is known to be no shorter.
    awaited: usize,
    /// The buffer begins where messages were that are out.
    advanced: bool,
    head: HeadSoFar,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Open,
    /// The last message is out, and this is why there will be no other.
    Failing(NotSip),
    Failed,
}

impl StreamFramer {
    pub fn new(limits: Limits) -> StreamFramer {
        let limits = Limits { message: limits.message.min(wire::LONGEST), ..limits };
        let (searched, awaited, advanced) = (0, 0, false);
        let (buffer, head, state) = (BytesMut::new(), HeadSoFar::default(), State::Open);
        StreamFramer { buffer, limits, searched, awaited, advanced, head, state }
    }

    /// Takes what one read brought. Drain `next` before the next push.
    pub fn push(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Open) {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// What is held of a message that has begun and is not whole, in bytes of memory. Line ends begin none. To be asked when
    /// `next` is drained: what the messages before it took is let go.
    pub fn held(&mut self) -> usize {
        if self.advanced {
            self.buffer = BytesMut::from(self.buffer.as_ref());
            self.advanced = false;
        }
        match self.buffer.first() {
            None | Some(b'\r' | b'\n') => 0,
            Some(_) => self.buffer.capacity(),
        }
    }

    /// The next whole message or keep-alive. After an error there is nothing more.
    #[allow(clippy::should_implement_trait)] // More may come after `None`, so this is no iterator.
    pub fn next(&mut self) -> Option<Result<Frame, NotSip>> {
        if let State::Failing(error) = self.state {
            self.state = State::Failed;
            return Some(Err(error));
        }
        if self.take_keep_alive()? {
            return Some(Ok(Frame::KeepAlive));
        }
        if self.buffer.len() < self.awaited {
            return None;
        }
        let head = self.whole_head();
        let head_end = match &head {
            Some(head) => Some(head.body_at),
            None => self.head_end(),
        };
        let Some(head_end) = head_end.filter(|end| *end <= self.limits.message) else {
            let full = self.buffer.len() >= self.limits.message;
            let lost = full || self.head.exceeds(&self.buffer, &self.limits);
            return lost.then(|| Ok(self.take_last(self.limits.message, NotSip::TooLarge)));
        };
        let length = match &head {
            Some(head) => head.content_length(&self.buffer),
            None => ContentLength::of_head(&self.buffer[..head_end]),
        };
        let room = self.limits.message - head_end;
        let frame = match length {
            ContentLength::Bad => self.take_last(head_end, NotSip::Unframed),
            ContentLength::Bytes(length) if length > room => self.take_last(head_end, NotSip::TooLarge),
            ContentLength::Bytes(length) if self.buffer.len() < head_end + length => {
                self.awaited = head_end + length;
                return None;
            }
            ContentLength::Bytes(length) => self.take(head_end + length, head),
            // What is wrong with the head may be its length, for somebody else who reads it.
            ContentLength::Absent if head.is_none() && self.is_faulty(head_end) => {
                self.take_last(head_end, NotSip::Unframed)
            }
            ContentLength::Absent => self.take(head_end, head),
        };
        Some(Ok(frame))
    }

    /// Drops line ends between messages; `None` while more bytes must tell what they are.
    fn take_keep_alive(&mut self) -> Option<bool> {
        loop {
            let skipped = match self.buffer.as_ref() {
                [b'\r', b'\n', b'\r', b'\n', ..] => {
                    self.advance(4);
                    return Some(true);
                }
                [] | [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => return None,
                [b'\r' | b'\n', ..] => 1,
                _ => return Some(false),
            };
            self.advance(skipped);
        }
    }

    /// `None` if it has not come to its end, or if the message has to be looked at as a whole, because it is odd or faulty.
    fn whole_head(&mut self) -> Option<Head> {
        // What comes a few bytes at a time is not read again with each of them, but only searched for its end.
        let end = if self.searched == 0 { self.buffer.len() } else { self.head_end()? };
        let head = Head::read(&self.buffer[..end], &self.limits).ok()??;
        head.fault.is_none().then_some(head)
    }

    fn head_end(&mut self) -> Option<usize> {
        let found = LineEnds::of(&self.buffer)?.head_end(&self.buffer, self.searched);
        // The end may have come in part, so the last bytes are looked at again; and so is an end that
        // was found, while its body is on the way.
        self.searched = found.unwrap_or(self.buffer.len()).saturating_sub(4);
        found
    }

    fn is_faulty(&self, head_end: usize) -> bool {
        let head = Bytes::copy_from_slice(&self.buffer[..head_end]);
        Message::parse(head, &self.limits).is_ok_and(|message| message.fault().is_some())
    }

    fn take_last(&mut self, length: usize, error: NotSip) -> Frame {
        let frame = self.take(length, None);
        self.state = State::Failing(error);
        self.buffer = BytesMut::new();
        frame
    }

    /// Copied out, because a message may be kept for long and would hold the whole buffer.
    fn take(&mut self, length: usize, head: Option<Head>) -> Frame {
        let bytes = Bytes::copy_from_slice(&self.buffer[..length.min(self.buffer.len())]);
        self.advance(bytes.len());
        (self.searched, self.awaited, self.head) = (0, 0, HeadSoFar::default());
        Frame::Message(Framed { bytes, head })
    }

    fn advance(&mut self, length: usize) {
        self.buffer.advance(length);
        self.advanced = true;
    }
}

impl Framed {
    /// Reads it as [`Message::parse`] does, by the limits of the framer or by these.
    pub fn parse(self, limits: &Limits) -> Result<Message, NotSip> {
        match self.head {
            Some(head) => Ok(Message::of(Scanned { bytes: self.bytes, head })),
            None => wire::scan(self.bytes, limits).map(Message::of),
        }
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// A message by itself: a datagram, or one of a WebSocket.
impl From<Bytes> for Framed {
    fn from(bytes: Bytes) -> Framed {
        Framed { bytes, head: None }
    }
}

impl PartialEq for Framed {
    fn eq(&self, other: &Framed) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Framed {}

/// Its length only: what it says belongs in no log.
impl fmt::Debug for Framed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Framed({} bytes)", self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;

    const LIMITS: Limits = Limits { message: 200, start_line: 100, headers: 16, header: 100 };

    fn frames(chunks: &[&[u8]]) -> Vec<Result<Frame, NotSip>> {
        let mut framer = StreamFramer::new(LIMITS);
        let mut frames = Vec::new();
        for chunk in chunks {
            framer.push(chunk);
            frames.extend(std::iter::from_fn(|| framer.next()));
        }
        frames
    }

    fn message(text: &str) -> Result<Frame, NotSip> {
        Ok(Frame::Message(Bytes::copy_from_slice(text.as_bytes()).into()))
    }

    #[test]
    fn a_stream_gives_the_same_frames_wherever_it_is_split() {
        let first = "PUBLISH sip:a SIP/2.0\r\nSubject: x\r\n folded\r\nl :\r\n 4\r\n\r\n\r\n\r\n";
        let second = "SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n";
        let third = "OPTIONS sip:a SIP/2.0\nContent-Length: 2\n\nhi";
        let stream = format!("\r\n{first}\r\n\r\n{second}\r\n{third}\r\n\r\n{second}");
        let expected = [
            message(first),
            Ok(Frame::KeepAlive),
            message(second),
            message(third),
            Ok(Frame::KeepAlive),
            message(second),
        ];

        for split in 0..stream.len() {
            let (left, right) = stream.as_bytes().split_at(split);
            assert_eq!(frames(&[left, right]), expected, "split at {split}");
        }
        let single_bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(frames(&single_bytes), expected);
    }

    #[test]
    fn a_single_crlf_between_messages_is_no_ping() {
        let options = "OPTIONS sip:a SIP/2.0\r\n\r\n";

        assert_eq!(frames(&[b"\r\n", options.as_bytes(), b"\r\n"]), [message(options)]);
        assert_eq!(frames(&[b"\r", b"\n\r\n"]), [Ok(Frame::KeepAlive)]);
    }

    #[test]
    fn what_is_held_is_what_is_not_whole_and_nothing_of_what_is_out() {
        let mut framer = StreamFramer::new(LIMITS);
        let mut held_after = |bytes: &[u8]| {
            framer.push(bytes);
            while framer.next().is_some() {}
            framer.held()
        };
        let whole = "OPTIONS sip:a SIP/2.0\r\nContent-Length: 100\r\n\r\n".to_owned() + &"x".repeat(100);

        assert!((whole.len() - 1..200).contains(&held_after(&whole.as_bytes()[..whole.len() - 1])));
        assert!((1..20).contains(&held_after(b"xO")), "the rest only");
        assert_eq!(held_after(b"PTIONS sip:a SIP/2.0\r\n\r\n"), 0);
        assert_eq!(held_after(b"\r\n\r"), 0);
    }

    #[test]
    fn a_body_too_large_is_answered_413_and_ends_the_stream() {
        let head = "PUBLISH sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nContent-Length: 190\r\n\r\n";

        let frames = frames(&[head.as_bytes(), b"body", b"OPTIONS sip:b SIP/2.0\r\n\r\n"]);

        assert_eq!(frames, [message(head), Err(NotSip::TooLarge)]);
        assert_eq!(fault_of(&frames[0]).status, 413);
    }

    #[test]
    fn whatever_is_allowed_no_message_is_longer_than_its_places_can_be_counted() {
        let mut framer = StreamFramer::new(Limits { message: usize::MAX, ..LIMITS });
        let head = format!("PUBLISH sip:a SIP/2.0\r\nContent-Length: {}\r\n\r\n", wire::LONGEST);

        framer.push(head.as_bytes());

        assert_eq!(framer.next(), Some(message(&head)));
        assert_eq!(framer.next(), Some(Err(NotSip::TooLarge)));
    }

    #[test]
    fn a_head_without_end_is_answered_400_and_ends_the_stream() {
        let head = format!("PUBLISH sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nX: {}", "x".repeat(500));

        let frames = frames(&[head.as_bytes()]);

        assert_eq!(frames[1..], [Err(NotSip::TooLarge)]);
        assert_eq!(fault_of(&frames[0]), Fault::bad("Head Not Terminated"));
    }

    #[test]
    fn a_head_that_grows_beyond_its_limits_ends_the_stream_before_its_end_has_come() {
        let head = "PUBLISH sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\n";
        let long = format!("X: {}", "x".repeat(100));
        for more in [&long[..], &"X: y\r\n".repeat(16)] {
            let bytes = [head, more].concat();
            assert_eq!(frames(&[bytes.as_bytes()]), [message(&bytes), Err(NotSip::TooLarge)]);
        }
    }

    #[test]
    fn a_head_whose_length_others_may_read_differently_ends_the_stream() {
        let odd = ["X: a\nContent-Length: 4", "Content Length: 4", "Content-Length\x0c: 4"];
        for line in odd {
            let head = format!("OPTIONS sip:a SIP/2.0\r\n{line}\r\n\r\n");
            let frames = frames(&[head.as_bytes(), b"BYE sip:a SIP/2.0\r\n\r\n"]);
            assert_eq!(frames, [message(&head), Err(NotSip::Unframed)], "{line:?}");
        }
    }

    #[test]
    fn a_length_that_is_no_number_is_answered_400_and_ends_the_stream() {
        for length in ["-1", "4\r\nContent-Length: 5", "4, 4", ""] {
            let head =
                format!("PUBLISH sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nContent-Length: {length}\r\n\r\n");

            let frames = frames(&[head.as_bytes(), b"body"]);

            assert_eq!(frames, [message(&head), Err(NotSip::Unframed)]);
            assert_eq!(fault_of(&frames[0]), Fault::bad("Bad Content-Length"));
        }
    }

    fn fault_of(frame: &Result<Frame, NotSip>) -> Fault {
        let Ok(Frame::Message(framed)) = frame else { panic!("no message") };
        let message = Message::parse(framed.bytes().clone(), &LIMITS).unwrap();
        assert!(message.answerable());
        message.check().unwrap_err()
    }
}
