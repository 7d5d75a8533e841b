//! Client transactions (RFC 3261 §17.1.2): a request is repeated until it is answered or given up.
//!
//! On UDP, Timer E repeats it after 500 ms, then at doubled pauses of up to 4 s; a provisional answer makes every
//! further pause 4 s. Timer F gives up after 32 s. A final answer ends a transaction at once: Timer K
//! would only absorb repeats of it, and an answer without a transaction is dropped all the same.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::timers::Timers;
use super::{Full, T1, T2, TRANSACTION_LIFETIME};
use crate::message::Message;
use crate::time::Instant;

/// Transactions by branch, each with a tag that tells the caller what it was for.
pub struct ClientTransactions<T> {
    capacity: usize,
    live: BTreeMap<Arc<str>, Transaction<T>>,
    timers: Timers<Arc<str>>,
    outputs: VecDeque<Due<T>>,
}

struct Transaction<T> {
    request: Bytes,
    tag: T,
    /// Timer E's next pause; `None` on a reliable transport.
    pause: Option<Duration>,
    /// When Timer E or F fires, whichever is first: its end in `timers`.
    wakes_at: Instant,
    gives_up_at: Instant,
}

enum Due<T> {
    Retransmit(Arc<str>),
    TimedOut(T),
}

/// A final answer came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed<T> {
    pub tag: T,
    pub status: u16,
    /// Seconds to wait before the next one, if the answer says so.
    pub retry_after: Option<u32>,
}

/// What a timer asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientOutput<'a, T> {
    /// Send these bytes again, the way they went first.
    Retransmit(Bytes, &'a T),
    /// Nobody answered in time: as if a 408 had come (RFC 3261 §8.1.3.1).
    TimedOut(T),
}

impl<T> ClientTransactions<T> {
    pub fn new(capacity: usize) -> ClientTransactions<T> {
        ClientTransactions {
            capacity,
            live: BTreeMap::new(),
            timers: Timers::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Begins with a request that the caller sends itself the first time.
    pub fn start(
        &mut self,
        branch: Arc<str>,
        request: Bytes,
        reliable: bool,
        tag: T,
        now: Instant,
    ) -> Result<(), Full> {
        if self.live.len() >= self.capacity {
            return Err(Full);
        }
        let Entry::Vacant(place) = self.live.entry(branch.clone()) else { return Err(Full) };
        let gives_up_at = now + TRANSACTION_LIFETIME;
        let wakes_at = if reliable { gives_up_at } else { now + T1 };
        self.timers.set(wakes_at, branch);
        let pause = (!reliable).then_some(T1 * 2);
        place.insert(Transaction { request, tag, pause, wakes_at, gives_up_at });
        Ok(())
    }

    /// `Some` if this is the final answer to one of ours; anything else is absorbed.
    pub fn receive(&mut self, response: &Message, now: Instant) -> Option<Completed<T>> {
        let status = response.status()?;
        let branch = response.branch()?;
        let transaction = self.live.get_mut(branch)?;
        // A CANCEL has the branch of the request that it is about (RFC 3261 §17.1.3).
        let method = response.cseq().ok()?.method;
        if !transaction.is_for(method) || now >= transaction.gives_up_at {
            return None;
        }
        match status {
            100..=199 => {
                transaction.pause = transaction.pause.map(|_| T2);
                None
            }
            200..=699 => {
                let retry_after = response.retry_after();
                self.abandon(branch).map(|tag| Completed { tag, status, retry_after })
            }
            _ => None,
        }
    }

    /// Ends a transaction without an answer, for instance because the way to its peer is gone.
    pub fn abandon(&mut self, branch: &str) -> Option<T> {
        let transaction = self.live.remove(branch)?;
        let live = &self.live;
        self.timers.sweep(live.len(), |wakes_at, branch| {
            live.get(branch).is_some_and(|transaction| transaction.wakes_at == *wakes_at)
        });
        Some(transaction.tag)
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Fires what is due. Drain `poll_output` afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((at, branches)) = self.timers.fired(now) {
            branches.into_iter().for_each(|branch| self.fire(branch, at, now));
        }
    }

    pub fn poll_output(&mut self) -> Option<ClientOutput<'_, T>> {
        loop {
            match self.outputs.pop_front()? {
                Due::TimedOut(tag) => return Some(ClientOutput::TimedOut(tag)),
                // It may have been answered since.
                Due::Retransmit(branch) if !self.live.contains_key(&branch) => {}
                Due::Retransmit(branch) => {
                    let transaction = self.live.get(&branch)?;
                    return Some(ClientOutput::Retransmit(transaction.request.clone(), &transaction.tag));
                }
            }
        }
    }

    pub fn len(&self) -> usize {
        self.live.len()
    }

    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    fn fire(&mut self, branch: Arc<str>, at: Instant, now: Instant) {
        let held = self.live.get_mut(&branch);
        let Some(transaction) = held.filter(|transaction| transaction.wakes_at == at) else { return };
        let Some(pause) = transaction.pause.filter(|_| now < transaction.gives_up_at) else {
            let given_up = self.live.remove(&branch);
            return self.outputs.extend(given_up.map(|transaction| Due::TimedOut(transaction.tag)));
        };
        transaction.pause = Some((pause * 2).min(T2));
        transaction.wakes_at = (now + pause).min(transaction.gives_up_at);
        self.timers.set(transaction.wakes_at, branch.clone());
        self.outputs.push_back(Due::Retransmit(branch));
    }
}

impl<T> Transaction<T> {
    fn is_for(&self, method: &str) -> bool {
        self.request.split(|byte| *byte == b' ').next() == Some(method.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Limits;

    const START: Instant = Instant(1_000);

    fn notify() -> Bytes {
        Bytes::from_static(b"NOTIFY sip:b SIP/2.0\r\n\r\n")
    }

    fn started(reliable: bool) -> ClientTransactions<&'static str> {
        let mut transactions = ClientTransactions::new(2);
        transactions.start("z9hG4bK1".into(), notify(), reliable, "watcher", START).unwrap();
        transactions
    }

    fn response(status: u16, branch: &str, method: &str) -> Message {
        let text = format!(
            "SIP/2.0 {status} x\r\nVia: SIP/2.0/UDP us;branch={branch}, SIP/2.0/UDP them;branch=other\r\nCSeq: 1 {method}\r\n\r\n"
        );
        Message::parse(text.into(), &Limits::default()).unwrap()
    }

    /// Fires every timer in turn; when it sent again, in milliseconds since the start, and when it gave up.
    fn run(transactions: &mut ClientTransactions<&'static str>) -> (Vec<u64>, Option<u64>) {
        let (mut sent, mut gave_up) = (Vec::new(), None);
        while let Some(now) = transactions.poll_timeout() {
            transactions.handle_timeout(now);
            while let Some(output) = transactions.poll_output() {
                let since_start = now.0 - START.0;
                match output {
                    ClientOutput::Retransmit(bytes, tag) => {
                        assert_eq!((bytes, *tag), (notify(), "watcher"));
                        sent.push(since_start);
                    }
                    ClientOutput::TimedOut(tag) => {
                        assert_eq!(tag, "watcher");
                        gave_up = Some(since_start);
                    }
                }
            }
        }
        (sent, gave_up)
    }

    #[test]
    fn timer_e_doubles_up_to_four_seconds_and_timer_f_ends_it_after_32() {
        let (sent, gave_up) = run(&mut started(false));

        assert_eq!(sent, [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
        assert_eq!(gave_up, Some(32_000));
    }

    #[test]
    fn a_reliable_transport_is_not_helped_but_still_given_up_on() {
        assert_eq!(run(&mut started(true)), (vec![], Some(32_000)));
    }

    #[test]
    fn a_provisional_answer_makes_every_further_pause_four_seconds() {
        let mut transactions = started(false);

        assert_eq!(transactions.receive(&response(100, "z9hG4bK1", "NOTIFY"), START), None);

        let (sent, gave_up) = run(&mut transactions);
        assert_eq!(sent, [500, 4_500, 8_500, 12_500, 16_500, 20_500, 24_500, 28_500]);
        assert_eq!(gave_up, Some(32_000));
    }

    #[test]
    fn the_first_final_answer_completes_it_and_repeats_are_absorbed() {
        let mut transactions = started(false);
        let answer = response(481, "z9hG4bK1", "NOTIFY");

        let first = transactions.receive(&answer, START);
        let second = transactions.receive(&answer, START);

        assert_eq!(first, Some(Completed { tag: "watcher", status: 481, retry_after: None }));
        assert_eq!(second, None);
        assert_eq!(run(&mut transactions), (vec![], None));
    }

    #[test]
    fn an_answer_to_something_else_is_absorbed() {
        let mut transactions = started(false);

        assert_eq!(transactions.receive(&response(200, "z9hG4bK2", "NOTIFY"), START), None);
        assert_eq!(transactions.receive(&response(200, "z9hG4bK1", "CANCEL"), START), None);
        assert_eq!(transactions.receive(&response(200, "other", "NOTIFY"), START), None);
        assert_eq!(transactions.len(), 1);
    }

    #[test]
    fn an_answer_between_timer_and_output_stops_the_retransmission() {
        let mut transactions = started(false);
        transactions.handle_timeout(START + T1);

        transactions.receive(&response(200, "z9hG4bK1", "NOTIFY"), START + T1).unwrap();

        assert_eq!(transactions.poll_output(), None);
    }

    #[test]
    fn a_late_timer_sends_once_and_not_once_per_missed_pause() {
        let mut transactions = started(false);

        transactions.handle_timeout(Instant(START.0 + 20_000));

        assert!(matches!(transactions.poll_output(), Some(ClientOutput::Retransmit(..))));
        assert_eq!(transactions.poll_output(), None);
        assert_eq!(transactions.poll_timeout(), Some(Instant(START.0 + 21_000)));
    }

    #[test]
    fn a_full_table_and_a_branch_in_use_are_refused() {
        let mut transactions = started(false);

        assert_eq!(transactions.start("z9hG4bK1".into(), notify(), false, "other", START), Err(Full));
        assert_eq!(transactions.start("z9hG4bK2".into(), notify(), false, "other", START), Ok(()));
        assert_eq!(transactions.start("z9hG4bK3".into(), notify(), false, "other", START), Err(Full));
        assert_eq!(transactions.abandon("z9hG4bK2"), Some("other"));
        assert_eq!(transactions.start("z9hG4bK3".into(), notify(), false, "other", START), Ok(()));
    }
}
