//! P1: replicas that have applied the same log hold the same state, and it is the one that was granted.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use presence_agent::shard::{Picture, Shard};

use super::{Check, broken};

#[derive(Default)]
pub struct Replicas {
    pictures: BTreeMap<u64, u64>,
}

/// How many entries lie between two comparisons.
const EVERY: u64 = 16;

impl Replicas {
    pub fn reference(&mut self, index: u64, shard: &Shard) {
        if index.is_multiple_of(EVERY) {
            self.pictures.insert(index, hash(shard.picture()));
        }
    }

    pub fn applied(&self, node: usize, index: u64, picture: impl FnOnce() -> u64) -> Check {
        match self.pictures.get(&index) {
            Some(reference) if *reference != picture() => {
                broken("P1 replicas differ", format!("node {node} at {index}"))
            }
            _ => Ok(()),
        }
    }
}

pub fn hash(picture: Picture) -> u64 {
    let mut hasher = DefaultHasher::new();
    picture.chunks().hash(&mut hasher);
    hasher.finish()
}
