//! What a client is told when it cannot have what it asked for: a status, what is wrong, and what to do about it.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tonic::{Code, Status};

use crate::json;

/// Seconds after which a refused client may usefully ask again: longer than an election.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"vedette\"");

/// An answer that is not a success.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    error: String,
    hint: String,
    invitation: Invitation,
}

/// What the headers invite the client to do.
#[derive(Clone, Copy, Debug)]
enum Invitation {
    None,
    ComeBack,
    Authenticate,
}

impl ApiError {
    pub fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> ApiError {
        ApiError { status, error: error.into(), hint: hint.into(), invitation: Invitation::None }
    }

    pub fn bad_request(error: impl Into<String>, hint: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, error, hint)
    }

    pub fn unauthorized(error: &str) -> ApiError {
        let hint =
            "send the header `Authorization: Bearer TOKEN` with the token this server was started with";
        ApiError::new(StatusCode::UNAUTHORIZED, error, hint).inviting(Invitation::Authenticate)
    }

    pub fn writes_are_off() -> ApiError {
        let hint = "start the server with an HTTP write token to allow writes";
        ApiError::new(StatusCode::FORBIDDEN, "this server takes no writes over HTTP", hint)
    }

    pub fn busy(error: &str, hint: &str) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error, hint).inviting(Invitation::ComeBack)
    }

    pub fn timed_out() -> ApiError {
        let hint = "a write may have been recorded all the same: repeating it is harmless";
        ApiError::new(StatusCode::GATEWAY_TIMEOUT, "the managers did not answer in time", hint)
    }

    fn inviting(self, invitation: Invitation) -> ApiError {
        ApiError { invitation, ..self }
    }
}

impl From<Status> for ApiError {
    fn from(status: Status) -> ApiError {
        let error = match status.message() {
            "" => status.code().description().to_owned(),
            message => message.to_owned(),
        };
        match status.code() {
            Code::InvalidArgument => ApiError::bad_request(error, "correct the request and send it again"),
            Code::NotFound => ApiError::new(StatusCode::NOT_FOUND, error, "check the URI and its domain"),
            Code::PermissionDenied => {
                ApiError::new(StatusCode::FORBIDDEN, error, "the managers do not allow this")
            }
            Code::Unavailable => {
                ApiError::busy(&error, "ask again shortly; `GET /v1/status` shows which managers answer")
            }
            // A limit of one account is no overload of the service, so it is never a 503.
            Code::ResourceExhausted => {
                let hint = "slow down, or remove sources that are no longer needed";
                ApiError::new(StatusCode::TOO_MANY_REQUESTS, error, hint).inviting(Invitation::ComeBack)
            }
            Code::DeadlineExceeded => ApiError::timed_out(),
            Code::Unimplemented => {
                ApiError::new(StatusCode::NOT_IMPLEMENTED, error, "the managers run a build without this")
            }
            _ => ApiError::new(StatusCode::BAD_GATEWAY, error, "the manager's log says more"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json::Refusal { error: self.error, hint: self.hint };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        match self.invitation {
            Invitation::None => None,
            Invitation::ComeBack => headers.insert(header::RETRY_AFTER, RETRY_AFTER),
            Invitation::Authenticate => headers.insert(header::WWW_AUTHENTICATE, CHALLENGE),
        };
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_manager_refuses_has_its_http_status() {
        let of = |code| ApiError::from(Status::new(code, "")).into_response().status().as_u16();

        assert_eq!(of(Code::InvalidArgument), 400);
        assert_eq!(of(Code::NotFound), 404);
        assert_eq!(of(Code::ResourceExhausted), 429);
        assert_eq!(of(Code::Unavailable), 503);
        assert_eq!(of(Code::DeadlineExceeded), 504);
        assert_eq!(of(Code::Internal), 502);
    }

    #[test]
    fn a_client_told_to_come_back_is_told_when() {
        for code in [Code::Unavailable, Code::ResourceExhausted] {
            let response = ApiError::from(Status::new(code, "")).into_response();
            assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        }
    }
}
