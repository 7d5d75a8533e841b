//! What can be asked and changed, whichever door it comes through: who may, how often, within which bounds. Then a
//! manager is asked. HTTP (`api`) and gRPC (`grpc`) only translate.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use futures_util::future::try_join_all;
use placement::PresentityKey;
use proto::v1;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::caller::{Access, Caller};
use crate::error::ApiError;
use crate::events::follower::Follower;
use crate::json::Position;
use crate::managers::Managers;
use crate::throttle::{Kind, Throttle};

/// Every replica keeps the name of a source and its note.
const MAX_SOURCE: usize = 128;
pub const MAX_NOTE: usize = 1_024;
/// Where else a presentity can be reached, from one source.
pub const MAX_CONTACTS: usize = 8;
/// Presentities that one stream follows.
pub const MAX_FOLLOWED: usize = 32;

/// Presence, as programs ask for it.
pub struct Service {
    pub managers: Arc<Managers>,
    /// Cancelled when the process shuts down.
    pub closing: CancellationToken,
    access: Access,
    throttle: Throttle,
    /// A permit for each presentity that is followed.
    followed: Arc<Semaphore>,
}

impl Service {
    pub fn new(
        managers: Arc<Managers>,
        access: Access,
        throttle: Throttle,
        followed: usize,
        closing: CancellationToken,
    ) -> Service {
        let followed = Arc::new(Semaphore::new(followed.min(Semaphore::MAX_PERMITS)));
        Service { managers, closing, access, throttle, followed }
    }

    pub fn identify(&self, headers: &HeaderMap, peer: SocketAddr) -> Result<Caller, ApiError> {
        self.access.identify(headers, peer, &self.throttle)
    }

    /// What every manager says about itself.
    pub async fn status(
        &self,
        caller: &Caller,
    ) -> Result<Vec<(&str, Result<v1::NodeStatus, String>)>, ApiError> {
        self.count(Kind::Read, caller)?;
        self.access.may_operate(caller)?;
        Ok(self.managers.status().await)
    }

    pub async fn get(
        &self,
        caller: &Caller,
        presentity: &PresentityKey,
        consistent: bool,
    ) -> Result<v1::PresentityState, ApiError> {
        self.may_read(caller, presentity)?;
        let request = v1::GetRequest { presentity: presentity.uri(), consistent };
        Ok(self.managers.read(async |mut manager| manager.get(request.clone()).await).await?)
    }

    pub async fn watchers(
        &self,
        caller: &Caller,
        presentity: &PresentityKey,
    ) -> Result<v1::WatchersResponse, ApiError> {
        self.may_read(caller, presentity)?;
        let request = v1::WatchersRequest { presentity: presentity.uri() };
        Ok(self.managers.read(async |mut manager| manager.watchers(request.clone()).await).await?)
    }

    pub async fn history(
        &self,
        caller: &Caller,
        presentity: &PresentityKey,
    ) -> Result<v1::HistoryResponse, ApiError> {
        self.may_read(caller, presentity)?;
        let request = v1::HistoryRequest { presentity: presentity.uri() };
        Ok(self.managers.read(async |mut manager| manager.history(request.clone()).await).await?)
    }

    /// Begins to follow each of them, from the position that the caller has seen already. Each is asked for before this
    /// returns, so that a presentity that is none is refused and not followed in vain.
    pub async fn follow(
        &self,
        caller: &Caller,
        presentities: Vec<(PresentityKey, Option<Position>)>,
    ) -> Result<Vec<Follower>, ApiError> {
        for (presentity, _) in &presentities {
            self.may_read(caller, presentity)?;
        }
        let begun = presentities.into_iter().map(async |(presentity, seen)| {
            let Ok(permit) = self.followed.clone().try_acquire_owned() else {
                let hint = "close streams that nobody reads, or ask another server";
                return Err(ApiError::busy("this server follows as many presentities as it may", hint));
            };
            Follower::begin(self.managers.clone(), &presentity, seen, permit).await
        });
        try_join_all(begun).await
    }

    pub async fn publish(
        &self,
        caller: &Caller,
        presentity: &PresentityKey,
        request: v1::PublishRequest,
    ) -> Result<v1::PublishResponse, ApiError> {
        self.may_write(caller, presentity)?;
        check_source(&request.source)?;
        check_publication(&request)?;
        let request = v1::PublishRequest { presentity: presentity.uri(), ..request };
        Ok(self.managers.write(async |mut manager| manager.publish(request.clone()).await).await?)
    }

    pub async fn remove(
        &self,
        caller: &Caller,
        presentity: &PresentityKey,
        source: &str,
    ) -> Result<v1::PublishResponse, ApiError> {
        self.may_write(caller, presentity)?;
        check_source(source)?;
        let request =
            v1::RemoveRequest { presentity: presentity.uri(), source: source.to_owned(), credentials: None };
        Ok(self.managers.write(async |mut manager| manager.remove(request.clone()).await).await?)
    }

    /// A feature code, dialled for `account`.
    pub async fn dial(
        &self,
        caller: &Caller,
        account: &PresentityKey,
        request: v1::DialRequest,
    ) -> Result<v1::DialResponse, ApiError> {
        self.may_write(caller, account)?;
        check_note(&request.note)?;
        let request = v1::DialRequest { account: account.uri(), ..request };
        Ok(self.managers.write(async |mut manager| manager.dial(request.clone()).await).await?)
    }

    /// A change by somebody who has no token but the account's password, which a manager checks with billing.
    pub async fn change_by_password(
        &self,
        peer: SocketAddr,
        account: &PresentityKey,
        change: impl Future<Output = Result<(), Status>>,
    ) -> Result<(), ApiError> {
        self.throttle.request(Kind::Write, peer.ip(), None)?;
        self.throttle.attempt(peer.ip(), account)?;
        let done = change.await;
        match &done {
            Err(refused) if matches!(refused.code(), Code::Unauthenticated | Code::PermissionDenied) => {
                crate::throttle::refused("password");
            }
            _ => self.throttle.attempt_was_none(peer.ip(), account),
        }
        Ok(done?)
    }

    fn may_read(&self, caller: &Caller, presentity: &PresentityKey) -> Result<(), ApiError> {
        self.count(Kind::Read, caller)?;
        self.access.may_read(caller, presentity)
    }

    fn may_write(&self, caller: &Caller, presentity: &PresentityKey) -> Result<(), ApiError> {
        self.count(Kind::Write, caller)?;
        self.access.may_write(caller, presentity)
    }

    fn count(&self, kind: Kind, caller: &Caller) -> Result<(), ApiError> {
        Ok(self.throttle.request(kind, caller.ip(), caller.token_id())?)
    }
}

/// The address-of-record meant by `text`, with or without its scheme.
pub fn presentity(text: &str) -> Result<PresentityKey, ApiError> {
    let bare = text.contains('@') && !SCHEMES.iter().any(|scheme| starts_with(text, scheme));
    let key = if bare { PresentityKey::of(&format!("sip:{text}")) } else { PresentityKey::of(text) };
    key.ok_or_else(|| {
        let hint = "write an address such as sip:alice@vedette.test, with `+` as %2B in a query";
        ApiError::bad_request(format!("{text:?} is no address of a presentity"), hint)
    })
}

const SCHEMES: [&str; 4] = ["sip:", "sips:", "pres:", "tel:"];

fn starts_with(text: &str, scheme: &str) -> bool {
    text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

fn check_source(source: &str) -> Result<(), ApiError> {
    // A history names phones so.
    let is_phone = source.starts_with("phone ");
    if source.is_empty() || source.len() > MAX_SOURCE || is_phone || source.chars().any(char::is_control) {
        let hint = format!("use a name of 1 to {MAX_SOURCE} bytes such as portal or calendar");
        return Err(ApiError::bad_request("this is no name of a source", hint));
    }
    Ok(())
}

fn check_publication(request: &v1::PublishRequest) -> Result<(), ApiError> {
    check_note(&request.note)?;
    if request.status.is_empty() && request.contacts.is_empty() {
        let hint = "give a status such as away, or contacts, or both";
        return Err(ApiError::bad_request("a source says a status, or where else to reach somebody", hint));
    }
    if request.contacts.len() > MAX_CONTACTS {
        let error = format!("there are {} contacts", request.contacts.len());
        return Err(ApiError::bad_request(error, format!("at most {MAX_CONTACTS} are taken")));
    }
    if request.contacts.iter().any(|contact| contact.priority > 1_000) {
        let hint = "0 is the least and 1 the most, which gRPC writes as 0 to 1,000";
        return Err(ApiError::bad_request("a contact has a priority beyond 1", hint));
    }
    Ok(())
}

fn check_note(note: &str) -> Result<(), ApiError> {
    if note.len() > MAX_NOTE {
        return Err(ApiError::too_large("the note", note.len(), MAX_NOTE));
    }
    Ok(())
}

/// A question with more presentities than a stream follows.
pub fn check_followed(presentities: usize) -> Result<(), ApiError> {
    match presentities {
        0 => {
            let hint = "ask for /v1/events?presentity=sip:USER@DOMAIN";
            Err(ApiError::bad_request("the parameter `presentity` is missing", hint))
        }
        1..=MAX_FOLLOWED => Ok(()),
        _ => {
            let hint = format!("at most {MAX_FOLLOWED} in a stream; open several streams");
            let error = format!("{presentities} presentities are too many for one stream");
            Err(ApiError::new(StatusCode::BAD_REQUEST, error, hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_leave_out_its_scheme() {
        for text in [
            "alice@vedette.test",
            "sip:alice@vedette.test",
            "SIP:alice@Vedette.Test:5060",
            "pres:alice@vedette.test",
        ] {
            assert_eq!(presentity(text).unwrap().uri(), "sip:alice@vedette.test", "{text}");
        }
        assert_eq!(presentity("tel:+49-30-123").unwrap().uri(), "tel:+4930123");
    }

    #[test]
    fn what_names_no_presentity_is_a_bad_request() {
        for text in
            ["", "alice", "@vedette.test", "alice@", "http://vedette.test", "sip:vedette.test", "a b@c"]
        {
            assert!(presentity(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_source_says_something_and_not_too_much() {
        let contact = |priority| v1::Contact { uri: "tel:+4930123".into(), priority };
        let said = |status: &str, note: usize, contacts: Vec<v1::Contact>| {
            let (status, note) = (status.into(), "x".repeat(note));
            check_publication(&v1::PublishRequest { status, note, contacts, ..Default::default() }).is_ok()
        };

        assert!(said("away", MAX_NOTE, vec![]));
        assert!(said("", 0, vec![contact(1_000)]));
        assert!(!said("", 5, vec![]));
        assert!(!said("away", MAX_NOTE + 1, vec![]));
        assert!(!said("away", 0, vec![contact(1_001)]));
        assert!(said("away", 0, vec![contact(0); MAX_CONTACTS]));
        assert!(!said("away", 0, vec![contact(0); MAX_CONTACTS + 1]));
    }
}
