//! A subscription as its watcher sees it (RFC 6665 section 4.1).

use std::collections::BTreeMap;

use bytes::Bytes;
use sip::header::State;
use sip::{Message, route_set};

use super::ask::Call;

#[derive(Debug)]
pub struct Dialog {
    pub call: Call,
    /// Of the subscription, as a NOTIFY or a 2xx named it.
    pub remote_tag: Option<String>,
    /// A 2xx has come.
    confirmed: bool,
    pub remote_target: String,
    pub routes: Vec<String>,
    /// Until when the watcher counts on it; 0 before the first 2xx and after an unsubscribe.
    pub expires_at: u64,
    /// Refused, given up or ended: the phone does not know it any more.
    pub over: bool,
    /// CSeq and branch of the last NOTIFY accepted, by remote tag: CSeqs count within one dialog.
    accepted: BTreeMap<String, (u32, String)>,
    /// The document of the last NOTIFY accepted.
    pub body: Option<Bytes>,
    /// What the last NOTIFY accepted said of the subscription.
    pub state: Option<State>,
}

/// A NOTIFY that a watcher took.
#[derive(Debug)]
pub struct Heard {
    pub call_id: String,
    pub id: String,
    pub presentity: String,
    pub cseq: u32,
    pub terminated: bool,
    pub body: Bytes,
}

impl Dialog {
    pub fn new(call: Call) -> Dialog {
        let (remote_tag, remote_target, routes, accepted, body) = Default::default();
        let (expires_at, over, confirmed, state) = (0, false, false, None);
        Dialog { call, remote_tag, confirmed, remote_target, routes, expires_at, over, accepted, body, state }
    }

    pub fn is_live(&self, now: u64) -> bool {
        !self.over && now < self.expires_at
    }

    /// A 2xx came.
    pub fn established(&mut self, answer: &Message) {
        let tag = answer.to().ok().and_then(|to| to.tag());
        self.remote_tag = tag.map(str::to_owned);
        self.confirmed = true;
        self.learn_target(answer);
        if self.routes.is_empty() {
            self.routes = route_set(answer);
            self.routes.reverse();
        }
    }

    /// Gives the status to answer with, and what was heard if it is new.
    pub fn notified(&mut self, notify: &Message, presentity: &str) -> (u16, Option<Heard>) {
        let (Ok(from), Ok(to), Ok(cseq), Ok(Some(state)), Ok(via)) =
            (notify.from(), notify.to(), notify.cseq(), notify.subscription_state(), notify.via())
        else {
            panic!("a NOTIFY that can not be read");
        };
        let this = (cseq.number, via.branch.unwrap_or_default().to_owned());
        let id = from.tag().unwrap_or_default();
        let last = self.accepted.get(id).cloned().unwrap_or_default();
        if last == this {
            return (200, None);
        }
        // Before the answer to its SUBSCRIBE, a NOTIFY may be of any dialog that this made (RFC 6665 section 4.4.1).
        let is_same = !self.confirmed || self.remote_tag.as_deref() == Some(id);
        if self.over || !is_same || to.tag() != Some(&self.call.from_tag) {
            return (481, None);
        }
        if cseq.number <= last.0 {
            return (500, None);
        }
        self.remote_tag = Some(id.to_owned());
        self.accepted.insert(id.to_owned(), this);
        self.learn_target(notify);
        if self.routes.is_empty() {
            self.routes = route_set(notify);
        }
        let terminated = state.state == State::Terminated;
        self.over = terminated;
        self.body = Some(notify.body());
        self.state = Some(state.state);
        let (call_id, presentity, id) = (self.call.id.clone(), presentity.to_owned(), id.to_owned());
        let (cseq, body) = (cseq.number, notify.body());
        (200, Some(Heard { call_id, id, presentity, cseq, terminated, body }))
    }

    fn learn_target(&mut self, message: &Message) {
        if let Ok(Some(contact)) = message.contact() {
            self.remote_target = contact.uri.to_owned();
        }
    }
}
