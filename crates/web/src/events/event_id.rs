//! The ids of events, by which a client that comes back says what it has seen.
//!
//! Positions of presentities in different groups cannot be compared, so an id says for each presentity of the stream the
//! position that was told last: `7f3a09c1:812.3,-,15.0`, in the order of their addresses, `-` for one of which nothing
//! was told. What stands before the colon is a hash over the cluster and these addresses: an id that belongs to
//! another cluster, or to a stream of other presentities, says nothing here, and everything is told anew.

use std::fmt;

use placement::PresentityKey;
use sha2::{Digest, Sha256};

use crate::json::Position;

/// What one client has seen of the presentities of its stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    tag: u32,
    positions: Vec<Option<Position>>,
}

/// The text is no id at all.
#[derive(Debug, PartialEq)]
pub struct NoId;

impl Seen {
    /// Nothing yet. The presentities are in order.
    pub fn nothing(cluster: u64, presentities: &[PresentityKey]) -> Seen {
        let mut hash = Sha256::new_with_prefix(cluster.to_be_bytes());
        for presentity in presentities {
            hash.update(presentity.as_str());
            hash.update(b"\n");
        }
        let hash = hash.finalize();
        let tag = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
        Seen { tag, positions: vec![None; presentities.len()] }
    }

    /// Takes over what an id says, if it was made for the same stream. A bare position, as every state has one, will do
    /// where there is one presentity.
    pub fn resume(&mut self, id: &str) -> Result<(), NoId> {
        if let (Some(position), [only]) = (Position::parse(id), &mut *self.positions) {
            *only = Some(position);
            return Ok(());
        }
        let (tag, positions) = id.split_once(':').ok_or(NoId)?;
        let tag = u32::from_str_radix(tag, 16).map_err(|_| NoId)?;
        let positions: Vec<_> = positions.split(',').map(position).collect::<Result<_, _>>()?;
        if tag == self.tag && positions.len() == self.positions.len() {
            self.positions = positions;
        }
        Ok(())
    }

    pub fn positions(&self) -> impl Iterator<Item = Option<Position>> + '_ {
        self.positions.iter().copied()
    }

    pub fn told(&mut self, place: usize, position: Option<Position>) {
        if let (Some(seen), Some(position)) = (self.positions.get_mut(place), position) {
            *seen = Some(position);
        }
    }
}

fn position(text: &str) -> Result<Option<Position>, NoId> {
    match text {
        "-" => Ok(None),
        _ => Position::parse(text).map(Some).ok_or(NoId),
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}:", self.tag)?;
        for (place, position) in self.positions.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            match position {
                Some(position) => write!(f, "{comma}{position}")?,
                None => write!(f, "{comma}-")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(cluster: u64, users: &[&str]) -> Seen {
        let key = |user: &&str| PresentityKey::of(&format!("sip:{user}@vedette.test")).unwrap();
        Seen::nothing(cluster, &users.iter().map(key).collect::<Vec<_>>())
    }

    #[test]
    fn an_id_says_what_was_seen_of_each() {
        let mut seen = stream(7, &["alice", "bob", "carol"]);
        seen.told(0, Position::parse("812.3"));
        seen.told(2, Position::parse("15.0"));

        let mut resumed = stream(7, &["alice", "bob", "carol"]);
        resumed.resume(&seen.to_string()).unwrap();

        assert_eq!(resumed, seen);
        assert!(seen.to_string().ends_with(":812.3,-,15.0"), "{seen}");
    }

    #[test]
    fn an_id_of_another_stream_or_another_cluster_says_nothing() {
        let mut seen = stream(7, &["alice"]);
        seen.told(0, Position::parse("812.3"));

        for mut other in [stream(7, &["bob"]), stream(8, &["alice"]), stream(7, &["alice", "bob"])] {
            let untouched = other.clone();
            assert_eq!(other.resume(&seen.to_string()), Ok(()));
            assert_eq!(other, untouched);
        }
    }

    #[test]
    fn the_position_of_a_state_will_do_for_a_stream_of_one() {
        let (mut one, mut two) = (stream(7, &["alice"]), stream(7, &["alice", "bob"]));

        assert_eq!(one.resume("812.3"), Ok(()));
        assert_eq!(one.positions().collect::<Vec<_>>(), [Position::parse("812.3")]);
        assert_eq!(two.resume("812.3"), Err(NoId));
    }

    #[test]
    fn what_is_no_id_is_told_apart() {
        for text in ["", "latest", ":", "7f3a09c1", "7f3a09c1:", "7f3a09c1:1.2.3", "xyz:1.0", "1:1.0,"] {
            assert_eq!(stream(7, &["alice"]).resume(text), Err(NoId), "{text}");
        }
    }
}
