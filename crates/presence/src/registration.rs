//! Bindings: where a user's phones said they can be reached (RFC 3261 10.3, RFC 5626, RFC 5627).
//!
//! For presence a binding says one thing: somebody is reachable. The rules of replacement and order are the
//! registrar's all the same, because phones depend on them to go on working.

use crate::repeat::RepeatKey;
use crate::time::{Lifetime, Timestamp};

/// The bindings of one address-of-record, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bindings {
    held: Vec<Binding>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// The Contact URI, as the phone wrote it.
    pub contact: String,
    /// `+sip.instance`, angle brackets included; empty when the phone gave none.
    pub instance: String,
    /// `reg-id` (RFC 5626); 0 when the phone gave none.
    pub reg_id: u32,
    /// The `q` of the Contact, in thousandths.
    pub q: u32,
    pub expires_at: Timestamp,
    pub call_id: String,
    pub cseq: u32,
    pub changed_by: RepeatKey,
}

/// One REGISTER that asks for a change.
#[derive(Clone, Debug)]
pub struct Register {
    pub call_id: String,
    pub cseq: u32,
    pub repeat: RepeatKey,
    pub request: RegisterRequest,
}

#[derive(Clone, Debug)]
pub enum RegisterRequest {
    /// `Contact: *` with `Expires: 0`.
    RemoveAll,
    Contacts(Vec<ContactRequest>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct ContactRequest {
    pub contact: String,
    pub instance: String,
    pub reg_id: u32,
    pub q: u32,
    /// Zero removes the binding.
    pub lifetime: Lifetime,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RegisterRefused {
    /// RFC 3261 10.3 step 7: the same Call-ID with a CSeq that is not higher.
    #[error("the CSeq is not above that of the binding's last REGISTER")]
    OutOfOrder,
    #[error("an address-of-record holds at most {} bindings", Bindings::MAX)]
    TooMany,
}

impl Bindings {
    /// More phones than this at one address-of-record are refused.
    pub const MAX: usize = 16;

    /// Applies one REGISTER whole, or refuses it and changes nothing. Gives the requests that no binding tells of any
    /// more: a late copy of one of them must not bring back what is gone.
    pub fn apply(&mut self, register: Register, now: Timestamp) -> Result<Vec<RepeatKey>, RegisterRefused> {
        let mut held = self.held.clone();
        match &register.request {
            RegisterRequest::RemoveAll => {
                if held.iter().any(|binding| binding.is_newer_than(&register)) {
                    return Err(RegisterRefused::OutOfOrder);
                }
                held.clear();
            }
            RegisterRequest::Contacts(contacts) => {
                for contact in contacts {
                    replace(&mut held, contact, &register, now)?;
                }
            }
        }
        // A binding past its time no longer counts, though only the sweep drops it.
        if held.iter().filter(|binding| now < binding.expires_at).count() > Self::MAX {
            return Err(RegisterRefused::TooMany);
        }
        let before = std::mem::replace(&mut self.held, held);
        let keys = before.into_iter().map(|binding| binding.changed_by).chain([register.repeat]);
        Ok(keys.filter(|key| !self.knows(*key)).collect())
    }

    /// Whether this very request has been applied already.
    pub fn knows(&self, key: RepeatKey) -> bool {
        self.held.iter().any(|binding| binding.changed_by == key)
    }

    /// Drops what has outlived its lifetime.
    pub fn expire(&mut self, now: Timestamp) {
        self.held.retain(|binding| now < binding.expires_at);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.held.iter()
    }

    pub fn len(&self) -> usize {
        self.held.len()
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

impl Binding {
    fn is_of(&self, contact: &ContactRequest) -> bool {
        if !contact.instance.is_empty() && contact.instance == self.instance {
            // RFC 5626 section 6: the instance and the reg-id name a flow, whatever its address is now.
            return contact.reg_id == self.reg_id;
        }
        contact.contact == self.contact
    }

    fn is_newer_than(&self, register: &Register) -> bool {
        self.call_id == register.call_id && self.cseq >= register.cseq && self.changed_by != register.repeat
    }
}

fn replace(
    held: &mut Vec<Binding>,
    contact: &ContactRequest,
    register: &Register,
    now: Timestamp,
) -> Result<(), RegisterRefused> {
    if held.iter().any(|binding| binding.is_of(contact) && binding.is_newer_than(register)) {
        return Err(RegisterRefused::OutOfOrder);
    }
    held.retain(|binding| !binding.is_of(contact));
    if contact.lifetime > Lifetime::ZERO {
        held.push(Binding {
            contact: contact.contact.clone(),
            instance: contact.instance.clone(),
            reg_id: contact.reg_id,
            q: contact.q,
            expires_at: now + contact.lifetime,
            call_id: register.call_id.clone(),
            cseq: register.cseq,
            changed_by: register.repeat,
        });
    }
    Ok(())
}

/// Rebuilds what a snapshot held.
impl FromIterator<Binding> for Bindings {
    fn from_iter<I: IntoIterator<Item = Binding>>(held: I) -> Bindings {
        Bindings { held: held.into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(uri: &str, seconds: u32) -> ContactRequest {
        ContactRequest {
            contact: uri.into(),
            instance: String::new(),
            reg_id: 0,
            q: 1000,
            lifetime: Lifetime(seconds),
        }
    }

    fn register(cseq: u32, contacts: Vec<ContactRequest>) -> Register {
        let request = RegisterRequest::Contacts(contacts);
        Register { call_id: "call".into(), cseq, repeat: RepeatKey([cseq as u8; 16]), request }
    }

    fn uris(bindings: &Bindings) -> Vec<&str> {
        bindings.iter().map(|binding| binding.contact.as_str()).collect()
    }

    #[test]
    fn an_address_of_record_holds_several_bindings_and_loses_the_one_that_asks_for_zero_seconds() {
        let mut bindings = Bindings::default();
        let both = vec![contact("sip:a@one", 60), contact("sip:a@two", 60)];
        bindings.apply(register(1, both), Timestamp(0)).unwrap();

        bindings.apply(register(2, vec![contact("sip:a@one", 0)]), Timestamp(0)).unwrap();

        assert_eq!(uris(&bindings), ["sip:a@two"]);
    }

    #[test]
    fn a_register_that_overtook_a_newer_one_is_refused() {
        let mut bindings = Bindings::default();
        bindings
            .apply(register(2, vec![contact("sip:a@one", 0), contact("sip:a@two", 60)]), Timestamp(0))
            .unwrap();

        let late = bindings.apply(register(1, vec![contact("sip:a@two", 0)]), Timestamp(0));

        assert_eq!(late, Err(RegisterRefused::OutOfOrder));
        assert_eq!(uris(&bindings), ["sip:a@two"]);
    }

    #[test]
    fn a_phone_that_moved_replaces_its_own_binding_by_instance() {
        let mut bindings = Bindings::default();
        let at = |uri: &str| ContactRequest { instance: "<urn:uuid:1>".into(), ..contact(uri, 60) };
        bindings.apply(register(1, vec![at("sip:a@old")]), Timestamp(0)).unwrap();

        bindings.apply(register(2, vec![at("sip:a@new")]), Timestamp(0)).unwrap();

        assert_eq!(uris(&bindings), ["sip:a@new"]);
    }

    #[test]
    fn a_refused_register_changes_nothing() {
        let mut bindings = Bindings::default();
        let many = (0..=Bindings::MAX).map(|n| contact(&format!("sip:a@{n}"), 60)).collect();

        let refused = bindings.apply(register(1, many), Timestamp(0));

        assert_eq!(refused, Err(RegisterRefused::TooMany));
        assert!(bindings.is_empty());
    }
}
