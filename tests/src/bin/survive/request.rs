//! The part that all requests of phones have in common.

use std::net::SocketAddr;
use std::time::Duration;

use sip::{Message, Name, RequestWriter};

/// Who asks whom in which order: what stays the same in one dialog or one chain of PUBLISHes.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The address-of-record of the phone.
    pub from: String,
    pub from_tag: String,
    pub to: String,
    pub call_id: String,
    pub cseq: u32,
}

impl Identity {
    /// The next request, up to the headers that its method adds.
    pub fn next(&mut self, method: &str, uri: &str, via: &Via) -> RequestWriter<'static> {
        self.cseq += 1;
        let Via { transport, me, branch } = via;
        RequestWriter::new(method, uri)
            .header(Name::Via, format_args!("SIP/2.0/{transport} {me};branch={branch};rport"))
            .header(Name::MaxForwards, 70)
            .header(Name::From, format_args!("<{}>;tag={}", self.from, self.from_tag))
            .header(Name::To, &self.to)
            .header(Name::CallId, &self.call_id)
            .header(Name::CSeq, format_args!("{} {method}", self.cseq))
            .header(Name::Event, "presence")
            .header(Name::Expires, LIFETIME)
    }
}

/// Where an answer is to go.
pub struct Via {
    pub transport: &'static str,
    pub me: SocketAddr,
    pub branch: String,
}

/// Longer than any trial: what ends was ended by somebody.
const LIFETIME: u32 = 7200;

/// What Retry-After asks for.
pub fn retry_after(answer: &Message) -> Option<Duration> {
    let value = answer.text(Name::RetryAfter)?;
    let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().map(Duration::from_secs)
}
