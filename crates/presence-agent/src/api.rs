//! Presence for programs: what the API asks of an agent, and what it is answered.

use std::fmt;

use bytes::Bytes;
use placement::{NodeId, PresentityKey};
use presence::position::Position;
use presence::status::{AltContact, Status};

use crate::shard::Refusal;

/// The caller's name for a request whose answer waits for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiTicket(pub u64);

/// A user's name and password, as billing knows them.
#[derive(Clone)]
pub struct Credentials {
    pub username: String,
    pub realm: String,
    pub password: String,
    /// Where the program is, "address:port".
    pub source: String,
}

/// One change of a source. Its name must be short, because every replica keeps it.
#[derive(Clone, Debug)]
pub struct SetSource {
    pub presentity: PresentityKey,
    pub source: String,
    /// `None` removes the source.
    pub state: Option<SourceState>,
    /// If there, they must be the presentity's own, or nothing is changed.
    pub credentials: Option<Credentials>,
}

#[derive(Clone, Debug)]
pub struct SourceState {
    /// Without one nothing is said but the contacts.
    pub status: Option<Status>,
    pub note: Option<String>,
    /// Where else the presentity can be reached.
    pub contacts: Vec<AltContact>,
    /// Seconds; 0 keeps the source until it is removed.
    pub expires: u32,
}

/// What became of a change or a read.
#[derive(Clone, Debug, PartialEq)]
pub enum ApiReply {
    Done(Position),
    Refused(Refusal),
    /// The credentials are not what billing knows.
    WrongCredentials,
    /// The account may not do this, in the words of billing or ours.
    Denied(String),
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
    /// Up to where this replica had applied the log.
    pub as_of: Position,
    pub open: bool,
    pub notes: Vec<String>,
    pub activities: Vec<String>,
    /// The one that outweighs the others.
    pub status: Status,
    pub publications: usize,
    pub sources: usize,
    pub bindings: usize,
    pub document: Bytes,
}

impl PresentityState {
    /// Whether somebody who has seen the state at `seen` has not seen this one. Of whom nothing is left there is no
    /// position; then it counts how far this replica has come, which may lag behind the one that was asked before.
    pub fn is_news_after(&self, seen: Position) -> bool {
        match self.position == Position::default() {
            true => seen > Position::default() && self.as_of > seen,
            false => self.position > seen,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct WatcherState {
    pub watcher: String,
    pub event: String,
    pub pending: bool,
    pub ended: bool,
    pub seconds_left: u32,
    pub owner: NodeId,
    pub call_id: String,
    pub tenant: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials {{ {} }}", self.username)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn state(position: u64, as_of: u64) -> PresentityState {
        PresentityState {
            presentity: PresentityKey::restored("alice@lab.test"),
            position: Position(position),
            as_of: Position(as_of),
            open: false,
            notes: Vec::new(),
            activities: Vec::new(),
            status: Status::Unreachable,
            publications: 0,
            sources: 0,
            bindings: 0,
            document: Bytes::new(),
        }
    }

    #[test]
    fn what_was_seen_is_no_news_nor_is_what_a_lagging_replica_still_holds() {
        assert!(state(5, 9).is_news_after(Position(4)));
        assert!(!state(5, 9).is_news_after(Position(5)));
        assert!(!state(3, 3).is_news_after(Position(5)));
    }

    #[test]
    fn that_everything_is_gone_is_news_where_the_replica_is_far_enough_to_know() {
        assert!(state(0, 9).is_news_after(Position(5)));
        assert!(!state(0, 4).is_news_after(Position(5)));
        assert!(!state(0, 9).is_news_after(Position(0)));
    }
}
