//! `vedette ctl watch`: a line for each change, for as long as the operator looks.
//!
//! The API may go away and come back meanwhile, with another process behind it; the operator is told, and what was shown
//! already is not shown again.

use std::io::Write;
use std::time::{Duration, SystemTime};

use reqwest::Response;
use web::json::PresentityState;

use super::client::{self, Client};
use super::failure::Failure;
use super::sse::{Decoder, TooLong};
use super::view;

/// How long the API is left alone between attempts to reach it again.
const RETRY: Duration = Duration::from_secs(1);

/// Follows `uri` until Ctrl-C, which is the way to end it and no failure.
pub async fn until_interrupted(
    client: &Client,
    uri: &str,
    as_json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    tokio::select! {
        failed = follow(client, uri, as_json, out) => failed,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn follow(client: &Client, uri: &str, as_json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let mut stream = client.events(uri).await?;
    let mut screen = Screen { out, as_json, shown: None };
    loop {
        let reason = screen.show_all(stream).await?;
        notice(&format!("the API at {} went away ({reason}); waiting for it", client.api()));
        stream = again(client, uri).await?;
        notice("it is back");
    }
}

async fn again(client: &Client, uri: &str) -> Result<Response, Failure> {
    loop {
        tokio::time::sleep(RETRY).await;
        match client.events(uri).await {
            Err(failure) if failure.may_pass() => {}
            answered => return answered,
        }
    }
}

fn notice(text: &str) {
    eprintln!("{}  {text}", view::time(SystemTime::now()));
}

struct Screen<'a, W> {
    out: &'a mut W,
    as_json: bool,
    shown: Option<PresentityState>,
}

impl<W: Write> Screen<'_, W> {
    /// Shows what the stream says until it breaks off, and says why it did.
    async fn show_all(&mut self, mut stream: Response) -> Result<String, Failure> {
        let mut decoder = Decoder::default();
        loop {
            let bytes = match stream.chunk().await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Ok("it closed the stream".to_owned()),
                Err(error) => return Ok(client::reason(&error)),
            };
            let events = match decoder.push(&bytes) {
                Ok(events) => events,
                Err(TooLong) => return Ok("an event had no end".to_owned()),
            };
            for event in events {
                match serde_json::from_str(&event) {
                    Ok(state) => self.show(state)?,
                    Err(error) => notice(&format!("an event is not understood: {error}")),
                }
            }
        }
    }

    fn show(&mut self, state: PresentityState) -> Result<(), Failure> {
        if self.shown.as_ref() == Some(&state) {
            return Ok(());
        }
        let line = match self.as_json {
            true => serde_json::to_string(&state)?,
            false => view::change(&state, SystemTime::now()),
        };
        writeln!(self.out, "{line}")?;
        self.out.flush()?;
        self.shown = Some(state);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use axum::response::sse::{Event, Sse};
    use axum::routing::get;
    use futures_util::stream;

    use super::*;

    /// An API whose first stream ends after one state, which is away once, then goes on and at last refuses.
    async fn api() -> String {
        let asked = Arc::new(AtomicUsize::new(0));
        let events = get(async move || match asked.fetch_add(1, Ordering::Relaxed) {
            0 => said(&["1.0"]),
            1 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            2 => said(&["1.0", "2.0"]),
            _ => (StatusCode::NOT_FOUND, r#"{"error": "gone", "hint": "for good"}"#).into_response(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, Router::new().route("/v1/events", events)).into_future());
        format!("http://{address}")
    }

    fn said(positions: &[&str]) -> axum::response::Response {
        let state = |position: &&str| PresentityState {
            presentity: "sip:alice@vedette.test".into(),
            position: (*position).into(),
            basic: "open".into(),
            notes: vec![],
            activities: vec![],
            status: String::new(),
            counts: Default::default(),
            document: String::new(),
        };
        let events: Vec<_> =
            positions.iter().map(|p| Event::default().json_data(state(p)).unwrap()).collect();
        Sse::new(stream::iter(events.into_iter().map(Ok::<_, Infallible>))).into_response()
    }

    #[tokio::test]
    async fn a_watch_outlives_the_api_and_shows_each_state_once() {
        let client = Client::new(&api().await).unwrap();
        let mut out = Vec::new();

        let ended = follow(&client, "alice@vedette.test", true, &mut out).await;

        assert!(matches!(ended, Err(Failure::Refused { status: 404, .. })), "{ended:?}");
        let lines = String::from_utf8(out).unwrap();
        let states =
            lines.lines().map(|line| serde_json::from_str::<PresentityState>(line).unwrap().position);
        assert_eq!(states.collect::<Vec<_>>(), ["1.0", "2.0"]);
    }
}
