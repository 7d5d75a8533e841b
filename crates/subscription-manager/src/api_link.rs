//! Presence and administration over gRPC: what the HTTP role and operators ask of this manager.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use cluster::Group;
use futures_util::{Stream, StreamExt, future};
use placement::{Directory, GroupId, PresentityKey};
use presence::position::Position;
use presence_agent::api::{self, ApiReply, Counts, SetSource};
use proto::v1::admin_server::Admin;
use proto::v1::presence_server::Presence;
use proto::v1::{
    DialRequest, DialResponse, GetRequest, HistoryRequest, HistoryResponse, NodeStatus, PresentityState,
    PublishRequest, PublishResponse, RemoveRequest, StatusRequest, WatchRequest, WatchersRequest,
    WatchersResponse,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};

use crate::codec;
use crate::demux::Demux;
use crate::driver::Input;

/// Clones are the same. Until the manager takes part, everything is answered UNAVAILABLE.
#[derive(Clone)]
pub struct ApiLink {
    serving: Arc<OnceLock<Serving>>,
    started: Instant,
}

/// What a manager that takes part answers from.
pub struct Serving {
    pub name: String,
    pub directory: watch::Receiver<Arc<Directory>>,
    pub system: Group,
    pub domains: Vec<String>,
    pub feature_code: String,
    pub demux: Demux,
    pub groups: Vec<Group>,
    pub drivers: HashMap<GroupId, mpsc::Sender<Input>>,
}

impl ApiLink {
    pub fn new() -> ApiLink {
        ApiLink { serving: Arc::default(), started: Instant::now() }
    }

    pub fn open(&self, serving: Serving) {
        // A manager begins to take part once.
        let _ = self.serving.set(serving);
    }

    fn serving(&self) -> Result<&Serving, Status> {
        self.serving.get().ok_or_else(|| Status::unavailable("this manager does not take part yet"))
    }

    /// Asks the driver of a group and waits for its reply.
    async fn ask<T>(
        &self,
        group: GroupId,
        input: impl FnOnce(oneshot::Sender<T>) -> Input,
    ) -> Result<T, Status> {
        let gone = || Status::unavailable("this manager does not serve now: it is starting or stopping");
        let driver = self.serving()?.drivers.get(&group).ok_or_else(gone)?;
        let (reply, answer) = oneshot::channel();
        driver.send(input(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }

    fn key(&self, presentity: &str) -> Result<(PresentityKey, GroupId), Status> {
        let serving = self.serving()?;
        let key = codec::presentity(presentity, &serving.domains).map_err(Status::invalid_argument)?;
        let group = serving.demux.group_of(&key);
        Ok((key, group))
    }

    async fn change(&self, request: SetSource) -> Result<Response<PublishResponse>, Status> {
        let group = self.serving()?.demux.group_of(&request.presentity);
        let reply = self.ask(group, |reply| Input::SetSource { request, reply }).await?;
        done(reply).map(|position| Response::new(PublishResponse { position: position.to_string() }))
    }
}

/// The position of what was done, or why it was not, in words for a program.
fn done(reply: ApiReply) -> Result<Position, Status> {
    match reply {
        ApiReply::Done(position) => Ok(position),
        ApiReply::Refused(refusal) => Err(Status::failed_precondition(refusal.to_string())),
        ApiReply::WrongCredentials => Err(Status::unauthenticated("the name or the password is wrong")),
        ApiReply::Denied(reason) if reason.is_empty() => {
            Err(Status::permission_denied("the account may not do this"))
        }
        ApiReply::Denied(reason) => Err(Status::permission_denied(reason)),
        ApiReply::Unavailable => {
            Err(Status::unavailable("no leader or no billing answers now; nothing was changed"))
        }
        ApiReply::Unknown => Err(Status::deadline_exceeded("whether it was done is not known")),
    }
}

#[tonic::async_trait]
impl Presence for ApiLink {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<PresentityState, Status>> + Send>>;

    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        let change = codec::set_source(request.into_inner(), &self.serving()?.domains);
        self.change(change.map_err(Status::invalid_argument)?).await
    }

    async fn remove(&self, request: Request<RemoveRequest>) -> Result<Response<PublishResponse>, Status> {
        let change = codec::remove_source(request.into_inner(), &self.serving()?.domains);
        self.change(change.map_err(Status::invalid_argument)?).await
    }

    async fn dial(&self, request: Request<DialRequest>) -> Result<Response<DialResponse>, Status> {
        let Serving { domains, feature_code, .. } = self.serving()?;
        let dialled = codec::dial(request.into_inner(), feature_code, domains);
        let (status, change) = dialled.map_err(Status::invalid_argument)?;
        let position = self.change(change).await?.into_inner().position;
        Ok(Response::new(DialResponse { status: status.name().to_owned(), position }))
    }

    async fn history(&self, request: Request<HistoryRequest>) -> Result<Response<HistoryResponse>, Status> {
        let (key, group) = self.key(&request.get_ref().presentity)?;
        let changes = self.ask(group, |reply| Input::History { key, reply }).await?;
        let changes = changes.into_iter().map(codec::change).collect();
        Ok(Response::new(HistoryResponse { changes }))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<PresentityState>, Status> {
        let (key, group) = self.key(&request.get_ref().presentity)?;
        if request.get_ref().consistent {
            done(self.ask(group, |reply| Input::Read { reply }).await?)?;
        }
        let state = self.ask(group, |reply| Input::Get { key, reply }).await?;
        Ok(Response::new(codec::state(state)))
    }

    async fn watchers(
        &self,
        request: Request<WatchersRequest>,
    ) -> Result<Response<WatchersResponse>, Status> {
        let (key, group) = self.key(&request.get_ref().presentity)?;
        let watchers = self.ask(group, |reply| Input::Watchers { key, reply }).await?;
        let directory = self.serving()?.directory.borrow().clone();
        let watchers = watchers.into_iter().map(|watcher| codec::watcher(watcher, &directory));
        Ok(Response::new(WatchersResponse { watchers: watchers.collect() }))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (key, group) = self.key(&request.get_ref().presentity)?;
        let seen = codec::position(&request.get_ref().after).map_err(Status::invalid_argument)?;
        let followed = self.ask(group, |reply| Input::Follow { key, reply }).await?;
        let states =
            followed.map_err(|_| Status::resource_exhausted("too many programs follow presentities here"))?;
        let is_news = move |state: &api::PresentityState| seen.is_none_or(|seen| state.is_news_after(seen));
        let states = WatchStream::new(states).filter(move |state| future::ready(is_news(state)));
        Ok(Response::new(Box::pin(states.map(|state| Ok(codec::state(state))))))
    }
}

#[tonic::async_trait]
impl Admin for ApiLink {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<NodeStatus>, Status> {
        let serving = self.serving()?;
        let mut groups = vec![codec::group(&serving.system, Counts::default())];
        for group in &serving.groups {
            let counts = self.ask(group.id(), |reply| Input::Counts { reply }).await?;
            groups.push(codec::group(group, counts));
        }
        let directory = serving.directory.borrow().clone();
        let members = directory.members.iter().map(|(node, member)| codec::member(*node, member));
        Ok(Response::new(NodeStatus {
            node: serving.system.node().0,
            name: serving.name.clone(),
            uptime: self.started.elapsed().as_secs(),
            groups,
            members: members.collect(),
            cluster: directory.cluster.0,
            level: directory.level,
        }))
    }
}
