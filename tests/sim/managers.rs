//! The world's nodes: what reaches them, and what becomes of what they put out. This is what the manager's driver and
//! its links do there.

use std::time::Duration;

use bytes::Bytes;
use presence::time::Timestamp;
use presence_agent::agent::Entry;
use presence_agent::shard::SubscriptionId;
use presence_agent::verdict::Question;
use presence_agent::{Note, Now, Output, Silence, Ticket};
use sip::{Limits, Message};

use crate::coverage::Seen;
use crate::event::{Event, Input};
use crate::invariants::{Check, Sender, accounts, broken, hash};
use crate::log::{self, Step};
use crate::names::{self, DISPATCHERS, NODES};
use crate::network::Running;
use crate::phone::Phone;
use crate::world::World;

impl World {
    pub(crate) fn now_of(&self, node: usize) -> Now {
        let wall = self.nodes[node].wall(self.now);
        self.nodes[node].now(self.now, self.log.log_time(node, self.now, wall), self.log.lease(node))
    }

    pub(crate) fn at_node(&mut self, node: usize, incarnation: u64, input: Input) -> Check {
        if self.nodes[node].incarnation != incarnation {
            return Ok(());
        }
        match self.network.running(node) {
            Running::Yes => self.feed(node, input),
            // A timer that is missed is looked at when the node goes on.
            Running::Paused if matches!(input, Input::Timer) => Ok(()),
            Running::Paused => {
                self.nodes[node].inbox.push(input);
                Ok(())
            }
            Running::Dead => Ok(()),
        }
    }

    fn feed(&mut self, node: usize, input: Input) -> Check {
        let now = self.now_of(node);
        let manager = &mut self.nodes[node];
        match input {
            Input::Sip { link, bytes } => {
                let message = Message::parse(bytes, &Limits::default()).expect("dispatchers send SIP");
                match message.is_request() {
                    true => manager.agent.handle_request(link, message, now),
                    false => manager.agent.handle_response(&message, now),
                }
            }
            Input::Verdict { ticket, verdict } => manager.agent.handle_verdict(ticket, verdict, now),
            Input::Invalidated(invalidated) => manager.agent.handle_invalidated(&invalidated, now),
            Input::Log(message) => {
                let wall = manager.wall(self.now);
                self.log.receive(node, message, self.now, wall);
                self.after_log()?;
            }
            Input::Apply => self.apply(node)?,
            Input::Timer => {
                manager.timer_at = u64::MAX;
                let silences = self.silences(node);
                self.nodes[node].agent.handle_timeout(now, silences.as_deref());
            }
        }
        self.perform(node)
    }

    /// What a leader knows of the other nodes.
    fn silences(&self, node: usize) -> Option<Vec<Silence>> {
        let silence = |(other, lasted): (usize, u64)| Silence {
            node: names::node_id(other),
            incarnation: if self.has_directory { self.nodes[other].incarnation } else { 0 },
            lasted: Duration::from_millis(lasted),
        };
        Some(self.log.silences(node, self.now)?.into_iter().map(silence).collect())
    }

    /// Hands the agent its next entry.
    fn apply(&mut self, node: usize) -> Check {
        self.nodes[node].applying = false;
        let now = self.now_of(node);
        let step = self.log.step(node);
        if self.log.has_more(node) {
            self.apply_later(node);
        }
        let manager = &mut self.nodes[node];
        match step {
            Some(Step::Restore(snapshot)) => {
                self.seen.note(Seen::SnapshotJump);
                manager.agent.restore(snapshot.chunks.to_vec(), snapshot.index, now);
            }
            Some(Step::Entry(entry)) => {
                let me = (names::node_id(node), manager.incarnation);
                let commands = entry.commands.iter().map(|submitted| {
                    let mine = (submitted.origin, submitted.incarnation) == me;
                    (mine.then_some(Ticket(submitted.ticket)), submitted.command.clone())
                });
                let (index, stamp) = (entry.index, Timestamp(entry.stamp));
                manager.agent.handle_entry(Entry { index, stamp, commands: commands.collect() }, now);
                self.trace(|| format!("node {node} applied {index}"));
                let agent = &self.nodes[node].agent;
                self.invariants.applied(node, index, || hash(agent.picture()))?;
                if self.log.wants_snapshot(node) {
                    let chunks = self.nodes[node].agent.picture().chunks();
                    self.log.keep_snapshot(node, stamp.0, chunks);
                }
            }
            None => {}
        }
        Ok(())
    }

    fn apply_later(&mut self, node: usize) {
        if std::mem::replace(&mut self.nodes[node].applying, true) {
            return;
        }
        let lag =
            if self.nodes[node].lagging { self.rng.between(100, 1_500) } else { self.rng.between(0, 3) };
        let incarnation = self.nodes[node].incarnation;
        self.queue.push(self.now + lag, Event::AtNode { node, incarnation, input: Input::Apply });
    }

    /// Performs what an agent said.
    pub(crate) fn perform(&mut self, node: usize) -> Check {
        while let Some(output) = self.nodes[node].agent.poll_output() {
            match output {
                Output::Respond { link, bytes } => {
                    let answer = Message::parse(bytes, &Limits::default()).expect("agents write SIP");
                    self.trace(|| {
                        format!("node {node} answers {answer:?} to {} {:?}", answer.call_id(), answer.cseq())
                    });
                    self.invariants.responded(node, &answer, self.log.applied(node))?;
                    self.node_sends(link, answer);
                }
                Output::Send { next_hop, bytes } => {
                    let notify = Message::parse(bytes, &Limits::default()).expect("agents write SIP");
                    self.check_notify(node, &notify)?;
                    let dispatcher = (0..DISPATCHERS).find(|number| names::inner(*number) == next_hop);
                    if let Some(link) = dispatcher.and_then(|number| self.network.link(number, node)) {
                        self.node_sends(link, notify);
                    }
                }
                Output::Authorise { ticket, question, .. } => self.authorise(node, ticket, question),
                Output::Propose { ticket, command } => self.propose(node, ticket, command)?,
                Output::Note(note) => self.seen.note(noted(note)),
                Output::Reply { .. } | Output::Changed(_) => {}
                Output::Diverged { index, slot, nodes } => {
                    return broken(
                        "P1 replicas report that they differ",
                        format!("{index} {slot} {nodes:?}"),
                    );
                }
                Output::Stop(why) => return broken("an agent stopped", why),
            }
        }
        let now = self.now_of(node);
        if now.monotonic >= now.lease && self.nodes[node].agent.counts().dirty > 0 {
            self.seen.note(Seen::HeldBackByLease);
        }
        self.arrange_timer(node);
        Ok(())
    }

    fn arrange_timer(&mut self, node: usize) {
        let manager = &mut self.nodes[node];
        let at = manager.world_time(manager.agent.poll_timeout()).max(self.now + 1);
        if at < manager.timer_at {
            manager.timer_at = at;
            let incarnation = manager.incarnation;
            self.queue.push(at, Event::AtNode { node, incarnation, input: Input::Timer });
        }
    }

    fn node_sends(&mut self, link: presence_agent::LinkId, message: Message) {
        let Some(dispatcher) = self.network.dispatcher_of(link) else { return };
        let event = Event::FromNode { dispatcher, link, message };
        if let Some((at, event)) = self.network.over_link(link, false, event, self.now, &mut self.rng) {
            self.queue.push(at, event);
        }
    }

    fn check_notify(&mut self, node: usize, notify: &Message) -> Check {
        let now = self.now_of(node);
        let sender = Sender {
            node: names::node_id(node),
            incarnation: self.nodes[node].incarnation,
            applied: self.log.applied(node),
            has_lease: now.monotonic < now.lease,
        };
        self.trace(|| format!("node {node} notifies {:?} {:?}", notify.call_id(), notify.cseq()));
        self.invariants.notify_left(&sender, notify)
    }

    fn authorise(&mut self, node: usize, ticket: Ticket, question: Question) {
        let verdict = self.verdict(&question);
        let delay = if self.rng.percent(5) { self.rng.between(100, 2_000) } else { self.rng.between(1, 20) };
        let incarnation = self.nodes[node].incarnation;
        let input = Input::Verdict { ticket, verdict };
        self.queue.push(self.now + delay, Event::AtNode { node, incarnation, input });
    }

    fn propose(&mut self, node: usize, ticket: Ticket, command: Bytes) -> Check {
        let origin = (names::node_id(node), self.nodes[node].incarnation);
        self.log.propose(node, ticket.0, command, origin, self.now);
        self.after_log()
    }

    /// Performs what the log said.
    pub(crate) fn after_log(&mut self) -> Check {
        for output in self.log.take_outputs() {
            match output {
                log::Output::Send { from, to, message } => {
                    if let Some(at) = self.network.log_message(from, to, self.now, &mut self.rng) {
                        let (incarnation, input) = (self.nodes[to].incarnation, Input::Log(message));
                        self.queue.push(at, Event::AtNode { node: to, incarnation, input });
                    }
                }
                log::Output::Apply { node } => self.apply_later(node),
                log::Output::Failed { node, ticket } => {
                    self.seen.note(Seen::CommandFailed);
                    let now = self.now_of(node);
                    self.nodes[node].agent.handle_failed(Ticket(ticket), now);
                    self.arrange_timer(node);
                }
                log::Output::Lost { node, ticket } => {
                    self.seen.note(Seen::CommandLost);
                    self.lost.insert((names::node_id(node).0, self.nodes[node].incarnation, ticket));
                    let now = self.now_of(node);
                    self.nodes[node].agent.handle_lost(Ticket(ticket), now);
                    self.arrange_timer(node);
                }
                log::Output::Committed(entry) => self.committed(&entry)?,
                log::Output::Vanished(entry) => {
                    return broken("P1 a committed entry vanished", format!("{entry:?}"));
                }
            }
        }
        Ok(())
    }

    fn committed(&mut self, entry: &log::Entry) -> Check {
        for submitted in &entry.commands {
            let name = (submitted.origin.0, submitted.incarnation, submitted.ticket);
            if !self.submitted.insert(name) {
                self.seen.note(Seen::CommittedTwice);
            }
            if self.lost.contains(&name) {
                self.seen.note(Seen::LostAndCommitted);
            }
            self.trace(|| format!("committed {} {name:?} {:?}", entry.index, log::read(&submitted.command)));
        }
        self.invariants.committed(entry, self.now)?;
        accounts::within_quota(self.billing.quota, self.invariants.history.shard())?;
        let ends = self.invariants.history.ends.iter().filter(|end| end.ended);
        ends.map(|end| end.id).try_for_each(|id| self.is_ended_rightly(id))
    }

    /// Nobody ends a subscription of a watcher that counts on it and is where the log says.
    fn is_ended_rightly(&self, id: SubscriptionId) -> Check {
        let shard = self.invariants.history.shard();
        let Some(held) = shard.subscription(id) else { return Ok(()) };
        let is_wronged = |phone: &&Phone| {
            let dialog = phone.script.dialog().filter(|dialog| dialog.is_live(self.now));
            let is_it =
                dialog.is_some_and(|dialog| dialog.remote_tag.as_deref() == Some(held.dialog.local_tag()));
            is_it && phone.contact() == held.dialog.remote_target()
        };
        match self.phones.iter().find(is_wronged) {
            Some(phone) => {
                broken("P4 ended behind its watcher's back", format!("{id} of phone {}", phone.id))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn heartbeat(&mut self) -> Check {
        self.queue.push(self.now + 100, Event::Heartbeat);
        let walls: Vec<_> = self.nodes.iter().map(|node| node.wall(self.now)).collect();
        self.log.heartbeat(&self.network, self.now, &walls);
        self.after_log()?;
        (0..NODES).try_for_each(|node| self.perform(node))?;
        let leader = self.log.established(&self.network).filter(|(leader, _)| !self.nodes[*leader].lagging);
        let (network, history) = (&self.network, &self.invariants.history);
        let is_heard = |one: usize, other: usize| network.runs(other) && network.log_is_open(one, other);
        self.invariants.owners.watched(leader, is_heard, history, self.now)
    }
}

fn noted(note: Note) -> Seen {
    match note {
        Note::Pending => Seen::AwaitsApproval,
        Note::QuotaUsedUp => Seen::OverQuota,
        Note::Rejected => Seen::Rejected,
        Note::AskedAgain => Seen::AskedAgain,
        Note::Full(bound) => unreachable!("nothing here comes near a bound: {bound:?}"),
    }
}
