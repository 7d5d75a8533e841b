//! Entity-tags (RFC 3903 section 5): the name that a publisher quotes to change what it published.

use std::fmt;
use std::sync::Arc;

use crate::position::Position;
use sip::digits::push_hex;

/// A token (RFC 3261 25.1), never used twice: it holds the slot of its presentity and the log position that made it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntityTag(Arc<str>);

impl EntityTag {
    /// `slot` is the presentity's slot as placement writes it.
    pub fn minted(slot: impl fmt::Display, position: Position) -> EntityTag {
        let mut tag = slot.to_string();
        for number in [position.entry(), position.offset()] {
            tag.push('-');
            push_hex(&mut tag, number.into(), 1);
        }
        EntityTag(tag.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for EntityTag {
    fn from(text: &str) -> EntityTag {
        EntityTag(text.into())
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
