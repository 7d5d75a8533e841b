//! P3: a subscription has one owner per epoch, and one that is dead or cut off is followed by another within two
//! seconds, once there is a leader with a majority.

use std::collections::BTreeMap;

use placement::NodeId;

use super::{Check, History, broken};
use crate::names;

#[derive(Default)]
pub struct Owners {
    by_epoch: BTreeMap<(String, u32), NodeId>,
    /// Since when the leader has not been able to hear each node.
    silent_since: BTreeMap<usize, u64>,
}

const PATIENCE: u64 = 2_000;

impl Owners {
    pub fn committed(&mut self, index: u64, history: &History) -> Check {
        if let Some(end) = history.ends.iter().find(|end| end.stale && end.ended) {
            return broken("P3 a former owner ends a subscription", format!("{end:?} at {index}"));
        }
        for (id, tenure) in history.new_tenures(index) {
            let owner = *self.by_epoch.entry((id.clone(), tenure.epoch)).or_insert(tenure.owner);
            if owner != tenure.owner {
                let detail =
                    format!("{id} in epoch {} at {index}: {owner} and {}", tenure.epoch, tenure.owner);
                return broken("P3 two owners in one epoch", detail);
            }
        }
        Ok(())
    }

    /// The leader looks around. `leader`: with since when it has led without a break.
    pub fn watched(
        &mut self,
        leader: Option<(usize, u64)>,
        is_heard: impl Fn(usize, usize) -> bool,
        history: &History,
        now: u64,
    ) -> Check {
        let Some((leader, since)) = leader else {
            self.silent_since.clear();
            return Ok(());
        };
        for node in 0..names::NODES {
            if node == leader || is_heard(leader, node) {
                self.silent_since.remove(&node);
                continue;
            }
            let silent = *self.silent_since.entry(node).or_insert(now);
            if now - silent.max(since) <= PATIENCE {
                continue;
            }
            let owner = names::node_id(node);
            if let Some((id, _)) = history.shard().subscriptions().find(|(_, held)| held.owner == owner) {
                let detail =
                    format!("{id} is still owned by {owner}, silent since {silent}, leader since {since}");
                return broken("P3 nobody takes over", detail);
            }
        }
        Ok(())
    }
}
