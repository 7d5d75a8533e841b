//! Other numbers: where somebody can be reached who is not registered here.

use crate::format::simple::Simple;

/// An address outside, with the priority of its tuple (RFC 3863 section 4.1.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AltContact {
    uri: String,
    priority: u16,
}

/// Why a contact is refused; each reads as one line that says what would be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadContact {
    #[error("{0} contacts are too many; at most {most} are kept", most = AltContact::MOST)]
    TooMany(usize),
    #[error("a contact has {0} bytes; at most {longest} are kept", longest = AltContact::LONGEST)]
    TooLong(usize),
    #[error("{0:?} is no address to be reached at, like tel:+4930123456 or sip:alice@example.com ({schemes})", schemes = SCHEMES.join(", "))]
    NotAnAddress(String),
    #[error("the priority {0} is not between 0 and 1000")]
    Priority(u32),
}

/// Whatever a watcher can call or write to; nothing that a browser would run.
const SCHEMES: [&str; 9] = ["sip", "sips", "tel", "pres", "im", "mailto", "sms", "xmpp", "https"];

impl AltContact {
    /// More contacts than this are refused.
    pub const MOST: usize = 8;
    /// A longer address is refused.
    pub const LONGEST: usize = 256;

    /// Reads a list of addresses, each with its priority in thousandths.
    pub fn list<'u>(
        contacts: impl ExactSizeIterator<Item = (&'u str, u32)>,
    ) -> Result<Vec<AltContact>, BadContact> {
        match contacts.len() {
            many if many > AltContact::MOST => Err(BadContact::TooMany(many)),
            _ => contacts.map(|(uri, priority)| AltContact::new(uri, priority)).collect(),
        }
    }

    /// Reads an address with its priority in thousandths.
    pub fn new(uri: &str, priority: u32) -> Result<AltContact, BadContact> {
        if uri.len() > AltContact::LONGEST {
            return Err(BadContact::TooLong(uri.len()));
        }
        let scheme =
            uri.split_once(':').filter(|(_, rest)| !rest.is_empty()).map_or("", |(scheme, _)| scheme);
        let known = SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme));
        if !known || !Simple::AnyUri.admits(uri) {
            return Err(BadContact::NotAnAddress(uri.chars().take(64).collect()));
        }
        let thousandths = u16::try_from(priority).ok().filter(|priority| *priority <= 1000);
        Ok(AltContact { uri: uri.to_owned(), priority: thousandths.ok_or(BadContact::Priority(priority))? })
    }

    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// In thousandths.
    pub fn priority(&self) -> u16 {
        self.priority
    }

    /// As PIDF has it: between 0 and 1 with as many decimals as are needed.
    pub(super) fn decimal(&self) -> String {
        match self.priority {
            1000 => "1".to_owned(),
            0 => "0".to_owned(),
            part => format!("0.{part:03}").trim_end_matches('0').to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_how_it_is_reached() {
        for good in
            ["tel:+4930123456", "SIP:alice@mobile.example.com", "mailto:a@lab.test", "pres:a@lab.test"]
        {
            assert_eq!(AltContact::new(good, 0).unwrap().uri(), good);
        }
        for bad in
            ["", "12345", "sip:", "tel:+49 30", "javascript:alert(1)", "file:///etc", "sip:a%zz", "://x"]
        {
            let refusal = AltContact::new(bad, 0).unwrap_err();
            assert_eq!(refusal, BadContact::NotAnAddress(bad.into()));
            assert!(refusal.to_string().contains("tel:+4930123456"), "{refusal}");
        }
    }

    #[test]
    fn what_is_too_long_too_many_or_out_of_range_is_refused_with_the_limit() {
        let long = format!("tel:{}", "1".repeat(AltContact::LONGEST));
        let refusal = AltContact::new(&long, 0).unwrap_err().to_string();
        assert!(refusal.contains("260") && refusal.contains("256"), "{refusal}");

        let refusal = AltContact::list([("tel:1", 0); 9].into_iter()).unwrap_err().to_string();
        assert!(refusal.contains('9') && refusal.contains('8'), "{refusal}");
        assert_eq!(AltContact::list([("tel:1", 0); 8].into_iter()).unwrap().len(), 8);

        assert_eq!(AltContact::new("tel:1", 1001), Err(BadContact::Priority(1001)));
        assert_eq!(AltContact::new("tel:1", 65_536), Err(BadContact::Priority(65_536)));
    }

    #[test]
    fn thousandths_are_written_as_decimals() {
        for (priority, decimal) in
            [(0, "0"), (1, "0.001"), (80, "0.08"), (800, "0.8"), (125, "0.125"), (1000, "1")]
        {
            assert_eq!(AltContact::new("tel:1", priority).unwrap().decimal(), decimal);
        }
    }
}
