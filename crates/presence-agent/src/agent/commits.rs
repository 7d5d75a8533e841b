//! A committed entry is applied, and whoever waits for one of its commands here gets the answer.

use presence::entity_tag::EntityTag;
use presence::position::Position;
use presence::publication::TagUnmatched;
use prost::Message as _;
use proto::v1;
use proto::v1::command::Kind;

use super::{Agent, Entry, Note, Now, Output, Ticket};
use crate::answer::{self, Answer};
use crate::api::ApiReply;
use crate::pending::{Client, Intent, Waiting};
use crate::publish::Publish;
use crate::shard::{Dialog, Effect, Outcome, Refusal};
use crate::subscribe::{Subscribe, SubscribeKind};

impl Agent {
    /// Applies the next entry of the log. The answers come before the NOTIFYs that the same entry causes.
    pub fn handle_entry(&mut self, entry: Entry, now: Now) {
        if self.stopped {
            return;
        }
        for (offset, (ticket, command)) in entry.commands.into_iter().enumerate() {
            let position = Position::new(entry.index, offset);
            let Some(kind) = v1::Command::decode(command).ok().and_then(|command| command.kind) else {
                return self.stop(format!("the command at {position} is unknown to this build"));
            };
            let applied = self.shard.apply(kind, position, entry.stamp);
            if let Some(waiting) = ticket.and_then(|ticket| self.pending.take(ticket)) {
                self.committed(waiting, applied.outcome, position, now);
            }
            for effect in applied.effects {
                self.feel(effect, now);
            }
        }
        self.applied = entry.index;
        if let Some(checksum) = self.shard.checksum(self.config.node, entry.index) {
            self.propose(Waiting::Checksum, Kind::Checksum(checksum));
        }
        self.pump(now);
    }

    /// The command was never proposed and never will be: nothing is stored, and the client may hear so.
    pub fn handle_failed(&mut self, ticket: Ticket, now: Now) {
        match self.pending.take(ticket) {
            Some(Waiting::Commit { client, .. }) => self.refuse(client, &answer::Refuse::Unavailable, now),
            Some(Waiting::Api(ticket)) => {
                self.outputs.push_back(Output::Reply { ticket, reply: ApiReply::Unavailable });
            }
            Some(own) => self.own_command_failed(own, now),
            None => {}
        }
    }

    /// Nobody can say in time whether the command was committed, so no final answer is true. A repeat of
    /// the request starts anew, and finds out.
    pub fn handle_lost(&mut self, ticket: Ticket, now: Now) {
        match self.pending.take(ticket) {
            Some(Waiting::Commit { client, .. }) => self.servers.abandon(&client.transaction),
            Some(Waiting::Api(ticket)) => {
                self.outputs.push_back(Output::Reply { ticket, reply: ApiReply::Unknown })
            }
            Some(own) => self.own_command_failed(own, now),
            None => {}
        }
    }

    fn committed(&mut self, waiting: Waiting, outcome: Outcome, position: Position, now: Now) {
        match waiting {
            Waiting::Commit { client, intent } => self.answer(client, intent, outcome, now),
            Waiting::Api(ticket) => {
                let reply = match outcome {
                    Outcome::Refused(refusal) => {
                        self.note_refusal(&refusal);
                        ApiReply::Refused(refusal)
                    }
                    _ => ApiReply::Done(position),
                };
                self.outputs.push_back(Output::Reply { ticket, reply });
            }
            own => self.own_command_done(own),
        }
    }

    fn answer(&mut self, client: Client, intent: Intent, outcome: Outcome, now: Now) {
        if let Some(refuse) = answer::refusal(&outcome) {
            return self.refuse(client, &refuse, now);
        }
        match (intent, outcome) {
            (Intent::Publish(_), Outcome::Published { tag, lifetime }) => {
                let to_tag = self.tags.answer(client.repeat);
                let bytes = Answer::published(&client.request, &to_tag, tag.as_str(), lifetime.0);
                self.respond(client, bytes, now);
            }
            (Intent::Publish(publish), Outcome::Done) => {
                let refuse = self.refused_in_order(*publish);
                self.refuse(client, &refuse, now);
            }
            (Intent::Subscribe(subscribe), Outcome::Subscribed { lifetime, .. }) => {
                if subscribe.kind == SubscribeKind::Initial && subscribe.is_pending() {
                    self.outputs.push_back(Output::Note(Note::Pending));
                }
                self.answer_subscribe(client, &subscribe, lifetime.0, now);
            }
            (Intent::Subscribe(subscribe), Outcome::Done) if subscribe.kind == SubscribeKind::Fetch => {
                let command = subscribe.command(&client.request, "", client.repeat, self.config.node);
                self.answer_subscribe(client, &subscribe, 0, now);
                if let Some(dialog) = Dialog::of(&command) {
                    self.notify_once(&dialog, now);
                }
            }
            (Intent::Dial(dial), _) => self.answer_dial(client, &dial, now),
            (Intent::Register(register), _) => {
                self.answer_register(client, &register, self.shard.stamp(), now)
            }
            (_, _) => self.refuse(client, &answer::Refuse::Unavailable, now),
        }
    }

    /// Why a PUBLISH that has a flaw is refused: because of its entity-tag, if that is not good either (RFC 3903 section 6
    /// has it before Expires and body).
    fn refused_in_order(&self, publish: Publish) -> answer::Refuse {
        let tag = EntityTag::from(publish.if_match.as_str());
        let held = self.shard.presentity(&publish.presentity);
        let held = held.and_then(|held| held.publications.get(&tag));
        let stamp = self.shard.stamp();
        let is_good = held.is_some_and(|held| held.event == publish.package.name && stamp < held.expires_at);
        match publish.flaw {
            Some(flaw) if is_good => flaw,
            _ => answer::Refuse::Refused(Refusal::TagUnmatched(TagUnmatched(tag))),
        }
    }

    fn answer_subscribe(&mut self, client: Client, subscribe: &Subscribe, expires: u32, now: Now) {
        let bytes = Answer::subscribed(&client.request, &subscribe.local_tag, &subscribe.contact, expires);
        self.respond(client, bytes, now);
    }

    /// Looks at what an effect points to. Before our Boot nothing is ours to look at.
    fn feel(&mut self, effect: Effect, now: Now) {
        match effect {
            Effect::NodeBooted(node) if node == self.config.node => {
                let incarnation = self.shard.node(node).map(|state| state.incarnation);
                self.booted = incarnation == Some(self.config.incarnation);
                if self.booted {
                    self.scan(now);
                }
            }
            Effect::NodeBooted(_) => {}
            Effect::Diverged { index, slot, nodes } => {
                self.outputs.push_back(Output::Diverged { index, slot, nodes });
            }
            _ if !self.booted => {}
            Effect::PresentityChanged(key) => {
                self.wake_watchers(&key);
                self.outputs.push_back(Output::Changed(key));
            }
            Effect::SubscriptionAsked(id) => {
                self.own(id, Position::default());
                if self.deliveries.heard_from(id) {
                    self.wake(id);
                    self.doubt(id, now);
                }
            }
            Effect::SubscriptionJudged(id) => self.judged(id, now),
            Effect::SubscriptionEnded(id) => self.disown(id),
            Effect::OwnersMoved => self.scan(now),
        }
    }
}
