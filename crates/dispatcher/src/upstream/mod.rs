//! The SIP service behind us, which takes what is not ours.
//!
//! [`course`] says what that is, [`relay`] edits it, [`transit`] sees to it that a server takes it, [`locate`] and [`found`]
//! say which servers there are. All of these are values; [`dns`] and [`crate::transport::lines`] are the wires.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sip::{Instant, Message, Scheme, Secret, Transport};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::branch::Key;
use crate::config;
use crate::forward::Forwarder;
use crate::names::Names;
use course::Division;
use dns::{Dns, NoDns};
use found::{Found, Target, Targets};
use locate::Destination;
use relay::{Relay, Relayed};
use transit::Transit;

pub mod acknowledge;
pub mod branch;
pub mod course;
pub mod dns;
pub mod found;
pub mod locate;
pub mod relay;
pub mod share;
pub mod transit;

pub struct Upstream {
    destination: Destination,
    pub(crate) division: Division,
    pub(crate) relay: Relay,
    pub(crate) transit: Mutex<Transit<Arc<Relayed>>>,
    found: ArcSwap<Found>,
    dns: Option<Dns>,
    tls: Option<Arc<tls::Outside>>,
}

/// What we can speak with it, as we like it best; the last only where it is known whom to trust.
const SPEAKS: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

/// How long what DNS said counts at least and at most, whatever it says itself.
const LIFE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3600));
/// After what could not be learnt DNS is asked again.
const AGAIN: Duration = Duration::from_secs(2);

impl Upstream {
    pub fn new(
        config: &config::Upstream,
        limits: &config::Limits,
        timings: &config::Timings,
        secret: &Secret,
    ) -> Result<Upstream, NoDns> {
        let dns = match config.destination.is_literal() {
            true => None,
            false => Some(Dns::new(&config.name_servers, limits.dns(timings))?),
        };
        let known = locate::Search::new(&config.destination, spoken(config.tls.is_some())).found();
        Ok(Upstream {
            found: ArcSwap::from_pointee(known),
            destination: config.destination.clone(),
            division: Division { registers: config.registers, feature_code: config.feature_code.clone() },
            relay: Relay::new(secret, config.path, config.tls.is_some()),
            transit: Mutex::new(Transit::new(limits.transit(timings))),
            dns,
            tls: config.tls.clone(),
        })
    }

    /// TLS to a server that must prove to be who was asked for, not whom the DNS named (RFC 5922 section 4).
    pub(crate) async fn secure(&self, socket: TcpStream) -> io::Result<tls::Stream> {
        let tls = self.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?;
        tls.open(socket, &self.destination.domain(), tls::Protocol::Sip).await
    }

    /// Takes up new certificates.
    pub async fn keep_fresh(&self) {
        if let Some(tls) = &self.tls {
            tls.clone().keep_fresh().await;
        }
    }

    /// An address that no listener of ours can face, if none can face any.
    pub fn unfaced(&self, names: &Names) -> Option<SocketAddr> {
        let found = self.found.load();
        let is_faced = found.targets(0).iter().any(|target| is_faced(target, names));
        found.addresses().next().filter(|_| !is_faced)
    }

    /// Whether it speaks from there, as far as the address can tell.
    pub fn is_at(&self, source: IpAddr) -> bool {
        self.found.load().addresses().any(|address| address.ip() == source.to_canonical())
    }

    pub fn is(&self, source: SocketAddr) -> bool {
        self.found.load().addresses().any(|address| address == source)
    }

    /// The servers for a request, best first; none while DNS has told of none that will do.
    pub(crate) fn targets(
        &self,
        request: &Message,
        key: Key,
        names: &Names,
        forwarder: &Forwarder,
        now: Instant,
    ) -> Targets {
        let seed = key.0 as u64;
        let targets = self.found.load().targets(seed);
        let only_tls = Scheme::of(request.request_uri()) == Scheme::Sips;
        let will_do = |target: &Target| !only_tls || target.transport == Transport::Tls;
        let facing = targets.into_iter().filter(|target| will_do(target) && is_faced(target, names));
        let mut targets = self.transit.lock().ranked(facing.collect(), now);
        relay::prefer(&mut targets, request, forwarder, names);
        targets
    }

    /// Asks the DNS again and again; what it has said counts until it says something else.
    pub async fn keep_located(&self) {
        let Some(dns) = &self.dns else { return };
        let mut was_known = true;
        loop {
            let located = dns.locate(&self.destination, spoken(self.tls.is_some())).await;
            let is_known = !located.found.is_empty();
            if was_known && !is_known {
                warn!(destination = ?self.destination, answered = located.complete, "DNS tells of no upstream");
            }
            was_known = is_known;
            let before = self.found.load();
            // What was learnt in part is better than nothing, but not than what was known as a whole.
            if is_known && (located.complete || before.is_empty()) && **before != located.found {
                info!(servers = ?located.found.targets(0), "The upstream is there");
                self.found.store(Arc::new(located.found));
            }
            let pause = match located.good_for {
                Some(life) if is_known && located.complete => life.clamp(LIFE.0, LIFE.1),
                _ => AGAIN,
            };
            sleep(pause).await;
        }
    }
}

fn spoken(with_tls: bool) -> &'static [Transport] {
    if with_tls { &SPEAKS } else { &SPEAKS[..2] }
}

fn is_faced(target: &Target, names: &Names) -> bool {
    names.listener_towards(target.address, target.transport).is_some()
}
