//! Carries proposals to leaders on other nodes: one gRPC stream to each, shared by all groups, opened when needed.
//!
//! A stream that breaks, or stays silent while an answer is due, is closed; its batches are unanswered and the next
//! batch opens another. Each group has at most one batch under way, so the queues here stay short.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use placement::{GroupId, NodeId};
use proto::v1::raft_client::RaftClient;
use proto::v1::{Proposal, ProposeOutcome, ProposeReply, ProposeRequest};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
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
        requests.send(due.expect(first, Instant::now())).await.map_err(|_| closed())?;
        let opening = client.propose(ReceiverStream::new(outgoing));
        let opened = tokio::time::timeout(ANSWER_WAIT, opening).await;
        let mut replies = opened.map_err(|_| silent())??.into_inner();
        loop {
            let deadline = due.deadline();
            tokio::select! {
                batch = self.batches.recv() => match batch {
                    // It has room unless the peer reads nothing, and then the stream is of no use.
                    Some(batch) => requests.try_send(due.expect(batch, Instant::now())).map_err(|_| closed())?,
                    None => return Ok(()),
                },
                reply = replies.message() => due.answer(reply?.ok_or_else(closed)?),
                () = until(deadline) => return Err(silent()),
            }
        }
    }
}

/// Batches that were sent on a stream and not yet answered, oldest first.
#[derive(Default)]
struct Due {
    last: u64,
    batches: BTreeMap<u64, (Instant, oneshot::Sender<ProposeOutcome>)>,
}

impl Due {
    /// The request to be sent, with its number.
    fn expect(&mut self, batch: Batch, now: Instant) -> ProposeRequest {
        self.last += 1;
        self.batches.insert(self.last, (now, batch.answer));
        ProposeRequest { batch: self.last, ..batch.request }
    }

    fn answer(&mut self, reply: ProposeReply) {
        if let Some((_, answer)) = self.batches.remove(&reply.batch) {
            // Whoever asked may have turned to another leader.
            let _ = answer.send(reply.outcome());
        }
    }

    /// When the answer to the oldest batch is late, however many were sent after it.
    fn deadline(&self) -> Option<Instant> {
        self.batches.first_key_value().map(|(_, (sent, _))| *sent + ANSWER_WAIT)
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn silent() -> Status {
    Status::deadline_exceeded("no answer")
}

fn closed() -> Status {
    Status::cancelled("the peer closed the stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_batches_do_not_put_off_the_deadline_of_the_oldest() {
        let (mut due, start) = (Due::default(), Instant::now());
        assert_eq!(due.deadline(), None);

        for n in 0..5 {
            due.expect(batch(), start + n * Duration::from_millis(100));
        }

        assert_eq!(due.deadline(), Some(start + ANSWER_WAIT));
        due.answer(ProposeReply { batch: 3, ..ProposeReply::default() });
        assert_eq!(due.deadline(), Some(start + ANSWER_WAIT));
        due.answer(ProposeReply { batch: 1, ..ProposeReply::default() });
        assert_eq!(due.deadline(), Some(start + Duration::from_millis(100) + ANSWER_WAIT));
    }

    fn batch() -> Batch {
        Batch { request: ProposeRequest::default(), answer: oneshot::channel().0 }
    }
}
