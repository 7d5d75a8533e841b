//! What programs ask through the API: to change a source, to read, and to look at what this replica holds.

use bytes::Bytes;
use placement::PresentityKey;
use presence::status::Status;
use proto::v1;
use proto::v1::command::Kind;

use super::{Agent, Now, Output};
use crate::answer::Refuse;
use crate::api::{ApiReply, ApiTicket, Counts, Credentials, PresentityState, SetSource, WatcherState};
use crate::identity::account;
use crate::pending::{Asked, Waiting};
use crate::request::at_most;
use crate::verdict::{Question, Subject, Verdict};

impl Agent {
    /// Changes a source; one that comes with credentials only if billing knows them as the presentity's own.
    pub fn set_source(&mut self, ticket: ApiTicket, mut change: SetSource, now: Now) {
        if !self.takes_calls() {
            return self.reply(ticket, ApiReply::Unavailable);
        }
        let Some(credentials) = change.credentials.take().filter(|_| !self.config.open) else {
            return self.change(ticket, change);
        };
        let account = account(&credentials.username, &credentials.realm);
        if account != change.presentity.as_str() {
            return self.reply(ticket, ApiReply::Denied("the account is not the presentity's own".into()));
        }
        let cnonce = self.next_branch();
        let proof = self.identification.digest_of(&credentials, &change.presentity.uri(), &cnonce, now);
        let (event, presentity) = ("presence".to_owned(), change.presentity.to_string());
        let subject = Subject { account, method: "PUBLISH", event, presentity };
        let question = Question { subject, proof, watcher: String::new(), realm: credentials.realm.clone() };
        self.ask(Asked::Program { ticket, change, credentials }, question, now);
    }

    pub(super) fn judge_program(
        &mut self,
        ticket: ApiTicket,
        mut change: SetSource,
        credentials: &Credentials,
        question: &Question,
        verdict: &Verdict,
    ) {
        match self.identification.granted_to_program(credentials, question, verdict) {
            Ok(()) => {
                if let Some(state) = &mut change.state {
                    // Unlimited is longer than anything granted.
                    let unlimited = state.expires == 0;
                    let asked = if unlimited { verdict.max_expires } else { state.expires };
                    state.expires = at_most(asked, verdict.max_expires);
                }
                self.change(ticket, change);
            }
            Err(Refuse::WrongCredentials) => self.reply(ticket, ApiReply::WrongCredentials),
            Err(Refuse::Denied { reason, .. }) => self.reply(ticket, ApiReply::Denied(reason)),
            Err(_) => self.reply(ticket, ApiReply::Unavailable),
        }
    }

    /// Answered when everything that was committed before is in this replica.
    pub fn read(&mut self, ticket: ApiTicket) {
        match self.takes_calls() {
            true => self.propose(Waiting::Api(ticket), Kind::Read(v1::Read {})),
            false => self.reply(ticket, ApiReply::Unavailable),
        }
    }

    fn takes_calls(&self) -> bool {
        self.is_serving() && self.pending.requests() < self.config.limits.pending
    }

    fn reply(&mut self, ticket: ApiTicket, reply: ApiReply) {
        self.outputs.push_back(Output::Reply { ticket, reply });
    }

    fn change(&mut self, ticket: ApiTicket, change: SetSource) {
        let (document, expires) = match change.state {
            Some(state) => {
                let uri = change.presentity.uri();
                let document = Status::document(Some(state.status), &uri, state.note.as_deref(), &[]);
                (Bytes::from(document), state.expires)
            }
            None => (Bytes::new(), 0),
        };
        let presentity = change.presentity.to_string();
        let name = self.next_branch();
        let repeat = self.tags.own_key(&name);
        let repeat_key = Bytes::copy_from_slice(&repeat.0);
        let command = v1::SetSource { presentity, source: change.source, document, expires, repeat_key };
        self.propose(Waiting::Api(ticket), Kind::SetSource(command));
    }

    pub fn presentity(&mut self, key: &PresentityKey) -> PresentityState {
        let held = self.shard.presentity(key);
        let composed = self.documents.composed(key, "presence", held);
        PresentityState {
            presentity: key.clone(),
            position: held.map(|held| held.position).unwrap_or_default(),
            as_of: self.shard.position(),
            open: composed.basic == presence::format::pidf::Basic::Open,
            notes: composed.notes.clone(),
            activities: composed.activities.clone(),
            publications: held.map_or(0, |held| held.publications.len()),
            sources: held.map_or(0, |held| held.sources.len()),
            bindings: held.map_or(0, |held| held.bindings.len()),
            document: composed.document.clone(),
        }
    }

    pub fn watchers(&self, key: &PresentityKey, now: Now) -> Vec<WatcherState> {
        let watchers = self.shard.presentity(key).into_iter().flat_map(|presentity| &presentity.watchers);
        let subscriptions = watchers.filter_map(|id| self.shard.subscription(id));
        subscriptions
            .map(|subscription| WatcherState {
                watcher: subscription.request.watcher.clone(),
                event: subscription.request.event.clone(),
                pending: subscription.is_pending(),
                ended: subscription.ended.is_some(),
                seconds_left: subscription.expires_at.seconds_after(now.log),
                owner: subscription.owner,
                call_id: subscription.request.call_id.clone(),
                tenant: subscription.request.tenant.clone(),
            })
            .collect()
    }

    pub fn counts(&self) -> Counts {
        Counts {
            presentities: self.shard.presentity_count(),
            publications: self.shard.publication_count(),
            sources: self.shard.source_count(),
            bindings: self.shard.binding_count(),
            subscriptions: self.shard.subscription_count(),
            owned: self.deliveries.len(),
            dirty: self.deliveries.dirty().len(),
        }
    }
}
