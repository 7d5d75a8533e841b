//! Slots: the 1,024 parts that all presentities hash into, for ever; and the table that gives each slot its group.

use std::fmt;

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
        Slot((hash::hash(key.as_str().as_bytes()) % u64::from(Self::COUNT)) as u16)
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
        write!(f, "{:03x}", self.0)
    }
}

/// Which group holds each slot. Fixed at birth: groups are numbered from 1 and the slots dealt out in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotTable {
    groups: u32,
}

impl SlotTable {
    /// `groups` is at least 1; 0 is read as 1.
    pub fn dealt(groups: u32) -> SlotTable {
        SlotTable { groups: groups.clamp(1, u32::from(Slot::COUNT)) }
    }

    pub fn group_of(&self, slot: Slot) -> GroupId {
        GroupId(1 + u32::from(slot.0) % self.groups)
    }

    pub fn groups(&self) -> impl Iterator<Item = GroupId> + use<> {
        (1..=self.groups).map(GroupId)
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
        let groups: Vec<_> = table.groups().collect();

        assert!((0..Slot::COUNT).all(|n| groups.contains(&table.group_of(Slot(n)))));
    }
}
