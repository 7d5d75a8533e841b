//! The side of the upstream: what goes there, what comes back, and what it asks of phones.

use std::sync::Arc;

use bytes::Bytes;
use sip::{Message, Method, Scheme, Transport};
use smallvec::SmallVec;

use super::Switchboard;
use crate::metrics::{Dropped, Queue};
use crate::names::Leg;
use crate::outbox::Unsent;
use crate::refusal::Refusal;
use crate::throttle::Source;
use crate::upstream::Upstream;
use crate::upstream::acknowledge::acknowledgement;
use crate::upstream::branch::{self, RelayBranch, Towards};
use crate::upstream::course::{Course, Side};
use crate::upstream::found::Target;
use crate::upstream::relay::Relayed;
use crate::upstream::share::TooMuch;
use crate::upstream::transit::{Output, Passage, Toll, Way, Word};
use crate::{forward, upstream};

impl Switchboard {
    /// Sends a request where it belongs, if that is not to the managers. False if it is.
    pub(super) fn relayed(&self, upstream: &Upstream, request: &Message, leg: &Leg) -> bool {
        let side = match upstream.is_at(leg.remote.ip()) || self.forwarder.is_trusted(leg.remote.ip()) {
            true => Side::Upstream,
            false => Side::Phones,
        };
        match upstream.division.course(request, side, &self.names, upstream.relay.flow_key()) {
            Course::Managers => return false,
            Course::Upstream if upstream.is(leg.remote) => self.refuse(request, leg, Refusal::Nobody),
            Course::Upstream => self.to_upstream(upstream, request, leg),
            Course::Phone(flow) => {
                let delivery = upstream.relay.to_phone(request, leg, &flow, &self.names, &self.forwarder);
                if let Err(refusal) = delivery.and_then(|delivery| self.deliver(delivery)) {
                    self.refuse(request, leg, refusal);
                }
            }
        }
        true
    }

    fn to_upstream(&self, upstream: &Upstream, request: &Message, leg: &Leg) {
        if let Err(refusal) = upstream.relay.vet(request, &self.names) {
            return self.refuse(request, leg, refusal);
        }
        let (key, now) = (branch::key(request, leg), self.now());
        let way = upstream.transit.lock().way(key);
        // What follows or repeats a request that was let pass passes too.
        if way.is_none() && !self.passes(request, leg) {
            return;
        }
        let targets = upstream.targets(request, key, &self.names, &self.forwarder, now);
        let relayed = Arc::new(Relayed { request: request.clone(), from: *leg });
        if request.method() == Method::Cancel {
            upstream.transit.lock().cancelled(key);
        }
        if matches!(request.method(), Method::Ack | Method::Cancel) {
            let first = targets.first().map(|target| Way { target: *target, attempt: 0 });
            let sent = way.or(first).map(|way| self.send_upstream(upstream, key, way, &relayed));
            if sent.is_none() {
                self.metrics.dropped(Dropped::NoUpstream);
            }
            return;
        }
        if way.is_none() && self.is_draining() {
            return self.metrics.dropped(Dropped::Draining);
        }
        let unavailable = Refusal::Unavailable(self.timings.retry_after);
        if way.is_none() && targets.is_empty() {
            // That nobody is there over TLS is no overload.
            let is_sips = Scheme::of(request.request_uri()) == Scheme::Sips;
            return self.refuse(request, leg, if is_sips { Refusal::Insecure } else { unavailable });
        }
        let is_many = self.forwarder.is_trusted(leg.remote.ip());
        let toll = Toll { bytes: request.bytes().len(), source: (!is_many).then(|| Source::of(leg)) };
        let admitted = upstream.transit.lock().admit(key, relayed, toll, targets, now);
        let (queue, refusal) = match admitted {
            Ok(()) => return self.perform_transit(upstream),
            Err(TooMuch::InAll) => (Queue::Relayed, unavailable),
            Err(TooMuch::OfSource) => {
                let wait = self.timings.retry_after;
                (Queue::RelayedOfSource, Refusal::Throttled("Too Many Unanswered Requests", wait))
            }
        };
        self.metrics.full(queue);
        self.refuse(request, leg, refusal);
    }

    /// An answer to what was relayed, either way. False if it is none.
    pub(super) fn relayed_answer(&self, upstream: &Upstream, answer: &Message, leg: &Leg) -> bool {
        if answer.branch().and_then(RelayBranch::direction).is_none() {
            return false;
        }
        let Some(branch) = upstream.relay.branch_of(answer, &self.names) else {
            self.metrics.dropped(Dropped::NotOurs);
            return true;
        };
        match branch.towards {
            Towards::Phone => self.send_back(&branch.back, forward::returned(answer)),
            Towards::Upstream => self.upstream_answer(upstream, answer, &branch, leg),
        }
        true
    }

    fn upstream_answer(&self, upstream: &Upstream, answer: &Message, branch: &RelayBranch, leg: &Leg) {
        // DNS may tell of others since.
        let asked = upstream.transit.lock().way(branch.key).map(|way| way.target.address);
        let is_upstream = match leg.transport {
            // Everybody can write its address into a datagram, but hardly its port too.
            Transport::Udp => upstream.is(leg.remote) || asked == Some(leg.remote),
            _ => upstream.is_at(leg.remote.ip()) || asked.is_some_and(|it| it.ip() == leg.remote.ip()),
        };
        let Some(status) = answer.status().filter(|_| is_upstream) else {
            return self.metrics.dropped(Dropped::NotOurs);
        };
        let method = answer.method();
        // Trying goes no further than one hop (RFC 3261 16.7), except that it stops a caller's repeats.
        let is_idle = status == 100 && method != Method::Invite;
        if method != Method::Cancel {
            let word = Word { attempt: branch.attempt, status, is_call: method == Method::Invite };
            let passage = upstream.transit.lock().heard(branch.key, word, self.now());
            self.perform_transit(upstream);
            match passage {
                Passage::Pass => {}
                Passage::Absorb => return,
                Passage::Acknowledge { request, way } => {
                    return self.acknowledge_refusal(upstream, branch.key, way, &request, answer);
                }
            }
            // That nobody takes a call is nobody's debt.
            if !matches!(status, 408 | 480 | 486 | 487) {
                self.throttle.lock().told(Source::of(&branch.back), status, method, self.now());
            }
        }
        if is_idle {
            return;
        }
        // A 503 is about one server, and would turn its hearer away from all that is here (RFC 3261 16.7 step 6).
        let status = Some(500).filter(|_| status == 503);
        self.send_back(&branch.back, forward::returned_as(answer, status));
    }

    /// Who has refused a call that another server is asked for hears that we have heard it.
    fn acknowledge_refusal(
        &self,
        upstream: &Upstream,
        key: crate::branch::Key,
        way: Way,
        relayed: &Relayed,
        refusal: &Message,
    ) {
        let Way { target, attempt } = way;
        let sent = upstream.relay.to_upstream(relayed, key, attempt, &target, &self.names, &self.forwarder);
        let ack = sent.and_then(|(facing, invite)| {
            let invite = Message::parse(invite, &self.limits.inner_message).ok()?;
            Some((facing, acknowledgement(&invite, refusal)?))
        });
        if let Some((facing, bytes)) = ack {
            // One that is lost is asked for again, by the refusal.
            let _ = self.send_to_server(facing, bytes, target);
        }
    }

    /// A connection that we made ended; or, if it was not `reached`, was never made.
    pub(crate) fn line_ended(&self, target: Target, number: u64, reached: bool) {
        self.lines.ended(target, number);
        let now = self.now();
        match &self.upstream {
            Some(upstream) if upstream.is(target.address) => {
                match reached {
                    true => upstream.transit.lock().lost(target, now),
                    false => upstream.transit.lock().failed(target, now),
                }
                self.perform_transit(upstream);
            }
            _ if !reached => self.oversize.not_reached(target.address, now),
            _ => {}
        }
    }

    pub(super) fn tick_transit(&self, upstream: &Upstream) -> Option<sip::Instant> {
        upstream.transit.lock().handle_timeout(self.now());
        self.perform_transit(upstream);
        upstream.transit.lock().poll_timeout()
    }

    fn perform_transit(&self, upstream: &Upstream) {
        let mut refused = SmallVec::<[Arc<Relayed>; 1]>::new();
        let mut transit = upstream.transit.lock();
        while let Some(output) = transit.poll_output() {
            match output {
                Output::Send { key, target, attempt, request } => {
                    if attempt > 0 {
                        self.metrics.retried.increment(1);
                    }
                    if self.send_upstream(upstream, key, Way { target, attempt }, &request).is_err() {
                        transit.unsent(key, self.now());
                    }
                }
                Output::Refuse { request } => refused.push(request),
                Output::GaveUp => self.metrics.gave_up.increment(1),
            }
        }
        drop(transit);
        for relayed in refused {
            let refusal = Refusal::Unavailable(self.timings.retry_after);
            self.refuse(&relayed.request, &relayed.from, refusal);
        }
    }

    fn send_upstream(
        &self,
        upstream: &Upstream,
        key: crate::branch::Key,
        way: Way,
        relayed: &upstream::relay::Relayed,
    ) -> Result<(), Unsent> {
        let Way { target, attempt } = way;
        let edited = upstream.relay.to_upstream(relayed, key, attempt, &target, &self.names, &self.forwarder);
        let (facing, bytes) = edited.ok_or(Unsent::Gone)?;
        self.send_to_server(facing, bytes, target)
    }

    fn send_to_server(&self, facing: usize, bytes: Bytes, target: Target) -> Result<(), Unsent> {
        let (sent, queue) = match target.transport {
            Transport::Udp => (self.send_datagram(facing, bytes, target.address), Queue::Udp),
            _ => (self.lines.send(target, bytes, &self.connections), Queue::Connection),
        };
        match sent {
            Ok(()) => self.metrics.to_upstream.increment(1),
            Err(unsent) => self.lost(unsent, queue),
        }
        sent
    }
}
