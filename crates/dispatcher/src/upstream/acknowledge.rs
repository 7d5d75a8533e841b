//! The ACK of a refusal that no phone hears of (RFC 3261 17.1.1.3): who has refused a call that another server is asked for
//! says so again and again until the transaction that asked it acknowledges it, which is ours.

use bytes::Bytes;
use sip::{Message, Name, RequestWriter};

/// `invite` as that server got it. The ACK goes the same way, in the same transaction.
pub fn acknowledgement(invite: &Message, refusal: &Message) -> Option<Bytes> {
    let via = String::from_utf8_lossy(invite.values(Name::Via).next()?);
    let number = invite.cseq().ok()?.number;
    let ack = RequestWriter::new("ACK", invite.request_uri()).header("Via", via);
    let routes = invite.values(Name::Route).map(String::from_utf8_lossy);
    let ack = routes.fold(ack, |ack, route| ack.header("Route", route));
    let ack = ack
        .header("Max-Forwards", 70)
        .header("From", invite.text(Name::From)?)
        .header("To", refusal.text(Name::To)?)
        .header("Call-ID", invite.call_id())
        .header("CSeq", format_args!("{number} ACK"));
    Some(ack.finish())
}

#[cfg(test)]
mod tests {
    use sip::{Limits, ResponseWriter};

    use super::*;

    #[test]
    fn it_is_of_the_invites_transaction_and_has_the_tag_of_the_refusal() {
        let invite = "INVITE sip:bob@lab.test SIP/2.0\r\nVia: SIP/2.0/UDP us;branch=z9hG4bK1\r\n\
            Via: SIP/2.0/UDP phone;branch=z9hG4bK0\r\nRoute: <sip:a;lr>, <sip:b;lr>\r\nMax-Forwards: 69\r\n\
            From: <sip:alice@lab.test>;tag=a\r\nTo: <sip:bob@lab.test>\r\nCall-ID: c\r\nCSeq: 7 INVITE\r\n\
            Content-Length: 0\r\n\r\n";
        let invite = parse(invite.into());
        let refusal = parse(ResponseWriter::new(&invite, 503).to_tag("no").finish());

        let ack = parse(acknowledgement(&invite, &refusal).unwrap());

        assert_eq!((ack.method_text(), ack.request_uri()), ("ACK", "sip:bob@lab.test"));
        assert_eq!(ack.vias().count(), 1);
        assert_eq!(ack.via().unwrap().branch, Some("z9hG4bK1"));
        assert_eq!(ack.values(Name::Route).collect::<Vec<_>>(), [b"<sip:a;lr>", b"<sip:b;lr>"]);
        assert_eq!((ack.to().unwrap().tag(), ack.cseq().unwrap().number), (Some("no"), 7));
        assert_eq!(ack.check(), Ok(()));
    }

    fn parse(bytes: Bytes) -> Message {
        Message::parse(bytes, &Limits::default()).unwrap()
    }
}
