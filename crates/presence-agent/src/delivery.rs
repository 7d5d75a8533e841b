//! What this node has delivered to the watchers it owns: its own memory of sending, never replicated.
//!
//! A subscription is *dirty* while it is owed a newer NOTIFY than the one delivered. At most one NOTIFY
//! per dialog is in flight, and what is sent next is the newest state. A NOTIFY that fails leaves the subscription
//! dirty: it is tried again after a while, at the next change, and when the watcher refreshes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use presence::position::Position;
use sip::Instant;

use crate::shard::SubscriptionId;
use crate::way::Way;

#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    held: BTreeMap<SubscriptionId, Delivery>,
    /// Waiting for their turn to send.
    queue: VecDeque<SubscriptionId>,
    retries: BTreeSet<(Instant, SubscriptionId)>,
    dirty: BTreeSet<SubscriptionId>,
    /// The ways that were learnt: most watchers come through a few dispatchers.
    ways: BTreeSet<Arc<Way>>,
    /// Something was owed or delivered since the last claim.
    moved: bool,
}

/// Small, for a node holds one for each subscription that it owns, and most of them have nothing to tell.
#[derive(Clone, Debug)]
struct Delivery {
    delivered: Position,
    epoch: u32,
    /// How many NOTIFYs of this epoch were sent.
    sent: u16,
    /// As the route set of this epoch has it, once it was looked at.
    way: Option<Arc<Way>>,
    in_flight: Option<Box<InFlight>>,
    trouble: Option<Box<Trouble>>,
    queued: bool,
}

/// A NOTIFY that awaits its answer.
#[derive(Clone, Debug)]
struct InFlight {
    position: Position,
    /// The branch of its transaction, once that was started.
    branch: Arc<str>,
}

/// What went wrong since a NOTIFY was last accepted.
#[derive(Clone, Debug, Default)]
struct Trouble {
    failures: u32,
    retry_at: Option<Instant>,
    /// What changes meanwhile waits for the retry as well.
    patient: bool,
    /// The dialog was said to lead nowhere. Whoever says so again is believed.
    doubted: bool,
}

/// The numbers of one NOTIFY.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Turn {
    Send {
        cseq: u32,
        /// `None` as long as nobody has told it ([`Deliveries::learn`]).
        way: Option<Way>,
    },
    /// The epoch has no CSeq left; a new one must be committed first.
    EpochUsedUp,
    /// The dialog has none left: a CSeq is below 2^31 (RFC 3261 8.1.1.5).
    DialogUsedUp,
}

impl Deliveries {
    /// The low bits of a CSeq count within an epoch.
    const CSEQ_BITS: u32 = 12;
    /// As many as leave CSeqs below 2^31.
    const EPOCHS: u32 = 1 << (31 - Self::CSEQ_BITS);
    pub const FIRST_RETRY: Duration = Duration::from_secs(32);
    const LAST_RETRY: Duration = Duration::from_secs(600);
    /// Beyond it those known are forgotten, and shared no more.
    const WAYS: usize = 64;

    /// Takes note of a subscription of ours in which everything up to `delivered` has reached the watcher. Gives the
    /// branch of a NOTIFY that is still on its way under a CSeq of an older epoch: its answer tells nothing any more.
    pub fn own(&mut self, id: SubscriptionId, epoch: u32, delivered: Position) -> Option<Arc<str>> {
        let fresh =
            Delivery { delivered, epoch, sent: 0, way: None, in_flight: None, trouble: None, queued: false };
        let held = self.held.entry(id).or_insert(fresh);
        if held.epoch == epoch {
            return None;
        }
        held.epoch = epoch;
        held.sent = 0;
        held.way = None;
        if let Some(trouble) = &mut held.trouble {
            trouble.doubted = false;
        }
        held.in_flight.take().map(|sent| sent.branch)
    }

    /// Gives the branch of the NOTIFY in flight.
    pub fn disown(&mut self, id: SubscriptionId) -> Option<Arc<str>> {
        let delivery = self.held.remove(&id)?;
        if let Some(at) = delivery.trouble.and_then(|trouble| trouble.retry_at) {
            self.retries.remove(&(at, id));
        }
        self.dirty.remove(&id);
        delivery.in_flight.map(|sent| sent.branch)
    }

    pub fn has(&self, id: SubscriptionId) -> bool {
        self.held.contains_key(&id)
    }

    pub fn ids(&self) -> impl Iterator<Item = SubscriptionId> {
        self.held.keys().copied()
    }

    /// Those behind a bound, in their order.
    pub fn ids_from(&self, from: Bound<SubscriptionId>) -> impl Iterator<Item = SubscriptionId> {
        self.held.range((from, Bound::Unbounded)).map(|(id, _)| *id)
    }

    /// The watcher is alive, whatever failed before. Says whether it is one of ours.
    pub fn heard_from(&mut self, id: SubscriptionId) -> bool {
        let Some(delivery) = self.held.get_mut(&id) else { return false };
        delivery.recover();
        true
    }

    /// Puts a subscription in the queue if it is owed more than was delivered.
    pub fn wake(&mut self, id: SubscriptionId, owed: Position) {
        self.wake_if(id, || Some(owed));
    }

    /// The same; what is owed is asked only if it is ours.
    pub fn wake_if(&mut self, id: SubscriptionId, owed: impl FnOnce() -> Option<Position>) {
        let Some(delivery) = self.held.get_mut(&id) else { return };
        let Some(owed) = owed() else { return };
        if owed <= delivery.delivered {
            return;
        }
        self.moved = true;
        self.dirty.insert(id);
        // A watcher that failed once may just have missed it; one that fails again waits for its turn, or the silent
        // ones would take the room of those that answer.
        if let Some(trouble) = &mut delivery.trouble
            && let Some(at) = trouble.retry_at
        {
            if trouble.failures > 1 || trouble.patient {
                return;
            }
            trouble.retry_at = None;
            self.retries.remove(&(at, id));
        }
        if delivery.in_flight.is_none() && !delivery.queued {
            delivery.queued = true;
            self.queue.push_back(id);
        }
    }

    /// Whether somebody may wait for their turn to send.
    pub fn is_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    pub fn next_in_queue(&mut self) -> Option<SubscriptionId> {
        while let Some(id) = self.queue.pop_front() {
            if let Some(delivery) = self.held.get_mut(&id).filter(|delivery| delivery.queued) {
                delivery.queued = false;
                return Some(id);
            }
        }
        None
    }

    /// Starts a NOTIFY that brings the watcher up to `position`, in the transaction `branch`.
    pub fn start(&mut self, id: SubscriptionId, position: Position, branch: &Arc<str>) -> Option<Turn> {
        let delivery = self.held.get_mut(&id).filter(|delivery| delivery.in_flight.is_none())?;
        if delivery.epoch >= Self::EPOCHS {
            return Some(Turn::DialogUsedUp);
        }
        if delivery.sent + 1 >= 1 << Self::CSEQ_BITS {
            return Some(Turn::EpochUsedUp);
        }
        delivery.sent += 1;
        delivery.in_flight = Some(Box::new(InFlight { position, branch: branch.clone() }));
        let way = delivery.way.as_deref().copied();
        Some(Turn::Send { cseq: delivery.epoch << Self::CSEQ_BITS | u32::from(delivery.sent), way })
    }

    /// The way that NOTIFYs of this epoch go.
    pub fn learn(&mut self, id: SubscriptionId, way: Way) {
        let Some(delivery) = self.held.get_mut(&id) else { return };
        let known = self.ways.get(&way).cloned().unwrap_or_else(|| {
            // Watchers without a route of ours may name any address.
            if self.ways.len() >= Self::WAYS {
                self.ways.clear();
            }
            let way = Arc::new(way);
            self.ways.insert(way.clone());
            way
        });
        delivery.way = Some(known);
    }

    /// The watcher has accepted the NOTIFY in flight, or never will: there is nothing more to do about it.
    pub fn delivered(&mut self, id: SubscriptionId, owed: Position) {
        let Some(delivery) = self.held.get_mut(&id) else { return };
        if let Some(sent) = delivery.in_flight.take() {
            delivery.delivered = delivery.delivered.max(sent.position);
        }
        delivery.recover();
        self.moved = true;
        if owed <= delivery.delivered {
            self.dirty.remove(&id);
        } else {
            self.wake(id, owed);
        }
    }

    /// Whether the NOTIFY in flight is the first of its epoch: it may be the very first that the watcher sees, and overtake
    /// the answer that makes its dialog.
    pub fn is_first(&self, id: SubscriptionId) -> bool {
        self.held.get(&id).is_some_and(|delivery| delivery.sent == 1)
    }

    /// The NOTIFY in flight was not accepted, or nobody answered. If the state moved on meanwhile the newer one is
    /// tried at once; else after a while that doubles. `pause`: how long the watcher asked to be left alone, which what
    /// changes does not cut short.
    pub fn failed(&mut self, id: SubscriptionId, owed: Position, pause: Option<Duration>, now: Instant) {
        let Some(delivery) = self.held.get_mut(&id) else { return };
        let tried = delivery.in_flight.take().map(|sent| sent.position);
        let trouble = delivery.trouble.get_or_insert_default();
        trouble.failures += 1;
        trouble.patient = pause.is_some();
        if trouble.failures == 1 && pause.is_none() && tried.is_some_and(|tried| owed > tried) {
            self.wake(id, owed);
            return;
        }
        let doubled = Self::FIRST_RETRY * (1 << (trouble.failures - 1).min(8));
        let wait = match pause {
            Some(pause) if trouble.failures == 1 => pause,
            pause => doubled.max(pause.unwrap_or_default()),
        };
        let at = now + wait.min(Self::LAST_RETRY);
        trouble.retry_at = Some(at);
        self.retries.insert((at, id));
    }

    /// The dialog of the NOTIFY in flight is said to lead nowhere. Says whether to believe it, because it was said before;
    /// if not, it is asked once more after `pause`.
    pub fn refused(&mut self, id: SubscriptionId, owed: Position, pause: Duration, now: Instant) -> bool {
        let Some(delivery) = self.held.get_mut(&id) else { return false };
        if std::mem::replace(&mut delivery.trouble.get_or_insert_default().doubted, true) {
            return true;
        }
        self.failed(id, owed, Some(pause), now);
        false
    }

    /// Those whose time to try again has come.
    pub fn take_retries(&mut self, now: Instant) -> Vec<SubscriptionId> {
        let later = self.retries.split_off(&(Instant(now.0 + 1), SubscriptionId(0)));
        let due = std::mem::replace(&mut self.retries, later);
        let due: Vec<_> = due.into_iter().map(|(_, id)| id).collect();
        for id in &due {
            if let Some(delivery) = self.held.get_mut(id)
                && let Some(trouble) = &mut delivery.trouble
            {
                trouble.retry_at = None;
            }
        }
        due
    }

    pub fn next_retry(&self) -> Option<Instant> {
        self.retries.first().map(|(at, _)| *at)
    }

    /// What is owed a NOTIFY that has not been accepted yet.
    pub fn dirty(&self) -> &BTreeSet<SubscriptionId> {
        &self.dirty
    }

    /// Whether a claim would say something new.
    pub fn has_moved(&self) -> bool {
        self.moved
    }

    pub fn claimed(&mut self) {
        self.moved = false;
    }

    pub fn claim_failed(&mut self) {
        self.moved = true;
    }

    pub fn len(&self) -> usize {
        self.held.len()
    }
}

impl Delivery {
    /// The watcher is there, whatever failed before. A retry that is set stays so.
    fn recover(&mut self) {
        let retry_at = self.trouble.take().and_then(|trouble| trouble.retry_at);
        self.trouble = retry_at.map(|at| Box::new(Trouble { retry_at: Some(at), ..Trouble::default() }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SubscriptionId = SubscriptionId(7);

    fn start(deliveries: &mut Deliveries, position: u64) -> Option<Turn> {
        deliveries.start(ID, Position(position), &"z9hG4bK1".into())
    }

    fn send(cseq: u32) -> Option<Turn> {
        Some(Turn::Send { cseq, way: None })
    }

    fn owned() -> Deliveries {
        let mut deliveries = Deliveries::default();
        deliveries.own(ID, 1, Position(0));
        deliveries
    }

    #[test]
    fn one_notify_is_in_flight_and_the_newest_state_is_sent_next() {
        let mut deliveries = owned();
        deliveries.wake(ID, Position(5));
        assert_eq!(deliveries.next_in_queue(), Some(ID));
        assert_eq!(start(&mut deliveries, 5), send(4097));

        deliveries.wake(ID, Position(6));
        deliveries.wake(ID, Position(7));
        assert_eq!(deliveries.next_in_queue(), None);
        deliveries.delivered(ID, Position(7));

        assert_eq!(deliveries.next_in_queue(), Some(ID));
        assert_eq!(deliveries.next_in_queue(), None);
    }

    #[test]
    fn what_was_delivered_is_not_owed_again() {
        let mut deliveries = owned();
        deliveries.wake(ID, Position(5));
        deliveries.next_in_queue();
        start(&mut deliveries, 5);
        deliveries.delivered(ID, Position(5));

        deliveries.wake(ID, Position(5));

        assert!(deliveries.next_in_queue().is_none() && deliveries.dirty().is_empty());
    }

    #[test]
    fn a_failed_notify_leaves_the_subscription_dirty_until_its_retry() {
        let mut deliveries = owned();
        deliveries.wake(ID, Position(5));
        deliveries.next_in_queue();
        start(&mut deliveries, 5);

        deliveries.failed(ID, Position(5), None, Instant(0));

        assert!(deliveries.dirty().contains(&ID));
        assert_eq!(deliveries.take_retries(Instant(31_999)), []);
        assert_eq!(deliveries.take_retries(Instant(32_000)), [ID]);
    }

    #[test]
    fn a_watcher_that_asks_for_a_pause_has_it_whatever_changes_meanwhile_unless_it_asks_first() {
        let pause = Some(Duration::from_secs(5));
        let mut deliveries = owned();
        start(&mut deliveries, 5);
        deliveries.failed(ID, Position(6), pause, Instant(0));
        deliveries.wake(ID, Position(7));
        assert_eq!(deliveries.next_in_queue(), None);
        assert_eq!(deliveries.next_retry(), Some(Instant(5_000)));

        deliveries.heard_from(ID);
        deliveries.wake(ID, Position(8));

        assert_eq!((deliveries.next_in_queue(), deliveries.next_retry()), (Some(ID), None));
    }

    #[test]
    fn nobody_makes_us_wait_longer_than_we_would_or_try_ever_more_often() {
        let mut deliveries = owned();
        for (asked, waits) in [(86_400, 600), (1, 64), (0, 128)] {
            start(&mut deliveries, 5);
            deliveries.failed(ID, Position(5), Some(Duration::from_secs(asked)), Instant(0));
            assert_eq!(deliveries.next_retry(), Some(Instant(waits * 1_000)), "{asked}");
            deliveries.take_retries(Instant(waits * 1_000));
        }
    }

    #[test]
    fn that_a_dialog_leads_nowhere_is_believed_when_it_is_said_twice_with_nothing_delivered_between() {
        let mut deliveries = owned();
        let refused = |deliveries: &mut Deliveries| {
            start(deliveries, 5);
            deliveries.refused(ID, Position(5), Duration::from_secs(32), Instant(0))
        };

        assert!(!refused(&mut deliveries));
        start(&mut deliveries, 5);
        deliveries.delivered(ID, Position(5));
        assert!(!refused(&mut deliveries));
        assert!(refused(&mut deliveries));
    }

    #[test]
    fn in_a_new_epoch_nobody_waits_for_the_notify_of_the_old_one() {
        let mut deliveries = owned();
        deliveries.wake(ID, Position(5));
        deliveries.next_in_queue();
        start(&mut deliveries, 5);

        let same = deliveries.own(ID, 1, Position(0));
        let next = deliveries.own(ID, 2, Position(0));
        deliveries.wake(ID, Position(6));

        assert_eq!((same, next.as_deref()), (None, Some("z9hG4bK1")));
        assert_eq!(deliveries.next_in_queue(), Some(ID));
    }

    #[test]
    fn the_cseq_rises_over_epochs_and_an_epoch_ends_before_it_overflows() {
        let mut deliveries = owned();
        for n in 1..4096 {
            assert_eq!(start(&mut deliveries, n), send(4096 + n as u32));
            deliveries.delivered(ID, Position(n));
        }

        assert_eq!(start(&mut deliveries, 5000), Some(Turn::EpochUsedUp));
        deliveries.own(ID, 2, Position(0));
        assert_eq!(start(&mut deliveries, 5000), send(8193));
    }

    #[test]
    fn no_cseq_reaches_two_to_the_31() {
        let mut deliveries = owned();
        deliveries.own(ID, Deliveries::EPOCHS - 1, Position(0));
        let last = start(&mut deliveries, 1);
        deliveries.own(ID, Deliveries::EPOCHS, Position(0));

        assert_eq!(last, send((1 << 31) - 4095));
        assert_eq!(start(&mut deliveries, 2), Some(Turn::DialogUsedUp));
    }
}
