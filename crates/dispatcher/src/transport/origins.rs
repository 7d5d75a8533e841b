//! Whose pages may open a WebSocket (RFC 6455 sections 4.2.2 and 10.2).
//!
//! A browser says in Origin which page opens the connection, and no page can change that. So a list keeps pages of
//! others from speaking in the name of a user who is logged in here. It keeps away nobody who writes the header himself:
//! programs send none, or any, and are let in like before. Who somebody is, SIP finds out.

/// Empty: any page may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<Origin>);

/// `https://phone.example.net`, with a port where it is not that of the scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no origin such as https://phone.example.net or http://localhost:8000")]
pub struct NoOrigin(String);

impl Origins {
    /// `origin`: what the handshake says, if it says anything.
    pub fn admits(&self, origin: Option<&[u8]>) -> bool {
        match origin {
            None => true,
            Some(_) if self.0.is_empty() => true,
            Some(origin) => self.0.iter().any(|listed| listed.0.as_bytes().eq_ignore_ascii_case(origin)),
        }
    }
}

impl Origin {
    /// As browsers write it: without a path, and without the port that goes without saying (RFC 6454 section 6.2), or it
    /// would never be met.
    pub fn parse(text: &str) -> Result<Origin, NoOrigin> {
        let no = || NoOrigin(text.to_owned());
        let (scheme, host) = text.split_once("://").ok_or_else(no)?;
        let usual = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => "",
        };
        let is_scheme = !scheme.is_empty()
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let is_host = !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@\\".contains(&byte));
        if !is_scheme || !is_host || !usual.is_empty() && host.ends_with(usual) {
            return Err(no());
        }
        Ok(Origin(text.to_owned()))
    }
}

impl FromIterator<Origin> for Origins {
    fn from_iter<I: IntoIterator<Item = Origin>>(origins: I) -> Origins {
        Origins(origins.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_list_any_page_may_and_with_one_the_listed_and_who_is_no_page() {
        let listed: Origins = [Origin::parse("https://phone.example.net").unwrap()].into_iter().collect();

        assert!(Origins::default().admits(Some(b"https://evil.example")));
        assert!(listed.admits(Some(b"https://Phone.example.net")) && listed.admits(None));
        for other in ["https://phone.example.net.evil.example", "http://phone.example.net", "null", ""] {
            assert!(!listed.admits(Some(other.as_bytes())), "{other}");
        }
    }

    #[test]
    fn what_no_browser_would_write_is_refused_at_the_start() {
        for good in [
            "https://phone.example.net",
            "http://localhost:8000",
            "capacitor://localhost",
            "https://[::1]:8443",
        ] {
            assert!(Origin::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "phone.example.net",
            "https://",
            "https://a.example/",
            "https://a.example:443",
            "*",
            "https://a b",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
    }
}
