//! Programs that follow a presentity through the API. Each sees the newest state, never a queue of old ones.

use std::collections::BTreeMap;

use placement::PresentityKey;
use presence_agent::api::PresentityState;
use tokio::sync::watch;

pub struct Followers {
    held: BTreeMap<PresentityKey, Vec<watch::Sender<PresentityState>>>,
    capacity: usize,
}

/// As many follow already as may.
pub struct TooMany;

impl Followers {
    pub fn new(capacity: usize) -> Followers {
        Followers { held: BTreeMap::new(), capacity }
    }

    pub fn add(&mut self, state: PresentityState) -> Result<watch::Receiver<PresentityState>, TooMany> {
        if self.len() >= self.capacity {
            self.forget_the_gone();
        }
        if self.len() >= self.capacity {
            return Err(TooMany);
        }
        let key = state.presentity.clone();
        let (sender, receiver) = watch::channel(state);
        self.held.entry(key).or_default().push(sender);
        Ok(receiver)
    }

    pub fn keys(&self) -> Vec<PresentityKey> {
        self.held.keys().cloned().collect()
    }

    pub fn is_followed(&self, key: &PresentityKey) -> bool {
        self.held.contains_key(key)
    }

    pub fn tell(&mut self, state: PresentityState) {
        let Some(senders) = self.held.get_mut(&state.presentity) else { return };
        senders.retain(|sender| sender.send(state.clone()).is_ok());
        if senders.is_empty() {
            self.held.remove(&state.presentity);
        }
    }

    fn len(&self) -> usize {
        self.held.values().map(Vec::len).sum()
    }

    fn forget_the_gone(&mut self) {
        self.held.retain(|_, senders| {
            senders.retain(|sender| !sender.is_closed());
            !senders.is_empty()
        });
    }
}
