//! The shapes of what the API says, in one place for those who write them (`api`) and those who read them (`vedette ctl`).
//!
//! The field names are a contract with other people's programs: fields are added, never renamed. `openapi.json` tells
//! these people; a test holds the two together.

mod cluster;
mod presence;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use cluster::*;
pub use presence::*;

/// The body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    pub error: String,
    pub hint: String,
}

/// A log position, which managers write as "index.offset"; a larger one is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub index: u64,
    pub offset: u64,
}

impl Position {
    /// Of a presentity of which nothing is recorded, or nothing any more.
    pub const NOTHING: Position = Position { index: 0, offset: 0 };

    pub fn parse(text: &str) -> Option<Position> {
        let (index, offset) = text.split_once('.')?;
        Some(Position { index: index.parse().ok()?, offset: offset.parse().ok()? })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.offset)
    }
}
