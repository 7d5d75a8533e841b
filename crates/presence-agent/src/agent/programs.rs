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
use crate::shard;
use crate::verdict::{Question, Subject, Verdict};

impl Agent {
    /// Changes a source; one that comes with credentials only if billing knows them as the presentity's own.
    pub fn set_source(&mut self, ticket: ApiTicket, mut change: SetSource, now: Now) {
        if !self.takes_requests() {
            return self.reply(ticket, ApiReply::Unavailable);
        }
        let Some(credentials) = change.credentials.take().filter(|_| !self.config.open) else {
            return self.change(ticket, change);
        };
        let account = account(&credentials.username, &credentials.realm);
        if account != change.presentity.as_str() {
            return self.reply(ticket, ApiReply::Denied("the account is not the presentity's own".into()));
        }
        let cnonce = self.branches.next();
        let proof = self.identification.digest_of(&credentials, &change.presentity.uri(), &cnonce, now);
        let (event, presentity) = ("presence".to_owned(), change.presentity.to_string());
        let subject = Subject { account, method: "PUBLISH", event, presentity };
        let question = Question { subject, proof, watcher: String::new(), realm: credentials.realm.clone() };
        let change = Box::new(change);
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
        match self.takes_requests() {
            true => self.propose(Waiting::Api(ticket), Kind::Read(v1::Read {})),
            false => self.reply(ticket, ApiReply::Unavailable),
        }
    }

    fn reply(&mut self, ticket: ApiTicket, reply: ApiReply) {
        self.outputs.push_back(Output::Reply { ticket, reply });
    }

    fn change(&mut self, ticket: ApiTicket, change: SetSource) {
        let (document, expires) = match change.state {
            Some(state) => {
                let uri = change.presentity.uri();
                let document = Status::document(state.status, &uri, state.note.as_deref(), &state.contacts);
                (Bytes::from(document), state.expires)
            }
            None => (Bytes::new(), 0),
        };
        let presentity = change.presentity.to_string();
        let name = self.branches.next();
        let repeat = self.tags.own_key(&name);
        let repeat_key = Bytes::copy_from_slice(&repeat.0);
        let source = change.source;
        let command =
            v1::SetSource { presentity, source, document, expires, repeat_key, ..Default::default() };
        self.propose(Waiting::Api(ticket), Kind::SetSource(command));
    }

    pub fn presentity(&mut self, key: &PresentityKey) -> PresentityState {
        let held = self.shard.presentity(key);
        let composed = self.documents.composed(key.as_str(), "presence", held);
        PresentityState {
            presentity: key.clone(),
            position: held.map(|held| held.position).unwrap_or_default(),
            as_of: self.shard.position(),
            open: composed.basic == presence::format::pidf::Basic::Open,
            notes: composed.notes.clone(),
            activities: composed.activities.clone(),
            status: composed.status,
            publications: held.map_or(0, |held| held.publications.len()),
            sources: held.map_or(0, |held| held.sources.len()),
            bindings: held.map_or(0, |held| held.bindings.len()),
            document: composed.document.clone(),
        }
    }

    pub fn watchers(&self, key: &PresentityKey, now: Now) -> Vec<WatcherState> {
        let watchers = self.shard.presentity(key).into_iter().flat_map(|presentity| &presentity.watchers);
        let subscriptions = watchers.filter_map(|id| self.shard.subscription(*id));
        subscriptions
            .map(|subscription| WatcherState {
                watcher: subscription.dialog.watcher().to_owned(),
                event: subscription.dialog.event().to_owned(),
                pending: subscription.is_pending(),
                ended: subscription.ended.is_some(),
                seconds_left: subscription.expires_at.seconds_after(now.log),
                owner: subscription.owner,
                call_id: subscription.dialog.call_id().to_owned(),
                tenant: subscription.dialog.tenant().to_owned(),
            })
            .collect()
    }

    /// The changes of a presentity, oldest first.
    pub fn history(&self, key: &PresentityKey) -> Vec<shard::Change> {
        self.shard.presentity(key).map_or_else(Vec::new, |held| held.history.changes().to_vec())
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

#[cfg(test)]
mod tests {
    use placement::{GroupId, NodeId};
    use presence::status::Status;
    use presence::time::Timestamp;
    use sip::digest::{Algorithm, ha1};
    use sip::{Instant, Secret};

    use super::*;
    use crate::agent::{Entry, Note};
    use crate::api::SourceState;
    use crate::bound::Bound;
    use crate::config::Config;
    use crate::verdict::{Decision, Proof};

    const TICKET: ApiTicket = ApiTicket(7);

    fn now() -> Now {
        Now { monotonic: Instant(0), log: Timestamp(0), unix: 1_000, lease: Instant(u64::MAX) }
    }

    /// An agent whose Boot stands in the log.
    fn agent() -> Agent {
        let config = Config {
            node: NodeId(1),
            group: GroupId(1),
            incarnation: 1,
            domains: vec!["lab.test".into()],
            secret: Secret::new("a secret of sixteen"),
            open: false,
            algorithms: vec![Algorithm::Md5],
            md5_only: Vec::new(),
            feature_code: String::new(),
            trust_asserted_identity: true,
            end_on_timeout: false,
            check_nc: false,
            sent_by: "127.0.0.1:7101".into(),
            subscribe: Default::default(),
            publish: Default::default(),
            register: Default::default(),
            limits: Default::default(),
        };
        let mut agent = Agent::new(config, now());
        let Some(Output::Propose { ticket, command }) = agent.poll_output() else { panic!("no Boot") };
        agent.handle_entry(Entry { commands: vec![(Some(ticket), command)], ..Entry::new(1, 1) }, now());
        agent
    }

    #[test]
    fn where_there_is_no_room_the_program_is_told_so_and_the_operator_can_count_it() {
        let mut agent = agent();
        agent.config.limits.pending = 0;

        agent.set_source(TICKET, change("alice", "alicepw"), now());

        assert!(matches!(agent.poll_output(), Some(Output::Note(Note::Full(Bound::Pending)))));
        let told = agent.poll_output();
        assert!(matches!(told, Some(Output::Reply { reply: ApiReply::Unavailable, .. })), "{told:?}");
    }

    fn change(username: &str, password: &str) -> SetSource {
        let text = str::to_owned;
        let state = SourceState { status: Some(Status::Away), note: None, contacts: Vec::new(), expires: 0 };
        let credentials = Credentials {
            username: text(username),
            realm: text("lab.test"),
            password: text(password),
            source: text("192.0.2.9:4711"),
        };
        let presentity = PresentityKey::restored("alice@lab.test");
        SetSource { presentity, source: text("portal"), state: Some(state), credentials: Some(credentials) }
    }

    /// What a change comes to, billing having said so.
    fn outcome(password: &str, verdict: Verdict) -> Output {
        let mut agent = agent();
        agent.set_source(TICKET, change("alice", password), now());
        let Some(Output::Authorise { ticket, question, .. }) = agent.poll_output() else {
            panic!("not asked")
        };
        assert!(matches!(question.proof, Proof::Digest(_)) && question.subject.method == "PUBLISH");
        agent.handle_verdict(ticket, verdict, now());
        agent.poll_output().expect("an answer or a command")
    }

    fn reply(output: &Output) -> Option<&ApiReply> {
        match output {
            Output::Reply { reply, .. } => Some(reply),
            _ => None,
        }
    }

    #[test]
    fn a_password_is_held_against_the_secret_that_billing_gives() {
        let ha1_sha256 = ha1(Algorithm::Sha256, "alice", "lab.test", "alicepw");
        let verify = Verdict { decision: Decision::Verify, ha1_sha256, ..Verdict::allowed() };

        assert!(matches!(outcome("alicepw", verify.clone()), Output::Propose { .. }));
        assert_eq!(reply(&outcome("wrong", verify)), Some(&ApiReply::WrongCredentials));
    }

    #[test]
    fn billing_that_keeps_its_secrets_says_whether_a_program_may() {
        let says = |decision, status| Verdict { decision, status, ..Verdict::allowed() };

        assert!(matches!(outcome("alicepw", says(Decision::Allow, 0)), Output::Propose { .. }));
        assert_eq!(reply(&outcome("x", says(Decision::Deny, 401))), Some(&ApiReply::WrongCredentials));
        assert_eq!(reply(&outcome("x", says(Decision::Deny, 403))), Some(&ApiReply::Denied(String::new())));
        assert_eq!(reply(&outcome("x", Verdict::unavailable())), Some(&ApiReply::Unavailable));
    }

    #[test]
    fn somebody_elses_credentials_change_nothing_and_ask_nobody() {
        let mut agent = agent();

        agent.set_source(TICKET, change("bob", "bobpw"), now());

        let answer = agent.poll_output().expect("an answer");
        assert!(matches!(reply(&answer), Some(ApiReply::Denied(_))), "{answer:?}");
        assert!(agent.poll_output().is_none());
    }

    #[test]
    fn a_lifetime_without_end_is_held_to_what_billing_grants() {
        let granted = Verdict { max_expires: 600, ..Verdict::allowed() };

        let Output::Propose { command, .. } = outcome("alicepw", granted) else { panic!("not proposed") };

        let command = <v1::Command as prost::Message>::decode(command).unwrap();
        assert!(matches!(command.kind, Some(Kind::SetSource(source)) if source.expires == 600));
    }

    #[test]
    fn a_read_is_answered_with_its_place_in_the_log() {
        let mut agent = agent();
        agent.read(TICKET);
        let Some(Output::Propose { ticket, command }) = agent.poll_output() else { panic!("not proposed") };

        agent.handle_entry(Entry { commands: vec![(Some(ticket), command)], ..Entry::new(2, 2) }, now());

        let answer = agent.poll_output().expect("an answer");
        let position = presence::position::Position::new(2, 0);
        assert_eq!(reply(&answer), Some(&ApiReply::Done(position)));
    }
}
