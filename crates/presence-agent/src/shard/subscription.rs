//! A subscription as the group records it (RFC 6665): the request that made or last refreshed it, and what the log
//! added. NOTIFYs are not in the log; their CSeq rises with the epoch.

use std::fmt;

use placement::{NodeId, PresentityKey, Slot};
use presence::position::Position;
use presence::time::{Lifetime, Timestamp};
use proto::v1::Standing;

use super::{Dialog, Moment, Refusal};
use crate::mutants::{Mutant, broken};

/// The name of a subscription, made of the local tag of its dialog: the slot of the presentity in the highest bits and a
/// hash of the tag below. Every replica finds the same one. We sign our tags, so nobody aims at the id of somebody
/// else; should two meet all the same, the later dialog is refused like one that nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubscriptionId(pub u64);

/// Why one has ended (RFC 6665 section 4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Timeout,
    /// Billing willed it.
    Rejected,
    NoResource,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    pub dialog: Dialog,
    /// The node that notifies the watcher: the one that took its last request, or the heir of that one.
    pub owner: NodeId,
    /// Rises whenever somebody may have sent NOTIFYs that the present owner does not know of.
    pub epoch: u32,
    /// When the watcher last asked: a NOTIFY is owed since then.
    pub asked_at: Position,
    /// Of an ended subscription: when its record goes.
    pub expires_at: Timestamp,
    /// The reason for `Subscription-State: terminated`, once there is one.
    pub ended: Option<Ended>,
}

impl SubscriptionId {
    const HASH_BITS: u32 = 54;
    const SLOTS_FIT: () = assert!(Slot::COUNT as u64 == 1 << (u64::BITS - Self::HASH_BITS));

    /// `None` if the tag begins with no slot.
    pub fn of(local_tag: &str) -> Option<SubscriptionId> {
        let slot = u64::from(Slot::from_prefix(local_tag)?.number());
        let hash = placement::hash(local_tag.as_bytes()) >> (u64::BITS - Self::HASH_BITS);
        Some(SubscriptionId(slot << Self::HASH_BITS | hash))
    }

    pub fn slot(self) -> Slot {
        let () = Self::SLOTS_FIT;
        Slot::new((self.0 >> Self::HASH_BITS) as u16).expect("ten bits are left, as a slot has")
    }
}

impl Ended {
    const ALL: [Ended; 3] = [Ended::Timeout, Ended::Rejected, Ended::NoResource];

    pub fn as_str(self) -> &'static str {
        match self {
            Ended::Timeout => "timeout",
            Ended::Rejected => "rejected",
            Ended::NoResource => "noresource",
        }
    }

    pub fn named(name: &str) -> Option<Ended> {
        Ended::ALL.into_iter().find(|ended| ended.as_str() == name)
    }
}

impl Subscription {
    /// How long an ended subscription is kept: until the watcher must have had its last NOTIFY, and a repeat of the
    /// request that ended it can no longer come (64*T1 and some).
    pub(super) const KEPT_AFTER_END: Lifetime = Lifetime(64);
    pub(super) const TOO_LONG: Refusal =
        Refusal::Malformed("a dialog says at most 64 KiB, and ends no line in a value");

    pub(super) fn new(dialog: Dialog, owner: NodeId, moment: Moment) -> Subscription {
        let expires_at = moment.now + dialog.numbers.lifetime;
        Subscription { dialog, owner, epoch: 1, asked_at: moment.at, expires_at, ended: None }
    }

    pub fn presentity(&self) -> PresentityKey {
        PresentityKey::restored(self.dialog.presentity())
    }

    /// Whether the watcher waits for approval.
    pub fn is_pending(&self) -> bool {
        self.dialog.numbers.standing == Standing::Pending
    }

    /// Whether the watcher may be shown the presentity's state.
    pub fn is_shown(&self) -> bool {
        (!self.is_pending() || broken(Mutant::PendingShown)) && self.ended != Some(Ended::Rejected)
    }

    pub fn standing(&self) -> Standing {
        match self.is_pending() {
            true => Standing::Pending,
            false => Standing::Active,
        }
    }

    /// What a request in the dialog makes of it: refreshes the subscription, moves it to the node that took the request,
    /// or ends it.
    pub(super) fn refreshed(
        &self,
        said: Dialog,
        owner: NodeId,
        moment: Moment,
    ) -> Result<Subscription, Refusal> {
        let held = &self.dialog;
        if !held.is_same_usage(&said) || self.ended.is_some() || self.expires_at <= moment.now {
            return Err(Refusal::UnknownSubscription);
        }
        if said.numbers.cseq <= held.numbers.cseq {
            return Err(Refusal::OutOfOrder);
        }
        let dialog = held.refreshed(said).ok_or(Self::TOO_LONG)?;
        let moved = !held.is_reached_like(&dialog);
        let (expires_at, asked_at) = (moment.now + dialog.numbers.lifetime, moment.at);
        let mut new =
            Subscription { dialog, expires_at, asked_at, owner: self.owner, epoch: self.epoch, ended: None };
        let judged = self.is_pending() != new.is_pending();
        if !new.give_to(owner) && (moved || judged) {
            // Whoever is found at the old address may say that it does not know the dialog, and is not to end it; and
            // what is on its way was written for another standing.
            new.epoch += 1;
        }
        if new.dialog.numbers.lifetime == Lifetime::ZERO {
            new.end(Ended::Timeout, moment);
        }
        Ok(new)
    }

    /// Billing's word. Says whether it changes anything; if so, what is on its way to the watcher counts no more.
    pub(super) fn judge(&mut self, standing: Standing, moment: Moment) -> bool {
        if self.ended.is_some() {
            return false;
        }
        match standing {
            Standing::Rejected => self.end(Ended::Rejected, moment),
            Standing::Active | Standing::Pending if standing != self.standing() => {
                self.dialog.numbers.standing = standing;
                self.asked_at = moment.at;
            }
            _ => return false,
        }
        self.epoch += 1;
        true
    }

    /// A new owner does not know which CSeqs the one before has used. Says whether it is a new one.
    pub(super) fn give_to(&mut self, owner: NodeId) -> bool {
        let is_new = owner != self.owner;
        if is_new {
            self.owner = owner;
            self.epoch += u32::from(!broken(Mutant::EpochStays));
        }
        is_new
    }

    pub(super) fn end(&mut self, why: Ended, moment: Moment) {
        self.ended = Some(why);
        self.asked_at = moment.at;
        self.expires_at = moment.now + Self::KEPT_AFTER_END;
    }

    /// Ends for a watcher that does not know the dialog any more: nothing is owed to it. The record stays as long as any
    /// ended one, for a late copy of the first request must not begin the dialog anew.
    pub(super) fn end_unsaid(&mut self, moment: Moment) {
        self.end(Ended::NoResource, moment);
        self.asked_at = Position::default();
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
