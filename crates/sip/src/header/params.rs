//! `;name=value` parameters of a header field or a URI.
//!
//! Names compare in any case, values are handed out as written. Quotes hide semicolons, and
//! white space around `;` and `=` is allowed (RFC 3261 §25.1). Empty parameters (`;;`) are skipped.

use std::borrow::Cow;

use super::lex;

/// The parameters in a piece of text, read afresh by each question: there are rarely more than four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a> {
    text: &'a str,
}

impl<'a> Params<'a> {
    /// Parameters as they follow a header value or a URI; a leading semicolon is optional.
    pub fn new(text: &'a str) -> Params<'a> {
        Params { text }
    }

    /// Every parameter in order, with its value as written (quotes included).
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        let mut rest = self.text;
        std::iter::from_fn(move || {
            while !rest.is_empty() {
                let (equals, end) = first(rest);
                let piece = &rest[..end];
                rest = rest.get(end + 1..).unwrap_or_default();
                let (name, value) = match equals {
                    Some(at) => (&piece[..at], Some(piece[at + 1..].trim_ascii())),
                    None => (piece, None),
                };
                let name = name.trim_ascii();
                if !name.is_empty() {
                    return Some((name, value));
                }
            }
            None
        })
    }

    /// `None` if it is absent, `Some(None)` if it is there without a value.
    pub fn get(&self, name: &str) -> Option<Option<&'a str>> {
        self.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value without its quotes and escapes; `None` also if it has no value.
    pub fn unquoted(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).flatten().map(lex::unquote)
    }

    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The text they were read from.
    pub fn as_str(&self) -> &'a str {
        self.text
    }
}

/// Where the first parameter has its equals sign, if it has one, and where it ends. All three are ASCII, so what stands
/// around them is whole characters.
fn first(text: &str) -> (Option<usize>, usize) {
    let text = text.as_bytes();
    let (mut equals, mut from) = (None, 0);
    while let Some(found) = lex::find_any(&text[from..], *b";=\"") {
        let at = from + found;
        match text[at] {
            b';' => return (equals, at),
            b'"' => match lex::quoted_string(&text[at..]) {
                Some(length) => from = at + length,
                None => break,
            },
            _ => {
                equals.get_or_insert(at);
                from = at + 1;
            }
        }
    }
    (equals, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_the_first_one_wins() {
        let params = Params::new(";Branch=z9hG4bK1;lr;branch=other");

        assert_eq!(params.get("branch"), Some(Some("z9hG4bK1")));
        assert_eq!(params.get("LR"), Some(None));
        assert_eq!(params.get("rport"), None);
    }

    #[test]
    fn white_space_and_empty_parameters_mean_nothing() {
        let params = Params::new(" ;; tag \t=  98asjd8 ; ;lr");

        let all: Vec<_> = params.iter().collect();

        assert_eq!(all, [("tag", Some("98asjd8")), ("lr", None)]);
        assert!(Params::new(" ; ").is_empty());
    }

    #[test]
    fn a_quoted_value_hides_semicolons_and_loses_its_quotes_on_request() {
        let params = Params::new(r#"+sip.instance="<urn:uuid:1;2>";note="a\"b=c""#);

        assert_eq!(params.get("+sip.instance"), Some(Some(r#""<urn:uuid:1;2>""#)));
        assert_eq!(params.unquoted("+sip.instance").unwrap(), "<urn:uuid:1;2>");
        assert_eq!(params.unquoted("note").unwrap(), r#"a"b=c"#);
    }
}
