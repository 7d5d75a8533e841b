//! What is known of each of many, for as many as there is room.
//!
//! The table has two halves: whoever is noted is in the young one; when that is full it becomes the old one, and who was not
//! noted since the turn before is forgotten. A flood from as many forged names as that costs us what it would without the
//! table.

use std::collections::BTreeMap;

pub struct Recent<K, V> {
    most: usize,
    young: BTreeMap<K, V>,
    old: BTreeMap<K, V>,
    turns: u64,
}

impl<K: Ord, V: Copy> Recent<K, V> {
    pub fn new(most: usize) -> Recent<K, V> {
        Recent { most, young: BTreeMap::new(), old: BTreeMap::new(), turns: 0 }
    }

    pub fn get(&self, key: &K) -> Option<V> {
        self.young.get(key).or_else(|| self.old.get(key)).copied()
    }

    pub fn put(&mut self, key: K, value: V) {
        if self.young.len() >= (self.most / 2).max(1) && !self.young.contains_key(&key) {
            let forgotten = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.turns += u64::from(!forgotten.is_empty());
        }
        self.young.insert(key, value);
    }

    /// How often somebody was forgotten for lack of room since this was asked last.
    pub fn take_turns(&mut self) -> u64 {
        std::mem::take(&mut self.turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_keeps_its_bound_forgets_who_is_quiet_and_says_so() {
        let mut recent = Recent::new(100);
        for stranger in 0..10_000 {
            recent.put(stranger, stranger);
            recent.put(-1, 0);
            assert!(recent.young.len() + recent.old.len() <= 100);
        }

        assert_eq!((recent.get(&-1), recent.get(&0)), (Some(0), None));
        assert!(recent.take_turns() > 0);
        assert_eq!(recent.take_turns(), 0);
    }
}
