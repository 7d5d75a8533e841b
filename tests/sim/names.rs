//! What everybody in the world is called, and the one secret that nodes and dispatchers share.

use std::net::SocketAddr;

use placement::{GroupId, NodeId};
use presence_agent::Config;
use presence_agent::config::{Expires, Limits};
use sip::Secret;

pub const DOMAIN: &str = "lab.test";
pub const PASSWORD: &str = "open sesame";
pub const NODES: usize = 3;
pub const DISPATCHERS: usize = 2;

pub fn secret() -> Secret {
    Secret::new("the secret of the simulation")
}

/// Where phones find every dispatcher.
pub fn listener() -> SocketAddr {
    ([192, 0, 2, 1], 5060).into()
}

pub fn inner(dispatcher: usize) -> SocketAddr {
    ([10, 0, 1, dispatcher as u8], 7060).into()
}

pub fn manager(node: usize) -> SocketAddr {
    ([10, 0, 0, node as u8], 7070).into()
}

pub fn node_id(node: usize) -> NodeId {
    NodeId(node as u64 + 1)
}

/// A phone's address after it moved so many times.
pub fn phone(phone: usize, moves: u16) -> SocketAddr {
    ([198, 51, 100, phone as u8], 5062 + moves).into()
}

pub fn config(node: usize, incarnation: u64) -> Config {
    // Shorter lives than any operator would grant: things must expire within a run.
    let lives = Expires { min: 1, default: 60, max: 600 };
    Config {
        node: node_id(node),
        group: GroupId(1),
        incarnation,
        domains: vec![DOMAIN.into()],
        secret: secret(),
        open: false,
        algorithms: vec![sip::digest::Algorithm::Md5],
        md5_only: Vec::new(),
        feature_code: "*48".into(),
        trust_asserted_identity: false,
        end_on_timeout: false,
        check_nc: false,
        sent_by: manager(node).to_string(),
        subscribe: lives,
        publish: lives,
        register: lives,
        limits: Limits { history_seconds: 1, ..Limits::default() },
    }
}
