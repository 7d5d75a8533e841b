//! The header field names that a rule of ours mentions.
//!
//! Names compare in any case and have compact forms (RFC 3261 §7.3.3, RFC 6665 §8.2.1, RFC 4028, RFC 3892,
//! RFC 3515, RFC 8224). All other names are `Other`; `Message::extension` finds those by text.

macro_rules! names {
    ($($variant:ident = $canonical:literal $(, $compact:literal)?;)*) => {
        /// A header field name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Name {
            $(#[doc = $canonical] $variant,)*
            /// A name that no rule of ours mentions.
            Other,
        }

        impl Name {
            /// The name that `text` means, in any case, full or compact.
            pub fn parse(text: &[u8]) -> Name {
                match text {
                    [] => Name::Other,
                    [letter] => match letter.to_ascii_lowercase() {
                        $($($compact => Name::$variant,)?)*
                        _ => Name::Other,
                    },
                    [first, ..] => Name::find(shape(*first, text.len()), text),
                }
            }

            /// Goes through the few names that look like this one from far away.
            fn find(shape: usize, text: &[u8]) -> Name {
                let mut at = usize::from(SHAPES.first[shape]);
                while let Some((name, canonical)) = FULL.get(at) {
                    // Nearly everybody writes a name as we do.
                    if text == canonical.as_bytes() || text.eq_ignore_ascii_case(canonical.as_bytes()) {
                        return *name;
                    }
                    at = usize::from(SHAPES.next[at]);
                }
                Name::Other
            }

            /// How we write it; empty for `Other`.
            pub fn canonical(&self) -> &'static str {
                match self {
                    $(Name::$variant => $canonical,)*
                    Name::Other => "",
                }
            }

            #[cfg(test)]
            const ALL: &[(Name, Option<u8>)] =
                &[$((Name::$variant, names!(@compact $($compact)?))),*];
        }

        const FULL: &[(Name, &str)] = &[$((Name::$variant, $canonical)),*];
    };
    (@compact) => { None };
    (@compact $compact:literal) => { Some($compact) };
}

names! {
    Via = "Via", b'v';
    From = "From", b'f';
    To = "To", b't';
    CallId = "Call-ID", b'i';
    CSeq = "CSeq";
    MaxForwards = "Max-Forwards";
    Contact = "Contact", b'm';
    ContentLength = "Content-Length", b'l';
    ContentType = "Content-Type", b'c';
    Event = "Event", b'o';
    Expires = "Expires";
    Route = "Route";
    RecordRoute = "Record-Route";
    Authorization = "Authorization";
    ProxyAuthorization = "Proxy-Authorization";
    Accept = "Accept";
    Supported = "Supported", b'k';
    Allow = "Allow";
    AllowEvents = "Allow-Events", b'u';
    UserAgent = "User-Agent";
    SubscriptionState = "Subscription-State";
    SipEtag = "SIP-ETag";
    SipIfMatch = "SIP-If-Match";
    Require = "Require";
    ProxyRequire = "Proxy-Require";
    Unsupported = "Unsupported";
    MinExpires = "Min-Expires";
    WwwAuthenticate = "WWW-Authenticate";
    ProxyAuthenticate = "Proxy-Authenticate";
    ContentEncoding = "Content-Encoding", b'e';
    ContentDisposition = "Content-Disposition";
    AcceptEncoding = "Accept-Encoding";
    Server = "Server";
    RetryAfter = "Retry-After";
    Warning = "Warning";
    Path = "Path";
    PAssertedIdentity = "P-Asserted-Identity";
    Date = "Date";
    Timestamp = "Timestamp";
    Subject = "Subject", b's';
    ReferTo = "Refer-To", b'r';
    ReferredBy = "Referred-By", b'b';
    SessionExpires = "Session-Expires", b'x';
    Identity = "Identity", b'y';
    AcceptContact = "Accept-Contact", b'a';
    RejectContact = "Reject-Contact", b'j';
    RequestDisposition = "Request-Disposition", b'd';
}

/// The full names by their length and first letter: every header line is looked up once.
struct Shapes {
    /// Where in `FULL` the first name of each shape is, or `NONE`.
    first: [u8; 256],
    /// Behind each name the next one of its shape.
    next: [u8; FULL.len()],
}

const NONE: u8 = u8::MAX;
static SHAPES: Shapes = Shapes::of_all();

impl Shapes {
    const fn of_all() -> Shapes {
        let mut shapes = Shapes { first: [NONE; 256], next: [NONE; FULL.len()] };
        let mut at = FULL.len();
        while at > 0 {
            at -= 1;
            let name = FULL[at].1.as_bytes();
            let shape = shape(name[0], name.len());
            shapes.next[at] = shapes.first[shape];
            shapes.first[shape] = at as u8;
        }
        shapes
    }
}

const fn shape(first: u8, length: usize) -> usize {
    ((first.to_ascii_lowercase() as usize) & 0x1f) << 3 | length & 7
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.canonical()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_by_its_compact_form() {
        for (name, compact) in Name::ALL {
            assert_eq!(Name::parse(name.canonical().to_uppercase().as_bytes()), *name);
            assert_eq!(Name::parse(name.canonical().to_lowercase().as_bytes()), *name);
            if let Some(letter) = compact {
                assert_eq!(Name::parse(&[*letter]), *name);
                assert_eq!(Name::parse(&[letter.to_ascii_uppercase()]), *name);
            }
        }
    }

    #[test]
    fn a_name_nobody_asks_for_is_other() {
        assert_eq!(Name::parse(b"X-Lab"), Name::Other);
        assert_eq!(Name::parse(b"z"), Name::Other);
        assert_eq!(Name::parse(b""), Name::Other);
        assert_eq!(Name::parse(b"C%6Fntact"), Name::Other);
    }
}
