//! `GET /v1/events`: presentities as server-sent events, resumable.
//!
//! Each event is the present state of one presentity; states in between may be skipped, the last never, and missed ones
//! are not kept. A client that connects again with the id of the last event that it saw, as browsers do by themselves
//! (`Last-Event-ID`), is told only of what is newer. A slow reader costs one unsent event for each presentity that it
//! follows: what changes meanwhile waits at the manager, the newest only. One that reads nothing at all is cut off by
//! the server.

mod event_id;
pub mod follower;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Shared};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt, stream};
use placement::PresentityKey;
use proto::v1;

use crate::caller::Caller;
use crate::error::ApiError;
use crate::json::{Position, PresentityState};
use crate::service::{Service, check_followed, presentity};
use event_id::{NoId, Seen};

/// A comment this often tells the client, and every proxy between, that the stream lives.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// When a client whose stream broke comes back: not all of them at once.
const COME_BACK: std::ops::Range<u64> = 1_000..4_000;

/// `GET /v1/events?presentity={uri}[&presentity={uri}...][&after={id}]`.
pub async fn follow(
    Shared(service): Shared<Arc<Service>>,
    caller: Caller,
    question: Result<Query<Vec<(String, String)>>, QueryRejection>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    let Question { presentities, after } = Question::of(question)?;
    let mut seen = Seen::nothing(service.managers.cluster().await, &presentities);
    match headers.get("last-event-id") {
        // The client's own, and newer than what its address has said since the beginning. A browser gives up for good
        // when it is refused, so an id that is none is passed over, and everything is told.
        Some(id) => seen.resume(id.to_str().unwrap_or_default()).unwrap_or_default(),
        None => after.map_or(Ok(()), |id| seen.resume(&id))?,
    }
    let wanted = presentities.into_iter().zip(seen.positions().collect::<Vec<_>>());
    let followers = service.follow(&caller, wanted.collect()).await?;
    let places = followers.into_iter().enumerate().map(|(place, follower)| {
        follower.states(service.closing.clone()).map(move |state| (place, state)).boxed()
    });
    let told = stream::select_all(places).scan(seen, |seen, (place, state)| {
        seen.told(place, Position::parse(&state.position).filter(|position| *position != Position::NOTHING));
        std::future::ready(Some(event(seen, state)))
    });
    let events = stream::once(std::future::ready(come_back(caller.peer.port()))).chain(told);
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("alive");
    Ok(Sse::new(infallible(events)).keep_alive(keep_alive))
}

/// What is asked, each presentity once and in order.
struct Question {
    presentities: Vec<PresentityKey>,
    after: Option<String>,
}

impl Question {
    fn of(query: Result<Query<Vec<(String, String)>>, QueryRejection>) -> Result<Question, ApiError> {
        let Query(pairs) = query.map_err(|error| {
            ApiError::bad_request(error.body_text(), "percent-encode the parameters as UTF-8")
        })?;
        let (mut presentities, mut after) = (Vec::new(), None);
        for (name, value) in pairs {
            match &*name {
                "presentity" => presentities.push(presentity(&value)?),
                "after" => after = Some(value),
                _ => {
                    let hint = "there are `presentity`, as often as you like, and `after`";
                    return Err(ApiError::bad_request(format!("there is no parameter {name:?}"), hint));
                }
            }
        }
        presentities.sort();
        presentities.dedup();
        check_followed(presentities.len())?;
        Ok(Question { presentities, after })
    }
}

impl From<NoId> for ApiError {
    fn from(NoId: NoId) -> ApiError {
        let hint = "send back the id of an event of this stream, or leave it out";
        ApiError::bad_request("`after` is no id of an event", hint)
    }
}

fn event(seen: &Seen, state: v1::PresentityState) -> Event {
    let event = Event::default().id(seen.to_string());
    // Our own shape always serialises.
    event.clone().json_data(PresentityState::from(state)).unwrap_or(event)
}

/// No event yet, so that the stream begins at once, and is known to be resumable.
fn come_back(spread: u16) -> Event {
    let after = COME_BACK.start + u64::from(spread) % (COME_BACK.end - COME_BACK.start);
    Event::default().retry(Duration::from_millis(after))
}

fn infallible(events: impl Stream<Item = Event>) -> impl Stream<Item = Result<Event, Infallible>> {
    events.map(Ok)
}
