//! Following one presentity as server-sent events, across the death of managers.
//!
//! A client's stream outlives the manager behind it: when that one breaks off, the next is asked, and what the client saw
//! already is not said again. A replica that lags may offer an older state than the client has; nobody goes back in time,
//! so only newer positions pass. Missed events are not kept: a client that connects again is told the present state.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Shared};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use proto::v1;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tracing::debug;

use crate::api::{REQUEST_TIME, State, presentity};
use crate::error::ApiError;
use crate::json::{Position, PresentityState};
use crate::managers::Managers;
use crate::metrics;

/// A comment this often tells the client, and every proxy between, that the stream lives.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Between a broken stream and the next attempt, so that a manager that ends every stream at once costs little.
const RETRY: Duration = Duration::from_millis(250);

#[derive(Deserialize)]
pub struct Question {
    presentity: String,
}

/// `GET /v1/events?presentity={uri}`.
pub async fn follow(
    Shared(state): Shared<Arc<State>>,
    question: Result<Query<Question>, QueryRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let Ok(Query(question)) = question else {
        let hint = "ask for /v1/events?presentity=sip:USER@DOMAIN";
        return Err(ApiError::bad_request("the parameter `presentity` is missing", hint));
    };
    let presentity = presentity(&question.presentity)?;
    let Ok(permit) = state.event_streams.clone().try_acquire_owned() else {
        let hint = "close streams that nobody reads, or ask another server";
        return Err(ApiError::busy("this server follows as many streams as it may", hint));
    };
    // The first stream is opened before the answer, so that a presentity that is none gets a 4xx and not an empty stream.
    let first = timeout(REQUEST_TIME, state.managers.watch(&presentity))
        .await
        .map_err(|_| ApiError::timed_out())??;
    let follower = Follower {
        managers: state.managers.clone(),
        presentity,
        stream: Some(first),
        newest: None,
        _open: Open::new(permit),
    };
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("alive");
    Ok(Sse::new(events(follower, state.closing.clone())).keep_alive(keep_alive))
}

/// Ends at `closing` only: an endless response would hold up the shutdown.
fn events(follower: Follower, closing: CancellationToken) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((follower, closing), async |(mut follower, closing)| {
        let state = closing.run_until_cancelled(follower.next()).await?;
        Some((Ok(event(state)), (follower, closing)))
    })
}

fn event(state: v1::PresentityState) -> Event {
    let position = Position::parse(&state.position);
    let event = match Event::default().json_data(PresentityState::from(state)) {
        Ok(event) => event,
        Err(error) => Event::default().comment(error.to_string()),
    };
    match position {
        Some(position) => event.id(position.to_string()),
        None => event,
    }
}

/// One client's view of one presentity.
struct Follower {
    managers: Arc<Managers>,
    presentity: String,
    stream: Option<Streaming<v1::PresentityState>>,
    newest: Option<Position>,
    _open: Open,
}

impl Follower {
    async fn next(&mut self) -> v1::PresentityState {
        loop {
            let Some(stream) = &mut self.stream else {
                sleep(RETRY).await;
                self.stream = self.managers.watch(&self.presentity).await.ok();
                continue;
            };
            match stream.message().await {
                Ok(Some(state)) if self.is_news(&state) => return state,
                Ok(Some(_)) => {}
                ended => {
                    debug!(error = ?ended.err(), "An event stream goes on at another manager");
                    ::metrics::counter!(metrics::EVENT_RECONNECTS).increment(1);
                    self.stream = None;
                }
            }
        }
    }

    fn is_news(&mut self, state: &v1::PresentityState) -> bool {
        let position = Position::parse(&state.position);
        let news = position.is_none() || self.newest.is_none() || position > self.newest;
        self.newest = self.newest.max(position);
        news
    }
}

/// Counts a stream as open for as long as it is kept.
struct Open {
    _permit: OwnedSemaphorePermit,
}

impl Open {
    fn new(permit: OwnedSemaphorePermit) -> Open {
        ::metrics::gauge!(metrics::EVENT_STREAMS).increment(1);
        Open { _permit: permit }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        ::metrics::gauge!(metrics::EVENT_STREAMS).decrement(1);
    }
}
