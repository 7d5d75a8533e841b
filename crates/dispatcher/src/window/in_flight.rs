//! One request in flight: who has it, who has had it, and what is known of its copies.

use std::time::Duration;

use bytes::Bytes;
use sip::Instant;

use crate::route::{Order, Peer, Standing};

pub(super) struct InFlight {
    pub request: Bytes,
    pub due: Instant,
    pub give_up: Instant,
    order: Order,
    /// The position in `order` that has it now; `None` while it rests between two rounds.
    at: Option<usize>,
    tried: Positions,
    /// Peers that got it and have said nothing.
    silent: Positions,
    /// What `silent` was before the last copy went out.
    silent_before: Positions,
    /// A connection broke with a copy on it. No later refusal tells the fate of that copy.
    lost: bool,
    rounds: u32,
}

/// What goes to whom.
type Copy = (Peer, Bytes);

impl InFlight {
    pub fn new(request: Bytes, order: Order, now: Instant, give_up: Instant) -> InFlight {
        InFlight {
            request,
            due: now,
            give_up,
            order,
            at: None,
            tried: Positions::default(),
            silent: Positions::default(),
            silent_before: Positions::default(),
            lost: false,
            rounds: 0,
        }
    }

    /// A copy for the first untried peer that is live; failing that, for the first that is at least connected,
    /// because an overdue ping may as well mean that we were the ones asleep.
    pub fn next(&mut self, standings: &[Standing]) -> Option<Copy> {
        let position = self
            .untried(Standing::Live, standings)
            .or_else(|| self.untried(Standing::Doubtful, standings))?;
        Some(self.copy_for(position))
    }

    /// Another copy for the peer that has it. If that one is down, or nobody has it, everybody may be tried again.
    pub fn repeat(&mut self, standings: &[Standing]) -> Option<Copy> {
        match self.at {
            Some(at) if self.order[at].standing(standings) != Standing::Down => Some(self.copy_for(at)),
            _ => {
                self.tried = Positions::default();
                None
            }
        }
    }

    /// Ends a round: everybody may be tried again, after a wait that doubles from round to round.
    pub fn rest(&mut self, patience: Duration) -> Duration {
        self.at = None;
        self.tried = Positions::default();
        let wait = patience * (1 << self.rounds.min(4));
        self.rounds += 1;
        wait
    }

    /// The peer refused. True if it is the one that has the request.
    pub fn decline(&mut self, peer: Peer) -> bool {
        let Some(position) = self.position(peer) else { return false };
        self.silent.remove(position);
        self.at == Some(position)
    }

    /// The last copy never went out. True if it was for this peer.
    pub fn take_back(&mut self, peer: Peer) -> bool {
        self.silent = self.silent_before;
        self.at.is_some() && self.at == self.position(peer)
    }

    /// The connection to the peer broke. True if that one has the request.
    pub fn lose(&mut self, peer: Peer) -> bool {
        let Some(position) = self.position(peer) else { return false };
        let had_copy = self.silent.remove(position);
        self.lost |= had_copy;
        had_copy && self.at == Some(position)
    }

    pub fn is_new(&self) -> bool {
        !self.tried.any() && self.rounds == 0
    }

    pub fn rests(&self) -> bool {
        self.at.is_none()
    }

    /// Whether everybody who got a copy has refused it.
    pub fn is_refused(&self) -> bool {
        !self.silent.any() && !self.lost
    }

    fn untried(&self, wanted: Standing, standings: &[Standing]) -> Option<usize> {
        let mut peers = self.order.iter().enumerate();
        let found = peers.find(|(n, peer)| !self.tried.holds(*n) && peer.standing(standings) == wanted);
        found.map(|(position, _)| position)
    }

    fn copy_for(&mut self, position: usize) -> Copy {
        self.at = Some(position);
        self.tried.insert(position);
        self.silent_before = self.silent;
        self.silent.insert(position);
        (self.order[position], self.request.clone())
    }

    fn position(&self, peer: Peer) -> Option<usize> {
        self.order.iter().position(|candidate| *candidate == peer)
    }
}

/// A set of positions in an order of at most [`Peer::MAX`] peers.
#[derive(Clone, Copy, Debug, Default)]
struct Positions(u64);

impl Positions {
    fn insert(&mut self, position: usize) {
        self.0 |= 1 << position;
    }

    fn remove(&mut self, position: usize) -> bool {
        let held = self.holds(position);
        self.0 &= !(1 << position);
        held
    }

    fn holds(self, position: usize) -> bool {
        self.0 & (1 << position) != 0
    }

    fn any(self) -> bool {
        self.0 != 0
    }
}
