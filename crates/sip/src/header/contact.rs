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
        let values: Vec<&[u8]> = values.collect();
        match values.as_slice() {
            [b"*"] => Some(Contacts::Star),
            values => {
                let address = |value: &&'a [u8]| NameAddr::parse(value).filter(|contact| contact.uri != "*");
                values.iter().map(address).collect::<Option<_>>().map(Contacts::List)
            }
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
