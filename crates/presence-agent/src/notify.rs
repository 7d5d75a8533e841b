//! A NOTIFY as bytes (RFC 6665 section 4.2.2).

use std::sync::Arc;

use bytes::Bytes;
use presence::time::Timestamp;
use sip::digits::push_decimal;

use crate::shard::Dialog;

/// Everything a NOTIFY is written from, besides its document.
pub(crate) struct Notify<'a> {
    pub dialog: &'a Dialog,
    pub cseq: u32,
    /// `None` while the subscription lives, else why it ended.
    pub ended: Option<&'a str>,
    /// The watcher waits for approval.
    pub pending: bool,
    pub expires_at: Timestamp,
    pub now: Timestamp,
    pub branch: &'a Arc<str>,
}

impl Notify<'_> {
    /// What the lines written here take at most, besides the texts that are copied into them.
    const OWN_LINES: usize = 256;

    /// `sent_by` is this manager's SIP address. Without a document nothing is told of the presentity: the body is left
    /// out (RFC 6665 section 4.2.2), rather than filled with a made-up state.
    pub fn write(&self, sent_by: &str, document: Option<&[u8]>) -> Bytes {
        let Notify { dialog, branch, .. } = self;
        let document = document.filter(|_| !dialog.accept().is_empty());
        let body = document.unwrap_or_default();
        let length = dialog.size() + sent_by.len() + branch.len() + body.len() + Self::OWN_LINES;
        let mut bytes = Vec::with_capacity(length);
        push(&mut bytes, &["NOTIFY ", dialog.remote_target(), " SIP/2.0\r\nVia: SIP/2.0/TCP ", sent_by]);
        push(&mut bytes, &[";branch=", branch, "\r\nMax-Forwards: 70\r\n", dialog.parties_lines()]);
        number(&mut bytes, "CSeq: ", self.cseq.into(), " NOTIFY\r\n");
        let id = dialog.event_id();
        push(&mut bytes, &[dialog.wording_lines(), if id.is_empty() { "" } else { ";id=" }, id, "\r\n"]);
        self.state(&mut bytes);
        if document.is_some() {
            push(&mut bytes, &["Content-Type: ", dialog.accept(), "\r\n"]);
        }
        number(&mut bytes, "Content-Length: ", body.len() as u64, "\r\n\r\n");
        bytes.extend_from_slice(body);
        Bytes::from(bytes)
    }

    fn state(&self, bytes: &mut Vec<u8>) {
        let Some(reason) = self.ended else {
            let state = if self.pending { "pending" } else { "active" };
            push(bytes, &["Subscription-State: ", state]);
            let left = self.expires_at.seconds_after(self.now);
            return number(bytes, ";expires=", left.into(), "\r\n");
        };
        push(bytes, &["Subscription-State: terminated;reason=", reason, "\r\n"]);
    }
}

fn push(bytes: &mut Vec<u8>, texts: &[&str]) {
    texts.iter().for_each(|text| bytes.extend_from_slice(text.as_bytes()));
}

fn number(bytes: &mut Vec<u8>, before: &str, number: u64, behind: &str) {
    bytes.extend_from_slice(before.as_bytes());
    push_decimal(bytes, number);
    bytes.extend_from_slice(behind.as_bytes());
}

#[cfg(test)]
mod tests {
    use proto::v1;

    use super::*;
    use crate::shard::{Parts, Words};

    fn dialog() -> Dialog {
        let said = Parts {
            remote_target: "sip:bob@192.0.2.7:5062",
            route_set: ["<sip:token@127.0.0.1:5070;transport=tcp;lr>", "<sip:192.0.2.1:5060;lr>"]
                .into_iter()
                .collect(),
            local_party: "sip:alice@lab.test",
            local_tag: "ours",
            remote_party: "sip:bob@lab.test",
            remote_tag: "theirs",
            call_id: "call",
            words: Words {
                contact: "sip:192.0.2.1:5060",
                event: "presence",
                content_type: "application/pidf+xml",
                tenant: "",
            },
            event_id: "7",
            ..Parts::default()
        };
        let said = v1::Subscribe { dialog: said.lines(), ..v1::Subscribe::default() };
        Dialog::of(&said).unwrap()
    }

    fn text(ended: Option<&str>) -> String {
        with(ended, false, Some(b"<presence/>"))
    }

    fn with(ended: Option<&str>, pending: bool, document: Option<&[u8]>) -> String {
        let dialog = dialog();
        let notify = Notify {
            dialog: &dialog,
            cseq: 4097,
            ended,
            pending,
            expires_at: Timestamp(60_500),
            now: Timestamp(0),
            branch: &"z9hG4bK-1".into(),
        };
        String::from_utf8(notify.write("127.0.0.1:7101", document).to_vec()).unwrap()
    }

    #[test]
    fn a_notify_follows_the_route_set_and_echoes_the_event_with_its_id() {
        let text = text(None);

        assert!(text.starts_with("NOTIFY sip:bob@192.0.2.7:5062 SIP/2.0\r\n"), "{text}");
        let first = text.find("Route: <sip:token@").unwrap();
        let second = text.find("Route: <sip:192.0.2.1:5060;lr>").unwrap();
        assert!(first < second);
        assert!(
            text.contains("From: <sip:alice@lab.test>;tag=ours\r\nTo: <sip:bob@lab.test>;tag=theirs\r\n")
        );
        assert!(text.contains("Event: presence;id=7\r\nSubscription-State: active;expires=61\r\n"));
        assert!(text.ends_with("\r\n\r\n<presence/>"));
    }

    #[test]
    fn who_waits_for_approval_is_told_so_and_no_more() {
        let text = with(None, true, None);

        assert!(text.contains("Subscription-State: pending;expires=61\r\n"), "{text}");
        assert!(!text.contains("Content-Type") && text.ends_with("Content-Length: 0\r\n\r\n"), "{text}");
    }

    #[test]
    fn the_last_notify_says_why_the_subscription_ended() {
        assert!(text(Some("timeout")).contains("Subscription-State: terminated;reason=timeout\r\n"));
    }
}
