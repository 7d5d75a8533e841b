//! Which transaction a request belongs to (RFC 3261 §17.2.3).

use crate::header::{Name, Via};
use crate::message::Message;
use crate::method::Method;
use crate::secret::Secret;

/// A fingerprint of what must match: equal for a retransmission, different for all else.
/// A plain value of fixed size, whatever a peer puts into its branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionKey([u8; 16]);

impl TransactionKey {
    /// `via`: the topmost one of the request.
    pub fn of(request: &Message, via: &Via<'_>, secret: &Secret) -> TransactionKey {
        // An ACK belongs to its INVITE.
        let method = if request.method() == Method::Ack { "INVITE" } else { request.method_text() };
        TransactionKey::with_method(request, via, method, secret)
    }

    /// The transaction that this request would belong to if its method were `method`: how a CANCEL
    /// names the request it is about (RFC 3261 §9.2).
    pub(super) fn with_method(
        request: &Message,
        via: &Via<'_>,
        method: &str,
        secret: &Secret,
    ) -> TransactionKey {
        let Some(branch) = via.unique_branch() else {
            return TransactionKey::of_old_request(request, method, secret);
        };
        let host = via.host.to_ascii_lowercase();
        let port = via.port.unwrap_or_default().to_be_bytes();
        let parts = [b"3261", branch.as_bytes(), host.as_bytes(), &port, method.as_bytes()];
        TransactionKey(secret.fingerprint(&parts))
    }

    /// An element of RFC 2543 makes no unique branches, but its retransmissions are alike.
    fn of_old_request(request: &Message, method: &str, secret: &Secret) -> TransactionKey {
        let number = request.cseq().map_or(0, |cseq| cseq.number).to_be_bytes();
        let header = |name| request.header(name).unwrap_or_default();
        TransactionKey(secret.fingerprint(&[
            b"2543",
            request.request_uri().as_bytes(),
            header(Name::To),
            header(Name::From),
            header(Name::CallId),
            &number,
            method.as_bytes(),
            request.values(Name::Via).next().unwrap_or_default(),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Limits;

    fn key(method: &str, via: &str, cseq: u32) -> TransactionKey {
        let text = format!(
            "{method} sip:b@x SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@x>\r\nCall-ID: c\r\nCSeq: {cseq} {method}\r\n\r\n"
        );
        let request = Message::parse(text.into(), &Limits::default()).unwrap();
        TransactionKey::of(&request, &request.via().unwrap(), &Secret::new("lab"))
    }

    #[test]
    fn branch_sent_by_and_method_make_a_transaction() {
        let one = key("PUBLISH", "SIP/2.0/UDP h:5060;branch=z9hG4bK1", 1);

        assert_eq!(one, key("PUBLISH", "SIP/2.0/UDP H:5060;rport;branch=z9hG4bK1", 2));
        assert_ne!(one, key("PUBLISH", "SIP/2.0/UDP h:5061;branch=z9hG4bK1", 1));
        assert_ne!(one, key("PUBLISH", "SIP/2.0/UDP h:5060;branch=z9hG4bK2", 1));
        assert_ne!(one, key("CANCEL", "SIP/2.0/UDP h:5060;branch=z9hG4bK1", 1));
    }

    #[test]
    fn without_a_unique_branch_all_that_identifies_a_request_counts() {
        for via in ["SIP/2.0/UDP h", "SIP/2.0/UDP h;branch=z9hG4bK", "SIP/2.0/UDP h;branch=1"] {
            assert_eq!(key("PUBLISH", via, 1), key("PUBLISH", via, 1));
            assert_ne!(key("PUBLISH", via, 1), key("PUBLISH", via, 2));
        }
        assert_ne!(key("PUBLISH", "SIP/2.0/UDP h", 1), key("PUBLISH", "SIP/2.0/UDP i", 1));
    }

    #[test]
    fn an_ack_belongs_to_its_invite() {
        let via = "SIP/2.0/UDP h;branch=z9hG4bK1";

        assert_eq!(key("ACK", via, 1), key("INVITE", via, 1));
    }
}
