//! The HTTP side: one method for each thing that is asked of the API.

use std::error::Error;
use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use web::json;

use super::failure::Failure;
use super::token;

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
        Ok(Client { http: http.map_err(|error| usage(&error.to_string()))?, api })
    }

    /// For messages.
    pub fn api(&self) -> &str {
        self.api.as_str().trim_end_matches('/')
    }

    pub async fn status(&self) -> Result<json::ClusterStatus, Failure> {
        self.get(&["v1", "status"]).await
    }

    pub async fn presence(&self, uri: &str) -> Result<json::PresentityState, Failure> {
        self.get(&["v1", "presence", uri]).await
    }

    pub async fn watchers(&self, uri: &str) -> Result<json::Watchers, Failure> {
        self.get(&["v1", "watchers", uri]).await
    }

    /// Opens an event stream; it has no end of its own.
    pub async fn events(&self, uri: &str) -> Result<Response, Failure> {
        let mut url = self.url(&["v1", "events"])?;
        url.query_pairs_mut().append_pair("presentity", uri);
        self.send(self.http.get(url)).await
    }

    pub async fn publish(&self, uri: &str, body: &json::SetSource) -> Result<json::SourceChanged, Failure> {
        let token = token::find(&self.api)?;
        let url = self.url(&["v1", "presence", uri, "sources", SOURCE])?;
        let put = self.http.put(url).timeout(ANSWER_TIME).bearer_auth(&token.text).json(body);
        match self.send(put).await {
            Ok(response) => self.decoded(response).await,
            Err(Failure::Refused { status: 401, error, .. }) => {
                let hint =
                    format!("it was taken from {}; set VEDETTE_TOKEN to this server's token", token.origin);
                Err(Failure::Refused { status: 401, error, hint })
            }
            Err(failure) => Err(failure),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, Failure> {
        let response = self.send(self.http.get(self.url(path)?).timeout(ANSWER_TIME)).await?;
        self.decoded(response).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response).await)
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
