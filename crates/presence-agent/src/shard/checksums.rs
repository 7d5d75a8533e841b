//! What replicas tell each other of their state at fixed positions, so that one that went astray is found.
//!
//! After every [`EVERY`]th entry each node reports the hash of its header and one slot, another slot each time. The first
//! report on a position stands; one that differs names two nodes that do not hold the same state.

use std::collections::BTreeMap;

use bytes::Bytes;
use placement::{NodeId, Slot};
use prost::Message;
use proto::v1;

use super::snapshot::write_slot;
use super::{Applied, Effect, Shard};

/// So many entries lie between two positions that are compared.
const EVERY: u64 = 256;
/// Positions whose first report is remembered; a replica that lags more is not compared.
const KEPT: usize = 8;

/// The first report on each of the latest positions.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Checksums(BTreeMap<u64, v1::Checksum>);

impl Checksums {
    pub fn records(&self) -> Vec<v1::Checksum> {
        self.0.values().copied().collect()
    }

    pub fn restored(records: Vec<v1::Checksum>) -> Checksums {
        Checksums(records.into_iter().map(|record| (record.index, record)).collect())
    }

    /// Gives the first report if this one contradicts it.
    fn report(&mut self, report: &v1::Checksum) -> Option<v1::Checksum> {
        let first = *self.0.entry(report.index).or_insert(*report);
        while self.0.len() > KEPT {
            self.0.pop_first();
        }
        (first.hash != report.hash).then_some(first)
    }
}

impl Shard {
    /// What `node` reports of its state after entry `index`, if that is one of the positions to compare.
    pub fn checksum(&self, node: NodeId, index: u64) -> Option<v1::Checksum> {
        let number = (index / EVERY) % u64::from(Slot::COUNT);
        let slot = Slot::new(number as u16).filter(|_| index.is_multiple_of(EVERY))?;
        Some(v1::Checksum { node: node.0, index, slot: u32::from(slot.number()), hash: self.hash_of(slot) })
    }

    fn hash_of(&self, slot: Slot) -> u64 {
        let mut chunks = vec![Bytes::from(self.header().encode_to_vec())];
        if let Some(state) = self.slots.get(slot) {
            write_slot(slot, state, &mut chunks);
        }
        placement::hash(&chunks.concat())
    }

    pub(super) fn compare(&mut self, report: &v1::Checksum) -> Applied {
        let differs = self.checksums.report(report);
        Applied::done().with(differs.map(|first| Effect::Diverged {
            index: report.index,
            slot: report.slot,
            nodes: [NodeId(first.node), NodeId(report.node)],
        }))
    }
}
