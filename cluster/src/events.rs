//! What a group tells its consumer, in order: what was committed, what became of its own commands, who leads.

use std::fmt;

use bytes::Bytes;
use placement::NodeId;
use tokio::sync::{mpsc, oneshot};

/// The consumer's end of a group. It is bounded: a consumer that stops reading stops the group's applying.
pub struct GroupEvents(mpsc::Receiver<Event>);

#[derive(Debug)]
pub enum Event {
    /// The next entry of the log, without commands if it is Raft's own. Every node sees every entry once, in order,
    /// from the position of its last `Restore` on. The same ticket may come more than once, in this entry or a later one: it was proposed
    /// again after a leader failed. The consumer performs the first one and ignores the others.
    Committed(Entry),
    /// The command was never proposed and never will be.
    Failed { ticket: u64 },
    /// The command's fate is unknown and no longer followed; it may still be committed later.
    Lost { ticket: u64 },
    /// Replace the whole state: a snapshot was found at the start, or came from the leader.
    Restore { index: u64, stamp: u64, chunks: Vec<Bytes> },
    /// Take a copy-on-write picture of the state as of the last entry received, and answer at once.
    Capture(CaptureReply),
    /// A leader was elected or lost. `mine`: this node leads.
    Leadership { leader: Option<NodeId>, mine: bool },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub index: u64,
    /// Log time: milliseconds since the Unix epoch, never below that of an earlier entry.
    pub stamp: u64,
    pub commands: Vec<Submitted>,
}

/// A command and who proposed it: `ticket` is the origin's own number, valid for one of its incarnations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    pub origin: NodeId,
    pub incarnation: u64,
    pub ticket: u64,
    pub command: Bytes,
}

/// Turns the captured picture into the chunks of a snapshot file; runs on a thread that may block.
pub type Encode = Box<dyn FnOnce() -> Vec<Bytes> + Send>;

/// Dropped without an answer, there is no snapshot this time and the log stays as long as it is.
pub struct CaptureReply(oneshot::Sender<Encode>);

impl GroupEvents {
    /// The next event, or `None` once the group has stopped for good.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }

    /// An event that is already there.
    pub fn try_next(&mut self) -> Option<Event> {
        self.0.try_recv().ok()
    }
}

impl CaptureReply {
    pub fn send(self, encode: Encode) {
        // The group may have stopped meanwhile; then nobody wants the picture.
        let _ = self.0.send(encode);
    }
}

impl fmt::Debug for CaptureReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CaptureReply")
    }
}

pub(crate) fn channel(capacity: usize) -> (mpsc::Sender<Event>, GroupEvents) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    (sender, GroupEvents(receiver))
}

pub(crate) fn capture() -> (CaptureReply, oneshot::Receiver<Encode>) {
    let (sender, receiver) = oneshot::channel();
    (CaptureReply(sender), receiver)
}
