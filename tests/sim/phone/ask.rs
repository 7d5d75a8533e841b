//! A request of a phone: what it asks, and how it is written.

use bytes::Bytes;
use sip::RequestWriter;
use sip::digest::{Algorithm, ha1};

use crate::names::{DOMAIN, PASSWORD};

/// The Call-ID of a phone's requests that belong together, with the CSeq of the last of them.
#[derive(Clone, Debug)]
pub struct Call {
    pub id: String,
    pub from_tag: String,
    pub cseq: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Publish,
    Unpublish,
    Subscribe,
    Unsubscribe,
    Fetch,
    Register,
    Query,
}

#[derive(Clone, Debug)]
pub struct Ask {
    pub purpose: Purpose,
    /// Whom it is about, as `user@domain`.
    pub presentity: String,
    pub uri: String,
    /// The value of To.
    pub to: String,
    pub call: Call,
    pub routes: Vec<String>,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<String>,
}

/// Who writes, and from where.
pub struct Author<'a> {
    pub user: &'a str,
    pub via: &'a str,
    pub contact: &'a str,
    pub nonce: Option<&'a str>,
}

impl Purpose {
    pub fn method(self) -> &'static str {
        match self {
            Purpose::Publish | Purpose::Unpublish => "PUBLISH",
            Purpose::Subscribe | Purpose::Unsubscribe | Purpose::Fetch => "SUBSCRIBE",
            Purpose::Register | Purpose::Query => "REGISTER",
        }
    }

    /// Whether a grant is true only once a command stands in the log.
    pub fn is_recorded(self) -> bool {
        !matches!(self, Purpose::Fetch | Purpose::Query)
    }
}

impl Call {
    pub fn new(id: String) -> Call {
        let from_tag = format!("t{id}");
        Call { id, from_tag, cseq: 0 }
    }

    pub fn next(&mut self) -> u32 {
        self.cseq += 1;
        self.cseq
    }

    /// As the next request of this call quotes it.
    pub fn advanced(&mut self) -> Call {
        self.next();
        self.clone()
    }
}

impl Ask {
    pub fn write(&self, author: &Author<'_>) -> Bytes {
        let method = self.purpose.method();
        let user = author.user;
        let mut request = RequestWriter::new(method, &self.uri)
            .header("Via", author.via)
            .header("Max-Forwards", 70)
            .header("From", format_args!("<sip:{user}@{DOMAIN}>;tag={}", self.call.from_tag))
            .header("To", &self.to)
            .header("Call-ID", &self.call.id)
            .header("CSeq", format_args!("{} {method}", self.call.cseq));
        for route in &self.routes {
            request = request.header("Route", route);
        }
        if method == "SUBSCRIBE" {
            request = request.header("Contact", format_args!("<{}>", author.contact));
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(nonce) = author.nonce {
            request = request.header("Authorization", self.credentials(user, nonce));
        }
        match &self.body {
            Some(body) => request.body("application/pidf+xml", body.as_bytes()).finish(),
            None => request.finish(),
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// Without qop, as RFC 2069 has it.
    fn credentials(&self, user: &str, nonce: &str) -> String {
        let known = ha1(Algorithm::Md5, user, DOMAIN, PASSWORD);
        let asked = ha1(Algorithm::Md5, self.purpose.method(), "sip", DOMAIN);
        let response = ha1(Algorithm::Md5, &known, nonce, &asked);
        format!(
            "Digest username=\"{user}\", realm=\"{DOMAIN}\", nonce=\"{nonce}\", uri=\"sip:{DOMAIN}\", \
             response=\"{response}\""
        )
    }
}
