//! Text with `{placeholders}`, filled from a question and escaped for where it stands.
//!
//! A brace that opens no name is a brace, so JSON can be written as it is.

use std::fmt::Write;

use crate::question::Question;

pub const NAMES: [&str; 8] = ["account", "user", "host", "realm", "method", "event", "presentity", "source"];

#[derive(Clone, Debug)]
pub struct Template {
    parts: Vec<Part>,
    escape: Escape,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    /// One of `NAMES`.
    Value(&'static str),
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// As within a JSON string.
    Json,
    /// As within a component of a URL.
    Url,
}

impl Template {
    /// Refuses a placeholder that there is not, by its name.
    pub fn parse(text: &str, escape: Escape) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            plain.push_str(before);
            let Some(name) = name(after) else {
                plain.push('{');
                rest = after;
                continue;
            };
            let known = NAMES.into_iter().find(|known| *known == name).ok_or_else(|| name.to_owned())?;
            parts.push(Part::Text(std::mem::take(&mut plain)));
            parts.push(Part::Value(known));
            rest = &after[name.len() + 1..];
        }
        parts.push(Part::Text(plain + rest));
        Ok(Template { parts, escape })
    }

    pub fn filled(&self, question: &Question) -> String {
        self.with(|name| value(name, question))
    }

    /// Filled with something harmless, to see what it makes.
    pub fn sample(&self) -> String {
        self.with(|_| "x".into())
    }

    fn with(&self, value: impl Fn(&'static str) -> String) -> String {
        let write = |mut filled: String, part: &Part| {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Value(name) => self.escape.write(&value(name), &mut filled),
            }
            filled
        };
        self.parts.iter().fold(String::new(), write)
    }
}

impl Escape {
    fn write(self, value: &str, to: &mut String) {
        match self {
            Escape::Json => {
                let quoted = serde_json::Value::from(value).to_string();
                to.push_str(&quoted[1..quoted.len() - 1]);
            }
            Escape::Url => {
                for byte in value.bytes() {
                    match byte {
                        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                            to.push(byte.into());
                        }
                        _ => write!(to, "%{byte:02X}").expect("a String takes what is written"),
                    }
                }
            }
        }
    }
}

/// What stands before the closing brace, if that is a name.
fn name(after: &str) -> Option<&str> {
    let (name, _) = after.split_once('}')?;
    (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')).then_some(name)
}

fn value(name: &str, question: &Question) -> String {
    let request = &question.request;
    match name {
        "account" => question.account.to_string(),
        "user" => question.account.user().to_owned(),
        "host" => question.account.host().to_owned(),
        "realm" => request.realm.clone(),
        "method" => question.method.as_str().to_owned(),
        "event" => request.event.clone(),
        "presentity" => request.presentity.clone(),
        _ => request.source.clone(),
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::AuthoriseRequest;

    use super::*;

    fn question() -> Question {
        Question::of(AuthoriseRequest {
            account: "sip:a%22b%26c%40Lab.test@lab.test".into(),
            method: "PUBLISH".into(),
            event: "presence".into(),
            presentity: "sip:bob@lab.test".into(),
            realm: "lab.test".into(),
            source: "192.0.2.1:5060".into(),
            ..AuthoriseRequest::default()
        })
        .unwrap()
    }

    #[test]
    fn a_client_cannot_write_its_way_out_of_a_value() {
        let json = Template::parse(r#"{"params": {"id": "{user}@{host}"}, "x": {}}"#, Escape::Json).unwrap();
        let url = Template::parse("http://b.test/{realm}?id={account}", Escape::Url).unwrap();

        assert_eq!(json.filled(&question()), r#"{"params": {"id": "a\"b&c@lab.test"}, "x": {}}"#);
        assert_eq!(url.filled(&question()), "http://b.test/lab.test?id=sip%3Aa%22b%26c%40lab.test");
    }

    #[test]
    fn every_name_has_its_own_value() {
        let text: String = NAMES.iter().map(|name| format!("{{{name}}}|")).collect();

        let filled = Template::parse(&text, Escape::Json).unwrap().filled(&question());

        let expected = "sip:a\\\"b&c@lab.test|a\\\"b&c|lab.test|lab.test|PUBLISH|presence|sip:bob@lab.test|192.0.2.1:5060|";
        assert_eq!(filled, expected);
    }

    #[test]
    fn a_name_that_there_is_not_is_refused_and_a_brace_is_a_brace() {
        assert_eq!(Template::parse("{pass_word}", Escape::Url).unwrap_err(), "pass_word");
        for text in ["{", "}", "{}", "{\"a\": 1}", "{{", "{ user }"] {
            assert_eq!(Template::parse(text, Escape::Json).unwrap().sample(), text);
        }
        assert_eq!(Template::parse("{{user}}", Escape::Json).unwrap().sample(), "{x}");
    }
}
