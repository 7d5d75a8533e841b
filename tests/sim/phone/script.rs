//! What a phone is there for.

use sip::Message;

use super::ask::Ask;
use super::dialog::Dialog;
use super::publisher::Publisher;
use super::registrant::Registrant;
use super::watcher::Watcher;
use crate::rng::Rng;

pub enum Script {
    Publisher(Publisher),
    Watcher(Box<Watcher>),
    Registrant(Registrant),
}

pub enum Answer<'a> {
    Final(&'a Message),
    /// Nobody answered, or nobody was there to hear it: what was asked may have been done or not.
    None,
}

impl Script {
    pub fn publisher(presentity: &str) -> Script {
        Script::Publisher(Publisher::new(presentity))
    }

    pub fn watcher(presentity: &str, number: usize) -> Script {
        Script::Watcher(Box::new(Watcher::new(presentity, number)))
    }

    pub fn registrant(presentity: &str) -> Script {
        Script::Registrant(Registrant::new(presentity))
    }

    /// The subscription that the phone counts on, if it watches.
    pub fn dialog(&self) -> Option<&Dialog> {
        match self {
            Script::Watcher(watcher) => watcher.current(),
            _ => None,
        }
    }

    /// What the phone asks now, if anything.
    pub fn act(&mut self, user: &str, now: u64, calm: bool, rng: &mut Rng) -> Option<Ask> {
        match self {
            Script::Publisher(_) | Script::Registrant(_) if calm => None,
            Script::Publisher(publisher) => Some(publisher.act(user, rng)),
            Script::Watcher(watcher) => watcher.act(now, calm, rng),
            Script::Registrant(registrant) => Some(registrant.act(user, rng)),
        }
    }

    pub fn next_act(&self, now: u64, calm: bool, rng: &mut Rng) -> u64 {
        match self {
            Script::Watcher(watcher) => watcher.next_act(now, calm, rng),
            _ if calm => u64::MAX,
            _ => now + rng.between(100, 2_500),
        }
    }

    pub fn answered(&mut self, ask: &Ask, answer: Answer<'_>, now: u64) {
        match self {
            Script::Publisher(publisher) => publisher.answered(ask, answer),
            Script::Watcher(watcher) => watcher.answered(ask, answer, now),
            Script::Registrant(_) => {}
        }
    }

    /// The CSeq for a request that is sent again as a new one.
    pub fn next_cseq(&mut self, ask: &Ask) -> u32 {
        match self {
            Script::Publisher(publisher) => publisher.call.next(),
            Script::Watcher(watcher) => watcher.next_cseq(ask),
            Script::Registrant(registrant) => registrant.call.next(),
        }
    }

    pub fn moved(&mut self) {
        if let Script::Watcher(watcher) = self {
            watcher.refresh_soon();
        }
    }
}
