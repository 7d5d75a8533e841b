//! Ten times a second: who hears whom, who holds a lease, and who leads next.

use super::outbox::Fate;
use super::{GRANTS, Log, NO_LEADER_BEFORE, Output};
use crate::coverage::Seen;
use crate::network::Network;

impl Log {
    /// `walls` is what each node's wall clock says.
    pub fn heartbeat(&mut self, network: &Network, now: u64, walls: &[u64]) {
        let nodes = self.disks.len();
        for leader in (0..nodes).filter(|node| network.runs(*node)) {
            if self.replicas[leader].leads {
                self.be_heard(leader, network, now, walls[leader]);
            }
        }
        self.elect(network, now, walls);
        for node in (0..nodes).filter(|node| network.runs(*node)) {
            for fate in self.replicas[node].outbox.tick(now) {
                self.outputs.push(match fate {
                    Fate::Failed(ticket) => Output::Failed { node, ticket },
                    Fate::Lost(ticket) => Output::Lost { node, ticket },
                });
            }
            self.courier(node, now);
        }
    }

    /// A leader's heartbeat reaches whom it reaches; their answers give the leases.
    fn be_heard(&mut self, leader: usize, network: &Network, now: u64, wall: u64) {
        let term = self.disks[leader].term;
        let others = (0..self.disks.len()).filter(|other| *other != leader);
        let mut heard = Vec::new();
        for other in others.filter(|other| Log::reach(network, leader, *other)).collect::<Vec<_>>() {
            if self.rng.percent(network.heartbeat_loss) {
                continue;
            }
            if self.disks[other].term > term {
                let later = self.disks[other].term;
                return self.step_down(leader, later);
            }
            self.follows(other, leader, term);
            let said = self.replicas[leader].clock.estimate(now, wall);
            self.replicas[other].clock.hear(said, now);
            heard.push(other);
        }
        let quorum = self.replicas[leader].quorum_at;
        for other in &heard {
            self.replicas[leader].heard[*other] = now;
            // The follower hears how long ago the last majority was, not of the one that it is part of now.
            let committed = self.replicas[leader].commit;
            let grants = &mut self.replicas[*other].grants;
            grants.push_front((quorum, committed));
            grants.truncate(GRANTS);
            self.replicate(leader, *other);
        }
        let replica = &mut self.replicas[leader];
        if heard.is_empty() {
            replica.steady_since = None;
            return;
        }
        replica.quorum_at = now;
        replica.steady_since = replica.steady_since.or(Some(now));
        self.quorum_at = now;
    }

    /// When no leader has had a majority for long enough, one that has all that was committed takes over.
    fn elect(&mut self, network: &Network, now: u64, walls: &[u64]) {
        if now - self.quorum_at < NO_LEADER_BEFORE + self.spell && self.quorum_at > 0 {
            return;
        }
        let standing = |node: usize| (self.disks[node].last_term(), self.disks[node].last());
        let nodes = 0..self.disks.len();
        let pairs = nodes.clone().flat_map(|one| nodes.clone().map(move |other| (one, other)));
        let mut pairs: Vec<_> = pairs
            .filter(|(one, other)| one != other && Log::reach(network, *one, *other))
            .filter(|(one, other)| standing(*one) >= standing(*other))
            .collect();
        if pairs.is_empty() {
            return;
        }
        let (leader, voter) = pairs.swap_remove(self.rng.index(pairs.len()));
        let term = 1 + self.disks[leader].term.max(self.disks[voter].term);
        self.step_down(leader, term);
        self.follows(voter, leader, term);
        // Log time goes on as long as anybody remembers it.
        if let Some(stamp) = self.replicas[voter].clock.running(now) {
            self.replicas[leader].clock.hear(stamp, now);
        }
        self.lead(leader, now);
        // Most spells are as short as an election; some are as long as four seconds.
        self.spell = if self.rng.percent(70) { self.rng.between(0, 400) } else { self.rng.between(0, 3_500) };
        self.write(leader, Vec::new(), now, walls[leader]);
    }

    fn lead(&mut self, leader: usize, now: u64) {
        self.note(Seen::Election);
        self.quorum_at = now;
        let nodes = self.disks.len();
        let replica = &mut self.replicas[leader];
        replica.clock.saw(self.disks[leader].last_stamp());
        replica.believe_in(leader);
        (replica.leads, replica.led_from) = (true, self.disks[leader].last());
        (replica.matched, replica.heard) = (vec![0; nodes], vec![now; nodes]);
        (replica.quorum_at, replica.steady_since) = (now, Some(now));
    }
}
