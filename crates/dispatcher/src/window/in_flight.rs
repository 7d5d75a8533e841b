//! One request in flight: who has it, who has had it, and what is known of its copies.

use std::time::Duration;

use bytes::Bytes;
use sip::Instant;

use super::Bounds;
use crate::branch::{self, Key};
use crate::route::{Order, Peer, Standing, Standings};

pub(super) struct InFlight {
    key: Key,
    pub request: Bytes,
    /// Rises from one request to the next.
    pub number: u64,
    pub due: Instant,
    came: Instant,
    order: Order,
    /// The position in `order` that has it now; `None` while nobody does.
    at: Option<usize>,
    tried: Positions,
    /// Peers that got it and have said nothing.
    silent: Positions,
    /// What `silent` was before the last copy went out.
    silent_before: Positions,
    /// Peers that have refused it as it is now.
    refused: Positions,
    /// A connection broke with a copy on it, or an earlier copy was answered. No later refusal tells the fate of that copy.
    taken: bool,
    rounds: u32,
    /// Since when everybody who is there has refused it.
    refused_since: Option<Instant>,
}

/// What goes to whom.
type Copy = (Peer, Bytes);

impl InFlight {
    /// `answered`: this is the repeat of a request that was answered.
    pub fn new(
        key: Key,
        request: Bytes,
        number: u64,
        order: Order,
        answered: bool,
        now: Instant,
    ) -> InFlight {
        InFlight {
            key,
            request,
            number,
            due: now,
            came: now,
            order,
            at: None,
            tried: Positions::default(),
            silent: Positions::default(),
            silent_before: Positions::default(),
            refused: Positions::default(),
            taken: answered,
            rounds: 0,
            refused_since: None,
        }
    }

    /// A copy for the first untried peer that is live; failing that, for the first whose word is overdue, because that
    /// may as well mean that we were the ones asleep.
    pub fn next(&mut self, standings: &Standings) -> Option<Copy> {
        if let Some(position) = self.untried(Standing::Live, standings) {
            return Some(self.copy_for(position));
        }
        self.welcome(standings);
        let position = self
            .untried(Standing::Live, standings)
            .or_else(|| self.untried(Standing::Doubtful, standings))?;
        Some(self.copy_for(position))
    }

    /// Another copy for the peer that has it. If that one is down everybody may be tried again.
    pub fn repeat(&mut self, standings: &Standings) -> Option<Copy> {
        match self.at {
            Some(at) if standings.of(self.order[at]) != Standing::Down => return Some(self.copy_for(at)),
            Some(_) => self.tried = Positions::default(),
            None => self.begin_round(),
        }
        None
    }

    /// Ends a round; the wait before the next one doubles from round to round.
    pub fn rest(&mut self, patience: Duration) -> Duration {
        self.at = None;
        let wait = patience * (1 << self.rounds.min(4));
        self.rounds += 1;
        wait
    }

    /// After a rest everybody may be tried again; but when all have refused, nobody is asked for a second refusal.
    pub fn begin_round(&mut self) {
        if self.rests() && !self.is_refused() {
            self.tried = Positions::default();
        }
    }

    /// Nobody is left to be tried and all have refused. `None` when it is refused for good; otherwise the wait for
    /// somebody who takes it.
    pub fn wait(&mut self, standings: &Standings, bounds: &Bounds, now: Instant) -> Option<Duration> {
        self.at = None;
        let since = *self.refused_since.get_or_insert(now);
        let (held, at_rest) = (now - self.came, now - since);
        // A refusal of one that stops is no refusal of the service; it will have said so by then.
        let is_final = at_rest >= bounds.pause && self.was_refused_by_one_who_serves(standings);
        (held < bounds.hold && !is_final).then(|| bounds.pause.min(bounds.hold - held))
    }

    /// The peer serves again, so an earlier refusal of its counts for nothing. True if nobody has the request and this
    /// peer may get it.
    pub fn is_open_to(&mut self, peer: Peer) -> bool {
        let concerned = self.rests();
        if concerned && let Some(position) = self.position(peer) {
            self.tried.remove(position);
        }
        concerned
    }

    /// The peer refused. True if it is the one that has the request.
    pub fn decline(&mut self, peer: Peer) -> bool {
        let Some(position) = self.position(peer) else { return false };
        self.silent.remove(position);
        self.refused.insert(position);
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
        self.taken |= had_copy;
        had_copy && self.at == Some(position)
    }

    pub fn gives_up_at(&self, bounds: &Bounds) -> Instant {
        self.came + bounds.give_up
    }

    pub fn is_new(&self) -> bool {
        !self.tried.any() && self.rounds == 0
    }

    pub fn rests(&self) -> bool {
        self.at.is_none()
    }

    /// Whether everybody who got a copy has refused it.
    pub fn is_refused(&self) -> bool {
        !self.silent.any() && !self.taken
    }

    fn was_refused_by_one_who_serves(&self, standings: &Standings) -> bool {
        let mut peers = self.order.iter().enumerate();
        peers.any(|(n, peer)| self.tried.holds(n) && standings.of(*peer) == Standing::Live)
    }

    /// Managers that joined since the request came are as good as those that it was ranked for; they come last.
    fn welcome(&mut self, standings: &Standings) {
        for peer in standings.managers() {
            if self.order.len() < Peer::MAX && !self.order.contains(&peer) {
                self.order.push(peer);
            }
        }
    }

    fn untried(&self, wanted: Standing, standings: &Standings) -> Option<usize> {
        let mut peers = self.order.iter().enumerate();
        let found = peers.find(|(n, peer)| !self.tried.holds(*n) && standings.of(**peer) == wanted);
        found.map(|(position, _)| position)
    }

    fn copy_for(&mut self, position: usize) -> Copy {
        if self.refused.holds(position) {
            self.request = branch::attempted_again(&self.request, self.key);
            self.refused = Positions::default();
        }
        self.at = Some(position);
        self.refused_since = None;
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
