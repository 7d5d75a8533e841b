//! The connections to the other nodes, wherever they are now.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use placement::NodeId;
use tonic::{Code, Status};

use crate::membership::front::Front;
use crate::raft::network::Peer;

/// Clones share the connections.
#[derive(Clone)]
pub struct Peers {
    front: Front,
    open: Arc<Mutex<BTreeMap<NodeId, Open>>>,
}

struct Open {
    address: String,
    peer: Peer,
}

impl Peers {
    pub fn new(front: Front) -> Peers {
        Peers { front, open: Arc::default() }
    }

    /// `None` for a node that is no member, or whose address makes no sense.
    pub fn get(&self, node: NodeId) -> Option<Peer> {
        let mut open = self.open.lock();
        let Some(address) = self.front.address_of(node) else {
            open.remove(&node);
            return None;
        };
        match open.get(&node) {
            Some(held) if held.address == address => Some(held.peer.clone()),
            _ => {
                let peer = Peer::new(self.front.dial(&address), self.front.connector()).ok()?;
                open.insert(node, Open { address, peer: peer.clone() });
                Some(peer)
            }
        }
    }

    /// For people.
    pub fn name_of(&self, node: NodeId) -> String {
        self.front.directory().name_of(node)
    }

    /// Looks at how a call ended: whoever does not take our messages for who we are may know something about us.
    pub fn ended(&self, status: &Status) {
        if status.code() == Code::FailedPrecondition {
            self.front.doubt();
        }
    }
}
