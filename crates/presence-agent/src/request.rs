//! Checks that every method shares, made once at the border.

use placement::PresentityKey;
use sip::{Checked, Message, Name, Scheme, Transport, Uri, Via};

use crate::answer::Refuse;
use crate::config::{Config, Expires};

/// The presentity that a URI names, if it is in a domain of ours (RFC 3903 section 6 step 1).
pub(crate) fn presentity(uri: &str, config: &Config) -> Result<PresentityKey, Refuse> {
    let key = PresentityKey::of(uri).ok_or(Refuse::UnknownPresentity)?;
    let ours = config.domains.iter().any(|domain| domain == key.domain());
    ours.then_some(key).ok_or(Refuse::UnknownPresentity)
}

/// RFC 3261 8.2.2.3: what we do not support but the request needs.
pub(crate) fn extensions(request: &Message, supported: &[&str]) -> Result<(), Refuse> {
    let unknown: Vec<_> = request
        .values(Name::Require)
        .map(String::from_utf8_lossy)
        .filter(|option| {
            !option.is_empty() && !supported.iter().any(|known| known.eq_ignore_ascii_case(option))
        })
        .collect();
    if unknown.is_empty() { Ok(()) } else { Err(Refuse::UnknownExtension(unknown.join(", "))) }
}

/// The lifetime granted: the default for none, 423 for too brief a one, never more than asked or than the most we
/// grant.
pub(crate) fn lifetime(asked: Option<u32>, policy: Expires) -> Result<u32, Refuse> {
    match asked {
        None => Ok(policy.default),
        Some(0) => Ok(0),
        // 423 is only for less than an hour (RFC 6665 4.2.1.1, RFC 3903 section 6 step 5).
        Some(asked) if asked < policy.min.min(3600) => Err(Refuse::TooBrief { min: policy.min.min(3600) }),
        Some(asked) => Ok(asked.min(policy.max)),
    }
}

/// The longest lifetime billing grants to this account; 0 says nothing.
pub(crate) fn at_most(lifetime: u32, max: u32) -> u32 {
    if max == 0 { lifetime } else { lifetime.min(max) }
}

/// Our Contact in a dialog: the public address of the dispatcher the request came through, which every phone can
/// reach, or else the domain. With sips where the dispatcher recorded itself with sips (RFC 3261 12.1.1): it does so only
/// where a phone that asks for sips has come over TLS, so that it can come again.
pub(crate) fn own_contact(request: &Message, presentity: &PresentityKey) -> String {
    let public = request.values(Name::RecordRoute).nth(1).and_then(|value| route_uri(value));
    let Some(uri) = public.and_then(|uri| Uri::parse(uri).ok()) else {
        return ["sip:", presentity.domain()].concat();
    };
    let mut contact = [if uri.scheme == Scheme::Sips { "sips:" } else { "sip:" }, uri.host].concat();
    if let Some(port) = uri.port {
        contact.push(':');
        contact.push_str(&port.to_string());
    }
    if let Some(transport) = uri.params.get("transport").flatten() {
        contact.push_str(";transport=");
        contact.push_str(transport);
    }
    contact
}

/// The URI in a Route or Record-Route value.
pub(crate) fn route_uri(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    let (_, rest) = text.split_once('<')?;
    rest.split_once('>').map(|(uri, _)| uri)
}

/// The user in a URI of ours, which is a flow if we signed it: who reads that needs no look at the rest.
pub(crate) fn route_user(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once(':')?;
    rest.split_once('@').map(|(user, _)| user)
}

/// The Via of the phone's own hop: a dispatcher stands between, so it is the second one.
pub(crate) fn phone_via<'a>(checked: &Checked<'a>) -> Via<'a> {
    checked.via_below.unwrap_or(checked.via)
}

/// Whether the phone's own hop repeats what is lost.
pub(crate) fn is_reliable(phone: &Via<'_>) -> bool {
    Transport::parse(phone.transport).is_some_and(|transport| transport.reliable())
}

/// Where the request came from, as the dispatcher saw it.
pub(crate) fn source(phone: &Via<'_>) -> String {
    let host = phone.received.unwrap_or(phone.host);
    match phone.rport.flatten().or(phone.port) {
        Some(port) => [host, ":", &port.to_string()].concat(),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Expires = Expires { min: 60, default: 3600, max: 7200 };

    #[test]
    fn a_lifetime_is_never_longer_than_asked() {
        assert_eq!(lifetime(Some(100), POLICY), Ok(100));
        assert_eq!(lifetime(Some(10_000), POLICY), Ok(7200));
    }

    #[test]
    fn no_lifetime_asks_for_the_default_and_zero_stays_zero() {
        assert_eq!(lifetime(None, POLICY), Ok(3600));
        assert_eq!(lifetime(Some(0), POLICY), Ok(0));
    }

    #[test]
    fn too_brief_a_lifetime_is_refused_only_below_an_hour() {
        let strict = Expires { min: 10_000, ..POLICY };

        assert_eq!(lifetime(Some(59), POLICY), Err(Refuse::TooBrief { min: 60 }));
        assert_eq!(lifetime(Some(3600), strict), Ok(3600));
    }
}
