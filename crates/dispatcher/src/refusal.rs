//! The answers that a dispatcher gives itself, each with its status (RFC 3261 16.3).
//!
//! They are stateless: the To-tag is a hash of the request, so a repeat gets the same answer. An ACK is never answered.

use std::time::Duration;

use bytes::Bytes;
use sip::{Fault, Message, Name, ResponseWriter};

use crate::branch;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("Max-Forwards is used up")]
    TooManyHops,
    /// It has passed us before, on its way to where it would go now.
    #[error("it goes in circles")]
    Loop,
    /// The upstream asks for somebody whom only the upstream could know.
    #[error("it came from where it would go")]
    Nobody,
    /// It asks for TLS on the whole way (RFC 3261 26.2.2), and the upstream is not reached so.
    #[error("there is no TLS to the upstream")]
    Insecure,
    #[error("Proxy-Require names an extension")]
    ProxyRequire,
    /// A CANCEL of what is not in flight.
    #[error("nothing to cancel")]
    NothingToCancel,
    /// No manager takes it, or too many requests are in flight.
    #[error("no manager takes it")]
    Unavailable(Duration),
    /// Its source has too much of something. Not 503: a proxy that brings the requests of many would pass on none of them.
    #[error("of this source: {0}")]
    Throttled(&'static str, Duration),
    /// The connection named by the flow token is gone (RFC 5626 5.3.1).
    #[error("the flow is gone")]
    FlowFailed,
    /// No flow token, or one that we did not sign.
    #[error("no flow token of ours")]
    NoFlow,
    #[error("larger than a datagram may be")]
    TooLarge,
}

/// The answer to a CANCEL of what is in flight. It has no further effect: nothing but an INVITE can be cancelled
/// (RFC 3261 9.2, 16.10).
pub fn cancelled(cancel: &Message) -> Bytes {
    ResponseWriter::new(cancel, 200).to_tag(&branch::to_tag(cancel)).finish()
}

impl Refusal {
    pub fn status(&self) -> u16 {
        match self {
            Refusal::Fault(fault) => fault.status,
            Refusal::TooManyHops => 483,
            Refusal::Loop => 482,
            Refusal::ProxyRequire => 420,
            Refusal::NothingToCancel => 481,
            Refusal::Unavailable(_) => 503,
            Refusal::Throttled(..) | Refusal::Insecure | Refusal::Nobody => 480,
            Refusal::FlowFailed => 430,
            Refusal::NoFlow => 403,
            Refusal::TooLarge => 513,
        }
    }

    /// The answer, to be sent the way the request came; `None` if none may be given.
    pub fn answer(&self, request: &Message) -> Option<Bytes> {
        if !request.answerable() {
            return None;
        }
        let tag = branch::to_tag(request);
        let answer = ResponseWriter::new(request, self.status()).to_tag(&tag);
        let answer = match self {
            Refusal::Fault(fault) => answer.reason(fault.reason),
            Refusal::ProxyRequire => {
                let unsupported = request.values(Name::ProxyRequire);
                unsupported
                    .fold(answer, |answer, tag| answer.header("Unsupported", String::from_utf8_lossy(tag)))
            }
            Refusal::Insecure => answer.reason("No Way Over TLS"),
            Refusal::Throttled(what, wait) => {
                answer.reason(what).header("Retry-After", wait.as_secs().max(1))
            }
            Refusal::Unavailable(wait) => answer.header("Retry-After", wait.as_secs().max(1)),
            _ => answer,
        };
        Some(answer.finish())
    }
}
