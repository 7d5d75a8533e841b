//! Server transactions (RFC 3261 §17.2.2): a request is served once, however often it comes.
//!
//! A repeat of a request that is being worked on is absorbed; a repeat of one that is answered gets the
//! same bytes again, until Timer J. No provisional answer is ever sent (RFC 4320 §4.1), so Trying and
//! Proceeding are one state. A request that nobody answers is forgotten after 64*T1, when its
//! sender has given up as well.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;

use super::answers::Answers;
use super::timers::Timers;
use super::{TRANSACTION_LIFETIME, TransactionKey};
use crate::header::Via;
use crate::message::Message;
use crate::method::Method;
use crate::secret::Secret;
use crate::time::Instant;

pub struct ServerTransactions {
    capacity: usize,
    /// Names the transactions.
    secret: Secret,
    live: BTreeMap<TransactionKey, Transaction>,
    ends: Timers<TransactionKey>,
    answers: Answers,
}

struct Transaction {
    answer: Option<Bytes>,
    ends_at: Instant,
}

/// What a received request is to this table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// To be served; then `respond` or `abandon`.
    New(TransactionKey),
    /// Seen before. `Some`: send this again; `None`: its answer is being worked on.
    Repeat(Option<Bytes>),
    /// No room: to be answered 503 without state, or dropped.
    Full,
}

impl ServerTransactions {
    pub fn new(capacity: usize, secret: Secret) -> ServerTransactions {
        ServerTransactions {
            capacity,
            secret,
            live: BTreeMap::new(),
            ends: Timers::new(),
            answers: Answers::default(),
        }
    }

    /// `via`: the topmost one of the request.
    pub fn receive(&mut self, request: &Message, via: &Via<'_>, now: Instant) -> Received {
        let key = TransactionKey::of(request, via, &self.secret);
        let is_full = self.live.len() >= self.capacity;
        match self.live.entry(key) {
            Entry::Occupied(held) => return Received::Repeat(held.get().answer.clone()),
            Entry::Vacant(_) if is_full => return Received::Full,
            Entry::Vacant(free) => {
                let ends_at = now + TRANSACTION_LIFETIME;
                self.ends.set(ends_at, key);
                free.insert(Transaction { answer: None, ends_at });
            }
        }
        self.sweep();
        Received::New(key)
    }

    /// Keeps a final answer for repeats. On a reliable transport there are none to come, and the
    /// transaction ends (Timer J is zero). A transaction given up before stays so.
    pub fn respond(&mut self, key: &TransactionKey, response: &[u8], reliable: bool, now: Instant) {
        if reliable {
            return self.abandon(key);
        }
        if let Some(transaction) = self.live.get_mut(key) {
            transaction.answer = Some(self.answers.keep(response));
            transaction.ends_at = now + TRANSACTION_LIFETIME;
            self.ends.set(transaction.ends_at, *key);
        }
    }

    /// Ends a transaction that gets no answer: a repeat will be new.
    pub fn abandon(&mut self, key: &TransactionKey) {
        self.live.remove(key);
    }

    /// Whether a CANCEL is about a transaction held here: then its answer is 200, otherwise 481. It has no
    /// further effect, since only an INVITE can be cancelled (RFC 3261 §9.2).
    pub fn is_cancelled_by(&self, cancel: &Message, via: &Via<'_>) -> bool {
        const OTHERS: [Method; 8] = [
            Method::Subscribe,
            Method::Publish,
            Method::Notify,
            Method::Register,
            Method::Options,
            Method::Message,
            Method::Invite,
            Method::Refer,
        ];
        let key = |method: Method| TransactionKey::with_method(cancel, via, method.as_str(), &self.secret);
        OTHERS.into_iter().any(|method| self.live.contains_key(&key(method)))
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.ends.next()
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((ends_at, keys)) = self.ends.fired(now) {
            for key in keys {
                if self.live.get(&key).is_some_and(|transaction| transaction.ends_at == ends_at) {
                    self.live.remove(&key);
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

    fn sweep(&mut self) {
        let live = &self.live;
        let runs = |ends_at: &Instant, key: &TransactionKey| {
            live.get(key).is_some_and(|held| held.ends_at == *ends_at)
        };
        self.ends.sweep(live.len(), runs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Limits;

    const START: Instant = Instant(1_000);

    fn request(method: &str, branch: u32) -> Message {
        let text = format!("{method} sip:b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{branch}\r\n\r\n");
        Message::parse(text.into(), &Limits::default()).unwrap()
    }

    fn transactions(capacity: usize) -> ServerTransactions {
        ServerTransactions::new(capacity, Secret::new("lab"))
    }

    fn receive(transactions: &mut ServerTransactions, request: Message, now: Instant) -> Received {
        transactions.receive(&request, &request.via().unwrap(), now)
    }

    fn begin(transactions: &mut ServerTransactions, branch: u32) -> TransactionKey {
        let Received::New(key) = receive(transactions, request("PUBLISH", branch), START) else {
            panic!("not new")
        };
        key
    }

    fn ok() -> Bytes {
        Bytes::from_static(b"SIP/2.0 200 OK")
    }

    #[test]
    fn a_repeat_is_absorbed_until_there_is_an_answer_and_then_gets_it() {
        let mut transactions = transactions(8);
        let key = begin(&mut transactions, 1);

        let early = receive(&mut transactions, request("PUBLISH", 1), START);
        transactions.respond(&key, &ok(), false, START);
        let late = receive(&mut transactions, request("PUBLISH", 1), START);

        assert_eq!(early, Received::Repeat(None));
        assert_eq!(late, Received::Repeat(Some(ok())));
    }

    #[test]
    fn timer_j_runs_from_the_answer_on_udp() {
        let mut transactions = transactions(8);
        let key = begin(&mut transactions, 1);
        let answered = Instant(11_000);

        transactions.respond(&key, &ok(), false, answered);

        transactions.handle_timeout(Instant(42_999));
        assert_eq!((transactions.len(), transactions.poll_timeout()), (1, Some(Instant(43_000))));
        transactions.handle_timeout(Instant(43_000));
        assert!(transactions.is_empty());
        assert_eq!(transactions.poll_timeout(), None);
    }

    #[test]
    fn timer_j_is_zero_on_a_reliable_transport() {
        let mut transactions = transactions(8);
        let key = begin(&mut transactions, 1);

        transactions.respond(&key, &ok(), true, START);

        assert!(transactions.is_empty());
    }

    #[test]
    fn an_abandoned_request_may_come_again() {
        let mut transactions = transactions(8);
        let key = begin(&mut transactions, 1);

        transactions.abandon(&key);

        assert_eq!(begin(&mut transactions, 1), key);
    }

    #[test]
    fn a_request_nobody_answers_is_forgotten_and_its_late_answer_not_kept() {
        let mut transactions = transactions(8);
        let key = begin(&mut transactions, 1);

        transactions.handle_timeout(START + TRANSACTION_LIFETIME);
        transactions.respond(&key, &ok(), false, START + TRANSACTION_LIFETIME);

        assert!(transactions.is_empty());
    }

    #[test]
    fn a_full_table_takes_no_new_request_but_knows_its_repeats() {
        let mut transactions = transactions(2);
        begin(&mut transactions, 1);
        begin(&mut transactions, 2);

        assert_eq!(receive(&mut transactions, request("PUBLISH", 3), START), Received::Full);
        assert_eq!(receive(&mut transactions, request("PUBLISH", 2), START), Received::Repeat(None));
    }

    #[test]
    fn a_cancel_finds_the_request_of_its_branch() {
        let mut transactions = transactions(2);
        begin(&mut transactions, 1);

        let cancels = [1, 2].map(|branch| {
            let cancel = request("CANCEL", branch);
            transactions.is_cancelled_by(&cancel, &cancel.via().unwrap())
        });
        assert_eq!(cancels, [true, false]);
    }
}
