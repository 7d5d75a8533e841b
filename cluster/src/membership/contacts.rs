//! When each member was last heard, in whatever role: by its answers and by its own messages.
//!
//! A leader judges from it who is silent. It counts from the moment it began to lead at the earliest, and from the
//! moment a node became a member: before that nobody owed it an answer. Nobody but the leader before it, whose words it
//! had all along: that one's silence is what made it lead.
//!
//! A value: time is an argument.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use placement::NodeId;

use crate::leadership::standing::Standing;

#[derive(Debug, Default)]
pub struct Contacts {
    heard: BTreeMap<NodeId, Instant>,
}

impl Contacts {
    /// Only members are noted, so no stranger's message can make this grow.
    pub fn hear(&mut self, node: NodeId, standing: &Standing, now: Instant) {
        if standing.members.contains(&node) {
            self.heard.insert(node, now);
        }
    }

    /// Forgets who is no member any more; a new one has its time from now on.
    pub fn know_members(&mut self, standing: &Standing, now: Instant) {
        self.heard.retain(|node, _| standing.members.contains(node));
        for node in &standing.members {
            self.heard.entry(*node).or_insert(now);
        }
    }

    pub fn heard(&self, node: NodeId) -> Option<Instant> {
        self.heard.get(&node).copied()
    }

    /// For every member but `me`, how long nothing was heard of it. `None` unless this node leads.
    pub fn silences(&self, me: NodeId, standing: &Standing, now: Instant) -> Option<Vec<(NodeId, Duration)>> {
        let since = standing.leading_since?;
        let silence = |node: &NodeId| {
            let owed_since = if standing.followed == Some(*node) { None } else { Some(since) };
            let last = self.heard(*node).max(owed_since).unwrap_or(since);
            (*node, now.saturating_duration_since(last))
        };
        Some(standing.members.iter().filter(|node| **node != me).map(silence).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_begins_with_the_last_word_and_not_before_the_leading() {
        let start = Instant::now();
        let standing = members(&[1, 2, 3, 4], Some(start + ms(100)));
        let mut contacts = Contacts::default();
        contacts.hear(NodeId(2), &standing, start + ms(400));
        contacts.hear(NodeId(3), &standing, start + ms(50));

        let silences = contacts.silences(NodeId(1), &standing, start + ms(500)).unwrap();

        assert_eq!(silences, [(NodeId(2), ms(100)), (NodeId(3), ms(400)), (NodeId(4), ms(400))]);
    }

    #[test]
    fn the_silence_of_the_leader_before_began_before_this_node_led() {
        let start = Instant::now();
        let standing = Standing { followed: Some(NodeId(2)), ..members(&[1, 2, 3], Some(start + ms(600))) };
        let mut contacts = Contacts::default();
        contacts.hear(NodeId(2), &standing, start);
        contacts.hear(NodeId(3), &standing, start);

        let silences = contacts.silences(NodeId(1), &standing, start + ms(700)).unwrap();

        assert_eq!(silences, [(NodeId(2), ms(700)), (NodeId(3), ms(100))]);
    }

    #[test]
    fn who_does_not_lead_knows_of_no_silence() {
        let contacts = Contacts::default();

        assert_eq!(contacts.silences(NodeId(1), &members(&[1, 2], None), Instant::now()), None);
    }

    #[test]
    fn strangers_and_former_members_are_not_kept() {
        let start = Instant::now();
        let mut contacts = Contacts::default();
        contacts.hear(NodeId(2), &members(&[1, 2], None), start);
        contacts.hear(NodeId(77), &members(&[1, 2], None), start);
        assert_eq!(contacts.heard(NodeId(77)), None);

        contacts.know_members(&members(&[1], None), start);

        assert_eq!(contacts.heard(NodeId(2)), None);
    }

    #[test]
    fn a_new_member_was_not_silent_before_it_was_one() {
        let start = Instant::now();
        let mut contacts = Contacts::default();
        let standing = members(&[1, 2], Some(start));

        contacts.know_members(&standing, start + ms(9_000));

        let silences = contacts.silences(NodeId(1), &standing, start + ms(9_050));
        assert_eq!(silences, Some(vec![(NodeId(2), ms(50))]));
    }

    fn members(ids: &[u64], leading_since: Option<Instant>) -> Standing {
        Standing { members: ids.iter().copied().map(NodeId).collect(), leading_since, ..Standing::default() }
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }
}
