//! OPTIONS: what this server can do (RFC 3261 section 11), and whether it serves.
//!
//! Dispatchers, and proxies that stand in for them, ask four times a second; "not serving" must be a refusal, so that
//! the answer to a load balancer is the truth.

use bytes::Bytes;
use sip::Message;

use crate::answer::{Answer, Refuse};
use crate::request::extensions;

pub(crate) fn answer(request: &Message, to_tag: &str, serving: bool) -> Bytes {
    if !serving {
        return Answer::refused(request, to_tag, &Refuse::Unavailable);
    }
    match extensions(request, &[]) {
        Ok(()) => Answer::options(request, to_tag),
        Err(refuse) => Answer::refused(request, to_tag, &refuse),
    }
}
