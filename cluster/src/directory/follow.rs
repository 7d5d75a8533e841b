//! Serves the directory to whoever follows it: dispatchers, and whatever else must know who is there.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use proto::v1::directory_server::{Directory as DirectoryService, DirectoryServer};
use proto::v1::{DirectoryState, FollowRequest};
use tokio::sync::Semaphore;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};

use super::wire;
use crate::membership::front::Front;

/// Streams at one time. At the limit another one is refused with RESOURCE_EXHAUSTED.
const FOLLOWERS: usize = 1_024;

#[derive(Clone)]
pub struct Follow {
    front: Front,
    places: Arc<Semaphore>,
}

impl Follow {
    pub fn server(front: Front) -> DirectoryServer<Follow> {
        DirectoryServer::new(Follow { front, places: Arc::new(Semaphore::new(FOLLOWERS)) })
    }
}

#[tonic::async_trait]
impl DirectoryService for Follow {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<DirectoryState, Status>> + Send>>;

    /// A slow follower sees the newest directory and not each one in between. Before the birth there is none to see.
    async fn follow(&self, _: Request<FollowRequest>) -> Result<Response<Self::FollowStream>, Status> {
        let place = self.places.clone().try_acquire_owned();
        let place = place.map_err(|_| Status::resource_exhausted("too many follow the directory here"))?;
        let directories = WatchStream::new(self.front.watch());
        let states = directories.filter_map(move |directory| {
            let _kept_while_streaming = &place;
            std::future::ready(directory.is_born().then(|| Ok(wire::state(&directory))))
        });
        Ok(Response::new(Box::pin(states)))
    }
}
