//! The state as bytes: a picture taken at one position, written as chunks, and read back.
//!
//! A chunk holds at most about [`CHUNK`] bytes, so that a slot of any size can cross a stream of bounded messages.

use std::sync::Arc;

use bytes::Bytes;
use placement::{NodeId, PresentityKey, Slot};
use presence::entity_tag::EntityTag;
use presence::position::Position;
use presence::publication::Publication;
use presence::registration::Binding;
use presence::repeat::RepeatKey;
use presence::time::{Lifetime, Timestamp};
use prost::Message;
use proto::v1;
use proto::v1::snapshot_chunk::Kind;

use super::checksums::Checksums;
use super::presentity::own;
use super::slot_state::{SlotState, Tombstone};
use super::slots::Slots;
use super::wording::Wordings;
use super::{Dialog, Ended, History, NodeState, Presentity, Shard, Source, Subscription, SubscriptionId};

const CHUNK: usize = 256 * 1024;

/// A copy-on-write picture of a shard: cheap to take, costly to write, and meant to be written elsewhere.
pub struct Picture {
    header: v1::ShardHeader,
    slots: Slots,
}

#[derive(Debug, thiserror::Error)]
pub enum BadSnapshot {
    #[error("a chunk does not decode: {0}")]
    Chunk(#[from] prost::DecodeError),
    #[error("there is no header")]
    Headless,
    #[error("a chunk is of an unknown kind")]
    UnknownKind,
    #[error("a dialog says more than 64 KiB")]
    DialogTooLong,
    #[error("a subscription ended for an unknown reason: {0}")]
    UnknownEnd(String),
    #[error("there is no slot {0}")]
    NoSuchSlot(u32),
    #[error("the local tag {0} begins with no slot")]
    NoSlotIn(String),
}

impl Shard {
    pub fn picture(&self) -> Picture {
        Picture { header: self.header(), slots: self.slots.clone() }
    }

    pub(super) fn header(&self) -> v1::ShardHeader {
        let nodes = self.nodes.iter().map(|(node, state)| v1::NodeState {
            node: node.0,
            incarnation: state.incarnation,
            delivered_upto: state.delivered_upto.0,
            pending: state.pending.iter().map(|id| id.0).collect(),
        });
        v1::ShardHeader { stamp: self.stamp.0, nodes: nodes.collect(), checksums: self.checksums.records() }
    }

    /// Rebuilds the state whose picture was `chunks`, as of log entry `index`.
    pub fn restore(chunks: impl IntoIterator<Item = Bytes>, index: u64) -> Result<Shard, BadSnapshot> {
        let mut shard = Shard { position: Position::last_of(index), ..Shard::default() };
        let mut has_header = false;
        for chunk in chunks {
            match v1::SnapshotChunk::decode(chunk)?.kind.ok_or(BadSnapshot::UnknownKind)? {
                Kind::Header(header) => {
                    has_header = true;
                    shard.restore_header(header);
                }
                Kind::Slot(part) => shard.restore_part(part)?,
            }
        }
        // Only now is every part of every presentity there.
        let keys: Vec<_> = shard.presentities().map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| shard.settle(key));
        has_header.then_some(shard).ok_or(BadSnapshot::Headless)
    }

    fn restore_header(&mut self, header: v1::ShardHeader) {
        self.stamp = Timestamp(header.stamp);
        self.checksums = Checksums::restored(header.checksums);
        for node in header.nodes {
            let state = NodeState {
                incarnation: node.incarnation,
                delivered_upto: Position(node.delivered_upto),
                pending: node.pending.into_iter().map(SubscriptionId).collect(),
            };
            self.nodes.insert(NodeId(node.node), state);
        }
    }

    fn restore_part(&mut self, part: v1::SlotState) -> Result<(), BadSnapshot> {
        let number = part.slot;
        let slot = u16::try_from(number).ok().and_then(Slot::new).ok_or(BadSnapshot::NoSuchSlot(number))?;
        let state = self.slots.get_mut(slot);
        for tombstone in part.tombstones {
            let (repeat, expires_at) =
                (RepeatKey::from_bytes(&tombstone.repeat_key), Timestamp(tombstone.expires_at));
            let tag = EntityTag::from(tombstone.etag.as_str());
            state.tombstones.insert(repeat, Tombstone { tag, expires_at });
            self.deadlines.tombstones.insert(expires_at, (slot, repeat));
        }
        for record in part.subscriptions {
            let subscription = Arc::new(subscription(record, &mut self.wordings)?);
            let tag = subscription.dialog.local_tag();
            let id = SubscriptionId::of(tag).ok_or_else(|| BadSnapshot::NoSlotIn(tag.to_owned()))?;
            state.presentity_mut(&subscription.presentity()).watchers.insert(id);
            self.deadlines.subscriptions.insert(subscription.expires_at, id);
            self.owners.moved(None, Some(subscription.owner));
            self.totals.moved(None, Some(&subscription));
            self.watchers.moved(id, None, Some(&subscription));
            self.sources.moved(None, Some(&subscription));
            state.subscriptions.insert(id, subscription);
        }
        for record in part.presentities {
            let key = PresentityKey::restored(&record.key);
            restore_presentity(state.presentity_mut(&key), record);
        }
        Ok(())
    }
}

impl Picture {
    /// Writes the picture; the work of a snapshot, done off the path of the requests.
    pub fn chunks(self) -> Vec<Bytes> {
        let mut chunks = vec![encoded(Kind::Header(self.header))];
        for (slot, state) in self.slots.iter() {
            write_slot(slot, state, &mut chunks);
        }
        chunks
    }
}

/// The records of a slot in their order: the same bytes on every replica.
pub(super) fn write_slot(slot: Slot, state: &SlotState, chunks: &mut Vec<Bytes>) {
    let mut writer = PartWriter::new(slot, chunks);
    for (key, presentity) in &state.presentities {
        writer.presentity(presentity_record(key, presentity));
    }
    for subscription in state.subscriptions.values() {
        writer.subscription(subscription_record(subscription));
    }
    for (repeat, tombstone) in &state.tombstones {
        writer.tombstone(tombstone_record(*repeat, tombstone));
    }
    writer.close();
}

/// Collects records of one slot into parts of bounded size.
struct PartWriter<'a> {
    part: v1::SlotState,
    size: usize,
    chunks: &'a mut Vec<Bytes>,
}

impl<'a> PartWriter<'a> {
    fn new(slot: Slot, chunks: &'a mut Vec<Bytes>) -> PartWriter<'a> {
        let part = v1::SlotState { slot: u32::from(slot.number()), ..v1::SlotState::default() };
        PartWriter { part, size: 0, chunks }
    }

    fn presentity(&mut self, record: v1::PresentityRecord) {
        self.grow(record.encoded_len());
        self.part.presentities.push(record);
    }

    fn subscription(&mut self, record: v1::SubscriptionRecord) {
        self.grow(record.encoded_len());
        self.part.subscriptions.push(record);
    }

    fn tombstone(&mut self, record: v1::Tombstone) {
        self.grow(record.encoded_len());
        self.part.tombstones.push(record);
    }

    fn grow(&mut self, size: usize) {
        if self.size > 0 && self.size + size > CHUNK {
            self.flush();
        }
        self.size += size;
    }

    fn flush(&mut self) {
        let empty = v1::SlotState { slot: self.part.slot, ..v1::SlotState::default() };
        self.chunks.push(encoded(Kind::Slot(std::mem::replace(&mut self.part, empty))));
        self.size = 0;
    }

    fn close(mut self) {
        if self.size > 0 {
            self.flush();
        }
    }
}

fn encoded(kind: Kind) -> Bytes {
    v1::SnapshotChunk { kind: Some(kind) }.encode_to_vec().into()
}

fn presentity_record(key: &PresentityKey, presentity: &Presentity) -> v1::PresentityRecord {
    let publications = presentity.publications.iter().map(|(tag, held)| v1::PublicationRecord {
        event: held.event.clone(),
        etag: tag.to_string(),
        document: held.document.clone(),
        expires_at: held.expires_at.0,
        expires: held.lifetime.0,
        position: held.documented_at.0,
        made_by: Bytes::copy_from_slice(&held.made_by.0),
        changed_by: Bytes::copy_from_slice(&held.changed_by.0),
        source: held.source.clone(),
    });
    let sources = presentity.sources.iter().map(|(name, source)| v1::SourceRecord {
        name: name.clone(),
        document: source.document.clone(),
        expires_at: source.expires_at.0,
        position: source.documented_at.0,
        changed_by: Bytes::copy_from_slice(&source.changed_by.0),
    });
    let mut record = v1::PresentityRecord {
        key: key.to_string(),
        position: presentity.position.0,
        publications: publications.collect(),
        sources: sources.collect(),
        bindings: presentity.bindings.iter().map(binding_record).collect(),
        ..v1::PresentityRecord::default()
    };
    presentity.history.write(&mut record);
    record
}

fn binding_record(binding: &Binding) -> v1::Binding {
    v1::Binding {
        contact: binding.contact.clone(),
        instance: binding.instance.clone(),
        reg_id: binding.reg_id,
        q: binding.q,
        expires: 0,
        expires_at: binding.expires_at.0,
        call_id: binding.call_id.clone(),
        cseq: binding.cseq,
        repeat_key: Bytes::copy_from_slice(&binding.changed_by.0),
    }
}

fn restore_presentity(presentity: &mut Presentity, record: v1::PresentityRecord) {
    presentity.position = Position(record.position);
    presentity.publications = record.publications.into_iter().map(publication).collect();
    presentity.history = History::read(record.keep, record.history, record.deeds);
    presentity.bindings = record.bindings.into_iter().map(binding).collect();
    presentity.sources = record
        .sources
        .into_iter()
        .map(|source| {
            let (expires_at, documented_at) = (Timestamp(source.expires_at), Position(source.position));
            let changed_by = RepeatKey::from_bytes(&source.changed_by);
            (source.name, Source { document: own(&source.document), expires_at, documented_at, changed_by })
        })
        .collect();
}

fn publication(record: v1::PublicationRecord) -> (EntityTag, Publication) {
    let publication = Publication {
        event: record.event,
        source: record.source,
        document: own(&record.document),
        lifetime: Lifetime(record.expires),
        expires_at: Timestamp(record.expires_at),
        documented_at: Position(record.position),
        made_by: RepeatKey::from_bytes(&record.made_by),
        changed_by: RepeatKey::from_bytes(&record.changed_by),
    };
    (EntityTag::from(record.etag.as_str()), publication)
}

fn binding(record: v1::Binding) -> Binding {
    Binding {
        contact: record.contact,
        instance: record.instance,
        reg_id: record.reg_id,
        q: record.q,
        expires_at: Timestamp(record.expires_at),
        call_id: record.call_id,
        cseq: record.cseq,
        changed_by: RepeatKey::from_bytes(&record.repeat_key),
    }
}

fn subscription_record(subscription: &Subscription) -> v1::SubscriptionRecord {
    v1::SubscriptionRecord {
        request: Some(subscription.dialog.record()),
        epoch: subscription.epoch,
        position: subscription.asked_at.0,
        expires_at: subscription.expires_at.0,
        ended: subscription.ended.map_or("", Ended::as_str).to_owned(),
        owner: subscription.owner.0,
    }
}

fn subscription(
    record: v1::SubscriptionRecord,
    wordings: &mut Wordings,
) -> Result<Subscription, BadSnapshot> {
    let request = record.request.unwrap_or_default();
    let ended = Ended::named(&record.ended);
    if ended.is_none() && !record.ended.is_empty() {
        return Err(BadSnapshot::UnknownEnd(record.ended));
    }
    Ok(Subscription {
        dialog: Dialog::of(&request).ok_or(BadSnapshot::DialogTooLong)?.sharing(wordings),
        owner: NodeId(record.owner),
        epoch: record.epoch,
        asked_at: Position(record.position),
        expires_at: Timestamp(record.expires_at),
        ended,
    })
}

fn tombstone_record(repeat: RepeatKey, tombstone: &Tombstone) -> v1::Tombstone {
    v1::Tombstone {
        repeat_key: Bytes::copy_from_slice(&repeat.0),
        expires_at: tombstone.expires_at.0,
        etag: tombstone.tag.to_string(),
    }
}
