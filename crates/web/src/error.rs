//! What a client is told when it cannot have what it asked for: a status, what is wrong, and what to do about it. Both
//! doors say the same: HTTP in a status and a JSON body, gRPC in a code and its message.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tonic::{Code, Status};

use crate::json;
use crate::rate::Wait;

/// Seconds after which a client may usefully ask again that was refused for lack of a leader: longer than an election.
const ELECTION: u64 = 2;
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"vedette\"");

/// An answer that is not a success.
#[derive(Debug, thiserror::Error)]
#[error("{error}: {hint}")]
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
    /// After so many seconds.
    ComeBack(u64),
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
        let hint = "send the header `Authorization: Bearer TOKEN` with one of `http.token` and `http.tokens`";
        ApiError::new(StatusCode::UNAUTHORIZED, error, hint).inviting(Invitation::Authenticate)
    }

    /// No token would do, so nobody is invited to show one.
    pub fn no_tokens() -> ApiError {
        let hint = "start the server with `http.token` or `http.tokens`";
        ApiError::forbidden("this needs a token, and this server has none", hint)
    }

    pub fn forbidden(error: &str, hint: &str) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, error, hint)
    }

    pub fn too_large(what: &str, bytes: usize, limit: usize) -> ApiError {
        let hint = format!("at most {limit} bytes are taken");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("{what} has {bytes} bytes"), hint)
    }

    pub fn busy(error: &str, hint: &str) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error, hint).inviting(Invitation::ComeBack(ELECTION))
    }

    pub fn timed_out() -> ApiError {
        let hint = "a write may have been recorded all the same: repeating it is harmless";
        ApiError::new(StatusCode::GATEWAY_TIMEOUT, "the managers did not answer in time", hint)
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    fn inviting(self, invitation: Invitation) -> ApiError {
        ApiError { invitation, ..self }
    }

    /// The headers without the body, for an answer in other words.
    pub fn with_body(self, body: impl IntoResponse) -> Response {
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        match self.invitation {
            Invitation::None => None,
            Invitation::ComeBack(seconds) => headers.insert(header::RETRY_AFTER, seconds.into()),
            Invitation::Authenticate => headers.insert(header::WWW_AUTHENTICATE, CHALLENGE),
        };
        response
    }
}

/// A limit of one account, source or token is no overload of the service, so it is never a 503.
impl From<Wait> for ApiError {
    fn from(Wait(wait): Wait) -> ApiError {
        let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
        let hint = format!("slow down; ask again in {seconds} s");
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "you ask more than `http.rate` lets through", hint)
            .inviting(Invitation::ComeBack(seconds))
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
            Code::PermissionDenied | Code::Unauthenticated => {
                ApiError::forbidden(&error, "the managers do not allow this")
            }
            Code::FailedPrecondition => {
                let hint = "remove what is no longer needed, then send it again";
                ApiError::new(StatusCode::CONFLICT, error, hint)
            }
            Code::Unavailable => {
                ApiError::busy(&error, "ask again shortly; `GET /v1/status` shows which managers answer")
            }
            Code::ResourceExhausted => {
                let hint = "slow down, or close what is no longer needed";
                ApiError::new(StatusCode::TOO_MANY_REQUESTS, error, hint)
                    .inviting(Invitation::ComeBack(ELECTION))
            }
            Code::DeadlineExceeded => ApiError::timed_out(),
            Code::Unimplemented => {
                ApiError::new(StatusCode::NOT_IMPLEMENTED, error, "the managers run a build without this")
            }
            _ => ApiError::new(StatusCode::BAD_GATEWAY, error, "the manager's log says more"),
        }
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Status {
        let code = match error.status {
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => Code::InvalidArgument,
            StatusCode::UNAUTHORIZED => Code::Unauthenticated,
            StatusCode::FORBIDDEN => Code::PermissionDenied,
            StatusCode::NOT_FOUND => Code::NotFound,
            StatusCode::CONFLICT => Code::FailedPrecondition,
            StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
            StatusCode::NOT_IMPLEMENTED => Code::Unimplemented,
            StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
            StatusCode::GATEWAY_TIMEOUT => Code::DeadlineExceeded,
            _ => Code::Internal,
        };
        Status::new(code, error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json::Refusal { error: self.error.clone(), hint: self.hint.clone() };
        self.with_body(Json(body))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_a_manager_refuses_has_its_http_status_and_its_code_again() {
        for (code, status) in [
            (Code::InvalidArgument, 400),
            (Code::NotFound, 404),
            (Code::PermissionDenied, 403),
            (Code::FailedPrecondition, 409),
            (Code::ResourceExhausted, 429),
            (Code::Internal, 502),
            (Code::Unimplemented, 501),
            (Code::Unavailable, 503),
            (Code::DeadlineExceeded, 504),
        ] {
            let error = ApiError::from(Status::new(code, ""));
            assert_eq!((error.status().as_u16(), Status::from(error).code()), (status, code));
        }
    }

    #[test]
    fn a_client_told_to_come_back_is_told_when() {
        let after = |error: ApiError| error.into_response().headers()[header::RETRY_AFTER].clone();

        assert_eq!(after(Status::new(Code::Unavailable, "").into()), "2");
        assert_eq!(after(Status::new(Code::ResourceExhausted, "").into()), "2");
        assert_eq!(after(Wait(Duration::from_millis(1_200)).into()), "2");
        assert_eq!(after(Wait(Duration::from_millis(3)).into()), "1");
    }
}
