//! `Message::check`: what RFC 3261 wants of a message before anyone acts on it (§8.1.1, §8.2, §18.3, §20).
//!
//! Refused is what is missing, contradictory, or readable in two ways. Tolerated is what real phones
//! send and what can only mean one thing: no Max-Forwards, no From-tag and no branch (RFC 2543), no
//! Content-Length on a datagram. What an element supports (methods, extensions, events, bodies)
//! is not asked here; those answers belong to whoever serves the request.

use crate::fault::Fault;
use crate::header::{CSeq, Contacts, Name, NameAddr, Via, lex};
use crate::message::Message;
use crate::method::Method;
use crate::uri::{Scheme, Uri};

/// What was read in a message that can be acted upon, for those who go on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked<'a> {
    /// The topmost one.
    pub via: Via<'a>,
    /// The one below it: of who sent the message to the last element that passed it on.
    pub via_below: Option<Via<'a>>,
    pub from: NameAddr<'a>,
    /// What From names.
    pub from_uri: Uri<'a>,
    pub to: NameAddr<'a>,
    pub contacts: Contacts<'a>,
    pub cseq: CSeq<'a>,
}

/// Headers of which a second, different line leaves open which one counts.
const SINGLE: [Name; 13] = [
    Name::From,
    Name::To,
    Name::CallId,
    Name::CSeq,
    Name::MaxForwards,
    Name::ContentLength,
    Name::ContentType,
    Name::Expires,
    Name::MinExpires,
    Name::Event,
    Name::SubscriptionState,
    Name::SipEtag,
    Name::SipIfMatch,
];

impl Message {
    /// What the scanner found wrong: with where lines and body end, and with sizes. A message without such a fault reads
    /// the same to everyone, also on a stream; whether it makes sense is for `check` to say.
    pub fn fault(&self) -> Option<Fault> {
        self.scanned().head.fault
    }

    /// Whether the message can be acted upon; if not, how a request with that flaw is answered.
    pub fn check(&self) -> Result<(), Fault> {
        self.checked().map(drop)
    }

    /// The same, with what it has read on its way.
    pub fn checked(&self) -> Result<Checked<'_>, Fault> {
        self.fault().map_or(Ok(()), Err)?;
        self.check_repeats()?;
        let (via, via_below) = self.check_routing()?;
        let from = self.from()?;
        let from_uri = Uri::parse(from.uri).map_err(|_| Fault::bad("Bad From"))?;
        let (to, contacts) = self.check_dialog()?;
        let cseq = self.check_numbers()?;
        let checked = Checked { via, via_below, from, from_uri, to, contacts, cseq };
        if self.is_request() {
            self.check_request(&checked)?;
        }
        Ok(checked)
    }

    fn check_repeats(&self) -> Result<(), Fault> {
        let lines = &self.scanned().head.lines;
        let conflicts = |name: Name| {
            let mut values = self.headers(name);
            let first = values.next();
            values.any(|value| Some(value) != first)
        };
        match SINGLE.iter().any(|name| lines.repeats(*name) && conflicts(*name)) {
            true => Err(Fault::bad("Conflicting Headers")),
            false => Ok(()),
        }
    }

    /// Gives the topmost Via, and the one below it.
    fn check_routing(&self) -> Result<(Via<'_>, Option<Via<'_>>), Fault> {
        let mut vias = self.vias();
        let topmost = vias.next().ok_or(Fault::bad("Missing Via"))??;
        let below = vias.next().transpose()?;
        vias.try_for_each(|via| via.map(drop))?;
        for (name, fault) in [(Name::Route, "Bad Route"), (Name::RecordRoute, "Bad Record-Route")] {
            let mut routes = self.values(name).map(NameAddr::parse);
            if !routes.all(|route| route.is_some_and(|route| Uri::parse(route.uri).is_ok())) {
                return Err(Fault::bad(fault));
            }
        }
        Ok((topmost, below))
    }

    /// Gives To and the Contacts.
    fn check_dialog(&self) -> Result<(NameAddr<'_>, Contacts<'_>), Fault> {
        let to = self.to()?;
        Uri::parse(to.uri).map_err(|_| Fault::bad("Bad To"))?;
        match self.header(Name::CallId) {
            None => return Err(Fault::bad("Missing Call-ID")),
            Some(id) if !is_call_id(id) => return Err(Fault::bad("Bad Call-ID")),
            Some(_) => {}
        }
        let contacts = self.contacts()?;
        let is_bad = match &contacts {
            Contacts::Star => self.method() != Method::Register,
            Contacts::List(contacts) => contacts.iter().any(|contact| Uri::parse(contact.uri).is_err()),
        };
        if is_bad { Err(Fault::bad("Bad Contact")) } else { Ok((to, contacts)) }
    }

    /// Gives CSeq.
    fn check_numbers(&self) -> Result<CSeq<'_>, Fault> {
        let cseq = self.cseq()?;
        self.max_forwards()?;
        self.expires()?;
        self.event()?;
        self.subscription_state()?;
        Ok(cseq)
    }

    fn check_request(&self, checked: &Checked) -> Result<(), Fault> {
        if checked.cseq.method != self.method_text() {
            return Err(Fault::bad("CSeq Method Mismatch"));
        }
        let uri = Uri::parse(self.request_uri()).map_err(|_| Fault::bad("Bad Request-URI"))?;
        if uri.scheme == Scheme::Other {
            return Err(Fault { status: 416, reason: "Unsupported URI Scheme" });
        }
        if !uri.headers.is_empty() {
            // To ignore them is allowed, but a proxy must not pass them on (RFC 4475 §3.1.2.11).
            return Err(Fault::bad("Headers In Request-URI"));
        }
        let aor = Scheme::of(checked.to.uri);
        if self.method() == Method::Register && !matches!(aor, Scheme::Sip | Scheme::Sips) {
            // RFC 3261 §10.3: an address-of-record is a SIP or SIPS URI.
            return Err(Fault::bad("Bad To"));
        }
        Ok(())
    }
}

/// `word [@ word]`. Held to the bytes a log or a hash may meet, not to the letter of the grammar.
fn is_call_id(text: &[u8]) -> bool {
    !text.is_empty() && lex::trim(text) == text && text.iter().all(u8::is_ascii_graphic)
}
