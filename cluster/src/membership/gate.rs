//! Who may speak to this node: nodes of its own cluster that mean it, and that are neither gone nor an old copy of
//! themselves.
//!
//! A node that this one does not know yet is let in: the directory may be behind, and the cluster's id, drawn by chance,
//! is known to its nodes only. A value: the directory is an argument.

use std::collections::{BTreeMap, BTreeSet};

use placement::{ClusterId, Directory, NodeId};
use proto::v1::Envelope;

/// Sources whose starts are remembered, and sources that were complained about; beyond, members only and silence.
const REMEMBERED: usize = 256;

#[derive(Debug)]
pub struct Gate {
    cluster: ClusterId,
    me: NodeId,
    /// The latest start that was seen of each source.
    starts: BTreeMap<NodeId, u64>,
    rebuffed: BTreeSet<(NodeId, Rebuff)>,
}

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Rebuff {
    #[error("it belongs to another cluster")]
    Cluster,
    #[error("it is for another node")]
    Target,
    #[error("its sender was replaced or removed")]
    Gone,
    #[error("its sender is an old copy: a later start of it was seen")]
    OldCopy,
}

/// A refusal, and whether it is the first of its kind to this source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub why: Rebuff,
    pub first: bool,
}

impl Rebuff {
    pub fn label(self) -> &'static str {
        match self {
            Rebuff::Cluster => "cluster",
            Rebuff::Target => "target",
            Rebuff::Gone => "gone",
            Rebuff::OldCopy => "old_copy",
        }
    }
}

impl Gate {
    pub fn new(cluster: ClusterId, me: NodeId) -> Gate {
        Gate { cluster, me, starts: BTreeMap::new(), rebuffed: BTreeSet::new() }
    }

    pub fn admit(&mut self, envelope: &Envelope, directory: &Directory) -> Result<(), Refused> {
        let source = NodeId(envelope.source);
        self.judge(source, envelope, directory).map_err(|why| {
            let room = self.rebuffed.len() < REMEMBERED;
            Refused { why, first: room && self.rebuffed.insert((source, why)) }
        })
    }

    fn judge(&mut self, source: NodeId, envelope: &Envelope, directory: &Directory) -> Result<(), Rebuff> {
        if envelope.cluster != self.cluster.0 {
            return Err(Rebuff::Cluster);
        }
        if envelope.target != self.me.0 {
            return Err(Rebuff::Target);
        }
        if directory.gone.contains_key(&source) {
            return Err(Rebuff::Gone);
        }
        let member = directory.members.get(&source);
        let seen = self.starts.get(&source).copied().unwrap_or(0);
        if envelope.incarnation < seen.max(member.map_or(0, |member| member.incarnation)) {
            return Err(Rebuff::OldCopy);
        }
        if envelope.incarnation > seen && (self.starts.len() < REMEMBERED || member.is_some()) {
            self.starts.insert(source, envelope.incarnation);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use placement::directory::Member;

    use super::*;

    const OURS: Envelope = Envelope { group: 1, source: 2, target: 1, cluster: 7, incarnation: 3 };

    #[test]
    fn only_messages_of_this_cluster_for_this_node_are_taken() {
        let mut gate = gate();

        assert_eq!(gate.admit(&OURS, &directory()), Ok(()));
        assert_eq!(why(&mut gate, Envelope { cluster: 8, ..OURS }), Rebuff::Cluster);
        assert_eq!(why(&mut gate, Envelope { cluster: 0, ..OURS }), Rebuff::Cluster);
        assert_eq!(why(&mut gate, Envelope { target: 5, ..OURS }), Rebuff::Target);
        assert_eq!(gate.admit(&Envelope { group: 9, ..OURS }, &directory()), Ok(()));
    }

    #[test]
    fn a_start_before_one_that_was_seen_is_refused() {
        let mut gate = gate();
        gate.admit(&Envelope { incarnation: 6, ..OURS }, &directory()).unwrap();

        assert_eq!(why(&mut gate, Envelope { incarnation: 5, ..OURS }), Rebuff::OldCopy);
        assert_eq!(gate.admit(&Envelope { incarnation: 6, ..OURS }, &directory()), Ok(()));
    }

    #[test]
    fn a_start_before_the_one_in_the_directory_is_refused() {
        assert_eq!(why(&mut gate(), Envelope { incarnation: 2, ..OURS }), Rebuff::OldCopy);
    }

    #[test]
    fn a_node_that_is_gone_is_refused_and_one_that_is_not_known_yet_is_not() {
        let mut gate = gate();

        assert_eq!(why(&mut gate, Envelope { source: 4, ..OURS }), Rebuff::Gone);
        assert_eq!(gate.admit(&Envelope { source: 9, ..OURS }, &directory()), Ok(()));
    }

    #[test]
    fn each_peer_is_complained_about_once_for_each_reason() {
        let mut gate = gate();
        let mut first = |envelope| gate.admit(&envelope, &directory()).unwrap_err().first;

        let stray = Envelope { cluster: 8, ..OURS };
        assert!(first(stray) && !first(stray));
        assert!(first(Envelope { target: 5, ..OURS }));
        assert!(first(Envelope { source: 3, ..stray }));
    }

    #[test]
    fn strangers_cannot_make_it_remember_without_bound() {
        let mut gate = gate();
        for source in 10..2_000 {
            let _ = gate.admit(&Envelope { source, ..OURS }, &directory());
            let _ = gate.admit(&Envelope { source, cluster: 8, ..OURS }, &directory());
        }

        assert_eq!((gate.starts.len(), gate.rebuffed.len()), (REMEMBERED, REMEMBERED));
        gate.admit(&Envelope { incarnation: 6, ..OURS }, &directory()).unwrap();
        assert_eq!(why(&mut gate, Envelope { incarnation: 5, ..OURS }), Rebuff::OldCopy);
    }

    fn why(gate: &mut Gate, envelope: Envelope) -> Rebuff {
        gate.admit(&envelope, &directory()).unwrap_err().why
    }

    fn gate() -> Gate {
        Gate::new(ClusterId(7), NodeId(1))
    }

    fn directory() -> Directory {
        let member = Member { name: "b".into(), incarnation: 3, ..Member::default() };
        Directory {
            cluster: ClusterId(7),
            version: 10,
            members: [(NodeId(2), member)].into(),
            gone: [(NodeId(4), 10)].into(),
            ..Directory::default()
        }
    }
}
