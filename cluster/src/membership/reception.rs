//! What a node answers to others from its first moment, before it takes part in anything: who it is. A member also admits
//! those who come with a new id.

use std::sync::{Arc, OnceLock};

use placement::ClusterId;
use proto::v1::membership_server::{Membership, MembershipServer};
use proto::v1::{self, DirectoryRecord, HelloRequest, JoinRequest};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use crate::config::is_address;
use crate::directory::wire;
use crate::membership::admission::Admission;
use crate::membership::front::Front;
use crate::membership::hello::introduce;

/// Nodes that ask to join at a time; another one is told to come again.
const JOINING: usize = 8;
const NAME_LIMIT: usize = 255;

/// Clones are the same.
#[derive(Clone)]
pub struct Reception {
    front: Front,
    admission: Arc<OnceLock<Admission>>,
    places: Arc<Semaphore>,
}

impl Reception {
    pub fn new(front: Front) -> Reception {
        Reception { front, admission: Arc::default(), places: Arc::new(Semaphore::new(JOINING)) }
    }

    /// From now on this node is a member.
    pub fn open(&self, admission: Admission) {
        // A node becomes a member once.
        let _ = self.admission.set(admission);
    }

    pub fn into_server(self) -> MembershipServer<Reception> {
        MembershipServer::new(self)
    }
}

#[tonic::async_trait]
impl Membership for Reception {
    async fn hello(&self, request: Request<HelloRequest>) -> Result<Response<v1::Introduction>, Status> {
        let HelloRequest { cluster, member } = request.into_inner();
        if let Some((node, member)) = member.map(wire::read_member)
            && is_address(&member.grpc)
        {
            self.front.hear(ClusterId(cluster), node, member);
        }
        Ok(Response::new(introduce(self.front.introduction())))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<DirectoryRecord>, Status> {
        let admission =
            self.admission.get().ok_or_else(|| Status::unavailable("this node is no member yet"))?;
        let _place = self.places.try_acquire().map_err(|_| Status::unavailable("others are joining"))?;
        let JoinRequest { cluster, member } = request.into_inner();
        if cluster != self.front.letterhead().cluster.0 {
            return Err(Status::failed_precondition("this node belongs to another cluster"));
        }
        let (node, member) = member.map(wire::read_member).ok_or_else(|| Status::invalid_argument("who?"))?;
        let named = !member.name.is_empty() && member.name.len() <= NAME_LIMIT;
        if node.0 == 0 || !named || !is_address(&member.grpc) || !is_address(&member.sip) {
            return Err(Status::invalid_argument("a member has an id, a name and two addresses"));
        }
        let directory = admission.admit(node, member).await?;
        Ok(Response::new(wire::record(&directory)))
    }
}
