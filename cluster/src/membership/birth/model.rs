//! Every interleaving of three nodes that begin with empty disks: any order of their steps, any of them unheard at any
//! step, a decision that is carried out late, and up to two disks lost at any point.

use std::collections::BTreeSet;

use placement::directory::Change;
use placement::directory::Seen;

use super::tests::{declared, says, silent};
use super::*;
use crate::membership::tenure::{self, Moment, Tenure};

const WIPES: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct World {
    nodes: [Node; 3],
    wipes: usize,
    clusters: u64,
    /// The first cluster whose birth was committed, and its directory.
    born: Option<Record>,
}

/// A directory that sorts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    cluster: u64,
    version: u64,
    members: Vec<(u64, String)>,
    gone: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    name: &'static str,
    id: u64,
    /// On its disk.
    record: Option<Record>,
    /// A disk that is lost here is one that was set aside.
    set_aside: bool,
    /// Judged, and not yet written.
    decided: Option<Record>,
}

#[test]
fn whatever_happens_there_is_one_cluster_and_starting_again_completes_it() {
    let node = |name, id| Node { name, id, record: None, set_aside: false, decided: None };
    let nodes = [node("a", 20), node("b", 30), node("c", 10)];
    let mut known = BTreeSet::new();
    let mut open = vec![World { nodes, wipes: 0, clusters: 0, born: None }];
    while let Some(world) = open.pop() {
        // Of a cluster that lost most of its disks after its birth nothing is promised.
        if !world.is_healthy() || !known.insert(world.clone()) {
            continue;
        }
        world.clone().everything_is_up();
        open.extend(world.next());
    }
    println!("{} states", known.len());
    assert!(known.iter().any(|world| world.born.is_some() && world.wipes == WIPES));
}

impl World {
    fn next(&self) -> Vec<World> {
        let mut worlds = Vec::new();
        for at in 0..3 {
            for unheard in 0..4 {
                let mut world = self.clone();
                world.step(at, unheard);
                worlds.push(world);
            }
            let mut world = self.clone();
            world.write(at);
            worlds.push(world);
            for new in [9 - self.wipes as u64, 40 + self.wipes as u64] {
                if self.wipes < WIPES {
                    let mut world = self.clone();
                    world.wipes += 1;
                    let Node { name, record, set_aside, .. } = &self.nodes[at];
                    let set_aside = *set_aside || record.as_ref().is_some_and(|it| it.directory().is_born());
                    world.nodes[at] = Node { name, id: new, record: None, set_aside, decided: None };
                    worlds.push(world);
                }
            }
        }
        worlds
    }

    /// One round of questions by one node, and what it does then; `unheard` are bits of the others.
    fn step(&mut self, at: usize, unheard: usize) {
        if self.nodes[at].decided.is_some() {
            return;
        }
        let (me, heard) = self.ask(at, unheard);
        match &me.directory {
            None => match judge(&me, &declared(), &heard) {
                Verdict::Initialise(members) => {
                    self.clusters += 1;
                    let members = members.iter().map(|(id, member)| (id.0, member.name.clone())).collect();
                    let (cluster, gone) = (self.clusters, Vec::new());
                    self.nodes[at].decided = Some(Record { cluster, version: 0, members, gone });
                }
                Verdict::Adopt(directory) => self.nodes[at].record = Some(Record::of(&directory)),
                Verdict::Join { .. } => self.join(at),
                Verdict::Wait(_) => {}
                Verdict::Refuse(refusal) => self.refused(at, &refusal),
            },
            Some(own) => match tenure::judge(&me, own, &declared(), &heard, Moment::Start) {
                Tenure::StartOver(_) => {
                    assert!(!own.is_born());
                    // A new id, like a lost disk.
                    self.nodes[at].id += 100;
                    self.nodes[at].record = None;
                }
                Tenure::GoOn => self.commit(at),
                Tenure::Wait(_) => {}
                Tenure::Refuse(refusal) => self.refused(at, &refusal),
            },
        }
    }

    fn write(&mut self, at: usize) {
        if let Some(decided) = self.nodes[at].decided.take() {
            self.nodes[at].record = Some(decided);
        }
    }

    /// A node that takes part sees the birth in the log, if a majority of the founders take part.
    fn commit(&mut self, at: usize) {
        let Some(record) = self.nodes[at].record.clone() else { return };
        let alive = |record: &Record| {
            let holds = |node: &&Node| {
                record.has(node.id) && node.record.as_ref().is_some_and(|it| it.cluster == record.cluster)
            };
            self.nodes.iter().filter(holds).count() > record.members.len() / 2
        };
        match &self.born {
            None if alive(&record) => {
                let record = Record { version: 10, ..record };
                self.born = Some(record.clone());
                self.nodes[at].record = Some(record);
            }
            Some(born) if born.has(self.nodes[at].id) => self.nodes[at].record = Some(born.clone()),
            Some(born) if born.cluster == record.cluster => {}
            Some(_) => assert!(!alive(&record), "two clusters could be born: {self:?}"),
            None => {}
        }
    }

    /// The member that is asked commits the change, if a majority of the present members takes part.
    fn join(&mut self, at: usize) {
        let Some(born) = self.born.clone() else { return };
        if !self.is_healthy() {
            return;
        }
        let (name, id) = (self.nodes[at].name, self.nodes[at].id);
        let mut directory = born.directory();
        let old = directory.id_of(name).expect("every name is a member's");
        let member = super::tests::node(name, id).member("x:1");
        let (new, seen) = (NodeId(id), Seen(directory.members_version));
        let position = directory.version + 1;
        directory.apply(position, Change::MemberReplaced { seen, old, new, member }).unwrap();
        self.born = Some(Record::of(&directory));
        self.nodes[at].record = self.born.clone();
    }

    fn is_healthy(&self) -> bool {
        let Some(born) = &self.born else { return true };
        let holds = |node: &&Node| {
            born.has(node.id) && node.record.as_ref().is_some_and(|it| it.cluster == born.cluster)
        };
        self.nodes.iter().filter(holds).count() > born.members.len() / 2
    }

    fn refused(&self, at: usize, refusal: &Refusal) {
        panic!("{} is refused ({refusal}): {self:?}", self.nodes[at].name);
    }

    /// From here on everybody answers and nothing is lost any more.
    fn everything_is_up(mut self) {
        let mut before = None;
        while before.as_ref() != Some(&self) {
            before = Some(self.clone());
            for at in 0..3 {
                self.write(at);
                self.step(at, 0);
            }
        }
        let clusters: BTreeSet<_> =
            self.nodes.iter().map(|node| node.record.as_ref().map(|it| it.cluster)).collect();
        assert!(clusters.len() == 1 && self.born.is_some(), "not one cluster: {self:?}");
    }

    fn ask(&self, at: usize, unheard: usize) -> (Introduction, Vec<Heard>) {
        let others = (0..3).filter(|other| *other != at).enumerate();
        let heard = others.map(|(bit, other)| match unheard >> bit & 1 {
            0 => says(&self.nodes[other].introduction()),
            _ => silent(self.nodes[other].name),
        });
        // Each step of a member is a start of its own.
        let me = Introduction { incarnation: 100, ..self.nodes[at].introduction() };
        (me, heard.collect())
    }
}

impl Node {
    fn introduction(&self) -> Introduction {
        let directory = self.record.as_ref().map(Record::directory);
        Introduction { directory, set_aside: self.set_aside, ..super::tests::node(self.name, self.id) }
    }
}

impl Record {
    fn of(directory: &Directory) -> Record {
        Record {
            cluster: directory.cluster.0,
            version: directory.version,
            members: directory.members.iter().map(|(id, member)| (id.0, member.name.clone())).collect(),
            gone: directory.gone.keys().map(|id| id.0).collect(),
        }
    }

    fn directory(&self) -> Directory {
        let nodes: Vec<_> = self.members.iter().map(|(id, name)| super::tests::node(name, *id)).collect();
        let mut directory = super::tests::certificate(self.cluster, &nodes.iter().collect::<Vec<_>>());
        (directory.version, directory.members_version) = (self.version, self.version);
        directory.gone = self.gone.iter().map(|id| (NodeId(*id), 1)).collect();
        directory
    }

    fn has(&self, id: u64) -> bool {
        self.members.iter().any(|(member, _)| *member == id)
    }
}
