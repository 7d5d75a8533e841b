//! A phone that publishes its user's presence (RFC 3903): it makes, changes, refreshes and takes back, and now and then
//! forgets what it published.

use sip::Name;

use super::ask::{Ask, Call, Purpose};
use super::script::Answer;
use crate::rng::Rng;

pub struct Publisher {
    presentity: String,
    pub call: Call,
    tag: Option<String>,
    documents: u64,
}

impl Publisher {
    pub fn new(presentity: &str) -> Publisher {
        let call = Call::new(format!("publish-{presentity}"));
        Publisher { presentity: presentity.into(), call, tag: None, documents: 0 }
    }

    pub fn act(&mut self, user: &str, rng: &mut Rng) -> Ask {
        let expires = if rng.percent(25) { rng.between(2, 10) } else { rng.between(60, 200) };
        let tag = self.tag.clone().filter(|_| rng.percent(92));
        let (purpose, says, expires) = match (&tag, rng.between(0, 99)) {
            (None, _) | (_, 0..50) => (Purpose::Publish, true, expires),
            (_, 50..75) => (Purpose::Publish, false, expires),
            _ => (Purpose::Unpublish, false, 0),
        };
        let mut headers = vec![("Event", "presence".to_owned()), ("Expires", expires.to_string())];
        headers.extend(tag.map(|tag| ("SIP-If-Match", tag)));
        let body = says.then(|| self.document(user, rng.percent(70)));
        let presentity = self.presentity.clone();
        Ask {
            purpose,
            uri: format!("sip:{presentity}"),
            to: format!("<sip:{presentity}>"),
            presentity,
            call: self.call.advanced(),
            routes: Vec::new(),
            headers,
            body,
        }
    }

    pub fn answered(&mut self, ask: &Ask, answer: Answer<'_>) {
        // Without an answer the phone knows its old tag only, and finds out whether that is still good.
        let Answer::Final(message) = answer else { return };
        self.tag = match message.status() {
            Some(200) if ask.purpose == Purpose::Publish => message.text(Name::SipEtag).map(str::to_owned),
            _ => None,
        };
    }

    /// A document that says what no other document says.
    fn document(&mut self, user: &str, open: bool) -> String {
        self.documents += 1;
        let (presentity, number) = (&self.presentity, self.documents);
        let basic = if open { "open" } else { "closed" };
        format!(
            "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:{presentity}\">\
             <tuple id=\"t\"><status><basic>{basic}</basic></status><note>{user} says {number}.</note></tuple>\
             </presence>"
        )
    }
}
