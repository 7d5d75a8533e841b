//! Which group a message belongs to. The only thing a manager reads in a message before the agent does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use placement::{GroupId, PresentityKey, Slot, SlotTable};
use sip::{Message, Method};

/// Shared by the links; the drivers say in it whether they serve.
#[derive(Clone)]
pub struct Demux {
    table: SlotTable,
    serving: Arc<BTreeMap<GroupId, AtomicBool>>,
}

impl Demux {
    pub fn new(table: SlotTable) -> Demux {
        let serving = table.groups().into_iter().map(|group| (group, AtomicBool::new(false)));
        Demux { serving: Arc::new(serving.collect()), table }
    }

    pub fn group_of(&self, key: &PresentityKey) -> GroupId {
        self.table.group_of(Slot::of(key))
    }

    pub fn set_serving(&self, group: GroupId, serving: bool) {
        if let Some(flag) = self.serving.get(&group) {
            flag.store(serving, Ordering::Relaxed);
        }
    }

    /// Whether every group is served.
    pub fn serves_all(&self) -> bool {
        self.serving.values().all(|flag| flag.load(Ordering::Relaxed))
    }

    /// A message that names no presentity goes to a group that does not serve, if there is one: its answer, a refusal,
    /// is the truth about this manager.
    pub fn route(&self, message: &Message) -> Option<GroupId> {
        if !message.is_request() {
            return group_of_branch(message.branch()?);
        }
        let slot = match message.method() {
            Method::Subscribe => slot_of_dialog(message).or_else(|| slot_of(message.request_uri())),
            Method::Publish => slot_of(message.request_uri()),
            Method::Register => slot_of(message.to().ok()?.uri),
            // Feature codes: whoever dials one changes his own state.
            Method::Message | Method::Invite | Method::Ack | Method::Bye => slot_of(message.from().ok()?.uri),
            _ => None,
        };
        slot.map(|slot| self.table.group_of(slot)).or_else(|| self.any_group())
    }

    fn any_group(&self) -> Option<GroupId> {
        let idle = self.serving.iter().find(|(_, flag)| !flag.load(Ordering::Relaxed));
        idle.or_else(|| self.serving.first_key_value()).map(|(group, _)| *group)
    }
}

fn slot_of_dialog(request: &Message) -> Option<Slot> {
    Slot::from_prefix(request.to().ok()?.tag()?)
}

fn slot_of(uri: &str) -> Option<Slot> {
    PresentityKey::of(uri).map(|key| Slot::of(&key))
}

/// The agent writes its group into the branches of its requests.
fn group_of_branch(branch: &str) -> Option<GroupId> {
    let (group, _) = branch.strip_prefix("z9hG4bK")?.split_once('-')?;
    group.parse().ok().map(GroupId)
}
