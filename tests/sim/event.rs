//! What can happen in the world, and the queue that says what happens next: by time, and in the order of asking among
//! events of the same millisecond.

use std::collections::BTreeMap;

use bytes::Bytes;
use dispatcher::names::Leg;
use presence_agent::verdict::{Decision, Invalidated, Verdict};
use presence_agent::{LinkId, Ticket};
use sip::Message;

use crate::faults::Fault;
use crate::log;

#[derive(Debug)]
pub enum Event {
    /// A phone's timers and its script.
    PhoneWakes(usize),
    /// A message from a phone arrives at a dispatcher, over `leg`.
    AtDispatcher {
        dispatcher: usize,
        leg: Leg,
        bytes: Bytes,
    },
    AtPhone {
        leg: Leg,
        bytes: Bytes,
    },
    /// Something reaches one start of a node.
    AtNode {
        node: usize,
        incarnation: u64,
        input: Input,
    },
    /// A message from a node arrives at a dispatcher, over one of the connections between them.
    FromNode {
        dispatcher: usize,
        link: LinkId,
        message: Message,
    },
    DispatcherTimer(usize),
    /// Heartbeats of the leaders, and elections.
    Heartbeat,
    /// The dispatchers ask the nodes whether they serve.
    Ping,
    Fault(Fault),
    /// Billing changes its mind about an account.
    Billing(String, Decision),
    /// Faults stop.
    Calm,
    /// Is everything as it should be?
    Inspect,
}

#[derive(Debug)]
pub enum Input {
    Sip {
        link: LinkId,
        bytes: Bytes,
    },
    Verdict {
        ticket: Ticket,
        verdict: Verdict,
    },
    Invalidated(Invalidated),
    Log(log::Message),
    /// The next committed entry is handed to the agent.
    Apply,
    Timer,
}

#[derive(Debug, Default)]
pub struct Queue {
    events: BTreeMap<(u64, u64), Event>,
    next: u64,
}

impl Queue {
    pub fn push(&mut self, at: u64, event: Event) {
        self.events.insert((at, self.next), event);
        self.next += 1;
    }

    pub fn pop(&mut self) -> Option<(u64, Event)> {
        self.events.pop_first().map(|((at, _), event)| (at, event))
    }
}
