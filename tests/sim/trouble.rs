//! The world's troubles: what a fault does, and how everything becomes whole again.

use sip::Transport;

use crate::coverage::Seen;
use crate::event::{Event, Input};
use crate::faults::Fault;
use crate::invariants::Check;
use crate::names::{DISPATCHERS, NODES};
use crate::network::Running;
use crate::node::Node;
use crate::world::{SETTLES_WITHIN, World, skew};

impl World {
    pub(crate) fn suffer(&mut self, fault: Fault) -> Check {
        self.trace(|| format!("{fault:?}"));
        match fault {
            Fault::Kill(node) => self.kill(node),
            Fault::Start(node) => self.start(node),
            Fault::Pause(node) => {
                if self.network.runs(node) {
                    self.seen.note(Seen::Paused);
                    self.network.set_running(node, Running::Paused);
                }
                Ok(())
            }
            Fault::Resume(node) => self.resume(node),
            Fault::CutLog(one, other) => {
                self.seen.note(Seen::LogCut);
                self.network.cut_log(one, other, true);
                Ok(())
            }
            Fault::HealLog(one, other) => {
                self.network.cut_log(one, other, false);
                Ok(())
            }
            Fault::CutLink(dispatcher, node) => {
                self.seen.note(Seen::LinkCut);
                self.network.cut_link(dispatcher, node);
                Ok(())
            }
            Fault::HealLink(dispatcher, node) => {
                self.heal_link(dispatcher, node);
                Ok(())
            }
            Fault::BreakLink(dispatcher, node) => {
                self.seen.note(Seen::LinkBroken);
                self.break_link(dispatcher, node)
            }
            Fault::Lag(node) => {
                self.seen.note(Seen::Lagging);
                self.nodes[node].lagging = true;
                Ok(())
            }
            Fault::KeepUp(node) => {
                self.nodes[node].lagging = false;
                Ok(())
            }
            Fault::Silence(phone, lasts) => {
                self.seen.note(Seen::PhoneSilent);
                self.phones[phone].silent_until = self.now + lasts;
                Ok(())
            }
            Fault::Move(phone) => self.move_phone(phone),
        }
    }

    pub(crate) fn kill(&mut self, node: usize) -> Check {
        if self.network.running(node) == Running::Dead {
            return Ok(());
        }
        self.seen.note(Seen::Killed);
        self.network.set_running(node, Running::Dead);
        self.log.stop(node);
        (0..DISPATCHERS).try_for_each(|dispatcher| self.break_link(dispatcher, node))
    }

    pub(crate) fn start(&mut self, node: usize) -> Check {
        if self.network.running(node) != Running::Dead {
            return Ok(());
        }
        let (incarnation, skew) = (self.nodes[node].incarnation + 1, skew(&mut self.rng));
        self.nodes[node] = Node::start(node, incarnation, self.now, skew);
        self.network.set_running(node, Running::Yes);
        self.listens_anew(node);
        if let Some(snapshot) = self.log.start(node) {
            self.seen.note(Seen::Replayed);
            let now = self.now_of(node);
            self.nodes[node].agent.restore(snapshot.chunks.to_vec(), snapshot.index, now);
        }
        self.perform(node)
    }

    pub(crate) fn resume(&mut self, node: usize) -> Check {
        if self.network.running(node) != Running::Paused {
            return Ok(());
        }
        self.network.set_running(node, Running::Yes);
        let incarnation = self.nodes[node].incarnation;
        for input in std::mem::take(&mut self.nodes[node].inbox) {
            self.at_node(node, incarnation, input)?;
        }
        self.at_node(node, incarnation, Input::Timer)
    }

    pub(crate) fn heal_link(&mut self, dispatcher: usize, node: usize) {
        for event in self.network.heal_link(dispatcher, node) {
            self.queue.push(self.now, event);
        }
    }

    pub(crate) fn move_phone(&mut self, phone: usize) -> Check {
        let mover = &mut self.phones[phone];
        if mover.transport == Transport::Udp && self.rng.percent(60) {
            self.strangers.insert(mover.address);
        }
        mover.dispatcher = self.rng.index(DISPATCHERS);
        if mover.transport.reliable() {
            self.network.phone_disconnects(mover.connection);
            mover.connection = self.network.phone_connects(mover.dispatcher);
        }
        mover.moves(self.now);
        self.after_phone(phone)
    }

    /// Everything is whole again.
    pub(crate) fn calm(&mut self) -> Check {
        self.trace(|| "calm".into());
        self.calm_since = Some(self.now);
        self.network.calm();
        for node in 0..NODES {
            self.start(node)?;
            self.resume(node)?;
            self.nodes[node].lagging = false;
            (0..NODES).for_each(|other| self.network.cut_log(node, other, false));
            (0..DISPATCHERS).for_each(|dispatcher| self.heal_link(dispatcher, node));
        }
        for phone in &mut self.phones {
            phone.silent_until = 0;
        }
        self.ends_at = self.now + SETTLES_WITHIN;
        let first = self.now + self.rng.between(5_000, 15_000);
        self.queue.push(first, Event::Inspect);
        Ok(())
    }

    pub(crate) fn break_link(&mut self, dispatcher: usize, node: usize) -> Check {
        if self.network.link(dispatcher, node).is_none() {
            return Ok(());
        }
        self.network.disconnect(dispatcher, node);
        self.dispatchers[dispatcher].lost(node, self.now);
        self.after_dispatcher(dispatcher)
    }
}
