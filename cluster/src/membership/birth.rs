//! How a cluster is born, and how a node that belongs to none finds its place.
//!
//! Only when every declared member answers, none belongs to a cluster, and all were configured with the same list, the
//! one with the lowest id names the cluster and writes its certificate: who the founders are and which group holds which
//! slot. The others adopt the certificate when they hear of it. Each founder keeps it on its disk before it takes part
//! in anything, and then starts the same groups with the same members, so it does not matter which of them live on: any
//! majority of the founders completes the birth. Somebody who finds a cluster that does not know its id asks to join it.
//!
//! A node without a cluster has never voted, so it may adopt whatever certificate or directory names its id.
//!
//! A node whose store was set aside is as empty as a new one, but it remembers that it belonged somewhere. Then no cluster
//! is founded: an empty one in the place of the lost one would look healthy, and nobody would go and look for the data.
//!
//! A value: what everyone said is an argument, and what to do is the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use placement::directory::Member;
use placement::{ClusterId, Directory, NodeId};

use crate::config::Declared;
use crate::membership::introduction::{Heard, Introduction, newest, said_by};

/// What a node that belongs to no cluster does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Wait(Waiting),
    /// Name a cluster of these founders.
    Initialise(BTreeMap<NodeId, Member>),
    /// This directory names us.
    Adopt(Directory),
    /// Ask at one of these addresses to become a member of the cluster.
    Join {
        cluster: ClusterId,
        at: Vec<String>,
    },
    Refuse(Refusal),
}

/// Why nothing starts yet, for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// These do not answer.
    Silent(Vec<String>),
    /// These belonged to a cluster and set their stores aside, and nobody has its data.
    SetAside(Vec<String>),
    /// Its turn to name the cluster.
    Founder(String),
    /// Founders complete a cluster that does not name us.
    Birth(ClusterId),
    /// We asked to join, and were told this.
    Admission(String),
}

/// Why a node must not go on. None of these heals by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "{0} was configured with other members, other addresses or another number of groups than this node"
    )]
    ListsDiffer(String),
    #[error("the members belong to different clusters: {0} and {1}")]
    TwoClusters(ClusterId, ClusterId),
    #[error("this node belongs to cluster {ours}, the other members to cluster {theirs}")]
    AnotherCluster { ours: ClusterId, theirs: ClusterId },
    #[error("{0} has the same id as this node: one of the two data folders is a copy")]
    SameId(String),
    #[error("another node runs under the name {name}, at {address}, with id {id}")]
    SameName { name: String, id: NodeId, address: String },
    #[error(
        "node {id} ({name}) was replaced or removed; with an empty data folder it may join again as a new member"
    )]
    Gone { name: String, id: NodeId },
    #[error(
        "the data folder is an old copy: start {said} of {name} was seen, this is start {ours}; \
         with an empty data folder it may join again as a new member"
    )]
    OldCopy { name: String, said: u64, ours: u64 },
    #[error("the cluster writes facts of level {needed}, this build understands level {ours}")]
    OldBuild { needed: u32, ours: u32 },
}

/// Judges what the others said. `me` belongs to no cluster.
pub fn judge(me: &Introduction, declared: &Declared, heard: &[Heard]) -> Verdict {
    if let Some(refusal) = clash(me, heard) {
        return Verdict::Refuse(refusal);
    }
    match clusters(heard) {
        Ok(None) => found(me, declared, heard),
        Ok(Some(directory)) => enter(me, directory, heard),
        Err(refusal) => Verdict::Refuse(refusal),
    }
}

/// Two nodes that cannot both be right.
pub fn clash(me: &Introduction, heard: &[Heard]) -> Option<Refusal> {
    heard.iter().find_map(|heard| {
        let said = heard.right()?;
        match (said.name == me.name, said.id == me.id) {
            (false, true) => Some(Refusal::SameId(said.name.clone())),
            (true, false) => Some(Refusal::SameName {
                name: said.name.clone(),
                id: said.id,
                address: heard.address.clone(),
            }),
            _ => None,
        }
    })
}

/// The newest directory of the cluster there is. A birth that was interrupted and begun anew may leave certificates of
/// two clusters for a while, of which only one can be completed; a born cluster is the one.
fn clusters(heard: &[Heard]) -> Result<Option<&Directory>, Refusal> {
    let names: BTreeSet<_> =
        heard.iter().filter_map(Heard::right).filter_map(Introduction::cluster).collect();
    let directories: Vec<_> = names.iter().filter_map(|cluster| newest(heard, *cluster)).collect();
    let born: Vec<_> = directories.iter().filter(|directory| directory.is_born()).collect();
    match born[..] {
        [one, other, ..] => Err(Refusal::TwoClusters(one.cluster, other.cluster)),
        [one] => Ok(Some(one)),
        [] => Ok(directories.first().copied()),
    }
}

fn enter(me: &Introduction, directory: &Directory, heard: &[Heard]) -> Verdict {
    let cluster = directory.cluster;
    if directory.gone.contains_key(&me.id) {
        return Verdict::Refuse(Refusal::Gone { name: me.name.clone(), id: me.id });
    }
    if directory.level > me.level {
        return Verdict::Refuse(Refusal::OldBuild { needed: directory.level, ours: me.level });
    }
    if directory.members.contains_key(&me.id) {
        return Verdict::Adopt(directory.clone());
    }
    if !directory.is_born() {
        return Verdict::Wait(Waiting::Birth(cluster));
    }
    let at = heard.iter().filter(|heard| heard.right().is_some_and(|said| said.cluster() == Some(cluster)));
    Verdict::Join { cluster, at: at.map(|heard| heard.address.clone()).collect() }
}

fn found(me: &Introduction, declared: &Declared, heard: &[Heard]) -> Verdict {
    let mut founders = BTreeMap::new();
    let (mut silent, mut set_aside) = (Vec::new(), Vec::new());
    for member in &declared.members {
        let said = if member.name == me.name { Some(me) } else { said_by(heard, &member.name) };
        match said {
            Some(said) if said.declared != me.declared => {
                return Verdict::Refuse(Refusal::ListsDiffer(said.name.clone()));
            }
            Some(said) => {
                set_aside.extend(said.set_aside.then(|| said.name.clone()));
                founders.insert(said.id, said.member(&member.grpc));
            }
            None => silent.extend(missed(heard, &member.name)),
        }
    }
    match founders.first_key_value() {
        _ if !silent.is_empty() || founders.len() < declared.members.len() => {
            Verdict::Wait(Waiting::Silent(silent))
        }
        _ if !set_aside.is_empty() => Verdict::Wait(Waiting::SetAside(set_aside)),
        Some((id, lowest)) if *id != me.id => Verdict::Wait(Waiting::Founder(lowest.name.clone())),
        _ => Verdict::Initialise(founders),
    }
}

/// What is known of one that did not answer.
pub fn missed(heard: &[Heard], name: &str) -> Option<String> {
    heard.iter().find(|heard| heard.name == name).map(Heard::missed)
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Waiting::Silent(who) => write!(f, "waiting for {}", who.join(", ")),
            Waiting::SetAside(who) => write!(
                f,
                "waiting for a member that has the data of the cluster: {} belonged to one and set their stores aside; \
                 start a member that still has its data, or empty all data folders, quarantine included, to begin anew",
                who.join(", ")
            ),
            Waiting::Founder(name) => write!(f, "waiting for {name} to found the cluster"),
            Waiting::Birth(cluster) => {
                write!(f, "waiting for the birth of cluster {cluster} to be completed")
            }
            Waiting::Admission(reason) => write!(f, "waiting to be admitted: {reason}"),
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
pub mod tests;
