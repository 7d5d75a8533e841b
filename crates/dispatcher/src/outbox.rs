//! A bounded queue of messages for one stream.
//!
//! Whoever has a message pushes it without waiting; one writer takes everything that waits and writes it at once.
//! Bytes count until they are written, so a peer that does not read is noticed.

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

pub struct Outbox {
    limit: usize,
    state: Mutex<State>,
    filled: Notify,
    emptied: Notify,
}

#[derive(Default)]
struct State {
    waiting: Vec<Bytes>,
    /// Of what waits and of what is being written.
    bytes: usize,
}

/// The peer reads too slowly.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("the queue is full")]
pub struct Full;

impl Outbox {
    /// Holds `limit` bytes, or one message of any size.
    pub fn new(limit: usize) -> Outbox {
        Outbox { limit, state: Mutex::default(), filled: Notify::new(), emptied: Notify::new() }
    }

    pub fn push(&self, message: Bytes) -> Result<(), Full> {
        let mut state = self.state.lock();
        if state.bytes > 0 && state.bytes + message.len() > self.limit {
            return Err(Full);
        }
        state.bytes += message.len();
        state.waiting.push(message);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Writes whatever is pushed, until the stream fails.
    pub async fn write_to(&self, mut stream: impl AsyncWrite + Unpin) -> std::io::Result<()> {
        loop {
            let batch = self.take().await;
            stream.write_all(&batch).await?;
            let mut state = self.state.lock();
            state.bytes -= batch.len();
            if state.bytes == 0 {
                self.emptied.notify_one();
            }
        }
    }

    /// Returns once everything is written.
    pub async fn drained(&self) {
        while self.state.lock().bytes > 0 {
            self.emptied.notified().await;
        }
    }

    /// All that waits, as one piece.
    async fn take(&self) -> Bytes {
        loop {
            let mut waiting = std::mem::take(&mut self.state.lock().waiting);
            match waiting.len() {
                0 => self.filled.notified().await,
                1 => return waiting.remove(0),
                _ => return concatenated(&waiting),
            }
        }
    }
}

fn concatenated(messages: &[Bytes]) -> Bytes {
    let mut batch = BytesMut::with_capacity(messages.iter().map(Bytes::len).sum());
    for message in messages {
        batch.extend_from_slice(message);
    }
    batch.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_is_taken_as_one_piece_in_order() {
        let outbox = Outbox::new(100);
        for message in ["one", "two", "three"] {
            outbox.push(message.into()).unwrap();
        }

        assert_eq!(outbox.take().await, "onetwothree");
    }

    #[tokio::test]
    async fn bytes_count_until_they_are_written() {
        let outbox = Outbox::new(5);
        outbox.push("1234".into()).unwrap();
        outbox.take().await;

        assert_eq!(outbox.push("56".into()), Err(Full));
    }

    #[test]
    fn one_message_of_any_size_fits_an_empty_queue() {
        let outbox = Outbox::new(5);

        assert_eq!(outbox.push("a large message".into()), Ok(()));
        assert_eq!(outbox.push("1".into()), Err(Full));
    }
}
