//! Carries proposals to leaders on other nodes: one gRPC stream to each, shared by all groups, opened when needed.
//!
//! A stream that breaks, or stays silent while an answer is due, is closed; its batches are unanswered and the next
//! batch opens another. Each group has at most one batch under way, so the queues here stay short.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use placement::{GroupId, NodeId};
use proto::v1::raft_client::RaftClient;
use proto::v1::{Proposal, ProposeOutcome, ProposeReply, ProposeRequest};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tracing::debug;

use crate::front::Letterhead;
use crate::peers::Peers;
use crate::raft::network::MESSAGE_LIMIT;

/// An answer is due after this time.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
const QUEUE: usize = 64;

/// The links to all other nodes. Clones are the same links; they end with the last clone.
#[derive(Clone)]
pub struct Forward {
    letterhead: Letterhead,
    peers: Peers,
    links: Arc<Mutex<BTreeMap<NodeId, mpsc::Sender<Batch>>>>,
}

struct Batch {
    request: ProposeRequest,
    answer: oneshot::Sender<ProposeOutcome>,
}

impl Forward {
    pub fn new(letterhead: Letterhead, peers: Peers) -> Forward {
        Forward { letterhead, peers, links: Arc::default() }
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
        let (answer, answered) = oneshot::channel();
        self.link(leader)?.send(Batch { request, answer }).await.ok()?;
        tokio::time::timeout(ANSWER_WAIT, answered).await.ok()?.ok()
    }

    pub fn name_of(&self, node: NodeId) -> String {
        self.peers.name_of(node)
    }

    /// The link to a member; one to a node that is no member ends.
    fn link(&self, target: NodeId) -> Option<mpsc::Sender<Batch>> {
        let mut links = self.links.lock();
        if self.peers.get(target).is_none() {
            links.remove(&target);
            return None;
        }
        let link = links.entry(target).or_insert_with(|| {
            let (sender, batches) = mpsc::channel(QUEUE);
            tokio::spawn(Link { target, peers: self.peers.clone(), batches }.run());
            sender
        });
        Some(link.clone())
    }
}

struct Link {
    target: NodeId,
    peers: Peers,
    batches: mpsc::Receiver<Batch>,
}

impl Link {
    async fn run(mut self) {
        while let Some(first) = self.batches.recv().await {
            if let Err(status) = self.stream(first).await {
                self.peers.ended(&status);
                debug!(target = self.peers.name_of(self.target), %status, "The stream of proposals broke");
            }
        }
    }

    /// Serves one stream until it breaks.
    async fn stream(&mut self, first: Batch) -> Result<(), Status> {
        let peer = self.peers.get(self.target).ok_or_else(|| Status::not_found("no member any more"))?;
        let mut client = RaftClient::new(peer.proposals).max_decoding_message_size(MESSAGE_LIMIT);
        let (requests, outgoing) = mpsc::channel(QUEUE);
        let mut due = Due::default();
        due.send(first, &requests).await?;
        let opening = client.propose(ReceiverStream::new(outgoing));
        let opened = tokio::time::timeout(ANSWER_WAIT, opening).await;
        let mut replies = opened.map_err(|_| silent())??.into_inner();
        loop {
            tokio::select! {
                batch = self.batches.recv() => match batch {
                    Some(batch) => due.send(batch, &requests).await?,
                    None => return Ok(()),
                },
                reply = next_reply(&mut replies, !due.0.is_empty()) => due.answer(reply?),
            }
        }
    }
}

/// Batches that were sent on a stream and not yet answered.
#[derive(Default)]
struct Due(HashMap<u64, oneshot::Sender<ProposeOutcome>>, u64);

impl Due {
    async fn send(
        &mut self,
        mut batch: Batch,
        requests: &mpsc::Sender<ProposeRequest>,
    ) -> Result<(), Status> {
        self.1 += 1;
        batch.request.batch = self.1;
        self.0.insert(self.1, batch.answer);
        requests.send(batch.request).await.map_err(|_| Status::cancelled("the stream was closed"))
    }

    fn answer(&mut self, reply: ProposeReply) {
        if let Some(answer) = self.0.remove(&reply.batch) {
            // Whoever asked may have turned to another leader.
            let _ = answer.send(reply.outcome());
        }
    }
}

async fn next_reply(replies: &mut Streaming<ProposeReply>, due: bool) -> Result<ProposeReply, Status> {
    let wait = if due { ANSWER_WAIT } else { Duration::MAX };
    let reply = tokio::time::timeout(wait, replies.message()).await.map_err(|_| silent())??;
    reply.ok_or_else(|| Status::cancelled("the peer closed the stream"))
}

fn silent() -> Status {
    Status::deadline_exceeded("no answer")
}
