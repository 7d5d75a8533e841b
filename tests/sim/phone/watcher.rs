//! A phone that watches: it subscribes, refreshes, now and then takes its subscription back or only asks once.

use std::collections::BTreeMap;

use sip::{Addressing, Message};

use super::ask::{Ask, Call, Purpose};
use super::dialog::{Dialog, Heard};
use super::script::Answer;
use crate::rng::Rng;

pub struct Watcher {
    pub presentity: String,
    number: usize,
    /// All dialogs it ever had, by Call-ID.
    dialogs: BTreeMap<String, Dialog>,
    current: Option<String>,
    refresh_at: u64,
}

impl Watcher {
    pub fn new(presentity: &str, number: usize) -> Watcher {
        let (dialogs, current) = Default::default();
        Watcher { presentity: presentity.into(), number, dialogs, current, refresh_at: 0 }
    }

    pub fn current(&self) -> Option<&Dialog> {
        self.dialogs.get(self.current.as_ref()?)
    }

    pub fn act(&mut self, now: u64, calm: bool, rng: &mut Rng) -> Option<Ask> {
        let live = self.current.clone().filter(|id| self.dialogs[id].is_live(now));
        let Some(id) = live else { return Some(self.begin(calm, rng)) };
        if !calm && rng.percent(6) {
            return Some(self.ask(&id, Purpose::Unsubscribe, rng));
        }
        let refreshes = now >= self.refresh_at || !calm && rng.percent(10);
        refreshes.then(|| self.ask(&id, Purpose::Subscribe, rng))
    }

    pub fn next_act(&self, now: u64, calm: bool, rng: &mut Rng) -> u64 {
        match self.current() {
            Some(dialog) if dialog.is_live(now) && calm => self.refresh_at.max(now + 1),
            Some(dialog) if dialog.is_live(now) => {
                self.refresh_at.min(now + rng.between(200, 3_000)).max(now + 1)
            }
            _ => now + rng.between(20, 1_000),
        }
    }

    pub fn refresh_soon(&mut self) {
        self.refresh_at = 0;
    }

    pub fn next_cseq(&mut self, ask: &Ask) -> u32 {
        self.dialog(&ask.call.id).call.next()
    }

    pub fn answered(&mut self, ask: &Ask, answer: Answer<'_>, now: u64) {
        let mut refresh_at = self.refresh_at;
        let dialog = self.dialog(&ask.call.id);
        match answer {
            Answer::Final(message) if message.status() == Some(200) => {
                dialog.established(message);
                if ask.purpose == Purpose::Subscribe {
                    let granted = message.expires().ok().flatten().expect("a grant says for how long");
                    dialog.expires_at = now + u64::from(granted) * 1_000;
                    refresh_at = now + u64::from(granted) * 600;
                }
            }
            // A fault of the order says nothing of the subscription (RFC 5057 section 5.1).
            Answer::Final(message) if message.status() == Some(500) => refresh_at = now,
            // Refused. Or it never learns what became of it and starts anew: should the old subscription live, then its
            // NOTIFYs are of a dialog unknown.
            _ => dialog.over = true,
        }
        if ask.purpose == Purpose::Unsubscribe {
            dialog.expires_at = 0;
            self.current = None;
        }
        self.refresh_at = refresh_at;
    }

    /// Gives the status to answer with, and what was heard if it is new.
    pub fn notified(&mut self, notify: &Message) -> (u16, Option<Heard>) {
        match self.dialogs.get_mut(notify.call_id()) {
            Some(dialog) => dialog.notified(notify, &self.presentity),
            None => (481, None),
        }
    }

    fn begin(&mut self, calm: bool, rng: &mut Rng) -> Ask {
        let id = format!("watch-{}-{}-{}", self.number, self.dialogs.len(), rng.next() % 1_000);
        let fetch = !calm && rng.percent(15);
        self.dialogs.insert(id.clone(), Dialog::new(Call::new(id.clone())));
        self.current = (!fetch).then(|| id.clone());
        self.ask(&id, if fetch { Purpose::Fetch } else { Purpose::Subscribe }, rng)
    }

    fn ask(&mut self, id: &str, purpose: Purpose, rng: &mut Rng) -> Ask {
        let expires = match purpose {
            Purpose::Subscribe if rng.percent(40) => rng.between(3, 15),
            Purpose::Subscribe => rng.between(30, 120),
            _ => 0,
        };
        let headers = vec![("Event", "presence".to_owned()), ("Expires", expires.to_string())];
        let presentity = self.presentity.clone();
        let aor = format!("sip:{presentity}");
        let dialog = self.dialog(id);
        let call = dialog.call.advanced();
        let (addressing, to) = match &dialog.remote_tag {
            Some(tag) => {
                (Addressing::new(&dialog.remote_target, &dialog.routes), format!("<{aor}>;tag={tag}"))
            }
            None => (Addressing { request_uri: aor.clone(), routes: Vec::new() }, format!("<{aor}>")),
        };
        let (uri, routes) = (addressing.request_uri, addressing.routes);
        Ask { purpose, presentity, uri, to, call, routes, headers, body: None }
    }

    fn dialog(&mut self, id: &str) -> &mut Dialog {
        self.dialogs.get_mut(id).expect("it asks within dialogs of its own")
    }
}
