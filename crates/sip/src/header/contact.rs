//! All Contacts of a message: `*` (only to remove every binding, RFC 3261 §10.2.2) or addresses.

use super::name_addr::NameAddr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contacts<'a> {
    Star,
    /// In the order of the message; empty if it has none.
    List(Vec<NameAddr<'a>>),
}

impl<'a> Contacts<'a> {
    /// `None` if a value is malformed or a star has company.
    pub(crate) fn parse(values: impl Iterator<Item = &'a [u8]>) -> Option<Contacts<'a>> {
        let (mut has_star, mut contacts) = (false, Vec::new());
        for value in values {
            if std::mem::replace(&mut has_star, value == b"*") {
                return None;
            }
            if !has_star {
                contacts.push(NameAddr::parse(value).filter(|contact| contact.uri != "*")?);
            }
        }
        match has_star {
            true => contacts.is_empty().then_some(Contacts::Star),
            false => Some(Contacts::List(contacts)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<'a>(values: &[&'a str]) -> Option<Contacts<'a>> {
        Contacts::parse(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn a_star_stands_alone() {
        assert_eq!(parse(&["*"]), Some(Contacts::Star));
        assert_eq!(parse(&["*", "<sip:a@b>"]), None);
        assert_eq!(parse(&["*;expires=0"]), None);
    }

    #[test]
    fn one_malformed_contact_spoils_all() {
        assert_eq!(parse(&["<sip:a@b>", "<sip:c@d"]), None);
        assert_eq!(parse(&[]), Some(Contacts::List(vec![])));
    }
}
