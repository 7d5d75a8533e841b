//! A request comes in, is understood, and goes to billing and then to the log; or is answered at once.

use placement::PresentityKey;
use presence::registration::RegisterRefused;
use presence::time::Timestamp;
use proto::v1;
use proto::v1::command::Kind;
use sip::transaction::Received;
use sip::{Checked, Message, Method, Name};

use super::{Agent, Dial, LinkId, Note, Now, Output, Ticket};
use crate::answer::{Answer, Refuse};
use crate::bound::Bound;
use crate::identity::{self, Claim};
use crate::options;
use crate::pending::{Asked, Client, Intent, Waiting};
use crate::publish::Publish;
use crate::register::{Ask, Register};
use crate::request::{at_most, is_reliable, phone_via, route_uri, source};
use crate::shard::Refusal;
use crate::subscribe::{Subscribe, SubscribeKind, flow_of_route};
use crate::verdict::{Decision, Proof, Question, Subject, Verdict};

/// What a request turns out to be.
enum Intake {
    /// It asks for something that is kept or looked up.
    Intent(Intent),
    /// It is done with: 200.
    Done,
}

impl Agent {
    pub fn handle_request(&mut self, link: LinkId, request: Message, now: Now) {
        if request.method() == Method::Ack {
            return self.acknowledged(&request, now);
        }
        // Read once, for all who ask what it says.
        let message = request.clone();
        let checked = message.checked();
        let repeat = self.tags.repeat_key(&request, checked.as_ref().ok());
        let checked = match checked {
            Ok(checked) => checked,
            Err(fault) => {
                let bytes = Answer::refused(&request, &self.tags.answer(repeat), &Refuse::Fault(fault));
                return self.outputs.push_back(Output::Respond { link, bytes });
            }
        };
        // Never a matter of room: a dispatcher asks so whether this manager serves.
        if request.method() == Method::Options {
            let bytes =
                options::answer(&request, &self.tags.answer(repeat), &self.config.domains, self.is_serving());
            return self.outputs.push_back(Output::Respond { link, bytes });
        }
        match self.servers.receive(&request, &checked.via, now.monotonic) {
            Received::New(transaction) => {
                let phone = phone_via(&checked);
                let (source, reliable) = (source(&phone), is_reliable(&phone));
                let sender = PresentityKey::of(checked.from.uri);
                let client = Client { link, transaction, request, repeat, sender, source, reliable };
                self.begin(client, &checked, now);
            }
            Received::Repeat(Some(bytes)) => self.outputs.push_back(Output::Respond { link, bytes }),
            Received::Repeat(None) => {}
            Received::Full if self.pending.is_proposed(repeat) => {}
            Received::Full => {
                self.full(Bound::ServerTransactions);
                let bytes = Answer::refused(&request, &self.tags.answer(repeat), &Refuse::Unavailable);
                self.outputs.push_back(Output::Respond { link, bytes });
            }
        }
    }

    pub fn handle_verdict(&mut self, ticket: Ticket, verdict: Verdict, now: Now) {
        let Some(Waiting::Verdict { asked, question, count }) = self.pending.take(ticket) else { return };
        // The account has changed since it was asked about, so this may be an answer of yesterday.
        if self.reviews.was_named_since(&question.subject.account, count) {
            return self.ask(asked, *question, now);
        }
        self.verdicts.put(&question, &verdict, now.monotonic);
        self.answered(asked, &question, &verdict, now);
    }

    /// Asks billing, or who knows already.
    pub(super) fn ask(&mut self, asked: Asked, question: Question, now: Now) {
        if self.config.open {
            return self.answered(asked, &question, &Verdict::allowed(), now);
        }
        if let Some(verdict) = self.verdicts.get(&question, now.monotonic).cloned() {
            return self.answered(asked, &question, &verdict, now);
        }
        let source = match &asked {
            Asked::Request { client, .. } => client.source.clone(),
            Asked::Program { credentials, .. } => credentials.source.clone(),
            Asked::Review { source, .. } => {
                self.outputs.push_back(Output::Note(Note::AskedAgain));
                source.clone()
            }
        };
        let count = self.reviews.count();
        let ticket =
            self.pending.add(Waiting::Verdict { asked, question: Box::new(question.clone()), count });
        self.outputs.push_back(Output::Authorise { ticket, question, source });
    }

    fn answered(&mut self, asked: Asked, question: &Question, verdict: &Verdict, now: Now) {
        match asked {
            Asked::Request { client, intent } => self.judge(client, intent, question, verdict, now),
            Asked::Program { ticket, change, credentials } => {
                self.judge_program(ticket, *change, &credentials, question, verdict);
            }
            Asked::Review { id, epoch, .. } => self.reviewed(id, epoch, verdict, now),
        }
    }

    fn begin(&mut self, client: Client, checked: &Checked<'_>, now: Now) {
        match self.understand(&client, checked) {
            Ok(Intake::Intent(intent)) => self.authorise(client, checked, intent, now),
            Ok(Intake::Done) => {
                let to_tag = self.tags.answer(client.repeat);
                let bytes = Answer::taken(&client.request, &to_tag);
                self.answer_stranger(client, bytes);
            }
            Err(refuse) => self.turn_away(client, &refuse),
        }
    }

    fn understand(&mut self, client: &Client, checked: &Checked<'_>) -> Result<Intake, Refuse> {
        let request = &client.request;
        match request.method() {
            // It has no effect on anything but an INVITE (RFC 3261 9.2).
            Method::Cancel if self.servers.is_cancelled_by(request, &checked.via) => return Ok(Intake::Done),
            Method::Cancel => return Err(Refuse::UnknownTransaction),
            Method::Bye => return self.hung_up(request, checked).map(|()| Intake::Done),
            Method::Subscribe | Method::Publish | Method::Register => {}
            Method::Invite | Method::Message if checked.to.tag().is_some() => {
                return Err(Refuse::UnknownTransaction);
            }
            Method::Invite if self.calls.is_full() => {
                self.full(Bound::Calls);
                return Err(Refuse::Unavailable);
            }
            Method::Invite | Method::Message => {}
            _ => return Err(Refuse::UnknownMethod),
        }
        if !self.takes_requests() {
            return Err(Refuse::Unavailable);
        }
        Ok(Intake::Intent(match request.method() {
            Method::Publish => Intent::Publish(Box::new(Publish::parse(request, &self.config)?)),
            Method::Register => Intent::Register(Box::new(Register::parse(request, checked, &self.config)?)),
            Method::Invite | Method::Message => Intent::Dial(Box::new(Dial::parse(client, &self.config)?)),
            _ => {
                let known = self.known_presentity(checked);
                let (config, tags) = (&self.config, &self.tags);
                let subscribe = Subscribe::parse(request, checked, known, client.repeat, config, tags)?;
                Intent::Subscribe(Box::new(subscribe))
            }
        }))
    }

    /// Whether there is room for another one to wait.
    pub(super) fn takes_requests(&mut self) -> bool {
        let has_room = self.pending.requests() < self.config.limits.pending;
        if !has_room {
            self.full(Bound::Pending);
        }
        has_room && self.is_serving()
    }

    /// Whom the dialog of this request watches, if this replica knows it.
    fn known_presentity(&self, checked: &Checked<'_>) -> Option<PresentityKey> {
        Some(self.shard.subscription_of(checked.to.tag()?)?.presentity())
    }

    fn authorise(&mut self, client: Client, checked: &Checked<'_>, intent: Intent, now: Now) {
        let question = match self.question(&client, checked, &intent, now) {
            Ok(question) => question,
            Err(refuse) => return self.turn_away(client, &refuse),
        };
        if let Err(refuse) = self.has_room_at_source(&client, &intent, &question) {
            return self.turn_away(client, &refuse);
        }
        // Nobody needs a grant to end what is known to be his.
        if intent.ends_dialog() && !question.proof.is_digest() {
            return match self.charge(&client, &intent, &question.subject.account, now) {
                Ok(()) => self.record(client, intent, &question.subject.account),
                Err(refuse) => self.turn_away(client, &refuse),
            };
        }
        self.ask(Asked::Request { client, intent }, question, now);
    }

    /// What to ask billing about a request; or a challenge, if nothing is known of who sends it.
    fn question(
        &self,
        client: &Client,
        checked: &Checked<'_>,
        intent: &Intent,
        now: Now,
    ) -> Result<Question, Refuse> {
        let request = &client.request;
        let realm = identity::realm(&checked.from_uri, intent.presentity(), &self.config.domains);
        let known = self.identification.asserted(request);
        let claim = match known.or_else(|| self.begun_by(request, intent)) {
            Some(claim) => claim,
            None => self.identification.claim(client, realm, now)?,
        };
        let is_subscribe = matches!(intent, Intent::Subscribe(_));
        if !is_subscribe {
            self.identification.is_own(client, &claim, intent.presentity())?;
        }
        let watcher = client.sender.as_ref().filter(|_| is_subscribe);
        let subject = Subject {
            account: claim.account,
            method: intent.asked_as(request),
            event: intent.event().to_owned(),
            presentity: intent.presentity().as_str().to_owned(),
        };
        let watcher = watcher.map_or_else(String::new, |sender| sender.as_str().to_owned());
        Ok(Question { subject, proof: claim.proof, watcher, realm: realm.to_owned() })
    }

    /// A request in a dialog that we signed, over the flow and with the Contact that it was made with, needs no
    /// credentials: it comes from whoever began the dialog.
    fn begun_by(&self, request: &Message, intent: &Intent) -> Option<Claim> {
        let Intent::Subscribe(subscribe) = intent else { return None };
        if subscribe.kind != SubscribeKind::InDialog {
            return None;
        }
        let dialog = &self.shard.subscription_of(&subscribe.local_tag)?.dialog;
        let (then, now) = (dialog.route_set().next()?.as_bytes(), request.values(Name::RecordRoute).next()?);
        let flow = |route| flow_of_route(route_uri(route)?, &self.flow_key);
        // Mostly it is the very same token.
        let flow_now = flow(now)?;
        let same_flow = then == now || flow(then)? == flow_now;
        let is_same = same_flow && subscribe.remote_target() == dialog.remote_target();
        is_same.then(|| Claim { account: dialog.watcher().to_owned(), proof: Proof::Dialog })
    }

    fn judge(
        &mut self,
        client: Client,
        mut intent: Intent,
        question: &Question,
        verdict: &Verdict,
        now: Now,
    ) {
        let granted = self.granted(&client, &mut intent, question, verdict);
        let counted = granted.and_then(|()| self.counted(&client, question, now));
        match counted.and_then(|()| self.charge(&client, &intent, &question.subject.account, now)) {
            Ok(()) => self.record(client, intent, &question.subject.account),
            Err(refuse) => {
                if verdict.decision == Decision::Deny && !question.proof.is_digest() {
                    self.reject_dialog(&intent, &question.subject.account);
                }
                self.turn_away(client, &refuse);
            }
        }
    }

    fn counted(&mut self, client: &Client, question: &Question, now: Now) -> Result<(), Refuse> {
        match question.proof.is_digest() {
            true => self.identification.count(&client.request, &question.realm, client.repeat, now),
            false => Ok(()),
        }
    }

    fn granted(
        &self,
        client: &Client,
        intent: &mut Intent,
        question: &Question,
        verdict: &Verdict,
    ) -> Result<(), Refuse> {
        let request = &client.request;
        let standing = self.identification.granted(request, question, verdict)?;
        self.identification.is_sender(client, &question.subject.account, &question.proof)?;
        match intent {
            Intent::Subscribe(subscribe) => {
                let most = if self.config.open { 0 } else { self.config.limits.subscriptions_per_account };
                subscribe.grant(standing, verdict, most);
            }
            Intent::Publish(publish) => {
                publish.expires = at_most(publish.expires, verdict.max_expires);
                publish.check_body(request)?;
            }
            Intent::Register(register) => register.shorten(verdict.max_expires),
            Intent::Dial(dial) => dial.max_expires = verdict.max_expires,
        }
        Ok(())
    }

    /// Hands the request to the log. What only reads goes there too, so that its answer is not older than what the
    /// client was told before.
    fn record(&mut self, client: Client, intent: Intent, account: &str) {
        let (request, repeat) = (&client.request, client.repeat);
        let command = match &intent {
            Intent::Subscribe(subscribe) if subscribe.kind == SubscribeKind::Fetch => Kind::Read(v1::Read {}),
            Intent::Subscribe(subscribe) => {
                Kind::Subscribe(subscribe.command(request, account, repeat, self.config.node))
            }
            // What its entity-tag comes to is said first, and that is the log's to say.
            Intent::Publish(publish) if publish.flaw.is_some() => Kind::Read(v1::Read {}),
            Intent::Publish(publish) => Kind::Publish(publish.command(&client)),
            Intent::Register(register) if register.ask == Ask::Query => Kind::Read(v1::Read {}),
            Intent::Register(register) => Kind::Register(register.command(request, repeat)),
            Intent::Dial(dial) => Kind::SetSource(dial.command(bytes::Bytes::copy_from_slice(&repeat.0))),
        };
        self.propose(Waiting::Commit { client, intent }, command);
    }

    /// Refuses a request of somebody who has not proven who he is.
    fn turn_away(&mut self, client: Client, refuse: &Refuse) {
        self.note_bound(refuse);
        match self.refusal(&client, refuse) {
            Some(bytes) => self.answer_stranger(client, bytes),
            None => self.servers.abandon(&client.transaction),
        }
    }

    /// Whoever has not proven who he is makes us keep nothing: a repeat is judged anew, and gets the same To-tag.
    fn answer_stranger(&mut self, client: Client, bytes: bytes::Bytes) {
        self.servers.abandon(&client.transaction);
        self.outputs.push_back(Output::Respond { link: client.link, bytes });
    }

    pub(super) fn refuse(&mut self, client: Client, refuse: &Refuse, now: Now) {
        self.note_bound(refuse);
        match self.refusal(&client, refuse) {
            Some(bytes) => self.respond(client, bytes, now),
            None => self.servers.abandon(&client.transaction),
        }
    }

    fn note_bound(&mut self, refuse: &Refuse) {
        match refuse {
            Refuse::Refused(refusal) => self.note_refusal(refusal),
            Refuse::TooMuch { bound, .. } => self.full(*bound),
            Refuse::IntricateBody(_) => self.full(Bound::DocumentShape),
            Refuse::BodyTooLarge => self.full(Bound::Document),
            _ => {}
        }
    }

    pub(super) fn note_refusal(&mut self, refusal: &Refusal) {
        match refusal {
            Refusal::QuotaUsedUp(_) => self.outputs.push_back(Output::Note(Note::QuotaUsedUp)),
            Refusal::TooMany(_, bound) => self.full(*bound),
            Refusal::Register(RegisterRefused::TooMany) => self.full(Bound::Contacts),
            _ => {}
        }
    }

    /// None while another copy of the request is on its way into the log: that may be done yet, so this one is not told
    /// that it is not. It hears nothing, and the answer to the other is for both.
    fn refusal(&self, client: &Client, refuse: &Refuse) -> Option<bytes::Bytes> {
        if *refuse == Refuse::Unavailable && self.pending.is_proposed(client.repeat) {
            return None;
        }
        Some(Answer::refused(&client.request, &self.tags.answer(client.repeat), refuse))
    }

    pub(super) fn respond(&mut self, client: Client, bytes: bytes::Bytes, now: Now) {
        self.servers.respond(&client.transaction, &bytes, client.reliable, now.monotonic);
        self.outputs.push_back(Output::Respond { link: client.link, bytes });
    }

    /// What the registrar answers: the bindings as they are now, GRUUs for phones that know them.
    pub(super) fn answer_register(
        &mut self,
        client: Client,
        register: &Register,
        stamp: Timestamp,
        now: Now,
    ) {
        let uri = register.aor.uri();
        let bindings = self.shard.presentity(&register.aor).into_iter().flat_map(|held| held.bindings.iter());
        let gruu = register.gruu.then_some(uri.as_str());
        let to_tag = self.tags.answer(client.repeat);
        let bytes = Answer::registered(&client.request, &to_tag, bindings, gruu, stamp);
        self.respond(client, bytes, now);
    }
}
