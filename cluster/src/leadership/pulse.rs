//! What this node knows at the moment of its group's leader and members, with the machine's clock behind it.
//!
//! The links and the service tell it what they hear; the elections, the lease and the silences are read from it. The
//! rules are those of `lease`, `liveness` and `contacts`.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use placement::{GroupId, NodeId};

use crate::config::Timings;
use crate::leadership::clocks;
use crate::leadership::lease::Lease;
use crate::leadership::liveness::{Liveness, Step};
use crate::leadership::standing::{Reign, Standing};
use crate::membership::contacts::Contacts;

pub struct Pulse {
    me: NodeId,
    known: Mutex<Known>,
    started: Instant,
    /// What this node's clock showed at its start. It was set by the wall clock, so that what it showed in an earlier
    /// life lies in the past.
    set_to: u64,
}

struct Known {
    standing: Standing,
    lease: Lease,
    contacts: Contacts,
    liveness: Liveness,
}

/// What a leader says of itself in an append.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    pub reign: Reign,
    /// How long ago a majority had acknowledged it.
    pub quorum_age: Option<Duration>,
    /// What this node's own clock showed then, at least.
    pub our_clock: Option<u64>,
    /// How far its log reached, committed or not.
    pub log_end: u64,
}

impl Pulse {
    pub fn new(me: NodeId, group: GroupId, timings: &Timings) -> Pulse {
        let started = Instant::now();
        let known = Known {
            standing: Standing::default(),
            lease: Lease::new(me, timings.lease),
            contacts: Contacts::default(),
            liveness: Liveness::new(me, group, timings, started),
        };
        Pulse { me, known: Mutex::new(known), started, set_to: clocks::wall().0 }
    }

    /// The members, or who leads them, may have changed.
    pub fn stand(&self, mut standing: Standing) {
        let (now, mut known) = (Instant::now(), self.known.lock());
        let Known { standing: before, contacts, liveness, .. } = &mut *known;
        if standing.reign == before.reign && standing.is_leading() == before.is_leading() {
            standing.leading_since = before.leading_since;
            standing.led_from = before.led_from;
        }
        let leader = standing.reign.map(|reign| reign.leader).filter(|leader| *leader != self.me);
        standing.followed = leader.or(before.followed);
        // A leader that was there when this node stopped may still be there, and deserves its time like a new one.
        if standing.reign.is_some() && standing.reign != before.reign {
            liveness.hear(now);
        }
        contacts.know_members(&standing, now);
        *before = standing;
    }

    pub fn standing(&self) -> Standing {
        self.known.lock().standing.clone()
    }

    /// A message or an answer came from this node.
    pub fn hear(&self, node: NodeId) {
        let mut known = self.known.lock();
        let Known { standing, contacts, .. } = &mut *known;
        contacts.hear(node, standing, Instant::now());
    }

    pub fn heard(&self, node: NodeId) -> Option<Instant> {
        self.known.lock().contacts.heard(node)
    }

    /// An append came, which openraft has still to look at. One of an earlier leader says nothing.
    pub fn hear_leader(&self, reign: Reign) {
        let mut known = self.known.lock();
        if known.standing.reign.is_none_or(|present| reign >= present) {
            known.liveness.hear(Instant::now());
        }
    }

    /// openraft still works on an append: that is a word of the leader too, however slow the disk.
    pub fn hear_leader_still(&self) {
        self.known.lock().liveness.hear(Instant::now());
    }

    /// openraft accepted the append as its leader's.
    pub fn follow(&self, word: Word) {
        let mut known = self.known.lock();
        known.liveness.hear(Instant::now());
        if let (Some(age), Some(moment)) = (word.quorum_age, word.our_clock.and_then(|at| self.moment(at))) {
            known.lease.tell(word.reign, age, moment, word.log_end);
        }
    }

    /// What this node's clock shows, for an answer.
    pub fn clock(&self) -> u64 {
        self.set_to.saturating_add(millis(self.started.elapsed()))
    }

    /// When the clock showed that. `None` if it has not done so yet in this life.
    fn moment(&self, clock: u64) -> Option<Instant> {
        let since_start = Duration::from_millis(clock.checked_sub(self.set_to)?);
        self.started.checked_add(since_start).filter(|moment| *moment <= Instant::now())
    }

    /// This node, as leader: how old at `sent` the acknowledgement of a majority was.
    pub fn quorum_age(&self, reign: Reign, sent: Instant) -> Option<Duration> {
        let known = self.known.lock();
        let quorum_at = known.lease.quorum_at(reign, &known.standing, sent)?;
        Some(sent.saturating_duration_since(quorum_at))
    }

    /// A follower acknowledged what this node, as leader, sent at `sent`.
    pub fn acknowledge(&self, reign: Reign, follower: NodeId, sent: Instant) {
        self.known.lock().lease.acknowledge(reign, follower, sent);
    }

    /// For one who has applied everything up to `applied`.
    pub fn lease_until(&self, applied: u64) -> Option<Instant> {
        let known = self.known.lock();
        known.lease.until(&known.standing, applied, Instant::now())
    }

    /// Until when this node, as leader, votes for nobody because it was elected itself a moment ago.
    pub fn own_promise_until(&self) -> Option<Instant> {
        let known = self.known.lock();
        Some(known.standing.leading_since? + known.lease.length())
    }

    pub fn silences(&self) -> Option<Vec<(NodeId, Duration)>> {
        let known = self.known.lock();
        known.contacts.silences(self.me, &known.standing, Instant::now())
    }

    /// Whether this node hears a leader, or somebody who is about to be one.
    pub fn hears_leader(&self) -> bool {
        let (known, now) = (self.known.lock(), Instant::now());
        let Known { standing, lease, liveness, .. } = &*known;
        let quorum_at = standing.reign.and_then(|reign| lease.quorum_at(reign, standing, now));
        liveness.hears(standing, quorum_at, now)
    }

    /// What an election asks for now.
    pub fn step(&self) -> Step {
        let mut known = self.known.lock();
        let Known { standing, liveness, .. } = &mut *known;
        liveness.step(standing, Instant::now())
    }

    /// A voter agreed to an election. Whether this node shall stand now.
    pub fn agree(&self, round: u64, voter: NodeId) -> bool {
        let mut known = self.known.lock();
        let Known { standing, liveness, .. } = &mut *known;
        liveness.agree(round, voter, &standing.voters, Instant::now())
    }

    pub fn see_candidate(&self) {
        self.known.lock().liveness.see_candidate(Instant::now());
    }

    /// This node stands because its leader asked for it.
    pub fn stand_for_election(&self) {
        self.known.lock().liveness.stand(Instant::now());
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
