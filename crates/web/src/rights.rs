//! What a token opens.
//!
//! A token has one kind of right over some presentities: whoever may change what is said of them may also read what is
//! said, by whom, and who watches. The finer rules of who may see whom are those of SIP watchers, at the managers.

use std::sync::Arc;

use placement::PresentityKey;

#[derive(Clone, Debug, PartialEq)]
pub enum Rights {
    /// The operator's: every presentity, and the state of the cluster.
    Everything,
    /// A tenant's: the presentities of these domains, in lower case.
    Domains(Arc<[String]>),
    /// A user's: this presentity alone.
    User(PresentityKey),
}

impl Rights {
    pub fn cover(&self, presentity: &PresentityKey) -> bool {
        match self {
            Rights::Everything => true,
            Rights::Domains(domains) => domains.iter().any(|domain| domain == presentity.domain()),
            Rights::User(user) => user == presentity,
        }
    }

    /// Whom it is good for, for the hint to somebody who wanted more.
    pub fn reach(&self) -> String {
        match self {
            Rights::Everything => "every presentity".to_owned(),
            Rights::Domains(domains) => format!("the presentities of {}", domains.join(", ")),
            Rights::User(user) => format!("{} alone", user.uri()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(uri: &str) -> PresentityKey {
        PresentityKey::of(uri).unwrap()
    }

    #[test]
    fn a_token_opens_what_it_names_and_nothing_else() {
        let acme = Rights::Domains(["acme.test".into(), "acme.example".into()].into());
        let alice = Rights::User(key("sip:alice@acme.test"));

        for (uri, by_acme, by_alice) in [
            ("sip:alice@acme.test", true, true),
            ("pres:alice@ACME.test", true, true),
            ("sip:bob@acme.example", true, false),
            ("sip:alice@lab.test", false, false),
            ("sip:alice@sub.acme.test", false, false),
            ("tel:+4930123", false, false),
        ] {
            assert_eq!((acme.cover(&key(uri)), alice.cover(&key(uri))), (by_acme, by_alice), "{uri}");
            assert!(Rights::Everything.cover(&key(uri)));
        }
    }

    #[test]
    fn a_tenant_without_domains_has_no_right_to_what_has_no_domain() {
        assert!(!Rights::Domains([].into()).cover(&key("tel:+4930123")));
        assert!(!Rights::Domains(["lab.test".into()].into()).cover(&key("tel:+4930123")));
    }
}
