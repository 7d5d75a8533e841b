//! OPTIONS: what this server can do (RFC 3261 section 11), and whether it serves.
//!
//! Dispatchers, and proxies that stand in for them, ask four times a second; "not serving" must be a refusal, so that
//! the answer to a load balancer is the truth.

use bytes::Bytes;
use sip::{Message, Uri};

use crate::answer::{Answer, Refuse};
use crate::request::extensions;

pub(crate) fn answer(request: &Message, to_tag: &str, domains: &[String], serving: bool) -> Bytes {
    if !serving {
        return Answer::refused(request, to_tag, &Refuse::Unavailable);
    }
    if is_about_somebody_elsewhere(request, domains) {
        return Answer::refused(request, to_tag, &Refuse::UnknownPresentity);
    }
    match extensions(request, &[]) {
        Ok(()) => Answer::options(request, to_tag),
        Err(refuse) => Answer::refused(request, to_tag, &refuse),
    }
}

/// Then the answer is that to any other request (RFC 3261 11.2). Who asks for nobody, or at an address, asks this server.
fn is_about_somebody_elsewhere(request: &Message, domains: &[String]) -> bool {
    let ours = |asked: &str| domains.iter().any(|domain| domain.eq_ignore_ascii_case(asked));
    Uri::parse(request.request_uri())
        .is_ok_and(|uri| uri.user.is_some() && uri.socket_addr().is_none() && !ours(uri.host))
}
