//! A billing system that is asked over HTTP and answers with JSON, as PortaBilling and others do.
//!
//! What is sent is a template, and where things stand in the answer is said by JSON pointers (RFC 6901), so that no code
//! is needed for one more system. It gives the account's secret and limits; who may do what is decided by our own
//! rules, as for the accounts file. A system that wants to decide by itself speaks `vedette.v1.Auth`.
//!
//! ```toml
//! [auth.http]
//! url = "https://billing.example.com/rest/Account/get_account_info"
//! method = "POST"
//! headers = { Authorization = "Bearer 0123456789abcdef" }
//! body = '{"params": {"id": "{user}@{host}"}}'
//!
//! [auth.http.answer]
//! found = "/account_info"                     # nothing there: the account is unknown
//! password = "/account_info/h323_password"
//! tenant = "/account_info/customer_name"
//! deny = [{ at = "/account_info/blocked", equals = "Y", reason = "Account Blocked" }]
//! ```
//!
//! Redirects are not followed. An answer other than 2xx is none, unless `unknown_status` names it.

mod mapping;
mod template;

use std::collections::BTreeMap;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use proto::v1::AuthoriseResponse;
use serde::Deserialize;
use tls::{Connector, OutsideFiles, Protocol};
use tokio::sync::mpsc;

pub use mapping::{Deny, Mapping};
use template::{Escape, Template};

use super::{Backend, BadBackend, Change, Failure};
use crate::question::Question;
use crate::verdict;
use crate::way::Way;

/// The longest answer; a longer one is none.
const MAX_ANSWER: usize = 64 * 1024;

/// How the system is asked, and where things stand in its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// A template, as `body`; its placeholders stand behind the host.
    pub url: String,
    #[serde(default = "get")]
    pub method: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub body: String,
    pub answer: Mapping,
}

/// Why the settings cannot be used.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum BadConfig {
    #[error("`auth.http.{0}` is {1:?}, which is no URL like https://billing.example.com/account?id={{user}}")]
    Url(&'static str, String),
    #[error("`auth.http.url` has a placeholder in its host: clients would choose who is asked")]
    HostChosen,
    #[error("`auth.http.{0}` has the placeholder {{{1}}}; there are {names}", names = template::NAMES.join(", "))]
    Placeholder(&'static str, String),
    #[error("`auth.http.method` {0:?} is no HTTP method")]
    Method(String),
    #[error("`auth.http.headers`: {0:?} cannot be sent")]
    Header(String),
    #[error("`auth.http.answer`: {0:?} is no JSON pointer such as /account/password")]
    Pointer(String),
    #[error("`auth.http.answer` needs a `password`, an `ha1_md5`, an `ha1_sha256` or an `ha1_sha512_256`")]
    NoSecret,
}

pub struct HttpJson {
    client: Client<Connector, Full<Bytes>>,
    way: Way,
    method: Method,
    url: Template,
    headers: HeaderMap,
    body: Template,
    answer: Mapping,
    life: Duration,
}

fn get() -> String {
    "GET".into()
}

impl HttpJson {
    pub fn new(config: Config, files: OutsideFiles, life: Duration) -> Result<HttpJson, BadBackend> {
        let way = Way::to(&config.url, files)?;
        Ok(HttpJson {
            client: Client::builder(TokioExecutor::new()).build(way.connector(Protocol::Http)),
            way,
            method: Method::from_bytes(config.method.to_ascii_uppercase().as_bytes())
                .map_err(|_| BadConfig::Method(config.method.clone()))?,
            url: url(&config.url)?,
            headers: headers(&config)?,
            body: Template::parse(&config.body, Escape::Json)
                .map_err(|name| BadConfig::Placeholder("body", name))?,
            answer: config.answer.checked()?,
            life,
        })
    }

    fn request(&self, question: &Question) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let body = Full::new(Bytes::from(self.body.filled(question)));
        let uri = Uri::try_from(self.url.filled(question))?;
        let mut request = Request::builder().method(self.method.clone()).uri(uri).body(body)?;
        request.headers_mut().clone_from(&self.headers);
        Ok(request)
    }

    /// The body of a 2xx answer; `None` when the status says that there is no such account.
    async fn answered(&self, question: &Question) -> Result<Option<Bytes>, Failure> {
        let request = self.request(question).map_err(|error| Failure::Bad(error.to_string()))?;
        let response =
            self.client.request(request).await.map_err(|error| Failure::Unanswered(innermost(&error)))?;
        let status = response.status();
        if self.answer.unknown_status.contains(&status.as_u16()) {
            return Ok(None);
        }
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(Failure::Unanswered(format!("HTTP {status}"))),
            status if !status.is_success() => Err(Failure::Bad(format!("HTTP {status}"))),
            _ => match Limited::new(response.into_body(), MAX_ANSWER).collect().await {
                Ok(body) => Ok(Some(body.to_bytes())),
                Err(error) => Err(Failure::Bad(format!("the answer broke off or is too long: {error}"))),
            },
        }
    }
}

#[tonic::async_trait]
impl Backend for HttpJson {
    async fn authorise(&self, question: &Question, _: Duration) -> Result<AuthoriseResponse, Failure> {
        let Some(body) = self.answered(question).await? else {
            return Ok(verdict::of(question, None, None, self.life));
        };
        let json = serde_json::from_slice(&body)
            .map_err(|error| Failure::Bad(format!("the answer is not JSON: {error}")))?;
        let mut response = match self.answer.read(&json, question)? {
            mapping::Read::Unknown => verdict::of(question, None, None, self.life),
            mapping::Read::Denied(response) => response,
            mapping::Read::Account(account) => verdict::of(question, Some(&account), None, self.life),
        };
        response.cache_seconds = self.life.as_secs() as u32;
        Ok(response)
    }

    /// Nothing is heard of changes: answers hold for their life.
    async fn follow(&self, _: mpsc::Sender<Change>) {
        self.way.keep_fresh().await;
    }
}

fn url(text: &str) -> Result<Template, BadConfig> {
    let bad = || BadConfig::Url("url", text.to_owned());
    let authority = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).ok_or_else(bad)?;
    let (authority, _) = authority.split_once(['/', '?']).unwrap_or((authority, ""));
    if authority.contains('{') {
        return Err(BadConfig::HostChosen);
    }
    let template = Template::parse(text, Escape::Url).map_err(|name| BadConfig::Placeholder("url", name))?;
    let uri = Uri::try_from(template.sample()).map_err(|_| bad())?;
    uri.host().filter(|host| !host.is_empty()).map(|_| template).ok_or_else(bad)
}

fn headers(config: &Config) -> Result<HeaderMap, BadConfig> {
    let mut headers = HeaderMap::new();
    if !config.body.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in &config.headers {
        let bad = || BadConfig::Header(name.clone());
        let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
        value.set_sensitive(true);
        headers.insert(HeaderName::try_from(name).map_err(|_| bad())?, value);
    }
    Ok(headers)
}

/// The cause that says something: "Connection refused" and not "client error (Connect)".
fn innermost(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    fn refusal(url: &str, rest: &str) -> String {
        let text = format!("url = \"{url}\"\n{rest}\n[answer]\npassword = \"/pw\"");
        let made = HttpJson::new(config(&text), OutsideFiles::default(), Duration::ZERO);
        made.err().map(|bad| bad.to_string()).unwrap_or_default()
    }

    #[test]
    fn settings_that_cannot_work_are_refused_in_one_line() {
        let url = "http://billing.test/account?id={user}";
        assert_eq!(refusal(url, ""), "");
        for (url, rest, expected) in [
            ("billing.test/{user}", "", "is no URL like"),
            ("http://", "", "is no URL like"),
            ("http://{host}/account", "", "clients would choose who is asked"),
            ("http://billing.test?{nonce}", "", "the placeholder {nonce}; there are account, user"),
            (url, "body = '{\"id\": \"{usr}\"}'", "`auth.http.body` has the placeholder {usr}"),
            (url, "method = \"GET IT\"", "is no HTTP method"),
            (url, "headers = { \"X Y\" = \"z\" }", "`auth.http.headers`: \"X Y\" cannot be sent"),
        ] {
            let refusal = refusal(url, rest);
            assert!(refusal.contains(expected) && refusal.lines().count() == 1, "{refusal:?}");
        }
    }

    #[test]
    fn headers_are_kept_out_of_logs() {
        let text =
            "url = \"http://b.test\"\nheaders = { Authorization = \"hunter2\" }\n[answer]\npassword = \"/p\"";

        assert!(!format!("{:?}", headers(&config(text)).unwrap()).contains("hunter2"));
    }
}
