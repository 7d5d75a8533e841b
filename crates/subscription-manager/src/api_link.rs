//! Presence and administration over gRPC: what the HTTP role and operators ask of this manager.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use cluster::{Group, Member};
use futures_util::{Stream, StreamExt};
use placement::{GroupId, NodeId, PresentityKey};
use presence_agent::api::{ApiReply, SetSource};
use proto::v1::admin_server::Admin;
use proto::v1::presence_server::Presence;
use proto::v1::{
    GetRequest, NodeStatus, PresentityState, RemoveSourceRequest, SetSourceRequest, SetSourceResponse,
    StatusRequest, WatchersResponse,
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};

use crate::codec;
use crate::demux::Demux;
use crate::driver::Input;

#[derive(Clone)]
pub struct ApiLink(Arc<Shared>);

pub struct Shared {
    pub node: NodeId,
    pub name: String,
    pub members: Vec<Member>,
    pub domains: Vec<String>,
    pub demux: Demux,
    pub groups: Vec<Group>,
    pub drivers: HashMap<GroupId, mpsc::Sender<Input>>,
    pub started: Instant,
}

impl ApiLink {
    pub fn new(shared: Shared) -> ApiLink {
        ApiLink(Arc::new(shared))
    }

    /// Asks the driver of a group and waits for its reply.
    async fn ask<T>(
        &self,
        group: GroupId,
        input: impl FnOnce(oneshot::Sender<T>) -> Input,
    ) -> Result<T, Status> {
        let gone = || Status::unavailable("this manager does not serve now: it is starting or stopping");
        let driver = self.0.drivers.get(&group).ok_or_else(gone)?;
        let (reply, answer) = oneshot::channel();
        driver.send(input(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())
    }

    fn key(&self, presentity: &str) -> Result<(PresentityKey, GroupId), Status> {
        let key = codec::presentity(presentity, &self.0.domains).map_err(Status::invalid_argument)?;
        let group = self.0.demux.group_of(&key);
        Ok((key, group))
    }

    async fn change(&self, request: SetSource) -> Result<Response<SetSourceResponse>, Status> {
        let group = self.0.demux.group_of(&request.presentity);
        match self.ask(group, |reply| Input::SetSource { request, reply }).await? {
            ApiReply::Done(position) => {
                Ok(Response::new(SetSourceResponse { position: position.to_string() }))
            }
            ApiReply::Refused(refusal) => Err(Status::failed_precondition(refusal.to_string())),
            ApiReply::Unavailable => {
                Err(Status::unavailable("no leader takes changes now; nothing was stored"))
            }
            ApiReply::Unknown => Err(Status::deadline_exceeded("whether the change was stored is not known")),
        }
    }
}

#[tonic::async_trait]
impl Presence for ApiLink {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<PresentityState, Status>> + Send>>;

    async fn set_source(
        &self,
        request: Request<SetSourceRequest>,
    ) -> Result<Response<SetSourceResponse>, Status> {
        let change =
            codec::set_source(request.into_inner(), &self.0.domains).map_err(Status::invalid_argument)?;
        self.change(change).await
    }

    async fn remove_source(
        &self,
        request: Request<RemoveSourceRequest>,
    ) -> Result<Response<SetSourceResponse>, Status> {
        let change =
            codec::remove_source(request.into_inner(), &self.0.domains).map_err(Status::invalid_argument)?;
        self.change(change).await
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<PresentityState>, Status> {
        let (key, group) = self.key(&request.get_ref().presentity)?;
        let state = self.ask(group, |reply| Input::Get { key, reply }).await?;
        Ok(Response::new(codec::state(state)))
    }

    async fn watchers(&self, request: Request<GetRequest>) -> Result<Response<WatchersResponse>, Status> {
        let (key, group) = self.key(&request.get_ref().presentity)?;
        let watchers = self.ask(group, |reply| Input::Watchers { key, reply }).await?;
        Ok(Response::new(WatchersResponse { watchers: watchers.into_iter().map(codec::watcher).collect() }))
    }

    async fn watch(&self, request: Request<GetRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (key, group) = self.key(&request.get_ref().presentity)?;
        let followed = self.ask(group, |reply| Input::Follow { key, reply }).await?;
        let states =
            followed.map_err(|_| Status::resource_exhausted("too many programs follow presentities here"))?;
        Ok(Response::new(Box::pin(WatchStream::new(states).map(|state| Ok(codec::state(state))))))
    }
}

#[tonic::async_trait]
impl Admin for ApiLink {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<NodeStatus>, Status> {
        let mut groups = Vec::with_capacity(self.0.groups.len());
        for group in &self.0.groups {
            let counts = self.ask(group.id(), |reply| Input::Counts { reply }).await?;
            groups.push(codec::group(group.id(), group.status(), counts));
        }
        let members = self.0.members.iter().map(|member| proto::v1::Member {
            node: member.id.0,
            name: member.name.clone(),
            grpc: member.grpc.clone(),
        });
        Ok(Response::new(NodeStatus {
            node: self.0.node.0,
            name: self.0.name.clone(),
            uptime: self.0.started.elapsed().as_secs(),
            groups,
            members: members.collect(),
        }))
    }
}
