//! What is wrong with bytes that should have been a message.
//!
//! `NotSip`: nobody could answer these bytes, they are dropped (and a connection that brought them
//! is closed). `Fault`: the message can be read well enough to answer it, and this is the answer.

/// A flaw in a message, as the status line that a request with this flaw is answered with.
/// A response with a flaw is dropped (RFC 3261 §18.3, §8.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status} {reason}")]
pub struct Fault {
    pub status: u16,
    pub reason: &'static str,
}

impl Fault {
    pub const fn bad(reason: &'static str) -> Fault {
        Fault { status: 400, reason }
    }
}

/// Bytes that are no SIP message at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSip {
    /// Nothing but line ends: the keep-alive of RFC 5626 §3.5.1.
    #[error("keep-alive")]
    Empty,
    /// More than `Limits` allow; on a stream nothing after it can be framed.
    #[error("larger than a message may be")]
    TooLarge,
    /// On a stream: where this message ends, and the next one starts, can not be told.
    #[error("no usable Content-Length")]
    Unframed,
    /// The first line is neither a request line nor a status line.
    #[error("not a SIP start line")]
    NoStartLine,
}
