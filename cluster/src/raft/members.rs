//! The members of a group in openraft's words: what they are, and a step that changes them.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::{ChangeMembers, EmptyNode};
use placement::{Directory, NodeId};
use tracing::{debug, info};

use super::group::RaftGroup;
use crate::membership::front::Front;
use crate::membership::roster::{Roster, Step};

/// How often a leader looks whether its group has the right members.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A change that is not committed by then is looked at again.
const STEP_WAIT: Duration = Duration::from_secs(5);

impl RaftGroup {
    pub fn roster(&self) -> Roster {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow();
        let (stored, membership) =
            (metrics.membership_config.log_id(), metrics.membership_config.membership());
        let ids = |set: &BTreeSet<u64>| set.iter().copied().map(NodeId).collect();
        let matched = metrics.replication.iter().flatten();
        Roster {
            voters: membership.get_joint_config().iter().map(ids).collect(),
            learners: membership.learner_ids().map(NodeId).collect(),
            settled: *stored <= metrics.last_applied,
            last: metrics.last_log_index.unwrap_or(0),
            matched: matched.filter_map(|(id, matched)| Some((NodeId(*id), (*matched)?.index))).collect(),
        }
    }

    /// Takes the step; `Err` says why it was not, or is not yet.
    pub async fn take_step(&self, step: Step) -> Result<(), String> {
        let change = match step {
            Step::AddLearner(node) => ChangeMembers::AddNodes([(node.0, EmptyNode {})].into()),
            Step::RemoveLearner(node) => ChangeMembers::RemoveNodes([node.0].into()),
            Step::SetVoters(voters) => {
                ChangeMembers::ReplaceAllVoters(voters.into_iter().map(|node| node.0).collect())
            }
        };
        // Who is no voter any more is nothing any more: it is gone, or will be asked to come back as a learner.
        let changed = tokio::time::timeout(STEP_WAIT, self.raft().change_membership(change, false)).await;
        match changed {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it is not committed in time".to_owned()),
        }
    }
}

/// Keeps the members of a group as the directory has them, while this node leads it.
pub async fn follow_directory(group: RaftGroup, front: Front, name: String) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let directory = front.directory();
        if !group.is_leader() || !directory.is_born() {
            continue;
        }
        let wanted = directory.members.keys().copied().collect();
        let Some(step) = group.roster().next_step(&wanted) else {
            continue;
        };
        let words = in_words(&step, &directory);
        match group.take_step(step).await {
            Ok(()) => info!(group = name, step = words, "Changed the members of a group"),
            Err(reason) => debug!(group = name, step = words, reason, "The members of a group stay"),
        }
    }
}

fn in_words(step: &Step, directory: &Directory) -> String {
    let name = |node: &NodeId| directory.name_of(*node);
    match step {
        Step::AddLearner(node) => format!("{} learns", name(node)),
        Step::RemoveLearner(node) => format!("{} no longer learns", name(node)),
        Step::SetVoters(voters) => {
            format!("{} vote", voters.iter().map(name).collect::<Vec<_>>().join(", "))
        }
    }
}
