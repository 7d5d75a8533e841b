//! Carries proposals to leaders on other nodes: one gRPC stream to each, shared by all groups, opened when needed.
//!
//! A stream that breaks, or stays silent while an answer is due, is closed; its batches are unanswered and the next
//! batch opens another. Each group has at most one batch under way, so the queues here stay short.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use placement::{GroupId, NodeId};
use proto::v1::raft_client::RaftClient;
use proto::v1::{Envelope, Proposal, ProposeOutcome, ProposeReply, ProposeRequest};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use tracing::debug;

use crate::raft::network::MESSAGE_LIMIT;

/// An answer is due after this time.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
const QUEUE: usize = 64;

/// The links to all other nodes. Clones are the same links.
#[derive(Clone)]
pub struct Forward {
    node: NodeId,
    links: Arc<BTreeMap<NodeId, mpsc::Sender<Batch>>>,
}

struct Batch {
    request: ProposeRequest,
    answer: oneshot::Sender<ProposeOutcome>,
}

impl Forward {
    /// Starts one task for each of the channels.
    pub fn start(node: NodeId, channels: BTreeMap<NodeId, Channel>, tasks: &mut JoinSet<()>) -> Forward {
        let mut links = BTreeMap::new();
        for (target, channel) in channels {
            let (sender, batches) = mpsc::channel(QUEUE);
            tasks.spawn(Link { target, channel, batches }.run());
            links.insert(target, sender);
        }
        Forward { node, links: Arc::new(links) }
    }

    /// `None` if nobody answered: then the leader may have taken the batch, or not.
    pub async fn offer(
        &self,
        leader: NodeId,
        group: GroupId,
        incarnation: u64,
        proposals: Vec<Proposal>,
    ) -> Option<ProposeOutcome> {
        let to = Some(Envelope { group: group.0, source: self.node.0, target: leader.0 });
        let request = ProposeRequest { to, batch: 0, incarnation, proposals };
        let (answer, answered) = oneshot::channel();
        self.links.get(&leader)?.send(Batch { request, answer }).await.ok()?;
        tokio::time::timeout(ANSWER_WAIT, answered).await.ok()?.ok()
    }
}

struct Link {
    target: NodeId,
    channel: Channel,
    batches: mpsc::Receiver<Batch>,
}

impl Link {
    async fn run(mut self) {
        while let Some(first) = self.batches.recv().await {
            if let Err(status) = self.stream(first).await {
                debug!(target = %self.target, %status, "The stream of proposals broke");
            }
        }
    }

    /// Serves one stream until it breaks.
    async fn stream(&mut self, first: Batch) -> Result<(), Status> {
        let mut client = RaftClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_LIMIT);
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
