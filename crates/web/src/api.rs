//! The routes under `/v1` and what they answer.
//!
//! Reading is open to whoever reaches the port; writing needs the token (`access`). Every request but an event stream is
//! answered within [`REQUEST_TIME`]; no body is longer than [`MAX_BODY`].

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, Request, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use placement::PresentityKey;
use proto::v1::{GetRequest, PublishRequest, RemoveRequest, WatchersRequest};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::access::WriteAccess;
use crate::error::ApiError;
use crate::managers::Managers;
use crate::{events, json, metrics};

pub const REQUEST_TIME: Duration = Duration::from_secs(5);
const MAX_BODY: usize = 16 * 1024;
/// A source's name is kept in every replica.
const MAX_SOURCE: usize = 128;
const PIDF: &str = "application/pidf+xml";

const INDEX: &str = "\
Vedette, a SIP presence server. This port answers programs:

  GET    /v1/status                          members, groups, leaders, log positions
  GET    /v1/presence/{uri}                  what a presentity's watchers see (Accept: application/pidf+xml for the document)
  GET    /v1/watchers/{uri}                  who watches a presentity
  GET    /v1/events?presentity={uri}         its changes, live (server-sent events)
  PUT    /v1/presence/{uri}/sources/{id}     set one source: {\"status\": \"away\", \"note\": \"Lunch\", \"expires\": 3600}
  DELETE /v1/presence/{uri}/sources/{id}     remove it; both need `Authorization: Bearer TOKEN`
  GET    /healthz  /readyz  /metrics         for orchestrators and Prometheus

A {uri} is an address such as sip:alice@vedette.test, or alice@vedette.test for short.
";

/// What the handlers share.
pub struct State {
    pub managers: Arc<Managers>,
    pub event_streams: Arc<Semaphore>,
    /// Cancelled when the process shuts down.
    pub closing: CancellationToken,
    access: WriteAccess,
}

impl State {
    pub fn new(
        managers: Arc<Managers>,
        access: WriteAccess,
        event_streams: usize,
        closing: CancellationToken,
    ) -> Arc<State> {
        let event_streams = Arc::new(Semaphore::new(event_streams.min(Semaphore::MAX_PERMITS)));
        Arc::new(State { managers, event_streams, closing, access })
    }
}

/// Every route of the API, with its limits.
pub fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/", get(async || INDEX))
        .route("/v1/status", get(status))
        .route("/v1/presence/{uri}", get(presence))
        .route("/v1/watchers/{uri}", get(watchers))
        .route("/v1/presence/{uri}/sources/{id}", put(set_source).delete(remove_source))
        .layer(from_fn(in_time))
        .route("/v1/events", get(events::follow))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(counted))
        .with_state(state)
}

async fn status(Shared(state): Shared<Arc<State>>) -> Json<json::ClusterStatus> {
    let managers = state.managers.status().await;
    let managers = managers.into_iter().map(|(address, answer)| {
        let (status, error) = match answer {
            Ok(status) => (Some(status.into()), None),
            Err(reason) => (None, Some(reason)),
        };
        json::ManagerStatus { address: address.to_owned(), reachable: status.is_some(), error, status }
    });
    Json(json::ClusterStatus { managers: managers.collect() })
}

async fn presence(
    Shared(state): Shared<Arc<State>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let presentity = presentity(&segments(path)?)?;
    let request = GetRequest { presentity, consistent: false };
    let found = state.managers.read(async |mut manager| manager.get(request.clone()).await).await?;
    if wants_document(&headers) {
        return Ok(([(header::CONTENT_TYPE, PIDF)], found.document).into_response());
    }
    Ok(Json(json::PresentityState::from(found)).into_response())
}

async fn watchers(
    Shared(state): Shared<Arc<State>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<json::Watchers>, ApiError> {
    let presentity = presentity(&segments(path)?)?;
    let request = WatchersRequest { presentity: presentity.clone() };
    let found = state.managers.read(async |mut manager| manager.watchers(request.clone()).await).await?;
    Ok(Json(json::Watchers { presentity, watchers: found.watchers.into_iter().map(Into::into).collect() }))
}

async fn set_source(
    Shared(state): Shared<Arc<State>>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<json::SourceChanged>, ApiError> {
    state.access.check(&headers)?;
    let (presentity, source) = source_path(segments(path)?)?;
    let set = set_source_body(body)?;
    let request = PublishRequest {
        presentity: presentity.clone(),
        source: source.clone(),
        status: set.status,
        note: set.note,
        expires: set.expires,
        ..PublishRequest::default()
    };
    let done = state.managers.write(async |mut manager| manager.publish(request.clone()).await).await?;
    Ok(Json(json::SourceChanged { presentity, source, position: done.position }))
}

async fn remove_source(
    Shared(state): Shared<Arc<State>>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<Json<json::SourceChanged>, ApiError> {
    state.access.check(&headers)?;
    let (presentity, source) = source_path(segments(path)?)?;
    let request =
        RemoveRequest { presentity: presentity.clone(), source: source.clone(), ..RemoveRequest::default() };
    let done = state.managers.write(async |mut manager| manager.remove(request.clone()).await).await?;
    Ok(Json(json::SourceChanged { presentity, source, position: done.position }))
}

async fn no_such_path() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "nothing lives at this path", "`GET /` lists what does")
}

async fn no_such_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path has no such method",
        "`GET /` lists what there is",
    )
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::timed_out().into_response(),
    }
}

async fn counted(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    ::metrics::counter!(metrics::RESPONSES, "code" => response.status().as_str().to_owned()).increment(1);
    response
}

/// The address-of-record meant by `text`, with or without its scheme, in its one spelling.
pub fn presentity(text: &str) -> Result<String, ApiError> {
    let bare = text.contains('@') && !SCHEMES.iter().any(|scheme| starts_with(text, scheme));
    let key = if bare { PresentityKey::of(&format!("sip:{text}")) } else { PresentityKey::of(text) };
    key.map(|key| key.uri()).ok_or_else(|| {
        let hint = "write an address such as sip:alice@vedette.test, with `+` as %2B in a query";
        ApiError::bad_request(format!("{text:?} is no address of a presentity"), hint)
    })
}

const SCHEMES: [&str; 4] = ["sip:", "sips:", "pres:", "tel:"];

fn starts_with(text: &str, scheme: &str) -> bool {
    text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

fn segments<T>(path: Result<Path<T>, PathRejection>) -> Result<T, ApiError> {
    path.map(|Path(segments)| segments)
        .map_err(|error| ApiError::bad_request(error.body_text(), "percent-encode the address as UTF-8"))
}

fn source_path((uri, source): (String, String)) -> Result<(String, String), ApiError> {
    let presentity = presentity(&uri)?;
    if source.is_empty() || source.len() > MAX_SOURCE || source.chars().any(char::is_control) {
        let hint = format!("use a name of 1 to {MAX_SOURCE} bytes such as portal or calendar");
        return Err(ApiError::bad_request("this is no name of a source", hint));
    }
    Ok((presentity, source))
}

fn set_source_body(body: Result<Bytes, BytesRejection>) -> Result<json::SetSource, ApiError> {
    let body = body.map_err(|error| {
        ApiError::new(error.status(), error.body_text(), format!("a body has at most {MAX_BODY} bytes"))
    })?;
    serde_json::from_slice(&body).map_err(|error| {
        let hint = r#"send {"status": "away", "note": "Lunch", "expires": 3600}; only the status is needed"#;
        ApiError::bad_request(format!("the body is not understood: {error}"), hint)
    })
}

fn wants_document(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let media_type = range.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case(PIDF)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_leave_out_its_scheme() {
        for text in [
            "alice@vedette.test",
            "sip:alice@vedette.test",
            "SIP:alice@Vedette.Test:5060",
            "pres:alice@vedette.test",
        ] {
            assert_eq!(presentity(text).ok().as_deref(), Some("sip:alice@vedette.test"), "{text}");
        }
        assert_eq!(presentity("tel:+49-30-123").ok().as_deref(), Some("tel:+4930123"));
    }

    #[test]
    fn what_names_no_presentity_is_a_bad_request() {
        for text in
            ["", "alice", "@vedette.test", "alice@", "http://vedette.test", "sip:vedette.test", "a b@c"]
        {
            assert!(presentity(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_misspelt_field_is_refused_and_not_ignored() {
        assert!(set_source_body(Ok(r#"{"status": "away", "expire": 60}"#.into())).is_err());
        assert!(set_source_body(Ok(r#"{"note": "no status"}"#.into())).is_err());
        assert!(set_source_body(Ok(r#"{"status": "away"}"#.into())).is_ok());
    }
}
