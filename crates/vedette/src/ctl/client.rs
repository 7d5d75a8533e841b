//! The HTTP side: one method for each thing that is asked of the API.

use std::error::Error;
use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use web::json;

use super::failure::Failure;
use super::token::{self, Token};

const CONNECT_TIME: Duration = Duration::from_secs(3);
/// The server answers, or gives up itself, within 5 s.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// On an event stream the server says something at least every 10 s.
const SILENCE: Duration = Duration::from_secs(25);
/// Under this name the command line is a source of a presentity.
const SOURCE: &str = "ctl";

pub struct Client {
    http: reqwest::Client,
    api: Url,
    /// Sent with everything, if there is one: reading needs it on some servers.
    token: Result<Token, String>,
}

impl Client {
    pub fn new(api: &str) -> Result<Client, Failure> {
        let usage = |reason: &str| Failure::Usage(format!("--api {api}: {reason}"));
        let api = Url::parse(api).map_err(|_| usage("write it as http://HOST:PORT"))?;
        if api.scheme() != "http" || api.host_str().is_none() {
            return Err(usage("only http:// is spoken; write it as http://HOST:PORT"));
        }
        // The API is on this machine or an inner network, where a proxy for the world outside would only be in the way.
        let http =
            reqwest::Client::builder().no_proxy().connect_timeout(CONNECT_TIME).read_timeout(SILENCE).build();
        let http = http.map_err(|error| usage(&error.to_string()))?;
        let token = token::find(&api);
        Ok(Client { http, api, token })
    }

    /// For messages.
    pub fn api(&self) -> &str {
        self.api.as_str().trim_end_matches('/')
    }

    pub async fn status(&self) -> Result<json::ClusterStatus, Failure> {
        self.get(&["v1", "status"], &[]).await
    }

    pub async fn presence(&self, uri: &str, consistent: bool) -> Result<json::PresentityState, Failure> {
        let query: &[_] = if consistent { &[("consistent", "true")] } else { &[] };
        self.get(&["v1", "presence", uri], query).await
    }

    pub async fn history(&self, uri: &str, since: Option<&str>) -> Result<json::History, Failure> {
        let query = since.map(|since| ("since", since));
        self.get(&["v1", "history", uri], query.as_slice()).await
    }

    /// In the words of the API.
    pub async fn exported(&self, uri: &str, since: Option<&str>, format: &str) -> Result<String, Failure> {
        let query = [("format", format)].into_iter().chain(since.map(|since| ("since", since)));
        let response = self.ask(&["v1", "history", uri], &query.collect::<Vec<_>>()).await?;
        response.text().await.map_err(|error| self.unreachable(&error))
    }

    pub async fn watchers(&self, uri: &str) -> Result<json::Watchers, Failure> {
        self.get(&["v1", "watchers", uri], &[]).await
    }

    /// Opens an event stream; it has no end of its own.
    pub async fn events(&self, uri: &str) -> Result<Response, Failure> {
        let mut url = self.url(&["v1", "events"])?;
        url.query_pairs_mut().append_pair("presentity", uri);
        self.send(self.http.get(url)).await
    }

    pub async fn publish(&self, uri: &str, body: &json::SetSource) -> Result<json::SourceChanged, Failure> {
        if let Err(missing) = &self.token {
            return Err(Failure::Usage(missing.clone()));
        }
        let url = self.url(&["v1", "presence", uri, "sources", SOURCE])?;
        self.decoded(self.send(self.http.put(url).timeout(ANSWER_TIME).json(body)).await?).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> Result<T, Failure> {
        self.decoded(self.ask(path, query).await?).await
    }

    async fn ask(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Response, Failure> {
        self.send(self.http.get(self.url(path)?).query(query).timeout(ANSWER_TIME)).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let request = match &self.token {
            Ok(token) => request.bearer_auth(&token.text),
            Err(_) => request,
        };
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        match (self.refusal(response).await, &self.token) {
            (Failure::Refused { status: 401, error, .. }, Ok(token)) => {
                let hint =
                    format!("it was taken from {}; set VEDETTE_TOKEN to one of this server's", token.origin);
                Err(Failure::Refused { status: 401, error, hint })
            }
            (Failure::Refused { status: 401, error, .. }, Err(missing)) => {
                Err(Failure::Refused { status: 401, error, hint: missing.clone() })
            }
            (failure, _) => Err(failure),
        }
    }

    async fn refusal(&self, response: Response) -> Failure {
        let status = response.status();
        match self.decoded::<json::Refusal>(response).await {
            Ok(json::Refusal { error, hint }) => Failure::Refused { status: status.as_u16(), error, hint },
            // A proxy in front of the API answers in its own words when the API is away.
            Err(_) if status.is_server_error() => {
                Failure::Unreachable { api: self.api().into(), reason: said(status) }
            }
            Err(_) => Failure::NotVedette { api: self.api().into(), reason: said(status) },
        }
    }

    async fn decoded<T: DeserializeOwned>(&self, response: Response) -> Result<T, Failure> {
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&body)
            .map_err(|error| Failure::NotVedette { api: self.api().into(), reason: error.to_string() })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        Failure::Unreachable { api: self.api().into(), reason: reason(error) }
    }

    fn url(&self, path: &[&str]) -> Result<Url, Failure> {
        let mut url = self.api.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => segments.pop_if_empty().extend(path),
            Err(()) => return Err(Failure::Usage(format!("{} cannot be the base of an API", self.api))),
        };
        Ok(url)
    }
}

fn said(status: StatusCode) -> String {
    format!("it said {status}")
}

/// The innermost cause, which is the one that says something.
pub fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_segment_of_the_path_whatever_is_in_it() {
        let client = Client::new("http://127.0.0.1:8080/").unwrap();

        let url = client.url(&["v1", "presence", "sip:a/b?c@vedette.test"]).unwrap();

        assert_eq!(url.as_str(), "http://127.0.0.1:8080/v1/presence/sip:a%2Fb%3Fc@vedette.test");
    }

    #[test]
    fn an_api_that_is_no_http_url_is_wrong_usage() {
        for api in ["127.0.0.1:8080", "localhost:8080", "https://vedette.test", "", "http://"] {
            assert!(matches!(Client::new(api), Err(Failure::Usage(_))), "{api}");
        }
    }
}
