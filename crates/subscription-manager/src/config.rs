//! What a manager is told at its start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cluster::{DeclaredMember, Timings};
use presence_agent::config::{Expires, Limits};
use sip::Secret;
use sip::digest::Algorithm;

#[derive(Clone, Debug)]
pub struct Config {
    /// One of the members.
    pub name: String,
    /// Where this manager listens for dispatchers. Inner: loopback or a closed network.
    pub sip: SocketAddr,
    /// `host:port` that dispatchers reach it at.
    pub advertise_sip: String,
    /// Where the other managers, the HTTP role and operators connect. Inner as well.
    pub grpc: SocketAddr,
    /// The folder of the log, the snapshots and the node's identity.
    pub data: PathBuf,
    /// How all of these are reached, and reach us.
    pub wires: tls::Wires,
    /// All managers, this one included; a birth needs them all.
    pub members: Vec<DeclaredMember>,
    /// How many presence groups the slots are dealt to at a birth.
    pub groups: u32,
    pub domains: Vec<String>,
    pub secret: Secret,
    pub auth: Auth,
    /// What challenges offer, in this order.
    pub algorithms: Vec<Algorithm>,
    /// User-Agents that are offered MD5 alone, by how they begin.
    pub md5_only: Vec<String>,
    /// What a phone dials before the digit of a status; empty turns feature codes off.
    pub feature_code: String,
    /// Whether P-Asserted-Identity is believed.
    pub trust_asserted_identity: bool,
    /// Whether a digest whose `nc` was used before is challenged again.
    pub check_nc: bool,
    /// Whether a watcher that does not answer a NOTIFY loses its subscription.
    pub end_on_timeout: bool,
    pub subscribe: Expires,
    pub publish: Expires,
    pub register: Expires,
    pub agent_limits: Limits,
    pub cluster_limits: cluster::Limits,
    pub timings: Timings,
    pub limits: LinkLimits,
}

/// Who answers for accounts.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Nobody: no digest, everything allowed.
    Open,
    /// The auth-adapter at this URL.
    Adapter(String),
}

/// The bounds of the links.
#[derive(Clone, Copy, Debug)]
pub struct LinkLimits {
    /// What waits for one group's driver. At the limit its neighbours wait, and the dispatchers see a full link.
    pub inputs: usize,
    /// Messages waiting to be written to one dispatcher. At the limit the connection is closed: it does not read.
    pub link_queue: usize,
    /// Their bytes, with the same consequence.
    pub link_bytes: usize,
    /// Connections from dispatchers. Over it a new one is closed at once.
    pub links: usize,
    /// A dispatcher pings four times a second. One that has done so and then says nothing for this long is gone, and its
    /// host with it, for otherwise the connection would have broken: it is closed, and whoever else holds its listener
    /// brings the NOTIFYs within 2 s.
    pub silence: Duration,
    /// Questions to billing under way at one time. Over it a request is answered 503.
    pub questions: usize,
    /// How long billing may take before a request is answered 503.
    pub verdict_timeout: Duration,
    /// Programs that follow presentities of one group. Over it the API answers RESOURCE_EXHAUSTED.
    pub followers: usize,
}

impl Default for LinkLimits {
    fn default() -> LinkLimits {
        LinkLimits {
            inputs: 4_096,
            link_queue: 16_384,
            link_bytes: 64 * 1024 * 1024,
            links: 256,
            silence: Duration::from_millis(1_250),
            questions: 1_024,
            // Below the second after which a dispatcher asks the next manager, which would ask billing again.
            verdict_timeout: Duration::from_millis(800),
            followers: 1_024,
        }
    }
}
