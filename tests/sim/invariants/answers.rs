//! P5: a grant is true, and what is refused with 503 is not done. And every request gets one final answer: whoever
//! repeats it hears the same again.

use std::collections::BTreeMap;

use presence::repeat::RepeatKey;
use proto::v1::command::Kind;
use sip::{Message, Name};

use super::{Check, History, broken};
use crate::coverage::{Coverage, Seen};
use crate::log::{self, Entry};
use crate::names;
use crate::phone::{Ask, Purpose};

#[derive(Default)]
pub struct Answers {
    requests: BTreeMap<(String, u32), Request>,
    by_key: BTreeMap<RepeatKey, (String, u32)>,
    /// The last CSeq of each Call-ID.
    latest: BTreeMap<String, u32>,
}

pub struct Request {
    pub ask: Ask,
    pub key: RepeatKey,
    asked_at: u64,
    /// A dispatcher has answered 503, and no copy has come to one since.
    refused: bool,
    /// A node has said something else than 503 to it.
    served: bool,
    heard: Vec<(u16, String)>,
}

impl Answers {
    pub fn asked(&mut self, ask: &Ask, now: u64) {
        let key = repeat_key(ask);
        let name = (ask.call.id.clone(), ask.call.cseq);
        self.latest.insert(name.0.clone(), name.1);
        self.by_key.insert(key, name.clone());
        let ask = ask.clone();
        let request = Request { ask, key, asked_at: now, refused: false, served: false, heard: Vec::new() };
        self.requests.insert(name, request);
    }

    pub fn request_of(&self, message: &Message) -> Option<&Request> {
        self.requests.get(&name(message)?)
    }

    /// A copy of a request comes to a dispatcher.
    pub fn arrived(&mut self, request: &Message) {
        if let Some(request) = name(request).and_then(|name| self.requests.get_mut(&name)) {
            // What comes behind a refusal is a new request to a dispatcher, and may be granted.
            request.refused = false;
        }
    }

    /// A dispatcher sends a 503 on its way to the phone.
    pub fn refused(&mut self, answer: &Message, history: &History) -> Check {
        let Some(request) = name(answer).and_then(|name| self.requests.get_mut(&name)) else { return Ok(()) };
        // A copy that comes behind an answer is a new request to a dispatcher.
        if request.served {
            return Ok(());
        }
        request.refused = true;
        if request.ask.purpose.is_recorded() && history.stands(request.key, u64::MAX) {
            return broken("P5 refused and done", format!("{answer:?} to {:?}", request.ask.call));
        }
        Ok(())
    }

    /// What a phone was refused must not be done after all, unless it sent another copy behind the refusal.
    pub fn committed(&mut self, entry: &Entry, seen: &mut Coverage) -> Check {
        for submitted in &entry.commands {
            let key = key_of(&submitted.command);
            let Some(request) = key.and_then(|key| self.requests.get(self.by_key.get(&key)?)) else {
                continue;
            };
            if request.refused {
                return broken("P5 refused and then done", format!("{:?}", request.ask));
            }
            if request.ask.purpose == Purpose::Subscribe && request.ask.to.contains(";tag=") {
                seen.note(Seen::Moved);
            }
        }
        Ok(())
    }

    /// A node's grant of what is recorded stands in the log that this node has applied.
    pub fn responded(&mut self, node: usize, answer: &Message, applied: u64, history: &History) -> Check {
        let Some(request) = name(answer).and_then(|name| self.requests.get_mut(&name)) else { return Ok(()) };
        request.served |= !matches!(answer.status(), Some(401 | 503));
        let granted = matches!(answer.status(), Some(200..300));
        if granted && request.ask.purpose.is_recorded() && !history.stands(request.key, applied) {
            let asked = &request.ask;
            return broken("P5 granted and not in the log", format!("node {node} at {applied}: {asked:?}"));
        }
        Ok(())
    }

    pub fn answered(&mut self, answer: &Message, history: &History, seen: &mut Coverage) -> Check {
        let Some(name) = name(answer) else { return Ok(()) };
        let is_latest = self.latest.get(&name.0) == Some(&name.1);
        let Some(request) = self.requests.get_mut(&name) else { return Ok(()) };
        let status = answer.status().unwrap_or_default();
        note(request.ask.purpose, status, seen);
        let heard = (status, what_it_says(answer));
        let first = request.heard.first().cloned();
        request.heard.push(heard.clone());
        // A challenge is anew each time, billing may change its mind, and a 503 may be overtaken by a copy that came
        // behind it.
        let lasting = |status: u16| ![401, 403, 503].contains(&status);
        match first {
            Some(first) if first != heard && is_latest && lasting(first.0) && lasting(status) => broken(
                "P2 another answer to a repeat",
                format!("{first:?} and {heard:?} to {:?}", request.ask),
            ),
            _ if status == 481 && request.ask.to.contains(";tag=") => self.is_gone(&name, history),
            _ if ![200, 401, 403, 412, 481, 500, 503].contains(&status) => {
                broken("an answer that nobody deserves", format!("{answer:?} to {:?}", request.ask))
            }
            _ => Ok(()),
        }
    }

    /// Once faults have stopped, nobody waits in vain.
    pub fn gave_up(&self, ask: &Ask, calm_since: u64) -> Check {
        let request = self.requests.get(&(ask.call.id.clone(), ask.call.cseq));
        match request.filter(|request| request.asked_at > calm_since + 1_000) {
            Some(_) => broken("a request without an answer", format!("{ask:?}")),
            None => Ok(()),
        }
    }

    /// A dialog is refused only if its subscription had ended in the log.
    fn is_gone(&self, name: &(String, u32), history: &History) -> Check {
        let Some(request) = self.requests.get(name) else { return Ok(()) };
        let (_, tag) = request.ask.to.split_once(";tag=").unwrap_or_default();
        let shard = history.shard();
        match shard.subscription_of(tag) {
            Some(held) if held.ended.is_none() && shard.stamp() < held.expires_at => {
                broken("P2 a live dialog was refused", format!("{:?}", request.ask))
            }
            _ => Ok(()),
        }
    }
}

fn note(purpose: Purpose, status: u16, seen: &mut Coverage) {
    let what = match (purpose, status) {
        (Purpose::Publish | Purpose::Unpublish, 200) => Seen::Published,
        (Purpose::Publish | Purpose::Unpublish, 412) => Seen::TagRefused,
        (Purpose::Subscribe | Purpose::Unsubscribe, 200) => Seen::Subscribed,
        (Purpose::Subscribe | Purpose::Unsubscribe, 481) => Seen::DialogRefused,
        (Purpose::Subscribe | Purpose::Fetch, 403) => Seen::Refused,
        (Purpose::Register, 200) => Seen::Registered,
        (Purpose::Fetch, 200) => Seen::Fetched,
        _ => return,
    };
    seen.note(what);
}

/// What must be the same in the answer to a repeat.
fn what_it_says(answer: &Message) -> String {
    let tag = answer.to().ok().and_then(|to| to.tag()).unwrap_or_default();
    format!("{tag} {}", answer.text(Name::SipEtag).unwrap_or_default())
}

fn name(message: &Message) -> Option<(String, u32)> {
    Some((message.call_id().to_owned(), message.cseq().ok()?.number))
}

fn key_of(command: &bytes::Bytes) -> Option<RepeatKey> {
    let key = match log::read(command) {
        Kind::Publish(publish) => publish.repeat_key,
        Kind::Subscribe(subscribe) => subscribe.repeat_key,
        Kind::Register(register) => register.repeat_key,
        _ => return None,
    };
    Some(RepeatKey::from_bytes(&key))
}

/// What makes two requests the same, whichever way they came.
fn repeat_key(ask: &Ask) -> RepeatKey {
    let body = ask.body.as_deref().unwrap_or_default();
    let parts: [&[u8]; 7] = [
        ask.purpose.method().as_bytes(),
        ask.uri.as_bytes(),
        ask.call.id.as_bytes(),
        ask.call.from_tag.as_bytes(),
        &ask.call.cseq.to_be_bytes(),
        ask.header("SIP-If-Match").as_bytes(),
        body.as_bytes(),
    ];
    RepeatKey(names::secret().derive("repeat").fingerprint(&parts))
}
