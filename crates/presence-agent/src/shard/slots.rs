//! The slots of a shard, each behind an `Arc`, found by their number.

use std::sync::Arc;

use placement::Slot;

use super::slot_state::SlotState;

/// A slot of which no command has spoken yet has no state.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Slots(Vec<Option<Arc<SlotState>>>);

impl Slots {
    pub fn get(&self, slot: Slot) -> Option<&SlotState> {
        self.0[usize::from(slot.number())].as_deref()
    }

    /// Copies the slot if a picture still holds it.
    pub fn get_mut(&mut self, slot: Slot) -> &mut SlotState {
        Arc::make_mut(self.0[usize::from(slot.number())].get_or_insert_default())
    }

    /// Those that have a state, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &SlotState)> {
        let held = (0..).map_while(Slot::new).zip(&self.0);
        held.filter_map(|(slot, state)| Some((slot, state.as_deref()?)))
    }

    pub fn values(&self) -> impl Iterator<Item = &SlotState> {
        self.0.iter().flatten().map(Arc::as_ref)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Arc<SlotState>> {
        self.0.iter_mut().flatten()
    }
}

impl Default for Slots {
    fn default() -> Slots {
        Slots(vec![None; usize::from(Slot::COUNT)])
    }
}
