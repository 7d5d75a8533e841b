//! The same service over gRPC, as `vedette.v1.Presence` on the same port: the contract that managers answer inside, for
//! whoever presents a token in its metadata (`authorization: Bearer TOKEN`).
//!
//! Passwords (`credentials`) are for the way between this role and a manager only: outside, a token says who asks.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use placement::PresentityKey;
use proto::v1::presence_server::{Presence, PresenceServer};
use proto::v1::{
    DialRequest, DialResponse, GetRequest, HistoryRequest, HistoryResponse, PresentityState, PublishRequest,
    PublishResponse, RemoveRequest, WatchRequest, WatchersRequest, WatchersResponse,
};
use tokio::time::timeout;
use tonic::{Code, Request, Response, Status};

use crate::api::{MAX_BODY, REQUEST_TIME};
use crate::caller::Caller;
use crate::error::ApiError;
use crate::json::Position;
use crate::metrics;
use crate::server::Peer;
use crate::service::{Service, presentity};

/// Where its methods live.
pub const PATH: &str = "/vedette.v1.Presence/{*method}";

pub struct Grpc(Arc<Service>);

impl Grpc {
    pub fn server(service: Arc<Service>) -> PresenceServer<Grpc> {
        PresenceServer::new(Grpc(service)).max_decoding_message_size(MAX_BODY)
    }

    /// Who asks, and what.
    fn open<T>(&self, request: Request<T>) -> Result<(Caller, T), ApiError> {
        let peer = Peer::of(request.extensions())?;
        let (metadata, _, message) = request.into_parts();
        Ok((self.0.identify(&metadata.into_headers(), peer)?, message))
    }

    async fn publish(&self, request: Request<PublishRequest>) -> Result<PublishResponse, ApiError> {
        let (caller, message) = self.open(request)?;
        if message.credentials.is_some() {
            return Err(no_passwords());
        }
        self.0.publish(&caller, &presentity(&message.presentity)?, message).await
    }

    async fn remove(&self, request: Request<RemoveRequest>) -> Result<PublishResponse, ApiError> {
        let (caller, message) = self.open(request)?;
        if message.credentials.is_some() {
            return Err(no_passwords());
        }
        self.0.remove(&caller, &presentity(&message.presentity)?, &message.source).await
    }

    async fn dial(&self, request: Request<DialRequest>) -> Result<DialResponse, ApiError> {
        let (caller, message) = self.open(request)?;
        self.0.dial(&caller, &presentity(&message.account)?, message).await
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<PresentityState, ApiError> {
        let (caller, message) = self.open(request)?;
        self.0.get(&caller, &presentity(&message.presentity)?, message.consistent).await
    }

    async fn watchers(&self, request: Request<WatchersRequest>) -> Result<WatchersResponse, ApiError> {
        let (caller, message) = self.open(request)?;
        self.0.watchers(&caller, &presentity(&message.presentity)?).await
    }

    async fn history(&self, request: Request<HistoryRequest>) -> Result<HistoryResponse, ApiError> {
        let (caller, message) = self.open(request)?;
        self.0.history(&caller, &presentity(&message.presentity)?).await
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<States, ApiError> {
        let (caller, message) = self.open(request)?;
        let wanted: PresentityKey = presentity(&message.presentity)?;
        let seen = match &*message.after {
            "" => None,
            after => Some(Position::parse(after).ok_or_else(|| {
                let hint = "send the `position` of a state, or nothing";
                ApiError::bad_request(format!("{after:?} is no position"), hint)
            })?),
        };
        let followers = self.0.follow(&caller, vec![(wanted, seen)]).await?;
        let closing = self.0.closing.clone();
        let states = followers.into_iter().map(move |follower| follower.states(closing.clone()));
        Ok(futures_util::stream::iter(states).flatten().map(Ok).boxed())
    }
}

type States = Pin<Box<dyn Stream<Item = Result<PresentityState, Status>> + Send>>;

fn no_passwords() -> ApiError {
    let hint = "leave `credentials` out and send `authorization: Bearer TOKEN`";
    ApiError::bad_request("passwords are not taken here", hint)
}

/// The answer of one method, in time and counted.
async fn answered<T>(
    method: &'static str,
    answer: impl Future<Output = Result<T, ApiError>>,
) -> Result<Response<T>, Status> {
    let answer = timeout(REQUEST_TIME, answer).await.unwrap_or_else(|_| Err(ApiError::timed_out()));
    let answer = answer.map(Response::new).map_err(Status::from);
    let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
    ::metrics::counter!(metrics::GRPC_RESPONSES, "method" => method, "code" => format!("{code:?}"))
        .increment(1);
    answer
}

#[tonic::async_trait]
impl Presence for Grpc {
    type WatchStream = States;

    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        answered("Publish", self.publish(request)).await
    }

    async fn remove(&self, request: Request<RemoveRequest>) -> Result<Response<PublishResponse>, Status> {
        answered("Remove", self.remove(request)).await
    }

    async fn dial(&self, request: Request<DialRequest>) -> Result<Response<DialResponse>, Status> {
        answered("Dial", self.dial(request)).await
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<PresentityState>, Status> {
        answered("Get", self.get(request)).await
    }

    async fn watchers(
        &self,
        request: Request<WatchersRequest>,
    ) -> Result<Response<WatchersResponse>, Status> {
        answered("Watchers", self.watchers(request)).await
    }

    async fn history(&self, request: Request<HistoryRequest>) -> Result<Response<HistoryResponse>, Status> {
        answered("History", self.history(request)).await
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<States>, Status> {
        answered("Watch", self.watch(request)).await
    }
}
