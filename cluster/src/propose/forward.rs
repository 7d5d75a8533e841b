//! Carries proposals to leaders on other nodes. Each group has at most one batch under way.

use placement::{GroupId, NodeId};
use proto::v1::{Proposal, ProposeOutcome, ProposeReply, ProposeRequest};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

use crate::calls::{Call, Calls};
use crate::membership::front::Letterhead;
use crate::peers::Peers;
use crate::raft::network::{Peer, client};

/// The way to all other nodes. Clones are the same way.
#[derive(Clone)]
pub struct Forward {
    letterhead: Letterhead,
    peers: Peers,
    calls: Calls<ProposeRequest>,
}

impl Forward {
    pub fn new(letterhead: Letterhead, peers: Peers) -> Forward {
        Forward { letterhead, calls: Calls::new(peers.clone()), peers }
    }

    /// `None` if nobody answered: then the leader may have taken the batch, or not.
    pub async fn offer(
        &self,
        leader: NodeId,
        group: GroupId,
        incarnation: u64,
        proposals: Vec<Proposal>,
    ) -> Option<ProposeOutcome> {
        let to = Some(self.letterhead.to(group, leader));
        let request = ProposeRequest { to, batch: 0, incarnation, proposals };
        Some(self.calls.call(leader, request).await.ok()?.outcome())
    }

    pub fn name_of(&self, node: NodeId) -> String {
        self.peers.name_of(node)
    }
}

impl Call for ProposeRequest {
    type Reply = ProposeReply;

    fn numbered(self, batch: u64) -> ProposeRequest {
        ProposeRequest { batch, ..self }
    }

    fn number(reply: &ProposeReply) -> u64 {
        reply.batch
    }

    async fn open(
        peer: Peer,
        messages: ReceiverStream<ProposeRequest>,
    ) -> Result<Response<Streaming<ProposeReply>>, Status> {
        client(&peer.proposals).propose(messages).await
    }
}
