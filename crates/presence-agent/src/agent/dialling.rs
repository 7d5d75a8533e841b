//! Feature codes that are dialled: a MESSAGE or a call that sets the caller's own status (features G8).
//!
//! Both are asked about as a PUBLISH of the caller's own state, and are answered once the change is committed. A call is
//! then answered, and hung up when it is acknowledged.

use bytes::Bytes;
use placement::{PresentityKey, Slot};
use presence::status::Status;
use proto::v1;
use sip::{Checked, Message, Method, Name, Uri};

use super::{Agent, Now, Output};
use crate::answer::{Answer, Refuse};
use crate::calls::{Send, Via};
use crate::config::Config;
use crate::feature_code::{FeatureCode, SOURCE};
use crate::pending::Client;
use crate::request::{extensions, own_contact};
use crate::sdp;

/// A status that somebody dials for himself.
#[derive(Debug)]
pub(crate) struct Dial {
    pub presentity: PresentityKey,
    pub code: FeatureCode,
    /// The longest lifetime that billing granted, in seconds; 0 says nothing.
    pub max_expires: u32,
}

/// The longest text of a MESSAGE that is looked at; RFC 3428 section 5 allows no longer one.
const MAX_TEXT: usize = 1_300;
/// The longest note, as everywhere.
const MAX_NOTE: usize = 1_024;

impl Dial {
    /// Whose status it is to be stands in From.
    pub fn parse(client: &Client, config: &Config) -> Result<Dial, Refuse> {
        let request = &client.request;
        extensions(request, &[])?;
        let presentity = client.sender()?.clone();
        if !config.domains.iter().any(|domain| domain == presentity.domain()) {
            return Err(Refuse::UnknownPresentity);
        }
        if request.method() == Method::Invite && request.contact().map_err(Refuse::Fault)?.is_none() {
            return Err(Refuse::NoContact);
        }
        let uri = Uri::parse(request.request_uri()).map_err(|_| Refuse::UnknownPresentity)?;
        let dialled = uri.user.map(sip::unescape).unwrap_or_default();
        let text = text(request)?;
        let code =
            FeatureCode::parse(&config.feature_code, &dialled, &text).ok_or(Refuse::UnknownPresentity)?;
        let code = code.map_err(|_| Refuse::NoSuchDigit)?;
        if code.note.as_ref().is_some_and(|note| note.len() > MAX_NOTE) {
            return Err(Refuse::BodyTooLarge);
        }
        Ok(Dial { presentity, code, max_expires: 0 })
    }

    pub fn command(&self, repeat_key: Bytes) -> v1::SetSource {
        let uri = self.presentity.uri();
        let document = self
            .code
            .sets()
            .map(|status| Bytes::from(Status::document(Some(status), &uri, self.code.note.as_deref(), &[])));
        v1::SetSource {
            presentity: self.presentity.to_string(),
            source: SOURCE.to_owned(),
            document: document.unwrap_or_default(),
            // Unlimited is longer than anything granted.
            expires: self.max_expires,
            repeat_key,
            ..v1::SetSource::default()
        }
    }
}

/// What a MESSAGE says; nothing in a call is text.
fn text(request: &Message) -> Result<String, Refuse> {
    if request.method() != Method::Message || request.body().is_empty() {
        return Ok(String::new());
    }
    let content_type = request.text(Name::ContentType).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("text/plain") {
        return Err(Refuse::UnsupportedBody("text/plain"));
    }
    if request.body().len() > MAX_TEXT {
        return Err(Refuse::BodyTooLarge);
    }
    String::from_utf8(request.body().to_vec()).map_err(|_| Refuse::BadBody("the text is not UTF-8".into()))
}

impl Agent {
    pub(super) fn answer_dial(&mut self, client: Client, dial: &Dial, now: Now) {
        let request = &client.request;
        if request.method() == Method::Message {
            let bytes = Answer::taken(request, &self.tags.answer(client.repeat));
            return self.respond(client, bytes, now);
        }
        let from_tag = request.from().ok().and_then(|from| from.tag()).unwrap_or_default();
        let slot = Slot::of(&dial.presentity);
        let to_tag = self.tags.dialog(slot, client.repeat, request.call_id(), from_tag);
        let contact = own_contact(request, &dial.presentity);
        let session = sdp::answer(&request.body(), now.unix);
        let bytes = Answer::called(request, &to_tag, &contact, &session);
        self.calls.answered(request, &to_tag, client.reliable, now.monotonic);
        self.respond(client, bytes, now);
    }

    /// Hangs up a call of ours that was acknowledged.
    pub(super) fn acknowledged(&mut self, ack: &Message, now: Now) {
        let branch = self.branches.next();
        let via = Via { sent_by: &self.config.sent_by, branch: &branch };
        let bye = self.calls.acknowledged(ack, &via, now.monotonic);
        self.outputs.extend(bye.map(Output::from));
    }

    /// Whoever hangs up a dialog that we signed may do so, whether this node knows of it or not; but a subscription does not
    /// end by BYE (RFC 5057 5).
    pub(super) fn hung_up(&mut self, bye: &Message, checked: &Checked<'_>) -> Result<(), Refuse> {
        let from_tag = checked.from.tag().unwrap_or_default();
        let is_call = |tag: &str| {
            self.tags.verify(tag, bye.call_id(), from_tag) && self.shard.subscription_of(tag).is_none()
        };
        if !checked.to.tag().is_some_and(is_call) {
            return Err(Refuse::UnknownTransaction);
        }
        self.calls.ended(bye);
        Ok(())
    }

    pub(super) fn keep_calls(&mut self, now: Now) {
        self.outputs.extend(self.calls.repeats(now.monotonic).into_iter().map(Output::from));
        while self.calls.is_overdue(now.monotonic) {
            let branch = self.branches.next();
            let via = Via { sent_by: &self.config.sent_by, branch: &branch };
            let bye = self.calls.give_up(&via, now.monotonic);
            self.outputs.extend(bye.map(Output::from));
        }
    }
}

impl From<Send> for Output {
    fn from(send: Send) -> Output {
        Output::Send { next_hop: send.next_hop, bytes: send.bytes }
    }
}
