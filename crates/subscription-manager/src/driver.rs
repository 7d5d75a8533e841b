//! The driver: the one task that owns a group's agent, feeds it, and performs what it says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::bail;
use bytes::Bytes;
use cluster::{CaptureReply, Event, Group, GroupEvents};
use metrics::counter;
use placement::{Directory, PresentityKey};
use presence::time::Timestamp;
use presence_agent::agent::Entry;
use presence_agent::api::{ApiReply, ApiTicket, Counts, PresentityState, SetSource, WatcherState};
use presence_agent::shard::Change;
use presence_agent::verdict::{Invalidated, Verdict};
use presence_agent::{Agent, LinkId, Note, Now, Output, Silence, Ticket};
use sip::{Instant, Message};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::auth_link::AuthLink;
use crate::demux::Demux;
use crate::followers::{Followers, TooMany};
use crate::metrics::{ASKED_AGAIN, DIVERGED, FULL, Meters, PENDING, PROPOSALS_FULL, QUOTA_USED_UP, REJECTED};
use crate::sip_link::Links;

/// Everything that reaches an agent from its neighbours, besides the log.
pub enum Input {
    Request {
        link: LinkId,
        message: Message,
    },
    Response(Message),
    Verdict {
        ticket: Ticket,
        verdict: Verdict,
    },
    Invalidated(Invalidated),
    SetSource {
        request: SetSource,
        reply: oneshot::Sender<ApiReply>,
    },
    Get {
        key: PresentityKey,
        reply: oneshot::Sender<PresentityState>,
    },
    /// Everything committed before is to be in this replica.
    Read {
        reply: oneshot::Sender<ApiReply>,
    },
    Watchers {
        key: PresentityKey,
        reply: oneshot::Sender<Vec<WatcherState>>,
    },
    History {
        key: PresentityKey,
        reply: oneshot::Sender<Vec<Change>>,
    },
    Follow {
        key: PresentityKey,
        reply: oneshot::Sender<Result<watch::Receiver<PresentityState>, TooMany>>,
    },
    Counts {
        reply: oneshot::Sender<Counts>,
    },
}

pub struct Driver {
    pub agent: Agent,
    pub group: Group,
    pub events: GroupEvents,
    pub directory: watch::Receiver<Arc<Directory>>,
    pub inputs: mpsc::Receiver<Input>,
    /// For the verdicts, which come back as inputs.
    pub own_inputs: mpsc::Sender<Input>,
    pub links: Links,
    /// None when everything is allowed.
    pub auth: Option<AuthLink>,
    pub demux: Demux,
    pub followers: Followers,
    pub clock: Clock,
    pub replies: Replies,
    pub meters: Meters,
}

/// Reads this node's clocks for an agent.
#[derive(Clone, Copy)]
pub struct Clock {
    started: std::time::Instant,
}

/// API calls that wait for the log.
#[derive(Default)]
pub struct Replies {
    waiting: BTreeMap<ApiTicket, oneshot::Sender<ApiReply>>,
    next: u64,
}

/// How long a stop waits for what is under way.
const DRAIN: Duration = Duration::from_secs(3);
/// How many inputs are taken at most before the outputs are performed: enough to share the cost, few enough to keep
/// the log's events flowing.
const BATCH: usize = 64;

impl Driver {
    /// Serves until `shutdown`, and then until nobody waits for an answer. An end before that is a failure: the group
    /// is not served here any more. Gives the events back: they must be read on as long as the group goes on.
    pub async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<GroupEvents> {
        let group = self.group.id();
        let mut stop_at = None;
        loop {
            self.perform();
            if self.agent.is_stopped() {
                self.demux.set_serving(group, false);
                bail!("group {group} is not served here any more");
            }
            let drained = stop_at.is_some_and(|at| self.agent.is_idle() || tokio::time::Instant::now() >= at);
            if drained {
                return Ok(self.events);
            }
            let deadline = self.clock.until(self.agent.poll_timeout());
            tokio::select! {
                () = shutdown.cancelled(), if stop_at.is_none() => {
                    self.agent.drain();
                    stop_at = Some(tokio::time::Instant::now() + DRAIN);
                }
                event = self.events.next() => match event {
                    Some(event) => self.take_events(event),
                    None => bail!("the log of group {group} has failed"),
                },
                input = self.inputs.recv() => match input {
                    Some(input) => self.take_inputs(input),
                    None => return Ok(self.events),
                },
                () = tokio::time::sleep(deadline) => {}
            }
            let now = self.now();
            if now.monotonic >= self.agent.poll_timeout() {
                let silences = self.silences();
                self.agent.handle_timeout(now, silences.as_deref());
            }
        }
    }

    fn now(&self) -> Now {
        self.clock.now(&self.group, self.agent.applied())
    }

    /// Only at the leader.
    fn silences(&self) -> Option<Vec<Silence>> {
        let (silences, directory) = (self.group.silences()?, self.directory.borrow());
        let start = |node| directory.members.get(&node).map_or(0, |member| member.incarnation);
        let silence = |(node, lasted)| Silence { node, lasted, incarnation: start(node) };
        Some(silences.into_iter().map(silence).collect())
    }

    fn take_events(&mut self, first: Event) {
        let mut next = Some(first);
        for _ in 0..BATCH {
            // After a stop nothing is applied or pictured: a snapshot would lack what was not understood.
            let Some(event) = next.filter(|_| !self.agent.is_stopped()) else { return };
            self.take_event(event);
            next = self.events.try_next();
        }
        if let Some(event) = next.filter(|_| !self.agent.is_stopped()) {
            self.take_event(event);
        }
    }

    fn take_event(&mut self, event: Event) {
        let now = self.now();
        match event {
            Event::Committed(entry) => {
                let entry = self.entry(entry);
                self.agent.handle_entry(entry, now);
            }
            Event::Failed { ticket } => self.agent.handle_failed(Ticket(ticket), now),
            Event::Lost { ticket } => self.agent.handle_lost(Ticket(ticket), now),
            Event::Restore { index, chunks, .. } => {
                self.agent.restore(chunks, index, now);
                self.tell_all_followers();
            }
            Event::Capture(reply) => self.capture(reply),
            // Whether it leads is asked when it matters.
            Event::Leadership { .. } => {}
        }
    }

    /// A command of this very start comes back with its ticket.
    fn entry(&self, entry: cluster::Entry) -> Entry {
        let (me, start) = (self.group.node(), self.group.incarnation());
        let commands = entry.commands.into_iter().map(|submitted| {
            let mine = submitted.origin == me && submitted.incarnation == start;
            (mine.then_some(Ticket(submitted.ticket)), submitted.command)
        });
        Entry { index: entry.index, stamp: Timestamp(entry.stamp), commands: commands.collect() }
    }

    fn capture(&self, reply: CaptureReply) {
        let picture = self.agent.picture();
        reply.send(Box::new(move || picture.chunks()));
    }

    /// They share one reading of the clocks: nothing is applied between them.
    fn take_inputs(&mut self, first: Input) {
        let now = self.now();
        let mut next = Some(first);
        for _ in 0..BATCH {
            let Some(input) = next else { return };
            self.take_input(input, now);
            next = self.inputs.try_recv().ok();
        }
        if let Some(input) = next {
            self.take_input(input, now);
        }
    }

    /// A caller that did not wait for its reply has gone; nothing is done about that. One whose reply is dropped is told
    /// that this manager does not serve: the state is not complete before the node's own start is in the log.
    fn take_input(&mut self, input: Input, now: Now) {
        let serving = self.agent.is_serving();
        match input {
            Input::Get { .. } | Input::Watchers { .. } | Input::History { .. } | Input::Follow { .. }
                if !serving => {}
            Input::Request { link, message } => self.agent.handle_request(link, message, now),
            Input::Response(message) => self.agent.handle_response(&message, now),
            Input::Verdict { ticket, verdict } => self.agent.handle_verdict(ticket, verdict, now),
            Input::SetSource { request, reply } => {
                let ticket = self.replies.wait(reply);
                self.agent.set_source(ticket, request, now);
            }
            Input::Read { reply } => {
                let ticket = self.replies.wait(reply);
                self.agent.read(ticket);
            }
            Input::Invalidated(invalidated) => self.agent.handle_invalidated(&invalidated, now),
            Input::Get { key, reply } => drop(reply.send(self.agent.presentity(&key))),
            Input::Watchers { key, reply } => drop(reply.send(self.agent.watchers(&key, now))),
            Input::History { key, reply } => drop(reply.send(self.agent.history(&key))),
            Input::Follow { key, reply } => {
                let state = self.agent.presentity(&key);
                let followed = self.followers.add(state);
                if followed.is_err() {
                    counter!(FULL, "bound" => "followers").increment(1);
                }
                drop(reply.send(followed));
            }
            Input::Counts { reply } => drop(reply.send(self.agent.counts())),
        }
    }

    fn tell_all_followers(&mut self) {
        for key in self.followers.keys() {
            let state = self.agent.presentity(&key);
            self.followers.tell(state);
        }
    }

    /// Performs what the agent said.
    fn perform(&mut self) {
        while let Some(output) = self.agent.poll_output() {
            match output {
                Output::Respond { link, bytes } => self.links.respond(link, bytes),
                Output::Send { next_hop, bytes } => {
                    self.meters.notifies.increment(1);
                    self.links.send(next_hop, bytes);
                }
                Output::Authorise { ticket, question, source } => self.authorise(ticket, question, source),
                Output::Propose { ticket, command } => self.propose(ticket, command),
                Output::Reply { ticket, reply } => self.replies.send(ticket, reply),
                Output::Changed(key) if self.followers.is_followed(&key) => {
                    let state = self.agent.presentity(&key);
                    self.followers.tell(state);
                }
                Output::Changed(_) => {}
                Output::Note(note) => count(note),
                Output::Diverged { index, slot, nodes: [one, other] } => {
                    counter!(DIVERGED).increment(1);
                    error!(group = %self.group.id(), index, slot, %one, %other, "Two replicas do not hold the same state");
                }
                Output::Stop(why) => error!(group = %self.group.id(), why, "This node stops serving a group"),
            }
        }
        self.demux.set_serving(self.group.id(), self.agent.is_serving());
    }

    fn authorise(&mut self, ticket: Ticket, question: presence_agent::verdict::Question, source: String) {
        match &self.auth {
            Some(auth) => auth.ask(ticket, question, source, self.own_inputs.clone()),
            None => self.agent.handle_verdict(ticket, Verdict::allowed(), self.now()),
        }
    }

    fn propose(&mut self, ticket: Ticket, command: Bytes) {
        self.meters.proposals.increment(1);
        if self.group.propose(ticket.0, command).is_err() {
            counter!(PROPOSALS_FULL).increment(1);
            self.agent.handle_failed(ticket, self.now());
        }
    }
}

/// The counter that a note belongs to.
fn count(note: Note) {
    match note {
        Note::Pending => counter!(PENDING),
        Note::QuotaUsedUp => counter!(QUOTA_USED_UP),
        Note::Rejected => counter!(REJECTED),
        Note::AskedAgain => counter!(ASKED_AGAIN),
        Note::Full(bound) => counter!(FULL, "bound" => bound.as_str()),
    }
    .increment(1);
}

impl Replies {
    fn wait(&mut self, reply: oneshot::Sender<ApiReply>) -> ApiTicket {
        self.next += 1;
        let ticket = ApiTicket(self.next);
        self.waiting.insert(ticket, reply);
        ticket
    }

    fn send(&mut self, ticket: ApiTicket, reply: ApiReply) {
        if let Some(waiting) = self.waiting.remove(&ticket) {
            drop(waiting.send(reply));
        }
    }
}

impl Clock {
    pub fn start() -> Clock {
        Clock { started: std::time::Instant::now() }
    }

    /// For an agent that has handled the entries of its group up to `applied`.
    pub fn now(&self, group: &Group, applied: u64) -> Now {
        let since_start =
            |at: std::time::Instant| at.saturating_duration_since(self.started).as_millis() as u64;
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Now {
            monotonic: Instant(since_start(std::time::Instant::now())),
            log: Timestamp(group.log_now()),
            unix,
            lease: Instant(group.lease_until(applied).map_or(0, since_start)),
        }
    }

    fn until(&self, instant: Instant) -> Duration {
        // A millisecond more, so that the rounding of `now` never finds it still early.
        Duration::from_millis(instant.0 + 1).saturating_sub(self.started.elapsed())
    }
}
