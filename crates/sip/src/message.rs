//! One SIP message, read in place.
//!
//! `parse` takes everything that has the shape of a message, so that it can be answered; `check` holds
//! it against RFC 3261 and names the answer to the first flaw. Until `check` has passed, an accessor
//! may find nothing or a fault; it never panics. A message is cheap to clone.
//!
//! A request that fails `check` is answered with the fault if `answerable` says so; any other
//! message that fails is dropped.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::fault::{Fault, NotSip};
use crate::header::{CSeq, Contacts, Event, Name, NameAddr, Params, SubscriptionState, Via, lex};
use crate::header_lines::Line;
use crate::method::Method;
use crate::wire::{self, Limits, Scanned, StartLine};

#[derive(Clone)]
pub struct Message(Arc<Scanned>);

impl Message {
    /// Reads one datagram or exactly one framed message. Structure and limits only: a flaw that leaves
    /// it recognisable is remembered for `check`.
    pub fn parse(bytes: Bytes, limits: &Limits) -> Result<Message, NotSip> {
        wire::scan(bytes, limits).map(Message::of)
    }

    pub(crate) fn of(scanned: Scanned) -> Message {
        Message(Arc::new(scanned))
    }

    pub fn is_request(&self) -> bool {
        matches!(self.0.head.start, StartLine::Request { .. })
    }

    /// A request that is owed an answer and says where to send it: not an ACK, and its topmost Via is
    /// readable. Everything else an answer repeats may be missing from it (RFC 4475 §3.3.1).
    pub fn answerable(&self) -> bool {
        self.is_request() && self.method() != Method::Ack && self.via().is_ok()
    }

    /// The method; of a response the one its CSeq names.
    pub fn method(&self) -> Method {
        match self.0.head.start {
            StartLine::Request { method, .. } => method,
            StartLine::Response { .. } => Method::parse(self.method_text()),
        }
    }

    /// The method as written, also an unknown one.
    pub fn method_text(&self) -> &str {
        match self.0.head.start {
            StartLine::Request { text, .. } => utf8(text.of(&self.0.bytes)).unwrap_or_default(),
            StartLine::Response { .. } => self.cseq().map_or("", |cseq| cseq.method),
        }
    }

    /// Empty in a response.
    pub fn request_uri(&self) -> &str {
        match self.0.head.start {
            StartLine::Request { uri, .. } => utf8(uri.of(&self.0.bytes)).unwrap_or_default(),
            StartLine::Response { .. } => "",
        }
    }

    /// `None` in a request; 0 if a response has a status that is none.
    pub fn status(&self) -> Option<u16> {
        match self.0.head.start {
            StartLine::Request { .. } => None,
            StartLine::Response { status } => Some(status),
        }
    }

    /// The value of the first line of that name, trimmed.
    pub fn header(&self, name: Name) -> Option<&[u8]> {
        self.0.head.lines.first(name).map(|line| line.value.of(&self.0.bytes))
    }

    /// The values of all lines of that name, each with its commas.
    pub fn headers(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.lines_of(name).map(|line| line.value.of(&self.0.bytes))
    }

    /// The elements of a comma list, over all lines of that name.
    pub fn values(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.headers(name).flat_map(lex::list)
    }

    /// `header`, if it is UTF-8.
    pub fn text(&self, name: Name) -> Option<&str> {
        self.header(name).and_then(utf8)
    }

    /// The first header of a name that `Name` does not know.
    pub fn extension(&self, name: &str) -> Option<&[u8]> {
        let is_named = |line: &&Line| {
            let text = &self.0.bytes[line.whole.start as usize..line.name_end as usize];
            text.eq_ignore_ascii_case(name.as_bytes())
        };
        self.0.head.lines.iter().find(is_named).map(|line| line.value.of(&self.0.bytes))
    }

    /// The topmost Via.
    pub fn via(&self) -> Result<Via<'_>, Fault> {
        self.vias().next().unwrap_or(Err(Fault::bad("Missing Via")))
    }

    /// The branch of the topmost Via, whatever else that says: enough for who looks for a transaction of his own.
    pub fn branch(&self) -> Option<&str> {
        let via = utf8(self.values(Name::Via).next()?)?;
        let behind_sent_by = lex::find_any(via.as_bytes(), [b';'])?;
        Params::new(&via[behind_sent_by..]).get("branch").flatten().filter(|branch| !branch.is_empty())
    }

    /// Every Via, topmost first.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'_>, Fault>> {
        self.values(Name::Via).map(|value| Via::parse(value).ok_or(Fault::bad("Bad Via")))
    }

    pub fn from(&self) -> Result<NameAddr<'_>, Fault> {
        let value = self.header(Name::From).ok_or(Fault::bad("Missing From"))?;
        NameAddr::parse(value).ok_or(Fault::bad("Bad From"))
    }

    pub fn to(&self) -> Result<NameAddr<'_>, Fault> {
        let value = self.header(Name::To).ok_or(Fault::bad("Missing To"))?;
        NameAddr::parse(value).ok_or(Fault::bad("Bad To"))
    }

    /// The first Contact, `None` if there is none. A lone `*` is a fault here.
    pub fn contact(&self) -> Result<Option<NameAddr<'_>>, Fault> {
        match self.contacts()? {
            Contacts::Star => Err(Fault::bad("Bad Contact")),
            Contacts::List(contacts) => Ok(contacts.first().copied()),
        }
    }

    pub fn contacts(&self) -> Result<Contacts<'_>, Fault> {
        Contacts::parse(self.values(Name::Contact)).ok_or(Fault::bad("Bad Contact"))
    }

    /// Empty if it is missing or unreadable, which `check` refuses.
    pub fn call_id(&self) -> &str {
        self.text(Name::CallId).unwrap_or_default()
    }

    pub fn cseq(&self) -> Result<CSeq<'_>, Fault> {
        let value = self.header(Name::CSeq).ok_or(Fault::bad("Missing CSeq"))?;
        CSeq::parse(value).ok_or(Fault::bad("Bad CSeq"))
    }

    /// Seconds; a number beyond `u32` is the largest one.
    pub fn expires(&self) -> Result<Option<u32>, Fault> {
        let number = |value| lex::clamped_number(value).ok_or(Fault::bad("Bad Expires"));
        self.header(Name::Expires).map(number).transpose()
    }

    pub fn event(&self) -> Result<Option<Event<'_>>, Fault> {
        let event = |value| Event::parse(value).ok_or(Fault::bad("Bad Event"));
        self.header(Name::Event).map(event).transpose()
    }

    pub fn max_forwards(&self) -> Result<Option<u8>, Fault> {
        let hops = |value| lex::clamped_number(value).and_then(|hops| u8::try_from(hops).ok());
        self.header(Name::MaxForwards)
            .map(|value| hops(value).ok_or(Fault::bad("Bad Max-Forwards")))
            .transpose()
    }

    /// Seconds before which the sender wants to hear nothing more of it (RFC 3261 20.33); a comment and parameters behind
    /// them are left alone. `None` too if no number can be read: it is a wish, and no reason to refuse an answer.
    pub fn retry_after(&self) -> Option<u32> {
        let value = self.header(Name::RetryAfter)?;
        let end = value.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(value.len());
        lex::clamped_number(&value[..end])
    }

    pub fn subscription_state(&self) -> Result<Option<SubscriptionState<'_>>, Fault> {
        let state = |value| SubscriptionState::parse(value).ok_or(Fault::bad("Bad Subscription-State"));
        self.header(Name::SubscriptionState).map(state).transpose()
    }

    pub fn body(&self) -> Bytes {
        self.0.bytes.slice(self.0.head.body_at..)
    }

    /// The whole message; unfolded and with CRLFs if it came otherwise, without line ends in front of it
    /// and bytes behind it.
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    pub(crate) fn scanned(&self) -> &Scanned {
        &self.0
    }

    pub(crate) fn lines_of(&self, name: Name) -> impl Iterator<Item = &Line> {
        self.0.head.lines.of(name)
    }
}

/// The start line only: headers carry credentials and bodies presence, and neither belongs in a log.
impl fmt::Debug for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = &self.0.bytes[..self.0.head.headers_at];
        write!(formatter, "Message({:?})", String::from_utf8_lossy(line.trim_ascii_end()))
    }
}

fn utf8(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Message {
        Message::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
    }

    #[test]
    fn a_response_has_the_method_of_its_cseq() {
        let response = parse("SIP/2.0 481 Gone\r\nCSeq: 4 NOTIFY\r\n\r\n");

        assert_eq!((response.method(), response.status()), (Method::Notify, Some(481)));
        assert_eq!(response.request_uri(), "");
    }

    #[test]
    fn the_branch_is_that_of_the_topmost_via_however_it_is_written() {
        for via in
            ["SIP/2.0/UDP h;branch=a, SIP/2.0/TCP i;branch=b", "SIP / 2.0/UDP h ;rport; BRANCH = a;x=\";\""]
        {
            let response =
                parse(&format!("SIP/2.0 200 OK\r\nVia: {via}\r\nVia: SIP/2.0/UDP j;branch=c\r\n\r\n"));
            assert_eq!((response.branch(), response.via().unwrap().branch), (Some("a"), Some("a")));
        }
        for via in ["Via: SIP/2.0/UDP h", "Via: SIP/2.0/UDP h;branch=", "Via: SIP/2.0/UDP h;branch", "v:"] {
            assert_eq!(parse(&format!("SIP/2.0 200 OK\r\n{via}\r\n\r\n")).branch(), None, "{via}");
        }
    }

    #[test]
    fn an_unknown_method_keeps_its_text() {
        let request = parse("FROBNICATE sip:a SIP/2.0\r\n\r\n");

        assert_eq!((request.method(), request.method_text()), (Method::Other, "FROBNICATE"));
    }

    #[test]
    fn a_list_is_read_over_all_lines_and_a_header_is_the_first() {
        let request = parse("OPTIONS sip:a SIP/2.0\r\nSupported:\r\nk: a , b\r\nSUPPORTED: \"c,d\"\r\n\r\n");

        let values: Vec<_> = request.values(Name::Supported).collect();

        assert_eq!(values, [&b"a"[..], b"b", b"\"c,d\""]);
        assert_eq!(request.header(Name::Supported), Some(&b""[..]));
        assert_eq!(request.headers(Name::Supported).count(), 3);
    }

    #[test]
    fn bytes_in_no_encoding_stay_readable_as_bytes() {
        let bytes =
            Bytes::from_static(b"OPTIONS sip:a SIP/2.0\r\nX-Name: M\xfcller\r\nSubject: \xfc\r\n\r\n");
        let request = Message::parse(bytes, &Limits::default()).unwrap();

        assert_eq!(request.extension("x-name"), Some(&b"M\xfcller"[..]));
        assert_eq!(request.text(Name::Subject), None);
    }

    #[test]
    fn absent_is_not_malformed() {
        let bare = parse("OPTIONS sip:a SIP/2.0\r\n\r\n");
        let bad = parse("OPTIONS sip:a SIP/2.0\r\nExpires: soon\r\nMax-Forwards: 256\r\nContact: *\r\n\r\n");

        assert_eq!((bare.expires(), bare.max_forwards(), bare.contact()), (Ok(None), Ok(None), Ok(None)));
        assert_eq!(bad.expires(), Err(Fault::bad("Bad Expires")));
        assert_eq!(bad.max_forwards(), Err(Fault::bad("Bad Max-Forwards")));
        assert_eq!((bad.contact(), bad.contacts()), (Err(Fault::bad("Bad Contact")), Ok(Contacts::Star)));
    }

    #[test]
    fn a_message_prints_its_start_line_only() {
        let request = parse("OPTIONS sip:a SIP/2.0\r\nAuthorization: Digest x\r\n\r\n");

        assert_eq!(format!("{request:?}"), r#"Message("OPTIONS sip:a SIP/2.0")"#);
    }
}
