//! Presence for programs: what the API asks of an agent, and what it is answered.

use bytes::Bytes;
use placement::{NodeId, PresentityKey};
use presence::position::Position;
use presence::status::Status;

use crate::shard::Refusal;

/// The caller's name for a request whose answer waits for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiTicket(pub u64);

/// One change of a source. Its name must be short, because every replica keeps it.
#[derive(Clone, Debug)]
pub struct SetSource {
    pub presentity: PresentityKey,
    pub source: String,
    /// `None` removes the source.
    pub state: Option<SourceState>,
}

#[derive(Clone, Debug)]
pub struct SourceState {
    pub status: Status,
    pub note: Option<String>,
    /// Seconds; 0 keeps the source until it is removed.
    pub expires: u32,
}

/// What became of a [`SetSource`].
#[derive(Clone, Debug, PartialEq)]
pub enum ApiReply {
    Done(Position),
    Refused(Refusal),
    /// Certainly not stored.
    Unavailable,
    /// It may be stored or not; nobody can say in time.
    Unknown,
}

/// A presentity as this replica holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct PresentityState {
    pub presentity: PresentityKey,
    pub position: Position,
    pub open: bool,
    pub notes: Vec<String>,
    pub activities: Vec<String>,
    pub publications: usize,
    pub sources: usize,
    pub bindings: usize,
    pub document: Bytes,
}

#[derive(Clone, Debug, PartialEq)]
pub struct WatcherState {
    pub watcher: String,
    pub event: String,
    pub ended: bool,
    pub seconds_left: u32,
    pub owner: NodeId,
    pub call_id: String,
}

/// Counts for an operator.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    pub presentities: usize,
    pub publications: usize,
    pub sources: usize,
    pub bindings: usize,
    pub subscriptions: usize,
    pub owned: usize,
    pub dirty: usize,
}
