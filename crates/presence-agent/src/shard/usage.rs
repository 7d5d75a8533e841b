//! What many dialogs say in the same words: our Contact, the event, the type of the bodies, whose customer the watcher is.
//! A shard holds it once for all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::dialog::one_line;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Usage {
    /// The lines Contact and Event of a NOTIFY, up to the event's id, and then content type and tenant.
    text: Box<str>,
    /// Where contact, event, and content type end.
    ends: [usize; 3],
}

const CONTACT: &str = "Contact: <";
const EVENT: &str = ">\r\nEvent: ";

/// Those of the dialogs of a shard. What none of them says any more goes when there are twice as many as were left the
/// last time, so there are never many more than dialogs.
#[derive(Clone, Debug, Default)]
pub(super) struct Usages {
    held: BTreeSet<Arc<Usage>>,
    left: usize,
}

impl Usage {
    pub fn new([contact, event, accept, tenant]: [&str; 4]) -> Usage {
        let [contact, event, accept, tenant] = [contact, event, accept, tenant].map(one_line);
        let text = [CONTACT, &contact, EVENT, &event, &accept, &tenant].concat().into_boxed_str();
        let contact = CONTACT.len() + contact.len();
        let event = contact + EVENT.len() + event.len();
        Usage { text, ends: [contact, event, event + accept.len()] }
    }

    pub fn texts(&self) -> [&str; 4] {
        let [contact, event, accept] = self.ends;
        let text = &self.text;
        [
            &text[CONTACT.len()..contact],
            &text[contact + EVENT.len()..event],
            &text[event..accept],
            &text[accept..],
        ]
    }

    pub fn size(&self) -> usize {
        self.text.len()
    }

    /// Contact and Event of a NOTIFY, up to the event's id.
    pub fn lines(&self) -> &str {
        &self.text[..self.ends[1]]
    }
}

impl Usages {
    const FEW: usize = 64;

    /// The same words, held once.
    pub fn shared(&mut self, usage: &Arc<Usage>) -> Arc<Usage> {
        if let Some(known) = self.held.get(usage) {
            return known.clone();
        }
        if self.held.len() >= Self::FEW.max(2 * self.left) {
            self.held.retain(|held| Arc::strong_count(held) > 1);
            self.left = self.held.len();
        }
        self.held.insert(usage.clone());
        usage.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(contact: usize) -> Arc<Usage> {
        Arc::new(Usage::new([&format!("sip:{contact}"), "presence", "", ""]))
    }

    #[test]
    fn the_same_words_are_held_once() {
        let mut usages = Usages::default();

        let [one, other] = [1, 1].map(|contact| usages.shared(&usage(contact)));

        assert!(Arc::ptr_eq(&one, &other));
    }

    #[test]
    fn what_nobody_says_any_more_goes() {
        let mut usages = Usages::default();
        let said = usages.shared(&usage(0));

        (1..10 * Usages::FEW).for_each(|contact| drop(usages.shared(&usage(contact))));

        assert!(usages.held.len() <= Usages::FEW && usages.held.contains(&said));
    }
}
