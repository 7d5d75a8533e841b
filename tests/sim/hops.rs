//! The world's hops: what phones, dispatchers and nodes send each other, and who is connected to whom.

use bytes::Bytes;
use dispatcher::names::Leg;
use presence_agent::LinkId;
use sip::{Limits, Message, Transport};

use crate::coverage::Seen;
use crate::dispatcher::Outgoing;
use crate::event::{Event, Input};
use crate::invariants::{Check, broken};
use crate::names::{DISPATCHERS, NODES};
use crate::network::{Network, Running};
use crate::phone::{self, Report};
use crate::world::World;

impl World {
    pub(crate) fn after_phone(&mut self, phone: usize) -> Check {
        for report in self.phones[phone].take_reports() {
            self.trace(|| format!("phone {phone}: {report:?}"));
            match report {
                Report::Asked { ask } => {
                    if self.rng.percent(10) && self.phones[phone].transport == Transport::Udp {
                        self.phones[phone].dispatcher = self.rng.index(DISPATCHERS);
                    }
                    self.invariants.asked(&ask, self.now);
                }
                Report::Answered { message } => {
                    let account = self.phones[phone].account();
                    if message.status() == Some(403) && !self.billing.may_refuse(&account) {
                        return broken("refused without a reason", format!("{account}: {message:?}"));
                    }
                    self.invariants.answered(&message)?;
                }
                Report::GaveUp { ask } => {
                    if let Some(calm_since) = self.calm_since {
                        self.invariants.answers.gave_up(&ask, calm_since)?;
                    }
                }
                Report::Dropped => {}
                Report::Notified(heard) => self.invariants.heard(&heard)?,
            }
        }
        for bytes in self.phones[phone].take_outgoing() {
            self.phone_sends(phone, bytes);
        }
        let wakes_at = self.phones[phone].wakes_at();
        if wakes_at < u64::MAX && wakes_at != self.phones[phone].woken_at {
            self.phones[phone].woken_at = wakes_at;
            self.queue.push(wakes_at.max(self.now), Event::PhoneWakes(phone));
        }
        Ok(())
    }

    pub(crate) fn phone_sends(&mut self, phone: usize, bytes: Bytes) {
        let from = &self.phones[phone];
        if from.silent_until > self.now {
            return;
        }
        let (leg, mut dispatcher) = (from.leg(), from.dispatcher);
        // Any dispatcher that holds the listener may get the answer to a NOTIFY.
        if leg.connection == 0 && bytes.starts_with(b"SIP/2.0") && self.rng.percent(20) {
            dispatcher = self.rng.index(DISPATCHERS);
        }
        for at in self.network.over_the_air(&leg, false, self.now, &mut self.rng) {
            self.queue.push(at, Event::AtDispatcher { dispatcher, leg, bytes: bytes.clone() });
        }
    }

    pub(crate) fn at_phone(&mut self, leg: Leg, bytes: Bytes) -> Check {
        let owner = self.phones.iter().position(|phone| phone.leg() == leg);
        if let Some(phone) = owner {
            if self.phones[phone].silent_until <= self.now {
                self.phones[phone].receive(bytes, self.now, &mut self.rng);
                return self.after_phone(phone);
            }
            return Ok(());
        }
        if self.strangers.contains(&leg.remote)
            && let Some(answer) = phone::stranger_answers(bytes)
        {
            self.seen.note(Seen::NotifyToStranger);
            let dispatcher = self.rng.index(DISPATCHERS);
            self.queue.push(self.now + 2, Event::AtDispatcher { dispatcher, leg, bytes: answer });
        }
        Ok(())
    }

    pub(crate) fn after_dispatcher(&mut self, dispatcher: usize) -> Check {
        for outgoing in self.dispatchers[dispatcher].take_outgoing() {
            match outgoing {
                Outgoing::ToNode { node, bytes } => {
                    self.trace(|| format!("dispatcher {dispatcher} to node {node}: {}", first_line(&bytes)));
                    if let Some(link) = self.network.link(dispatcher, node) {
                        self.send_to_node(link, bytes);
                    }
                }
                Outgoing::ToPhone { leg, bytes, from } => {
                    self.trace(|| format!("dispatcher {dispatcher} to a phone: {}", first_line(&bytes)));
                    if bytes.starts_with(b"SIP/2.0 503") {
                        let answer = Message::parse(bytes.clone(), &Limits::default()).expect("ours");
                        self.invariants.answers.refused(&answer, &self.invariants.history)?;
                    }
                    self.send_to_phone(dispatcher, leg, bytes, from);
                }
            }
        }
        if let Some(at) = self.dispatchers[dispatcher].poll_timeout()
            && at != self.dispatchers[dispatcher].timer_at
        {
            self.dispatchers[dispatcher].timer_at = at;
            self.queue.push(at.max(self.now), Event::DispatcherTimer(dispatcher));
        }
        Ok(())
    }

    /// `from`: the node whose request it is, if it is one.
    pub(crate) fn send_to_phone(&mut self, dispatcher: usize, leg: Leg, bytes: Bytes, from: Option<usize>) {
        let open = leg.connection == 0
            || self.network.connection(leg.connection).is_some_and(|open| open.dispatcher == dispatcher);
        if !open {
            let answer = self.dispatchers[dispatcher].flow_failed(bytes);
            let link = from.and_then(|node| self.network.link(dispatcher, node));
            if let (Some(answer), Some(link)) = (answer, link) {
                self.send_to_node(link, answer);
            }
            return;
        }
        for at in self.network.over_the_air(&leg, true, self.now, &mut self.rng) {
            self.queue.push(at, Event::AtPhone { leg, bytes: bytes.clone() });
        }
    }

    pub(crate) fn send_to_node(&mut self, link: LinkId, bytes: Bytes) {
        let node = Network::node_of(link);
        let incarnation = self.nodes[node].incarnation;
        let event = Event::AtNode { node, incarnation, input: Input::Sip { link, bytes } };
        if let Some((at, event)) = self.network.over_link(link, true, event, self.now, &mut self.rng) {
            self.queue.push(at, event);
        }
    }

    /// The dispatchers ask who serves, and connect anew where they can.
    pub(crate) fn ping(&mut self) -> Check {
        self.queue.push(self.now + 250, Event::Ping);
        for dispatcher in 0..DISPATCHERS {
            for node in 0..NODES {
                self.ping_one(dispatcher, node)?;
            }
            self.dispatchers[dispatcher].handle_timeout(self.now);
            self.after_dispatcher(dispatcher)?;
        }
        Ok(())
    }

    pub(crate) fn ping_one(&mut self, dispatcher: usize, node: usize) -> Check {
        let cut = self.network.is_cut(dispatcher, node);
        let running = self.network.running(node);
        if self.network.link(dispatcher, node).is_none() {
            if !cut && running != Running::Dead {
                self.network.connect(dispatcher, node);
                self.dispatchers[dispatcher].connected(node);
            }
        } else if self.dispatchers[dispatcher].is_silent(node, self.now) {
            return self.break_link(dispatcher, node);
        }
        if self.network.link(dispatcher, node).is_some() && !cut && running == Running::Yes {
            let serving = self.nodes[node].agent.is_serving();
            self.dispatchers[dispatcher].pong(node, serving, self.now);
        }
        Ok(())
    }
}

fn first_line(bytes: &Bytes) -> String {
    let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
    String::from_utf8_lossy(line).into_owned()
}
