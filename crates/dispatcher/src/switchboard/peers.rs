//! The side of the managers: who they are, whether they serve, and what the window wants done with them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use sip::Instant;
use smallvec::SmallVec;
use tracing::info;

use super::Switchboard;
use crate::config::Manager;
use crate::link::Link;
use crate::members::Members;
use crate::metrics::{Dropped, Queue};
use crate::outbox::Unsent;
use crate::route::{Order, Peer, Standing, Standings};
use crate::window::{Output, Window};

impl Switchboard {
    /// Makes these the members. Gives the links that are new, to be run.
    pub fn set_members(&self, managers: &[Manager]) -> Vec<Arc<Link>> {
        let change = self.members.load().changed_to(managers, self.limits.link_queue);
        self.members.store(Arc::new(change.members));
        for link in &change.joined {
            info!(manager = link.name, "A manager joined");
        }
        for link in &change.left {
            info!(manager = link.name, "A manager left");
            link.leave();
        }
        change.joined
    }

    /// Somebody at this address connected to the inner listener.
    pub fn see(&self, ip: IpAddr) {
        self.members.load().links().for_each(|link| link.see(ip));
    }

    /// Looks which managers are live, and tells who waits for one.
    pub fn note_health(&self) {
        for peer in self.health.look(&self.members, &self.timings, self.now(), &self.metrics) {
            self.peer_serves(peer);
        }
    }

    /// A peer has begun to serve: it gets what waits for one.
    pub fn peer_serves(&self, peer: Peer) {
        self.with_window(|window, standings, now| window.serving(peer, standings, now));
    }

    /// The connection to a peer broke: what it had in flight goes to others.
    pub fn peer_lost(&self, peer: Peer) {
        self.note_health();
        self.with_window(|window, standings, now| window.lost(peer, standings, now));
    }

    /// Moves requests on whose manager is silent; says when to come again at the latest.
    pub fn tick(&self) -> Instant {
        self.with_window(|window, standings, now| window.handle_timeout(standings, now));
        let waiting = {
            let mut window = self.window.lock();
            self.metrics.full_often(Queue::Answered, window.take_crowded_out());
            self.metrics.in_flight.set(window.len() as f64);
            window.poll_timeout()
        };
        self.metrics.full_often(Queue::RefusedSources, self.throttle.lock().take_turns());
        self.metrics.queued.set(self.connections.queued() as f64);
        let latest = self.now() + self.timings.patience.min(self.timings.pause);
        let relayed = self.upstream.as_ref().and_then(|upstream| self.tick_transit(upstream));
        [waiting, relayed].into_iter().flatten().fold(latest, |soonest, due| soonest.min(due))
    }

    pub fn in_flight(&self) -> usize {
        let relayed = self.upstream.as_ref().map_or(0, |upstream| upstream.transit.lock().unanswered());
        self.window.lock().len() + relayed
    }

    /// Does something with the window and then what the window wants done.
    pub(super) fn with_window<T>(&self, act: impl FnOnce(&mut Window, &Standings, Instant) -> T) -> T {
        let now = self.now();
        let members = self.members.load();
        let standings = self.standings(&members, now);
        let mut window = self.window.lock();
        let result = act(&mut window, &standings, now);
        // Under the lock, so that two requests leave in the order in which they came.
        let refused = self.perform(&mut window, &members, &standings, now);
        drop(window);
        for request in refused {
            self.refuse_forwarded(request);
        }
        result
    }

    pub(super) fn send_to_manager(&self, address: SocketAddr, answer: Bytes) {
        let ours = self.members.load().at(address).and_then(|link| link.connected());
        let way = ours.or_else(|| self.callers.way_to(address));
        match way.map_or(Err(Unsent::Gone), |way| way.push(answer)) {
            Ok(()) => self.metrics.to_managers.increment(1),
            Err(Unsent::Gone) => self.metrics.dropped(Dropped::UnknownManager),
            Err(full) => self.lost(full, Queue::Link),
        }
    }

    /// For what is never answered, and so never tried again.
    pub(super) fn send_to_first_live(&self, order: &Order, request: Bytes) {
        let members = self.members.load();
        let standings = self.standings(&members, self.now());
        let live = order.iter().find(|peer| standings.of(**peer) == Standing::Live);
        match live.is_some_and(|peer| self.send_to_peer(*peer, request, &members)) {
            true => self.metrics.to_managers.increment(1),
            false => self.metrics.dropped(Dropped::UnknownManager),
        }
    }

    fn perform(
        &self,
        window: &mut Window,
        members: &Members,
        standings: &Standings,
        now: Instant,
    ) -> SmallVec<[Bytes; 1]> {
        let mut refused = SmallVec::new();
        while let Some(output) = window.poll_output() {
            match output {
                Output::Send { key, peer, request, retry } => {
                    if retry {
                        self.metrics.retried.increment(1);
                    }
                    match self.send_to_peer(peer, request, members) {
                        true => self.metrics.to_managers.increment(1),
                        false => window.unsent(key, peer, standings, now),
                    }
                }
                Output::Refuse { request } => refused.push(request),
                Output::GaveUp => self.metrics.gave_up.increment(1),
            }
        }
        refused
    }

    fn send_to_peer(&self, peer: Peer, request: Bytes, members: &Members) -> bool {
        let sent = members.link(peer).map_or(Err(Unsent::Gone), |link| link.send(request));
        if sent == Err(Unsent::Full) {
            self.metrics.full(Queue::Link);
        }
        sent.is_ok()
    }

    fn standings(&self, members: &Members, now: Instant) -> Standings {
        members.standings(self.timings.live, now).collect()
    }
}
