//! Slots: the 1,024 parts that all presentities hash into, for ever; and the table that gives each slot its group.

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::sync::Arc;

use crate::{GroupId, PresentityKey, hash};

/// One of the [`Slot::COUNT`] parts of the presentities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    pub const COUNT: u16 = 1024;

    pub fn new(number: u16) -> Option<Slot> {
        (number < Self::COUNT).then_some(Slot(number))
    }

    pub fn of(key: &PresentityKey) -> Slot {
        Slot::of_text(key.as_str())
    }

    /// Of the key that [`PresentityKey::as_str`] gave.
    pub fn of_text(key: &str) -> Slot {
        Slot((hash::hash(key.as_bytes()) % u64::from(Self::COUNT)) as u16)
    }

    pub fn number(self) -> u16 {
        self.0
    }

    /// Reads the three hexadecimal digits that a tag or an entity-tag begins with.
    pub fn from_prefix(text: &str) -> Option<Slot> {
        let digits = text.get(..3)?;
        u16::from_str_radix(digits, 16).ok().and_then(Slot::new)
    }
}

/// Three hexadecimal digits, as tags carry them.
impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        [8, 4, 0]
            .iter()
            .try_for_each(|shift| f.write_char(char::from(DIGITS[usize::from(self.0 >> shift & 15)])))
    }
}

/// Which group holds each slot. Written at birth; clones share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotTable(Arc<[GroupId]>);

impl SlotTable {
    /// The first table of a cluster: groups are numbered from 1, for 0 is the system group, and the slots dealt out in
    /// turn. `groups` is at least 1 and at most one for each slot.
    pub fn dealt(groups: u32) -> SlotTable {
        let groups = groups.clamp(1, u32::from(Slot::COUNT));
        SlotTable((0..u32::from(Slot::COUNT)).map(|slot| GroupId(1 + slot % groups)).collect())
    }

    /// `None` unless there is one group for each slot, and none of them is the system group.
    pub fn of(groups: impl IntoIterator<Item = GroupId>) -> Option<SlotTable> {
        let groups: Arc<[GroupId]> = groups.into_iter().take(usize::from(Slot::COUNT) + 1).collect();
        let whole = groups.len() == usize::from(Slot::COUNT) && !groups.contains(&GroupId::SYSTEM);
        whole.then_some(SlotTable(groups))
    }

    pub fn group_of(&self, slot: Slot) -> GroupId {
        self.0[usize::from(slot.0)]
    }

    /// The group of each slot, in the order of the slots.
    pub fn iter(&self) -> impl Iterator<Item = GroupId> + '_ {
        self.0.iter().copied()
    }

    /// Every group that holds a slot, once, in order.
    pub fn groups(&self) -> BTreeSet<GroupId> {
        self.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_of_a_presentity_never_changes() {
        let slot = |uri| Slot::of(&PresentityKey::of(uri).unwrap()).number();

        assert_eq!((slot("sip:alice@vedette.test"), slot("sip:bob@vedette.test")), (986, 41));
    }

    #[test]
    fn a_slot_reads_back_from_the_tag_that_begins_with_it() {
        let slot = Slot::new(1023).unwrap();

        assert_eq!(Slot::from_prefix(&format!("{slot}-5f-0")), Some(slot));
        assert_eq!(Slot::from_prefix("400-1"), None);
        assert_eq!(Slot::from_prefix("é"), None);
    }

    #[test]
    fn every_slot_has_one_of_the_groups() {
        let table = SlotTable::dealt(3);

        assert_eq!(table.groups(), BTreeSet::from([1, 2, 3].map(GroupId)));
        assert_eq!(SlotTable::of(table.iter()), Some(table));
    }

    #[test]
    fn a_table_that_is_not_whole_or_names_the_system_group_is_none() {
        let table = |count, first| SlotTable::of((first..first + count).map(GroupId));

        assert!(table(1024, 1).is_some());
        assert_eq!((table(1023, 1), table(1025, 1), table(1024, 0)), (None, None, None));
    }
}
