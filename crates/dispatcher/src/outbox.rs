//! A bounded queue of messages for one stream.
//!
//! Whoever has a message pushes it without waiting; one writer takes everything that waits and writes it at once.
//! What waits counts until it is written, so a peer that does not read is noticed. Many outboxes may share a budget:
//! each of them being small does not make a hundred thousand of them so.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

pub struct Outbox {
    limit: usize,
    budget: Arc<Budget>,
    state: Mutex<State>,
    filled: Notify,
    emptied: Notify,
}

#[derive(Default)]
struct State {
    waiting: Vec<Bytes>,
    /// Of what waits and of what is being written.
    cost: usize,
}

/// What all outboxes that share it may hold together.
pub struct Budget {
    limit: usize,
    spent: AtomicUsize,
}

/// Why a message does not go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsent {
    #[error("there is no connection")]
    Gone,
    /// The peer reads too slowly.
    #[error("the queue is full")]
    Full,
}

/// What a message costs besides its bytes. Without it a queue of two-byte keep-alives would take many times its bound.
const OVERHEAD: usize = 64;

impl Outbox {
    /// Holds `limit` bytes, or one message of any size.
    pub fn new(limit: usize) -> Outbox {
        Outbox::sharing(limit, Arc::new(Budget::new(usize::MAX)))
    }

    /// Holds no more than the budget leaves, too; but one message always.
    pub fn sharing(limit: usize, budget: Arc<Budget>) -> Outbox {
        Outbox { limit, budget, state: Mutex::default(), filled: Notify::new(), emptied: Notify::new() }
    }

    pub fn push(&self, message: Bytes) -> Result<(), Unsent> {
        let cost = message.len() + OVERHEAD;
        let mut state = self.state.lock();
        // Who reads as fast as we write never has anything waiting, and never pays for those who do not.
        if state.cost > 0 && (state.cost + cost > self.limit || self.budget.lacks(cost)) {
            return Err(Unsent::Full);
        }
        state.cost += cost;
        self.budget.spend(cost);
        let is_first = state.waiting.is_empty();
        state.waiting.push(message);
        drop(state);
        // The writer takes all that waits, so one call is enough for those that come before it.
        if is_first {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Writes whatever is pushed, until the stream fails.
    pub async fn write_to(&self, mut stream: impl AsyncWrite + Unpin) -> std::io::Result<()> {
        loop {
            let (mut messages, cost) = self.take().await;
            let batch = if messages.len() == 1 { messages.remove(0) } else { concatenated(&messages) };
            stream.write_all(&batch).await?;
            stream.flush().await?;
            self.written(cost);
        }
    }

    /// All that waits, and what it costs until it is [`Outbox::written`].
    pub async fn take(&self) -> (Vec<Bytes>, usize) {
        loop {
            let waiting = std::mem::take(&mut self.state.lock().waiting);
            if waiting.is_empty() {
                self.filled.notified().await;
                continue;
            }
            let cost = waiting.iter().map(|message| message.len() + OVERHEAD).sum();
            return (waiting, cost);
        }
    }

    pub fn written(&self, cost: usize) {
        let mut state = self.state.lock();
        state.cost -= cost;
        self.budget.release(cost);
        if state.cost == 0 {
            self.emptied.notify_one();
        }
    }

    /// Returns once everything is written.
    pub async fn drained(&self) {
        while self.state.lock().cost > 0 {
            self.emptied.notified().await;
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let left = self.state.get_mut().cost;
        self.budget.release(left);
    }
}

impl Budget {
    pub fn new(limit: usize) -> Budget {
        Budget { limit, spent: AtomicUsize::new(0) }
    }

    pub fn spent(&self) -> usize {
        self.spent.load(Ordering::Relaxed)
    }

    pub fn lacks(&self, cost: usize) -> bool {
        self.spent() + cost > self.limit
    }

    pub fn spend(&self, cost: usize) {
        self.spent.fetch_add(cost, Ordering::Relaxed);
    }

    pub fn release(&self, cost: usize) {
        self.spent.fetch_sub(cost, Ordering::Relaxed);
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
    async fn what_waits_is_written_as_one_piece_in_order() {
        let outbox = Outbox::new(1_000);
        for message in ["one", "two", "three"] {
            outbox.push(message.into()).unwrap();
        }

        assert_eq!(concatenated(&outbox.take().await.0), "onetwothree");
    }

    #[tokio::test]
    async fn bytes_count_until_they_are_written() {
        let outbox = Outbox::new(2 * OVERHEAD + 5);
        outbox.push("1234".into()).unwrap();
        outbox.take().await;

        assert_eq!(outbox.push("56".into()), Err(Unsent::Full));
        assert_eq!(outbox.push("5".into()), Ok(()));
    }

    #[test]
    fn one_message_of_any_size_fits_an_empty_queue() {
        let outbox = Outbox::new(5);

        assert_eq!(outbox.push("a large message".into()), Ok(()));
        assert_eq!(outbox.push("1".into()), Err(Unsent::Full));
    }

    #[test]
    fn small_messages_can_not_take_many_times_the_bound() {
        let outbox = Outbox::new(10 * OVERHEAD);
        let pushed = (0..1_000).take_while(|_| outbox.push("\r\n".into()).is_ok()).count();

        assert_eq!(pushed, 9);
    }

    #[tokio::test]
    async fn a_spent_budget_stops_those_who_lag_and_nobody_else() {
        let budget = Arc::new(Budget::new(2 * OVERHEAD + 5));
        let (lagging, prompt) =
            (Outbox::sharing(1_000, budget.clone()), Outbox::sharing(1_000, budget.clone()));
        lagging.push("1234".into()).unwrap();

        assert_eq!(prompt.push("1234".into()), Ok(()));
        assert_eq!(lagging.push("5".into()), Err(Unsent::Full));
        assert_eq!(prompt.push("5".into()), Err(Unsent::Full));
    }

    #[tokio::test]
    async fn what_is_written_or_dropped_is_given_back_to_the_budget() {
        let budget = Arc::new(Budget::new(1_000));
        let outbox = Outbox::sharing(1_000, budget.clone());
        outbox.push("written".into()).unwrap();
        let write = outbox.write_to(tokio::io::sink());
        tokio::select! {
            biased;
            _ = write => {}
            () = outbox.drained() => {}
        }
        assert_eq!(budget.spent(), 0);

        outbox.push("never written".into()).unwrap();
        drop(outbox);

        assert_eq!(budget.spent(), 0);
    }
}
