//! REGISTER at the border, for installations without a registrar of their own (RFC 3261 10.3, RFC 5627).

use bytes::Bytes;
use placement::PresentityKey;
use presence::repeat::RepeatKey;
use proto::v1;
use sip::header::{Contacts, NameAddr};
use sip::{Checked, Message, Name};

use crate::answer::Refuse;
use crate::config::{Config, Expires};
use crate::request::{at_most, extensions, lifetime, presentity};

#[derive(Debug)]
pub(crate) struct Register {
    pub aor: PresentityKey,
    pub ask: Ask,
    /// Whether the phone understands a GRUU.
    pub gruu: bool,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Ask {
    /// No Contact: which bindings are there?
    Query,
    RemoveAll,
    Bind(Vec<v1::Binding>),
}

const SUPPORTED: &[&str] = &["gruu"];

impl Register {
    /// More contacts in one request are a mistake or an attack.
    const MAX_CONTACTS: usize = 16;

    pub fn parse(request: &Message, checked: &Checked<'_>, config: &Config) -> Result<Register, Refuse> {
        extensions(request, SUPPORTED)?;
        let aor = presentity(checked.to.uri, config)?;
        let expires = request.expires().map_err(Refuse::Fault)?;
        let ask = match &checked.contacts {
            Contacts::Star if expires == Some(0) => Ask::RemoveAll,
            Contacts::Star => return Err(bad("Contact * Needs Expires 0")),
            Contacts::List(contacts) if contacts.is_empty() => Ask::Query,
            Contacts::List(contacts) if contacts.len() > Self::MAX_CONTACTS => {
                return Err(bad("Too Many Contacts"));
            }
            Contacts::List(contacts) => {
                let bindings = contacts.iter().map(|contact| binding(contact, expires, config.register));
                Ask::Bind(bindings.collect::<Result<_, _>>()?)
            }
        };
        let gruu = request.values(Name::Supported).any(|option| option.eq_ignore_ascii_case(b"gruu"));
        Ok(Register { aor, ask, gruu })
    }

    /// Holds the lifetimes to what billing grants.
    pub fn shorten(&mut self, max: u32) {
        if let Ask::Bind(bindings) = &mut self.ask {
            bindings.iter_mut().for_each(|binding| binding.expires = at_most(binding.expires, max));
        }
    }

    pub fn command(&self, request: &Message, repeat: RepeatKey) -> v1::Register {
        v1::Register {
            repeat_key: Bytes::copy_from_slice(&repeat.0),
            aor: self.aor.to_string(),
            call_id: request.call_id().to_owned(),
            cseq: request.cseq().map_or(0, |cseq| cseq.number),
            remove_all: self.ask == Ask::RemoveAll,
            bindings: match &self.ask {
                Ask::Bind(bindings) => bindings.clone(),
                Ask::Query | Ask::RemoveAll => Vec::new(),
            },
        }
    }
}

/// The Contact's own `expires` wins over the Expires header.
fn binding(contact: &NameAddr<'_>, expires: Option<u32>, policy: Expires) -> Result<v1::Binding, Refuse> {
    let text = |name| contact.params.unquoted(name).unwrap_or_default();
    let asked = match text("expires").as_ref() {
        "" => expires,
        // RFC 3261 10.2.1.1: a malformed value counts as 3600.
        own => Some(own.parse().unwrap_or(3600)),
    };
    let instance = text("+sip.instance");
    if instance.contains(['"', '\\']) || instance.chars().any(char::is_control) {
        return Err(bad("Bad +sip.instance"));
    }
    Ok(v1::Binding {
        contact: contact.uri.to_owned(),
        instance: instance.into_owned(),
        reg_id: text("reg-id").parse().unwrap_or(0),
        q: thousandths(&text("q")),
        expires: lifetime(asked, policy)?,
        ..v1::Binding::default()
    })
}

/// A qvalue (RFC 3261 25.1): 0 to 1 with at most three decimals; 1 when it is none.
fn thousandths(q: &str) -> u32 {
    let (whole, decimals) = q.split_once('.').unwrap_or((q, ""));
    match (whole, format!("{decimals:0<3}").get(..3).and_then(|digits| digits.parse().ok())) {
        ("0", Some(thousandths)) if !q.is_empty() => thousandths,
        _ => 1000,
    }
}

fn bad(reason: &'static str) -> Refuse {
    Refuse::Fault(sip::Fault { status: 400, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qvalue_is_read_in_thousandths_and_defaults_to_one() {
        assert_eq!(
            ["0.5", "0", "1", "1.0", "", "0.123", "x"].map(thousandths),
            [500, 0, 1000, 1000, 1000, 123, 1000]
        );
    }
}
