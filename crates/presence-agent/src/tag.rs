//! To-tags of ours: a slot, what names the request, and a signature.
//!
//! A tag is minted from the request alone, so every node gives the same one to a repeat. The signature covers the
//! dialog's Call-ID and From-tag: a dialog we never made is refused without asking the log.

use placement::Slot;
use presence::repeat::RepeatKey;
use sip::{Checked, Message, Secret, hex};

#[derive(Clone, Debug)]
pub struct Tags {
    key: Secret,
    repeats: Secret,
}

impl Tags {
    pub fn new(secret: &Secret) -> Tags {
        Tags { key: secret.derive("tag"), repeats: secret.derive("repeat") }
    }

    /// What a repeat of this request shares with it: all that makes it the same request, never the Via. Who could make two
    /// requests share it would only have the second of his own taken for a copy of the first.
    pub fn repeat_key(&self, request: &Message, checked: Option<&Checked<'_>>) -> RepeatKey {
        let number = checked.map_or(0, |checked| checked.cseq.number).to_be_bytes();
        let from_tag = checked.and_then(|checked| checked.from.tag()).unwrap_or_default();
        let body = request.body();
        let parts: [&[u8]; 7] = [
            request.method_text().as_bytes(),
            request.request_uri().as_bytes(),
            request.header(sip::Name::CallId).unwrap_or_default(),
            from_tag.as_bytes(),
            &number,
            request.header(sip::Name::SipIfMatch).unwrap_or_default(),
            &body,
        ];
        RepeatKey(self.repeats.fingerprint(&parts))
    }

    /// The key of a change that no request made: `name` is never used twice.
    pub fn own_key(&self, name: &str) -> RepeatKey {
        RepeatKey(self.repeats.fingerprint(&[name.as_bytes()]))
    }

    /// The tag of a dialog that `request` makes in `slot`.
    pub fn dialog(&self, slot: Slot, repeat: RepeatKey, call_id: &str, from_tag: &str) -> String {
        let mut tag = format!("{slot}-{}", hex(&repeat.0[..8]));
        let seal = self.seal(&tag, call_id, from_tag);
        tag.push('-');
        tag.push_str(&seal);
        tag
    }

    /// Whether `tag` is one of ours for this dialog.
    pub fn verify(&self, tag: &str, call_id: &str, from_tag: &str) -> bool {
        tag.rsplit_once('-').is_some_and(|(name, seal)| self.seal(name, call_id, from_tag) == seal)
    }

    /// The tag of an answer that makes no dialog.
    pub fn answer(&self, repeat: RepeatKey) -> String {
        hex(&repeat.0[8..])
    }

    fn seal(&self, name: &str, call_id: &str, from_tag: &str) -> String {
        hex(&self.key.sign(&[name.as_bytes(), call_id.as_bytes(), from_tag.as_bytes()])[..8])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_another_dialog_does_not_verify() {
        let tags = Tags::new(&Secret::new("test"));
        let tag = tags.dialog(Slot::new(5).unwrap(), RepeatKey([1; 16]), "call", "from");

        assert!(tags.verify(&tag, "call", "from"));
        assert!(!tags.verify(&tag, "call", "other"));
        assert!(!tags.verify(&tag.replacen("005", "006", 1), "call", "from"));
    }
}
