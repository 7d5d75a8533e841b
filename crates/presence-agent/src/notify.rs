//! A NOTIFY as bytes (RFC 6665 section 4.2.2).

use std::sync::Arc;

use bytes::Bytes;
use presence::time::Timestamp;
use proto::v1;
use sip::RequestWriter;

/// Everything a NOTIFY is written from, besides its document.
pub(crate) struct Notify<'a> {
    pub dialog: &'a v1::Subscribe,
    pub cseq: u64,
    /// `None` while the subscription lives, else why it ended.
    pub ended: Option<&'a str>,
    /// The watcher waits for approval.
    pub pending: bool,
    pub expires_at: Timestamp,
    pub now: Timestamp,
    pub branch: &'a Arc<str>,
}

impl Notify<'_> {
    /// `sent_by` is this manager's SIP address. Without a document nothing is told of the presentity: the body is left
    /// out (RFC 6665 section 4.2.2), rather than filled with a made-up state.
    pub fn write(&self, sent_by: &str, document: Option<&[u8]>) -> Bytes {
        let dialog = self.dialog;
        let mut request = RequestWriter::new("NOTIFY", &dialog.remote_target)
            .joined("Via", &["SIP/2.0/TCP ", sent_by, ";branch=", self.branch])
            .joined("Max-Forwards", &["70"]);
        for route in &dialog.route_set {
            request = request.joined("Route", &[route]);
        }
        request = request
            .joined("From", &["<", &dialog.local_party, ">;tag=", &dialog.local_tag])
            .joined("To", &tagged(&dialog.remote_party, &dialog.remote_tag))
            .joined("Call-ID", &[&dialog.call_id])
            .joined("CSeq", &[&self.cseq.to_string(), " NOTIFY"])
            .joined("Contact", &["<", &dialog.contact, ">"]);
        request = match dialog.event_id.as_str() {
            "" => request.joined("Event", &[&dialog.event]),
            id => request.joined("Event", &[&dialog.event, ";id=", id]),
        };
        request = self.state(request);
        match (dialog.accept.first(), document) {
            (Some(content_type), Some(document)) => request.body(content_type, document).finish(),
            _ => request.finish(),
        }
    }

    fn state<'a>(&self, request: RequestWriter<'a>) -> RequestWriter<'a> {
        let Some(reason) = self.ended else {
            let state = if self.pending { "pending" } else { "active" };
            let left = self.expires_at.seconds_after(self.now).to_string();
            return request.joined("Subscription-State", &[state, ";expires=", &left]);
        };
        request.joined("Subscription-State", &["terminated;reason=", reason])
    }
}

/// Clients of RFC 2543 send no From tag, and get none back.
fn tagged<'a>(uri: &'a str, tag: &'a str) -> [&'a str; 4] {
    if tag.is_empty() { ["<", uri, ">", ""] } else { ["<", uri, ">;tag=", tag] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialog() -> v1::Subscribe {
        v1::Subscribe {
            remote_target: "sip:bob@192.0.2.7:5062".into(),
            route_set: vec![
                "<sip:token@127.0.0.1:5070;transport=tcp;lr>".into(),
                "<sip:192.0.2.1:5060;lr>".into(),
            ],
            local_party: "sip:alice@lab.test".into(),
            local_tag: "ours".into(),
            remote_party: "sip:bob@lab.test".into(),
            remote_tag: "theirs".into(),
            call_id: "call".into(),
            contact: "sip:192.0.2.1:5060".into(),
            event: "presence".into(),
            event_id: "7".into(),
            accept: vec!["application/pidf+xml".into()],
            ..v1::Subscribe::default()
        }
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
