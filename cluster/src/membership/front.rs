//! What this node says of itself, in one place for all who say it; and what it knows of the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;
use placement::directory::Member;
use placement::{ClusterId, Directory, GroupId, NodeId};
use proto::v1::Envelope;
use tokio::sync::{Notify, watch};

use crate::config::NodeConfig;
use crate::membership::identity::Identity;
use crate::membership::introduction::{Introduction, LEVEL};

/// Clones are the same.
#[derive(Clone)]
pub struct Front(Arc<Shared>);

struct Shared {
    identity: RwLock<Identity>,
    declared: u64,
    grpc: String,
    sip: String,
    detours: BTreeMap<String, String>,
    wires: tls::Wires,
    /// Without a cluster until there is one.
    directory: watch::Sender<Arc<Directory>>,
    /// Members that said themselves where they are, until the directory says so.
    heard: RwLock<BTreeMap<NodeId, Member>>,
    doubted: Notify,
}

/// What every message between nodes begins with.
#[derive(Clone, Copy, Debug)]
pub struct Letterhead {
    pub cluster: ClusterId,
    pub node: NodeId,
    pub incarnation: u64,
}

impl Letterhead {
    pub fn to(&self, group: GroupId, target: NodeId) -> Envelope {
        Envelope {
            group: group.0,
            source: self.node.0,
            target: target.0,
            cluster: self.cluster.0,
            incarnation: self.incarnation,
        }
    }
}

impl Front {
    /// The address of the configuration is the one the others dial.
    pub fn new(config: &NodeConfig, identity: Identity, directory: Option<Directory>) -> Front {
        Front(Arc::new(Shared {
            identity: RwLock::new(identity),
            declared: config.declared.digest(),
            grpc: config.grpc().unwrap_or_default().to_owned(),
            sip: config.sip.clone(),
            detours: config.detours.clone(),
            wires: config.wires.clone(),
            directory: watch::Sender::new(Arc::new(directory.unwrap_or_default())),
            heard: RwLock::default(),
            doubted: Notify::new(),
        }))
    }

    pub fn identity(&self) -> Identity {
        self.0.identity.read().clone()
    }

    /// The node is somebody else now: its folder was emptied, or belongs to a cluster now.
    pub fn become_known_as(&self, identity: Identity, directory: Option<Directory>) {
        *self.0.identity.write() = identity;
        self.0.directory.send_replace(Arc::new(directory.unwrap_or_default()));
    }

    pub fn introduction(&self) -> Introduction {
        let Identity { id, name, incarnation, cluster, set_aside } = self.identity();
        let directory = cluster.map(|_| Directory::clone(&self.directory()));
        let (declared, sip) = (self.0.declared, self.0.sip.clone());
        Introduction { name, id, incarnation, declared, sip, level: LEVEL, set_aside, directory }
    }

    /// How this start should stand in the directory.
    pub fn member(&self) -> Member {
        self.introduction().member(&self.0.grpc)
    }

    pub fn letterhead(&self) -> Letterhead {
        let Identity { id, incarnation, cluster, .. } = self.identity();
        Letterhead { cluster: cluster.unwrap_or_default(), node: id, incarnation }
    }

    pub fn directory(&self) -> Arc<Directory> {
        self.0.directory.borrow().clone()
    }

    pub fn watch(&self) -> watch::Receiver<Arc<Directory>> {
        self.0.directory.subscribe()
    }

    /// A newer directory of the same cluster; an older one changes nothing.
    pub fn publish(&self, directory: Directory) {
        self.0.directory.send_if_modified(|held| {
            let newer = held.cluster == directory.cluster && held.version < directory.version;
            if newer {
                *held = Arc::new(directory);
            }
            newer
        });
    }

    /// A node says where it is. The members may all have moved while they were stopped, and only when they reach each
    /// other can the directory say so: until then the word of a start that is later than the one in the directory counts.
    pub fn hear(&self, cluster: ClusterId, node: NodeId, member: Member) {
        let directory = self.directory();
        let mut heard = self.0.heard.write();
        heard.retain(|node, said| is_news(&directory, *node, said));
        if cluster == directory.cluster && is_news(&directory, node, &member) {
            heard.insert(node, member);
        }
    }

    /// Where a member is reached.
    pub fn address_of(&self, node: NodeId) -> Option<String> {
        let directory = self.directory();
        let held = directory.members.get(&node)?;
        let heard = self.0.heard.read();
        let said = heard.get(&node).filter(|said| is_news(&directory, node, said));
        Some(said.unwrap_or(held).grpc.clone())
    }

    /// What to dial to reach an address.
    pub fn dial<'a>(&'a self, address: &'a str) -> &'a str {
        self.0.detours.get(address).map_or(address, String::as_str)
    }

    /// By which that is dialled.
    pub fn connector(&self) -> tls::Connector {
        self.0.wires.connector()
    }

    /// A peer did not take our message for who we are.
    pub fn doubt(&self) {
        self.0.doubted.notify_one();
    }

    /// Returns when `doubt` was called since.
    pub async fn doubted(&self) {
        self.0.doubted.notified().await;
    }
}

fn is_news(directory: &Directory, node: NodeId, said: &Member) -> bool {
    directory.members.get(&node).is_some_and(|held| said.incarnation > held.incarnation)
}
