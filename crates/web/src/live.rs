//! What an orchestrator and a monitoring system ask every process: is it alive, may it be used, how is it doing.
//!
//! `/healthz` answers as long as the process runs its tasks: a process that waits for others must not be restarted for
//! it. `/readyz` says whether requests should be sent here, and if not, why, in words.

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Says why the process should get no requests now, if so. Called at every probe: it must not block.
pub type Ready = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;
/// Renders all metrics in the Prometheus text format.
pub type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

/// What [`router`] answers.
pub const PATHS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

pub fn router(ready: Ready, metrics: Metrics) -> Router {
    let [health, readiness_of, metrics_of] = PATHS;
    Router::new()
        .route(health, get(async || "alive\n"))
        .route(readiness_of, get(async move || readiness(ready())))
        .route(
            metrics_of,
            get(async move || ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics())),
        )
}

fn readiness(ready: Result<(), String>) -> Response {
    match ready {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")).into_response(),
    }
}
