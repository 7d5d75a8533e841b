//! Event (RFC 6665 §8.2.1): a package and, if one dialog holds several subscriptions, an id.

use super::lex;
use super::params::Params;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// Compared byte by byte: event packages are case-sensitive.
    pub package: &'a str,
    pub id: Option<&'a str>,
    pub params: Params<'a>,
}

impl<'a> Event<'a> {
    /// Exactly one package; a list is refused, for no answer could fit both.
    pub fn parse(value: &'a [u8]) -> Option<Event<'a>> {
        let value = std::str::from_utf8(value).ok()?;
        let (package, params) = value.split_at(value.find(';').unwrap_or(value.len()));
        let (package, params) = (package.trim_ascii(), Params::new(params));
        let one = lex::find_outside(params.as_str().as_bytes(), b',').is_none();
        (one && lex::is_token(package.as_bytes())).then(|| Event {
            package,
            id: params.get("id").flatten(),
            params,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_one_of_the_parameters() {
        let event = Event::parse(b"ua-profile;profile-type=\"device\" ; ID=7").unwrap();

        assert_eq!(event.package, "ua-profile");
        assert_eq!(event.id, Some("7"));
        assert_eq!(event.params.unquoted("profile-type").unwrap(), "device");
    }

    #[test]
    fn a_list_of_packages_is_refused() {
        for text in ["", ";id=1", "presence, dialog", "presence;id=1, dialog", "pre sence"] {
            assert_eq!(Event::parse(text.as_bytes()), None, "{text}");
        }
    }
}
