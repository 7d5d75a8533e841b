//! `GET /call_state.htm`: a PBX says that one of its users is on the phone, in the way Vodia's does it.
//!
//! `?domain&user&password&number[&expires]`: with a number the user is on the phone with it, without one (or an empty
//! one) no more. The password is the account's, checked as billing says. It stands in the address because that is how
//! these systems ask; so neither addresses nor parameters are ever logged here, and answers are in our own words only.
//! The number is shown to nobody, unless the operator wants it in the note.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State as Shared};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use placement::PresentityKey;
use proto::v1;
use serde::Deserialize;
use tonic::Status;

use crate::error::ApiError;
use crate::server::Peer;
use crate::service::{MAX_NOTE, Service};

/// Under this name a call is a source of its user's presence.
const SOURCE: &str = "http:call-state";

/// The operator's choices.
#[derive(Clone, Copy, Debug)]
pub struct CallState {
    /// How long a call lasts whose end is never told; nobody may ask for more.
    pub max_call_duration: Duration,
    /// Whether watchers see the number.
    pub expose_remote: bool,
}

impl Default for CallState {
    fn default() -> CallState {
        CallState { max_call_duration: Duration::from_secs(7_200), expose_remote: false }
    }
}

#[derive(Deserialize)]
struct Question {
    #[serde(default)]
    domain: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    number: String,
    #[serde(default)]
    expires: String,
}

/// What is asked, in order.
struct Call {
    user: PresentityKey,
    credentials: v1::Credentials,
    number: Option<String>,
    /// Seconds.
    expires: u32,
}

impl CallState {
    pub fn route(self) -> MethodRouter<Arc<Service>> {
        get(async move |service, peer, query, request| match self.told(service, peer, query, request).await {
            Ok(said) => format!("{said}\n").into_response(),
            Err(error) => plainly(error),
        })
    }

    async fn told(
        self,
        Shared(service): Shared<Arc<Service>>,
        peer: Peer,
        query: Result<Query<Question>, QueryRejection>,
        request: Request,
    ) -> Result<&'static str, ApiError> {
        // Who only looks (HEAD) changes nothing.
        if request.method() != Method::GET {
            return Err(ApiError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET is understood",
                "send a GET",
            ));
        }
        let hint = "send ?domain=D&user=U&password=P&number=N, each once and percent-encoded; no number ends the call";
        let Query(question) =
            query.map_err(|_| ApiError::bad_request("the parameters are not understood", hint))?;
        let call = self.call(question, peer).ok_or_else(|| {
            ApiError::bad_request("domain, user or expires is missing or not understood", hint)
        })?;
        let (ends, user) = (call.number.is_none(), call.user.clone());
        let change = async {
            match call.number {
                Some(_) => {
                    let request = self.publication(call);
                    service
                        .managers
                        .write(async |mut manager| manager.publish(request.clone()).await)
                        .await
                        .map(drop)
                }
                None => {
                    let request = removal(call);
                    service
                        .managers
                        .write(async |mut manager| manager.remove(request.clone()).await)
                        .await
                        .map(drop)
                }
            }
        };
        let change = async { change.await.map_err(in_own_words) };
        service.change_by_password(peer.0, &user, change).await?;
        Ok(if ends { "the call is over" } else { "on the phone" })
    }

    fn call(self, question: Question, Peer(peer): Peer) -> Option<Call> {
        let Question { domain, user, password, number, expires } = question;
        let most = u32::try_from(self.max_call_duration.as_secs()).unwrap_or(u32::MAX);
        let expires = if expires.is_empty() { most } else { expires.parse::<u32>().ok()?.min(most) };
        let key = PresentityKey::of(&format!("sip:{user}@{domain}"))?;
        let credentials = v1::Credentials {
            username: user,
            realm: key.domain().to_owned(),
            password,
            source: peer.to_string(),
        };
        // Who says that the call lasts no more says that it is over (RFC 3903 section 4.5).
        let number = Some(number).filter(|number| !number.is_empty() && expires > 0);
        Some(Call { user: key, credentials, number, expires })
    }

    fn publication(self, call: Call) -> v1::PublishRequest {
        let mut note = if self.expose_remote { call.number.unwrap_or_default() } else { String::new() };
        note.truncate(note.floor_char_boundary(MAX_NOTE));
        v1::PublishRequest {
            presentity: call.user.uri(),
            source: SOURCE.to_owned(),
            status: "on-the-phone".to_owned(),
            note,
            expires: call.expires,
            contacts: vec![],
            credentials: Some(call.credentials),
        }
    }
}

fn removal(call: Call) -> v1::RemoveRequest {
    v1::RemoveRequest {
        presentity: call.user.uri(),
        source: SOURCE.to_owned(),
        credentials: Some(call.credentials),
    }
}

/// What a manager says may quote what it was asked; and whether the user or the password is wrong is not told.
fn in_own_words(status: Status) -> Status {
    let words = match status.code() {
        tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => "wrong user or password",
        tonic::Code::InvalidArgument => "this domain or user is not served here",
        tonic::Code::Unavailable => "nobody takes changes now",
        _ => "the managers refuse this",
    };
    Status::new(status.code(), words)
}

fn plainly(error: ApiError) -> Response {
    let text = format!("{error}\n");
    error.with_body(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(settings: CallState, number: &str, expires: &str) -> Option<Call> {
        let question = Question {
            domain: "LAB.test".into(),
            user: "123".into(),
            password: "secret".into(),
            number: number.into(),
            expires: expires.into(),
        };
        settings.call(question, Peer("192.0.2.1:9".parse().unwrap()))
    }

    #[test]
    fn a_call_lasts_as_long_as_it_says_but_never_longer_than_calls_do() {
        let settings = CallState::default();
        let lasts = |expires| call(settings, "12345678", expires).map(|call| call.expires);

        assert_eq!(lasts(""), Some(7_200));
        assert_eq!(lasts("60"), Some(60));
        assert_eq!(lasts("90000"), Some(7_200));
        assert_eq!(lasts("-1"), None);
        assert_eq!(lasts("soon"), None);
    }

    #[test]
    fn no_number_or_no_time_left_ends_the_call() {
        for (number, expires, ends) in
            [("", "", true), ("12345678", "0", true), ("", "60", true), ("12345678", "60", false)]
        {
            let call = call(CallState::default(), number, expires).unwrap();
            assert_eq!(call.number.is_none(), ends, "{number:?} {expires:?}");
        }
    }

    #[test]
    fn the_number_is_told_only_where_the_operator_wants_it() {
        let hidden = CallState::default();
        let shown = CallState { expose_remote: true, ..hidden };

        assert_eq!(hidden.publication(call(hidden, "12345678", "").unwrap()).note, "");
        assert_eq!(shown.publication(call(shown, "12345678", "").unwrap()).note, "12345678");
    }

    #[test]
    fn the_realm_is_the_domain_and_the_name_stays_as_it_was_written() {
        let call = call(CallState::default(), "1", "").unwrap();

        assert_eq!(call.user.uri(), "sip:123@lab.test");
        assert_eq!((&*call.credentials.username, &*call.credentials.realm), ("123", "lab.test"));
    }
}
