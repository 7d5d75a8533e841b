//! Final responses: the only place where a refusal gets its SIP status.

use std::fmt::Write;

use bytes::Bytes;
use presence::registration::{Binding, RegisterRefused};
use presence::time::Timestamp;
use sip::{Fault, Message, Name, ResponseWriter};

use crate::bound::Bound;
use crate::sdp;
use crate::shard::{Outcome, Refusal};

/// The methods of this server (RFC 3261 20.5).
pub(crate) const ALLOW: &str = "SUBSCRIBE, PUBLISH, REGISTER, OPTIONS, MESSAGE, INVITE, ACK, BYE, CANCEL";

/// Seconds after which a request refused for lack of room may come again.
const RETRY_AFTER: u32 = 2;

/// Why a request is not granted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refuse {
    Fault(Fault),
    /// No credentials, or none that count any more; with the values of WWW-Authenticate.
    Challenge(Vec<String>),
    Forbidden(&'static str),
    WrongCredentials,
    /// Billing said no, in its own words.
    Denied {
        status: u16,
        reason: String,
    },
    UnknownPresentity,
    UnknownMethod,
    UnknownExtension(String),
    UnknownEvent,
    NoContact,
    TooBrief {
        min: u32,
    },
    NotAcceptable(&'static str),
    UnsupportedBody(&'static str),
    UnsupportedEncoding,
    BadBody(String),
    /// One that is nested or crowded beyond what is looked at.
    IntricateBody(String),
    BodyTooLarge,
    UnknownDialog,
    UnknownTransaction,
    /// Somebody has too much of something, for now. Never a 503: a proxy would take the whole server for overloaded.
    TooMuch {
        bound: Bound,
        after: u32,
    },
    /// A feature code without a digit that means something.
    NoSuchDigit,
    Refused(Refusal),
    /// Certainly not stored, and may be tried again.
    Unavailable,
}

/// A final response that grants something.
pub(crate) struct Answer;

impl Refuse {
    /// The status a peer sees, and the reason phrase where the standard one would not say enough.
    fn status(&self) -> (u16, Option<&str>) {
        match self {
            Refuse::Fault(fault) => (fault.status, Some(fault.reason)),
            Refuse::Challenge(_) => (401, None),
            Refuse::Forbidden(reason) => (403, Some(reason)),
            Refuse::WrongCredentials => (403, Some("Wrong Credentials")),
            Refuse::Denied { status, reason } => {
                (*status, Some(reason.as_str()).filter(|reason| !reason.is_empty()))
            }
            Refuse::UnknownPresentity => (404, None),
            Refuse::UnknownMethod => (405, None),
            Refuse::UnknownExtension(_) => (420, None),
            Refuse::UnknownEvent => (489, None),
            Refuse::NoContact => (400, Some("Missing Contact")),
            Refuse::TooBrief { .. } => (423, None),
            Refuse::NotAcceptable(_) => (406, None),
            Refuse::UnsupportedBody(_) | Refuse::UnsupportedEncoding => (415, None),
            Refuse::BadBody(_) | Refuse::IntricateBody(_) => (400, Some("Bad Body")),
            Refuse::BodyTooLarge => (413, None),
            Refuse::UnknownDialog => (481, Some("Subscription Does Not Exist")),
            Refuse::UnknownTransaction => (481, None),
            Refuse::TooMuch { bound: Bound::SubscriptionsPerSource, .. } => {
                (480, Some("Too Many Subscriptions From This Address"))
            }
            Refuse::TooMuch { .. } => (480, Some("Too Many Requests Of This Account")),
            Refuse::NoSuchDigit => (484, Some("No Such Status Digit")),
            Refuse::Refused(refusal) => refusal_status(refusal),
            Refuse::Unavailable => (503, None),
        }
    }
}

fn refusal_status(refusal: &Refusal) -> (u16, Option<&'static str>) {
    match refusal {
        Refusal::TagUnmatched(_) => (412, None),
        Refusal::UnknownSubscription => (481, Some("Subscription Does Not Exist")),
        // RFC 3261 12.2.2 for a dialog; 10.3 step 7 lets the registrar abort with a 500 too.
        Refusal::OutOfOrder | Refusal::Register(RegisterRefused::OutOfOrder) => {
            (500, Some("CSeq Out Of Order"))
        }
        // A limit of one account is never a 503: a proxy would take the whole server for overloaded.
        Refusal::Register(RegisterRefused::TooMany) => (403, Some("Too Many Contacts")),
        Refusal::TooMany(_, Bound::Publications) => (403, Some("Too Many Publications")),
        Refusal::TooMany(..) => (403, Some("Too Many Watchers")),
        Refusal::QuotaUsedUp(_) => (403, Some("Too Many Subscriptions Of This Account")),
        Refusal::Malformed(_) => (400, None),
    }
}

/// Whether the log came to a refusal.
pub(crate) fn refusal(outcome: &Outcome) -> Option<Refuse> {
    match outcome {
        Outcome::Refused(refusal) => Some(Refuse::Refused(refusal.clone())),
        _ => None,
    }
}

impl Answer {
    pub fn refused(request: &Message, to_tag: &str, refuse: &Refuse) -> Bytes {
        let (status, reason) = refuse.status();
        let mut response = ResponseWriter::new(request, status).to_tag(to_tag);
        if let Some(reason) = reason {
            response = response.reason(reason);
        }
        match refuse {
            Refuse::Challenge(challenges) => {
                for challenge in challenges {
                    response = response.header("WWW-Authenticate", challenge);
                }
            }
            Refuse::UnknownMethod => response = response.header("Allow", ALLOW),
            Refuse::UnknownExtension(names) => response = response.header("Unsupported", names),
            Refuse::UnknownEvent => {
                response = response.header("Allow-Events", presence::package::allow_events())
            }
            Refuse::TooBrief { min } => response = response.header("Min-Expires", min),
            Refuse::NotAcceptable(accept) | Refuse::UnsupportedBody(accept) => {
                response = response.header("Accept", accept);
            }
            Refuse::UnsupportedEncoding => response = response.header("Accept-Encoding", "identity"),
            Refuse::BadBody(why) | Refuse::IntricateBody(why) => {
                response = response.header("Warning", warning(why))
            }
            Refuse::Unavailable => response = response.header("Retry-After", RETRY_AFTER),
            Refuse::TooMuch { after, .. } => response = response.header("Retry-After", after),
            _ => {}
        }
        response.finish()
    }

    /// RFC 3903 section 6 step 7: both Expires and SIP-ETag, always.
    pub fn published(request: &Message, to_tag: &str, tag: &str, expires: u32) -> Bytes {
        ResponseWriter::new(request, 200)
            .to_tag(to_tag)
            .header("Expires", expires)
            .header("SIP-ETag", tag)
            .finish()
    }

    /// RFC 6665 4.2.1.1: 200, never 202. The Record-Route goes back, as a dialog is made or refreshed.
    pub fn subscribed(request: &Message, to_tag: &str, contact: &str, expires: u32) -> Bytes {
        ResponseWriter::new(request, 200)
            .to_tag(to_tag)
            .copy(Name::RecordRoute)
            .header("Contact", format_args!("<{contact}>"))
            .header("Expires", expires)
            .header("Allow-Events", presence::package::allow_events())
            .finish()
    }

    /// RFC 3261 10.3 step 8: all current bindings.
    pub fn registered<'a>(
        request: &Message,
        to_tag: &str,
        bindings: impl Iterator<Item = &'a Binding>,
        gruu: Option<&str>,
        now: Timestamp,
    ) -> Bytes {
        let mut response = ResponseWriter::new(request, 200).to_tag(to_tag);
        for binding in bindings.filter(|binding| now < binding.expires_at) {
            response = response.header("Contact", contact(binding, gruu, now));
        }
        response.finish()
    }

    /// Nothing more is to be said.
    pub fn taken(request: &Message, to_tag: &str) -> Bytes {
        ResponseWriter::new(request, 200).to_tag(to_tag).finish()
    }

    /// RFC 3261 13.3.1.4: a call is answered.
    pub fn called(request: &Message, to_tag: &str, contact: &str, session: &str) -> Bytes {
        ResponseWriter::new(request, 200)
            .to_tag(to_tag)
            .copy(Name::RecordRoute)
            .header("Contact", format_args!("<{contact}>"))
            .header("Allow", ALLOW)
            .body(sdp::CONTENT_TYPE, session.as_bytes())
            .finish()
    }

    pub fn options(request: &Message, to_tag: &str) -> Bytes {
        ResponseWriter::new(request, 200)
            .to_tag(to_tag)
            .header("Allow", ALLOW)
            .header("Allow-Events", presence::package::allow_events())
            .header("Accept", presence::package::accept())
            .header("Supported", "gruu")
            .finish()
    }
}

/// One binding as the registrar lists it; `gruu` is the address-of-record when the phone supports GRUUs (RFC 5627).
fn contact(binding: &Binding, gruu: Option<&str>, now: Timestamp) -> String {
    let mut value = format!("<{}>;expires={}", binding.contact, binding.expires_at.seconds_after(now));
    if binding.q != 1000 {
        let _ = write!(value, ";q={}.{:03}", binding.q / 1000, binding.q % 1000);
    }
    if !binding.instance.is_empty() {
        if let Some(aor) = gruu {
            let urn = binding.instance.trim_start_matches('<').trim_end_matches('>');
            let _ = write!(value, ";pub-gruu=\"{aor};gr={urn}\"");
        }
        let _ = write!(value, ";+sip.instance=\"{}\"", binding.instance);
    }
    if binding.reg_id != 0 {
        let _ = write!(value, ";reg-id={}", binding.reg_id);
    }
    value
}

/// RFC 3261 20.43, code 399: text for a person.
fn warning(why: &str) -> String {
    let text: String =
        why.chars().map(|c| if c == '"' || c == '\\' || c.is_control() { '\'' } else { c }).collect();
    format!("399 vedette \"{text}\"")
}
