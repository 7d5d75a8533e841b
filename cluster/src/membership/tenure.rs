//! Whether a node that belongs to a cluster may go on in it.
//!
//! A member starts without asking anybody, for its disk knows all it needs; but what the others say, if they say
//! something, may be that its id was replaced, that its folder is an old copy, or that they are another cluster. A founder
//! whose cluster's birth is not in its log yet waits for a majority of the founders; if so many of them lost their disks
//! that there will never be one, nothing was ever committed, and it starts over with a new id.
//!
//! A value: what everyone said is an argument.

use placement::{ClusterId, Directory};

use crate::config::Declared;
use crate::membership::birth::{Refusal, Waiting, clash, missed};
use crate::membership::introduction::{Heard, Introduction, newest, said_by};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenure {
    GoOn,
    Wait(Waiting),
    /// The cluster that this node helped to found can never be born.
    StartOver(ClusterId),
    Refuse(Refusal),
}

/// When the question is asked: before anybody can have seen this start, or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Start,
    Running,
}

/// Judges what the others said; `own` is the newest directory on this node's disk.
pub fn judge(
    me: &Introduction,
    own: &Directory,
    declared: &Declared,
    heard: &[Heard],
    moment: Moment,
) -> Tenure {
    let newest = newest(heard, own.cluster).filter(|said| said.version > own.version).unwrap_or(own);
    if let Some(refusal) = clash(me, heard).or_else(|| rebuff(me, newest, moment)) {
        return Tenure::Refuse(refusal);
    }
    match newest.is_born() {
        true => other_cluster(newest, declared, heard).map_or(Tenure::GoOn, Tenure::Refuse),
        false => founder(me, newest, heard, moment),
    }
}

/// What the directory says against this node.
fn rebuff(me: &Introduction, newest: &Directory, moment: Moment) -> Option<Refusal> {
    let name = me.name.clone();
    if newest.gone.contains_key(&me.id) {
        return Some(Refusal::Gone { name, id: me.id });
    }
    if newest.level > me.level {
        return Some(Refusal::OldBuild { needed: newest.level, ours: me.level });
    }
    let said = newest.members.get(&me.id).map_or(0, |member| member.incarnation);
    let ours = me.incarnation;
    let old = match moment {
        Moment::Start => said >= ours,
        Moment::Running => said > ours,
    };
    old.then_some(Refusal::OldCopy { name, said, ours })
}

/// One stray member does not stop the others; a node that most others do not share a cluster with is the stray one.
fn other_cluster(own: &Directory, declared: &Declared, heard: &[Heard]) -> Option<Refusal> {
    let said = declared.members.iter().filter_map(|member| said_by(heard, &member.name));
    let strangers: Vec<_> =
        said.filter_map(Introduction::cluster).filter(|theirs| *theirs != own.cluster).collect();
    let theirs = *strangers.first()?;
    let most = strangers.iter().filter(|cluster| **cluster == theirs).count() > declared.members.len() / 2;
    most.then_some(Refusal::AnotherCluster { ours: own.cluster, theirs })
}

fn founder(me: &Introduction, certificate: &Directory, heard: &[Heard], moment: Moment) -> Tenure {
    let (mut present, mut lost, mut silent) = (0, 0, Vec::new());
    for (id, member) in &certificate.members {
        match said_by(heard, &member.name) {
            _ if *id == me.id => present += 1,
            // It has a new id, or founded or joined another cluster: it will never take part in this one.
            Some(said) if said.id != *id || said.cluster().is_some_and(|it| it != certificate.cluster) => {
                lost += 1
            }
            Some(_) => present += 1,
            None => silent.extend(missed(heard, &member.name)),
        }
    }
    let majority = certificate.members.len() / 2 + 1;
    match moment {
        _ if certificate.members.len() - lost < majority => Tenure::StartOver(certificate.cluster),
        Moment::Start if present < majority => Tenure::Wait(Waiting::Silent(silent)),
        _ => Tenure::GoOn,
    }
}

#[cfg(test)]
mod tests;
