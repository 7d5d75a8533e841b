//! Requests in flight: which manager has each, when another should get it, and when nobody will answer.
//!
//! Silence and refusal differ. A manager that answered 503 has not done what was asked, and one whose queue was full
//! never saw it; of a manager that is silent or whose connection broke nobody knows. So the sender is told 503 only
//! when every manager refused. While the fate of a copy is unknown the request is tried again, ever more slowly, until
//! its sender has given up; repeats are harmless, for managers give them their first answer.
//!
//! Nothing here sends or reads a clock: the caller drains [`Window::poll_output`] after every call.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use sip::Instant;

use crate::branch::Key;
use crate::route::{Order, Peer, Standing};

mod in_flight;

use in_flight::InFlight;

pub struct Window {
    bounds: Bounds,
    entries: HashMap<Key, InFlight>,
    bytes: usize,
    timers: BTreeSet<(Instant, Key)>,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub requests: usize,
    pub bytes: usize,
    /// How long a peer may be silent before the next one is tried.
    pub patience: Duration,
    /// How long a request is kept at all.
    pub give_up: Duration,
}

/// What the caller must do.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Send to this peer; call [`Window::unsent`] if that is impossible.
    Send { key: Key, peer: Peer, request: Bytes, retry: bool },
    /// Every peer refused: answer 503.
    Refuse { request: Bytes },
    /// Forgotten without an answer.
    GaveUp,
}

/// Requests inside a dialog keep a tenth of the window for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    InDialog,
    New,
}

/// The window has no room; the request is answered 503.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("as many requests are in flight as may be")]
pub struct Full;

impl Window {
    pub fn new(bounds: Bounds) -> Window {
        // Without any wait between them, rounds would never end.
        let patience = bounds.patience.max(Duration::from_millis(1));
        Window {
            bounds: Bounds { patience, ..bounds },
            entries: HashMap::new(),
            bytes: 0,
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes a request and sends it to the best peer. One that is already in flight is sent once more to the peer
    /// that has it, or to the next if that one is down.
    pub fn admit(
        &mut self,
        key: Key,
        request: Bytes,
        order: Order,
        priority: Priority,
        standings: &[Standing],
        now: Instant,
    ) -> Result<(), Full> {
        let full = self.is_full_for(priority, request.len());
        match self.entries.entry(key) {
            Entry::Occupied(mut held) => match held.get_mut().repeat(standings) {
                Some((peer, request)) => {
                    self.outputs.push_back(Output::Send { key, peer, request, retry: true });
                }
                None => self.advance(key, standings, now),
            },
            Entry::Vacant(_) if full => return Err(Full),
            Entry::Vacant(vacant) => {
                self.bytes += request.len();
                let give_up = now + self.bounds.give_up;
                vacant.insert(InFlight::new(request, order, now, give_up));
                self.timers.insert((now, key));
                self.advance(key, standings, now);
            }
        }
        Ok(())
    }

    pub fn holds(&self, key: Key) -> bool {
        self.entries.contains_key(&key)
    }

    /// A final answer came. False if the request is no longer in flight.
    pub fn answered(&mut self, key: Key) -> bool {
        self.remove(key).is_some()
    }

    /// The peer answered 503: it has not done what was asked and will not.
    pub fn refused(&mut self, key: Key, peer: Peer, standings: &[Standing], now: Instant) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let had_it = entry.decline(peer);
        if had_it {
            self.advance(key, standings, now);
        } else if entry.rests() && entry.is_refused() {
            // It waited only for those whose word was still out.
            self.refuse(key);
        }
    }

    /// The request could not be sent to the peer that an output named.
    pub fn unsent(&mut self, key: Key, peer: Peer, standings: &[Standing], now: Instant) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if entry.take_back(peer) {
            self.advance(key, standings, now);
        }
    }

    /// The connection to a peer broke: what it had goes to others.
    pub fn lost(&mut self, peer: Peer, standings: &[Standing], now: Instant) {
        let mut moving = Vec::new();
        for (key, entry) in &mut self.entries {
            if entry.lose(peer) {
                moving.push((entry.due, *key));
            }
        }
        // Oldest first, as they came.
        moving.sort_unstable();
        for (_, key) in moving {
            self.advance(key, standings, now);
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    pub fn handle_timeout(&mut self, standings: &[Standing], now: Instant) {
        while let Some((due, key)) = self.timers.first().copied() {
            if due > now {
                return;
            }
            if self.entries.get(&key).is_none_or(|entry| entry.give_up <= now) {
                self.timers.remove(&(due, key));
                self.remove(key);
                self.outputs.push_back(Output::GaveUp);
                continue;
            }
            self.advance(key, standings, now);
        }
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn is_full_for(&self, priority: Priority, length: usize) -> bool {
        let (requests, bytes) = match priority {
            Priority::InDialog => (self.bounds.requests, self.bounds.bytes),
            Priority::New => (self.bounds.requests / 10 * 9, self.bounds.bytes / 10 * 9),
        };
        self.entries.len() >= requests || self.bytes + length > bytes
    }

    /// Sends to the best peer not yet tried in this round, or rests, or refuses.
    fn advance(&mut self, key: Key, standings: &[Standing], now: Instant) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let retry = !entry.is_new();
        let wait = match entry.next(standings) {
            Some((peer, request)) => {
                self.outputs.push_back(Output::Send { key, peer, request, retry });
                self.bounds.patience
            }
            None if entry.is_refused() => return self.refuse(key),
            None => entry.rest(self.bounds.patience),
        };
        self.timers.remove(&(entry.due, key));
        entry.due = (now + wait).min(entry.give_up.max(now));
        self.timers.insert((entry.due, key));
    }

    fn refuse(&mut self, key: Key) {
        if let Some(entry) = self.remove(key) {
            self.outputs.push_back(Output::Refuse { request: entry.request });
        }
    }

    fn remove(&mut self, key: Key) -> Option<InFlight> {
        let entry = self.entries.remove(&key)?;
        self.timers.remove(&(entry.due, key));
        self.bytes -= entry.request.len();
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::Standing::{Doubtful, Down, Live};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const KEY: Key = Key(7);
    const START: Instant = Instant(1_000);
    const ALL_LIVE: [Standing; 3] = [Live; 3];

    #[test]
    fn a_request_goes_to_the_first_in_order() {
        let mut window = window();

        admit(&mut window, KEY, &ALL_LIVE, START);

        assert_eq!(sent(&mut window), [Peer(2)]);
    }

    #[test]
    fn a_peer_that_is_not_live_is_passed_over() {
        let mut window = window();

        admit(&mut window, KEY, &[Live, Live, Doubtful], START);

        assert_eq!(sent(&mut window), [Peer(0)]);
    }

    #[test]
    fn a_connected_peer_is_better_than_none() {
        let mut window = window();

        admit(&mut window, KEY, &[Doubtful, Down, Down], START);

        assert_eq!(sent(&mut window), [Peer(0)]);
    }

    #[test]
    fn with_nobody_connected_the_request_is_refused_at_once() {
        let mut window = window();

        admit(&mut window, KEY, &[Down; 3], START);

        assert_eq!(window.poll_output(), Some(Output::Refuse { request: request() }));
        assert!(window.is_empty());
    }

    #[test]
    fn after_a_second_of_silence_the_next_in_order_gets_it() {
        let mut window = window();
        admit(&mut window, KEY, &ALL_LIVE, START);
        sent(&mut window);

        window.handle_timeout(&ALL_LIVE, START + Duration::from_millis(999));
        let early = sent(&mut window);
        window.handle_timeout(&ALL_LIVE, START + SECOND);

        assert_eq!((early, sent(&mut window)), (vec![], vec![Peer(0)]));
        assert_eq!(window.poll_timeout(), Some(START + 2 * SECOND));
    }

    #[test]
    fn a_refusal_moves_it_on_at_once() {
        let mut window = window();
        admit(&mut window, KEY, &ALL_LIVE, START);
        sent(&mut window);

        window.refused(KEY, Peer(2), &ALL_LIVE, START);

        assert_eq!(sent(&mut window), [Peer(0)]);
    }

    #[test]
    fn only_when_all_refused_is_the_sender_told() {
        let mut window = window();
        admit(&mut window, KEY, &ALL_LIVE, START);

        window.refused(KEY, Peer(2), &ALL_LIVE, START);
        window.unsent(KEY, Peer(0), &ALL_LIVE, START);
        assert_eq!(sent(&mut window), [Peer(2), Peer(0), Peer(1)]);
        window.refused(KEY, Peer(1), &ALL_LIVE, START);

        assert_eq!(window.poll_output(), Some(Output::Refuse { request: request() }));
    }

    #[test]
    fn while_one_is_silent_nobody_is_told_503_until_it_refuses_too() {
        let mut window = window();
        admit(&mut window, KEY, &ALL_LIVE, START);
        window.handle_timeout(&ALL_LIVE, START + SECOND);
        window.refused(KEY, Peer(0), &ALL_LIVE, START + SECOND);
        window.refused(KEY, Peer(1), &ALL_LIVE, START + SECOND);
        assert_eq!(sent(&mut window), [Peer(2), Peer(0), Peer(1)]);
        assert_eq!(window.poll_output(), None);

        window.refused(KEY, Peer(2), &ALL_LIVE, START + SECOND);

        assert_eq!(window.poll_output(), Some(Output::Refuse { request: request() }));
    }

    #[test]
    fn a_copy_lost_with_its_connection_is_never_answered_503_but_tried_again() {
        let mut window = window();
        let gone = [Live, Live, Down];
        admit(&mut window, KEY, &ALL_LIVE, START);

        window.lost(Peer(2), &gone, START);
        window.refused(KEY, Peer(0), &gone, START);
        window.refused(KEY, Peer(1), &gone, START);
        let first_round = sent(&mut window);
        window.handle_timeout(&gone, START + SECOND);

        assert_eq!(first_round, [Peer(2), Peer(0), Peer(1)]);
        assert_eq!(sent(&mut window), [Peer(0)]);
    }

    #[test]
    fn rounds_come_ever_more_slowly_and_end_when_the_sender_gave_up() {
        let mut window = window();
        let alone = [Down, Live, Down];
        admit(&mut window, KEY, &alone, START);
        let mut sends = vec![];

        while let Some(due) = window.poll_timeout() {
            if sent(&mut window) == [Peer(1)] {
                sends.push((due - START).as_secs() - 1);
            }
            window.handle_timeout(&alone, due);
        }

        assert_eq!(sends, [0, 2, 5, 10, 19]);
        assert_eq!(window.poll_output(), Some(Output::GaveUp));
        assert!(window.is_empty());
    }

    #[test]
    fn a_copy_that_could_not_be_sent_says_nothing_of_an_earlier_one() {
        let mut window = window();
        let alone = [Down, Live, Down];
        admit(&mut window, KEY, &alone, START);
        window.handle_timeout(&alone, START + SECOND);
        window.handle_timeout(&alone, START + 2 * SECOND);
        assert_eq!(sent(&mut window), [Peer(1), Peer(1)]);

        window.unsent(KEY, Peer(1), &alone, START + 2 * SECOND);

        assert_eq!((window.poll_output(), window.len()), (None, 1));
    }

    #[test]
    fn a_repeat_goes_to_the_peer_that_has_the_request() {
        let mut window = window();
        admit(&mut window, KEY, &ALL_LIVE, START);
        window.refused(KEY, Peer(2), &ALL_LIVE, START);
        sent(&mut window);

        admit(&mut window, KEY, &ALL_LIVE, START + Duration::from_millis(500));

        assert_eq!(sent(&mut window), [Peer(0)]);
        assert_eq!((window.len(), window.poll_timeout()), (1, Some(START + SECOND)));
    }

    #[test]
    fn a_repeat_of_a_resting_request_goes_out_at_once() {
        let mut window = window();
        let alone = [Down, Live, Down];
        admit(&mut window, KEY, &alone, START);
        window.handle_timeout(&alone, START + SECOND);
        sent(&mut window);

        admit(&mut window, KEY, &ALL_LIVE, START + SECOND);

        assert_eq!(sent(&mut window), [Peer(2)]);
    }

    #[test]
    fn an_answer_removes_the_request_and_its_timer() {
        let mut window = window();
        admit(&mut window, KEY, &ALL_LIVE, START);

        assert!(window.answered(KEY));

        assert!(!window.answered(KEY) && window.is_empty());
        assert_eq!((window.poll_timeout(), window.bytes), (None, 0));
    }

    #[test]
    fn a_full_window_refuses_new_requests_before_those_inside_a_dialog() {
        let mut window = window();
        for n in 0..9 {
            admit(&mut window, Key(n), &ALL_LIVE, START);
        }

        let mut attempt =
            |key, priority| window.admit(Key(key), request(), order(), priority, &ALL_LIVE, START);

        assert_eq!(attempt(100, Priority::New), Err(Full));
        assert_eq!(attempt(101, Priority::InDialog), Ok(()));
        assert_eq!(attempt(102, Priority::InDialog), Err(Full));
        assert_eq!(attempt(3, Priority::New), Ok(()), "a repeat takes no room");
    }

    #[test]
    fn the_bytes_of_the_requests_are_bounded_too() {
        let mut window = Window::new(Bounds { bytes: 10, ..bounds() });
        admit(&mut window, Key(1), &ALL_LIVE, START);

        let second = window.admit(Key(2), request(), order(), Priority::InDialog, &ALL_LIVE, START);

        assert_eq!(second, Err(Full));
    }

    fn bounds() -> Bounds {
        Bounds { requests: 10, bytes: 1_000, patience: SECOND, give_up: 32 * SECOND }
    }

    fn window() -> Window {
        Window::new(bounds())
    }

    fn request() -> Bytes {
        Bytes::from_static(b"request")
    }

    fn order() -> Order {
        Order::from_slice(&[Peer(2), Peer(0), Peer(1)])
    }

    fn admit(window: &mut Window, key: Key, standings: &[Standing], now: Instant) {
        window.admit(key, request(), order(), Priority::New, standings, now).unwrap();
    }

    /// The peers that the outputs up to now name; stops at the first output of another kind.
    fn sent(window: &mut Window) -> Vec<Peer> {
        let mut peers = vec![];
        while let Some(Output::Send { peer, .. }) = window.outputs.front() {
            peers.push(*peer);
            window.poll_output();
        }
        peers
    }
}
