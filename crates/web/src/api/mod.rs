//! The routes over HTTP and what they answer.
//!
//! What may be asked, and by whom, is `service`'s to say; here are paths, parameters and bodies. Every request is answered
//! within [`REQUEST_TIME`], an event stream begun; no body is longer than [`MAX_BODY`]. Nothing here may be cached, nor
//! does any address or parameter reach a log: they hold names, and `call_state` a password.

mod call_state;
mod csv;
mod history;
mod input;
mod presence;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post, put};

use crate::error::ApiError;
use crate::service::Service;
use crate::{events, metrics, openapi};
pub use call_state::CallState;

pub const REQUEST_TIME: Duration = Duration::from_secs(5);
pub const MAX_BODY: usize = 16 * 1024;

const INDEX: &str = "\
Vedette, a SIP presence server. This port answers programs:

  GET    /v1/presence/{uri}                  what a presentity's watchers see (Accept: application/pidf+xml for the document);
                                             ?consistent=true: nothing older than what was said before
  GET    /v1/watchers/{uri}                  who watches a presentity
  GET    /v1/history/{uri}                   what was said of it, by whom and when; ?format=json|csv|ndjson &since=
  GET    /v1/events?presentity={uri}         changes, live (server-sent events); several presentities, resumable
  PUT    /v1/presence/{uri}/sources/{id}     set one source: {\"status\": \"away\", \"note\": \"Lunch\", \"expires\": 3600}
  DELETE /v1/presence/{uri}/sources/{id}     remove it
  POST   /v1/feature-codes/{code}            a feature code: {\"account\": \"alice@vedette.test\", \"digit\": \"5\"}
  GET    /call_state.htm                     ?domain&user&password&number: on the phone; without a number: no more
  GET    /v1/status                          members, groups, leaders, log positions
  GET    /v1/openapi.json                    all of this for programs (OpenAPI 3.1)
  GET    /healthz  /readyz  /metrics         for orchestrators and Prometheus

The same over gRPC, on this port: vedette.v1.Presence (proto/vedette/v1/presence.proto).

A {uri} is an address such as sip:alice@vedette.test, or alice@vedette.test for short. Writing needs the header
`Authorization: Bearer TOKEN`; so does reading, unless the server is configured otherwise.
";

/// Every route of the API, by its path.
pub fn routes(call_state: CallState) -> Vec<(&'static str, MethodRouter<Arc<Service>>)> {
    vec![
        ("/", get(async || INDEX)),
        ("/v1/openapi.json", get(openapi::document)),
        ("/v1/status", get(presence::status)),
        ("/v1/presence/{uri}", get(presence::presence)),
        ("/v1/watchers/{uri}", get(presence::watchers)),
        ("/v1/history/{uri}", get(history::history)),
        ("/v1/presence/{uri}/sources/{id}", put(presence::set_source).delete(presence::remove_source)),
        ("/v1/feature-codes/{code}", post(presence::dial)),
        ("/v1/events", get(events::follow)),
        ("/call_state.htm", call_state.route()),
    ]
}

/// The API, with its limits.
pub fn router(service: Arc<Service>, call_state: CallState) -> Router {
    let all = routes(call_state)
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    all.layer(from_fn(in_time))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(counted))
        .with_state(service)
}

async fn no_such_path() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "nothing lives at this path", "`GET /` lists what does")
}

async fn no_such_method() -> ApiError {
    let hint = "`GET /` lists what there is";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "this path has no such method", hint)
}

pub async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::timed_out().into_response(),
    }
}

async fn counted(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    ::metrics::counter!(metrics::RESPONSES, "code" => response.status().as_str().to_owned()).increment(1);
    response
}
