//! What is known of each source, for as many as there is room.
//!
//! The table has two halves: whoever is noted is in the young one; when that is full, it becomes the old one, and who was not
//! noted since the turn before is forgotten. A flood from as many forged sources as that costs us what it would without the
//! table.

use std::collections::HashMap;

use super::Source;

pub struct Recent<V> {
    most: usize,
    young: HashMap<Source, V>,
    old: HashMap<Source, V>,
    turns: u64,
}

impl<V: Copy> Recent<V> {
    pub fn new(most: usize) -> Recent<V> {
        Recent { most, young: HashMap::new(), old: HashMap::new(), turns: 0 }
    }

    pub fn get(&self, source: Source) -> Option<V> {
        self.young.get(&source).or_else(|| self.old.get(&source)).copied()
    }

    pub fn put(&mut self, source: Source, value: V) {
        if self.young.len() >= (self.most / 2).max(1) && !self.young.contains_key(&source) {
            let forgotten = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.turns += u64::from(!forgotten.is_empty());
        }
        self.young.insert(source, value);
    }

    /// How often somebody was forgotten for lack of room since this was asked last.
    pub fn take_turns(&mut self) -> u64 {
        std::mem::take(&mut self.turns)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::source;
    use super::*;

    #[test]
    fn the_table_keeps_its_bound_forgets_who_is_quiet_and_says_so() {
        let mut recent = Recent::new(100);
        for stranger in 0..10_000u32 {
            let ip = std::net::Ipv4Addr::from_bits(0x0a00_0000 + stranger).to_string();
            recent.put(source(&ip, 0), stranger);
            recent.put(source("192.0.2.1", 0), 0);
            assert!(recent.young.len() + recent.old.len() <= 100);
        }

        assert_eq!(recent.get(source("192.0.2.1", 0)), Some(0));
        assert_eq!(recent.get(source("10.0.0.0", 0)), None);
        assert!(recent.take_turns() > 0);
        assert_eq!(recent.take_turns(), 0);
    }
}
