//! What many dialogs say in the same words: our Contact, the event, the type of the bodies, whose customer the watcher is.
//! A shard holds it once for all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wording {
    /// The lines Contact and Event of a NOTIFY, up to the event's id, and then content type and tenant.
    text: Box<str>,
    /// Where contact, event, and content type end.
    ends: [usize; 3],
}

/// The values as text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Words<'a> {
    pub contact: &'a str,
    pub event: &'a str,
    pub content_type: &'a str,
    pub tenant: &'a str,
}

const CONTACT: &str = "Contact: <";
const EVENT: &str = ">\r\nEvent: ";

/// Those of the dialogs of a shard. What none of them says any more goes when there are twice as many as were left the
/// last time, so there are never many more than dialogs.
#[derive(Clone, Debug, Default)]
pub(super) struct Wordings {
    held: BTreeSet<Arc<Wording>>,
    left: usize,
}

impl Wording {
    pub fn new(words: Words<'_>) -> Wording {
        let Words { contact, event, content_type, tenant } = words;
        let text = [CONTACT, contact, EVENT, event, content_type, tenant].concat().into_boxed_str();
        let contact = CONTACT.len() + contact.len();
        let event = contact + EVENT.len() + event.len();
        Wording { text, ends: [contact, event, event + content_type.len()] }
    }

    pub fn words(&self) -> Words<'_> {
        let [contact, event, content_type] = self.ends;
        let text = &self.text;
        Words {
            contact: &text[CONTACT.len()..contact],
            event: &text[contact + EVENT.len()..event],
            content_type: &text[event..content_type],
            tenant: &text[content_type..],
        }
    }

    pub fn size(&self) -> usize {
        self.text.len()
    }

    /// Contact and Event of a NOTIFY, up to the event's id.
    pub fn lines(&self) -> &str {
        &self.text[..self.ends[1]]
    }
}

impl Wordings {
    const FEW: usize = 64;

    /// The same words, held once.
    pub fn shared(&mut self, wording: &Arc<Wording>) -> Arc<Wording> {
        if let Some(known) = self.held.get(wording) {
            return known.clone();
        }
        if self.held.len() >= Self::FEW.max(2 * self.left) {
            self.held.retain(|held| Arc::strong_count(held) > 1);
            self.left = self.held.len();
        }
        self.held.insert(wording.clone());
        wording.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wording(contact: usize) -> Arc<Wording> {
        let contact = &*format!("sip:{contact}");
        Arc::new(Wording::new(Words { contact, event: "presence", content_type: "", tenant: "" }))
    }

    #[test]
    fn the_same_words_are_held_once() {
        let mut wordings = Wordings::default();

        let [one, other] = [1, 1].map(|contact| wordings.shared(&wording(contact)));

        assert!(Arc::ptr_eq(&one, &other));
    }

    #[test]
    fn what_nobody_says_any_more_goes() {
        let mut wordings = Wordings::default();
        let said = wordings.shared(&wording(0));

        (1..10 * Wordings::FEW).for_each(|contact| drop(wordings.shared(&wording(contact))));

        assert!(wordings.held.len() <= Wordings::FEW && wordings.held.contains(&said));
    }
}
