//! A phone that registers (RFC 3261 10.2): whether its user can be reached is part of his presence.

use super::ask::{Ask, Call, Purpose};
use crate::names::DOMAIN;
use crate::rng::Rng;

pub struct Registrant {
    presentity: String,
    pub call: Call,
}

impl Registrant {
    pub fn new(presentity: &str) -> Registrant {
        Registrant { presentity: presentity.into(), call: Call::new(format!("register-{presentity}")) }
    }

    pub fn act(&mut self, user: &str, rng: &mut Rng) -> Ask {
        let contact = format!("<sip:{user}@198.51.100.99:5060>");
        let expires = if rng.percent(30) { rng.between(2, 8) } else { rng.between(20, 60) };
        let (purpose, headers) = match rng.between(0, 99) {
            0..55 => (Purpose::Register, vec![("Contact", contact), ("Expires", expires.to_string())]),
            55..75 => (Purpose::Register, vec![("Contact", format!("{contact};expires=0"))]),
            75..85 => (Purpose::Register, vec![("Contact", "*".into()), ("Expires", "0".into())]),
            _ => (Purpose::Query, Vec::new()),
        };
        Ask {
            purpose,
            presentity: self.presentity.clone(),
            uri: format!("sip:{DOMAIN}"),
            to: format!("<sip:{}>", self.presentity),
            call: self.call.advanced(),
            routes: Vec::new(),
            headers,
            body: None,
        }
    }
}
