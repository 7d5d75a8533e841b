//! How much of a WebSocket message has come that is not whole (RFC 6455 section 5.2).
//!
//! The library keeps frames, and messages in several frames, until they are whole, and does not say how much that is. So
//! what is read from the socket is looked at on its way to it. Whether the frames are good ones is the library's to say.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream of frames, and what has been read of the message that is not whole.
pub struct Counted<S> {
    stream: S,
    frames: Frames,
    held: Arc<AtomicUsize>,
}

impl<S> Counted<S> {
    /// `early` has been read of the stream already.
    pub fn new(stream: S, early: &[u8]) -> Counted<S> {
        let mut frames = Frames::default();
        frames.push(early);
        Counted { stream, held: Arc::new(AtomicUsize::new(frames.held())), frames }
    }

    /// How many bytes are held of what is not whole.
    pub fn held(&self) -> Arc<AtomicUsize> {
        self.held.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.frames.push(&buffer.filled()[before..]);
        self.held.store(self.frames.held(), Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[derive(Default)]
struct Frames {
    /// Of the frame that is coming: as much of its head as has come.
    head: [u8; LONGEST_HEAD],
    head_length: usize,
    /// What is still to come of its payload.
    payload_left: u64,
    /// What has come of it.
    frame: usize,
    /// The whole frames of the message that goes on in it.
    fragments: usize,
}

const LONGEST_HEAD: usize = 14;

impl Frames {
    fn push(&mut self, mut bytes: &[u8]) {
        while let [next, rest @ ..] = bytes {
            if self.payload_left > 0 {
                let taken = bytes.len().min(usize::try_from(self.payload_left).unwrap_or(usize::MAX));
                self.payload_left -= taken as u64;
                self.frame += taken;
                bytes = &bytes[taken..];
            } else {
                self.head[self.head_length] = *next;
                self.head_length += 1;
                self.frame += 1;
                bytes = rest;
                match payload_length(&self.head[..self.head_length]) {
                    Some(length) => self.payload_left = length,
                    None => continue,
                }
            }
            if self.payload_left == 0 {
                self.end_frame();
            }
        }
    }

    fn end_frame(&mut self) {
        let (is_final, is_control) = (self.head[0] & 0x80 != 0, self.head[0] & 0x08 != 0);
        // A control frame may come between the frames of a message, and is none of them.
        match (is_control, is_final) {
            (true, _) => {}
            (false, true) => self.fragments = 0,
            (false, false) => self.fragments += self.frame,
        }
        (self.frame, self.head_length) = (0, 0);
    }

    fn held(&self) -> usize {
        self.fragments + self.frame
    }
}

/// `None` while the head of the frame is not whole.
fn payload_length(head: &[u8]) -> Option<u64> {
    let [_, second, rest @ ..] = head else { return None };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let (length, extended) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
        127 => (u64::from_be_bytes(*rest.first_chunk()?), 8),
        length => (u64::from(length), 0),
    };
    (rest.len() == extended + mask).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: u8 = 0x81;
    const BEGINS: u8 = 0x01;
    const GOES_ON: u8 = 0x00;
    const ENDS: u8 = 0x80;
    const PING: u8 = 0x89;

    fn frame(first: u8, payload: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match payload {
            0..126 => frame.push(0x80 | payload as u8),
            126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend((payload as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.resize(frame.len() + payload, 0xff);
        frame
    }

    fn held_after(bytes: &[u8]) -> usize {
        let mut frames = Frames::default();
        frames.push(bytes);
        frames.held()
    }

    #[test]
    fn of_each_frame_as_much_is_held_as_has_come_until_it_is_whole() {
        for payload in [0, 1, 125, 126, 65_535, 65_536] {
            let bytes = frame(TEXT, payload);
            let mut frames = Frames::default();
            for (n, byte) in bytes.iter().enumerate() {
                assert_eq!(frames.held(), n, "of {payload}");
                frames.push(&[*byte]);
            }
            assert_eq!(frames.held(), 0, "{payload} are whole");
            assert_eq!(held_after(&bytes), 0);
        }
    }

    #[test]
    fn a_message_in_frames_is_held_until_the_last_and_pings_in_between_end_nothing() {
        let (first, more) = (frame(BEGINS, 100), frame(GOES_ON, 0));
        let begun = [&first[..], &more, &frame(PING, 5), &frame(PING, 0)].concat();

        assert_eq!(held_after(&begun), first.len() + more.len());
        assert_eq!(held_after(&[&begun[..], &frame(ENDS, 1)].concat()), 0);
    }

    #[test]
    fn what_comes_behind_a_whole_message_in_the_same_read_is_held() {
        let bytes = [frame(TEXT, 300), frame(PING, 3), frame(TEXT, 300)[..100].to_vec()].concat();

        assert_eq!(held_after(&bytes), 100);
    }

    #[test]
    fn a_length_beyond_all_measure_is_only_counted() {
        assert_eq!(held_after(&[&[TEXT, 0xff][..], &[0xff; 8], &[0; 4], b"abc"].concat()), 17);
    }
}
