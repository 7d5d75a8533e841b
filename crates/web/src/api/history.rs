//! `GET /v1/history/{uri}`: what was said of a presentity, as one JSON document, as lines of JSON, or as a table.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State as Shared};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use proto::v1;
use serde::Deserialize;

use super::csv;
use super::input::{parameters, segments};
use crate::caller::Caller;
use crate::error::ApiError;
use crate::json::{Change, History, Position};
use crate::service::{Service, presentity};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    #[serde(default)]
    format: Format,
    since: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Csv,
    Ndjson,
}

pub async fn history(
    Shared(service): Shared<Arc<Service>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Question>, QueryRejection>,
) -> Result<Response, ApiError> {
    let presentity = presentity(&segments(path)?)?;
    let hint = "there are `format=json`, `csv` or `ndjson`, and `since=` with a time or a position";
    let Question { format, since } = parameters(query, hint)?;
    let since = since.as_deref().map_or(Some(Since::Ever), Since::parse).ok_or_else(|| {
        let hint = "write a time such as 2026-03-01T00:00:00Z, or the position of the last change you have";
        ApiError::bad_request("`since` is neither a time nor a position", hint)
    })?;
    let found = service.history(&caller, &presentity).await?.changes;
    let changes: Vec<Change> =
        found.into_iter().filter(|change| since.admits(change)).map(Change::from).collect();
    Ok(match format {
        Format::Json => Json(History { presentity: presentity.uri(), changes }).into_response(),
        Format::Ndjson => typed("application/x-ndjson", lines(&changes)),
        Format::Csv => typed("text/csv; charset=utf-8; header=present", csv::table(&changes)),
    })
}

fn typed(media_type: &'static str, text: String) -> Response {
    ([(header::CONTENT_TYPE, media_type)], text).into_response()
}

fn lines(changes: &[Change]) -> String {
    changes.iter().filter_map(|change| serde_json::to_string(change).ok()).map(|line| line + "\n").collect()
}

/// From where on.
#[derive(Debug, PartialEq)]
enum Since {
    Ever,
    /// Milliseconds since 1970, inclusive.
    Time(u64),
    /// Exclusive: who has it wants what came after.
    Position(Position),
}

impl Since {
    fn parse(text: &str) -> Option<Since> {
        if let Some(position) = Position::parse(text) {
            return Some(Since::Position(position));
        }
        let time: Timestamp = text.parse().ok()?;
        // Whoever asks for what is older than 1970 wants all.
        Some(Since::Time(time.as_millisecond().try_into().unwrap_or(0)))
    }

    fn admits(&self, change: &v1::Change) -> bool {
        match self {
            Since::Ever => true,
            Since::Time(time) => change.at >= *time,
            Since::Position(seen) => {
                Position::parse(&change.position).is_none_or(|position| position > *seen)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_a_position() {
        let position = Position { index: 812, offset: 3 };
        assert_eq!(Since::parse("812.3"), Some(Since::Position(position)));
        assert_eq!(Since::parse("1970-01-02T00:00:00.5Z"), Some(Since::Time(86_400_500)));
        assert_eq!(Since::parse("1970-01-02T01:00:00+01:00"), Some(Since::Time(86_400_000)));
        assert_eq!(Since::parse("1960-01-01T00:00:00Z"), Some(Since::Time(0)));
        for text in ["", "yesterday", "1970-01-02", "812", "1.2.3"] {
            assert_eq!(Since::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_includes_its_own_moment_and_a_position_does_not() {
        let change = v1::Change { position: "7.1".into(), at: 500, ..Default::default() };

        assert!(Since::Time(500).admits(&change) && !Since::Time(501).admits(&change));
        let after = |index, offset| Since::Position(Position { index, offset }).admits(&change);
        assert!(after(7, 0) && !after(7, 1) && !after(8, 0));
    }
}
