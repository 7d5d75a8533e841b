//! Paths, parameters and bodies, made valid values or refused with what would have been right.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use serde::de::DeserializeOwned;

use super::MAX_BODY;
use crate::error::ApiError;

pub fn segments<T>(path: Result<Path<T>, PathRejection>) -> Result<T, ApiError> {
    path.map(|Path(segments)| segments)
        .map_err(|error| ApiError::bad_request(error.body_text(), "percent-encode the address as UTF-8"))
}

pub fn parameters<T>(query: Result<Query<T>, QueryRejection>, hint: &str) -> Result<T, ApiError> {
    query.map(|Query(parameters)| parameters).map_err(|error| ApiError::bad_request(error.body_text(), hint))
}

pub fn body<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>, hint: &str) -> Result<T, ApiError> {
    let body = body.map_err(|error| {
        ApiError::new(error.status(), error.body_text(), format!("a body has at most {MAX_BODY} bytes"))
    })?;
    serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad_request(format!("the body is not understood: {error}"), hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::SetSource;

    #[test]
    fn a_misspelt_field_is_refused_and_not_ignored() {
        let set = |text: &'static str| body::<SetSource>(Ok(text.into()), "");

        assert!(set(r#"{"status": "away", "expire": 60}"#).is_err());
        assert!(set(r#"{"contacts": [{"uri": "tel:+49", "prio": 1}]}"#).is_err());
        assert!(set(r#"{"status": "away"}"#).is_ok());
        assert!(set(r#"{"contacts": [{"uri": "tel:+49"}]}"#).is_ok());
    }
}
