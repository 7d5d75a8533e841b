//! What an operator decides about a dispatcher, with the bound of everything it keeps.
//!
//! Plain values: files, environment and flags are read by the binary.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use sip::{Secret, Transport};
use tokio::sync::watch;

use crate::oversize::Policy;
use crate::throttle;
use crate::transport::origins::Origins;
use crate::upstream::locate::Destination;
use crate::upstream::relay::Path;
use crate::upstream::{dns, transit};

#[derive(Clone, Debug)]
pub struct Config {
    /// Where phones reach us.
    pub listeners: Vec<Listener>,
    /// What is shown to phones at listeners that speak TLS.
    pub front: Option<tls::Front>,
    /// Where managers reach us, and the name by which our inner Via and Record-Route call this dispatcher.
    pub inner: Endpoint,
    /// The members, as they change; [`crate::directory`] tells them.
    pub managers: watch::Receiver<Vec<Manager>>,
    /// How managers are reached, and reach us.
    pub wires: tls::Wires,
    /// Hosts that name this service in a Route, as phones with an outbound proxy pre-load it, and whose presence is ours.
    pub domains: Vec<String>,
    /// Where what is not ours goes.
    pub upstream: Option<Upstream>,
    /// Where peers are whose P-Asserted-Identity counts (RFC 3325); from everyone else it is stripped. The source of a
    /// datagram can be forged, so these must be networks that nobody else can send as.
    pub trusted_peers: Vec<IpNet>,
    /// What becomes of a request for a phone on UDP that is larger than `limits.datagram`.
    pub oversize_udp: Policy,
    /// Whose pages may open a WebSocket.
    pub origins: Origins,
    /// Shared by all dispatchers and managers: flow tokens and branches are signed with keys derived from it.
    pub secret: Secret,
    pub limits: Limits,
    pub timings: Timings,
}

/// Where phones reach us, and what they speak there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    pub endpoint: Endpoint,
    pub speaks: Speaks,
}

/// An address to bind, and the one to tell others where they differ (behind NAT, or bound to all addresses).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub bind: SocketAddr,
    pub advertise: Option<SocketAddr>,
}

/// What is spoken at a public listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speaks {
    #[default]
    UdpAndTcp,
    Tls,
    /// SIP over WebSocket (RFC 7118).
    Ws,
    /// The same over TLS.
    Wss,
}

/// A manager; `name` ranks it for a key, so dispatchers agree whatever order managers are listed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manager {
    pub name: String,
    pub sip: SocketAddr,
}

/// The SIP service behind us: calls, messages, other domains.
#[derive(Clone, Debug)]
pub struct Upstream {
    pub destination: Destination,
    /// Who its servers must prove to be over TLS. Without it there is none.
    pub tls: Option<Arc<tls::Outside>>,
    /// Whether REGISTER goes there too.
    pub registers: bool,
    /// When it learns by which flow a registered phone is reached.
    pub path: Path,
    /// Calls and messages to this are ours; empty if none are.
    pub feature_code: String,
    /// Who is asked where it is; those whom the system asks if there are none.
    pub name_servers: Vec<SocketAddr>,
}

/// Bounds. The comment says what happens at each.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sizes a phone's message may have. A larger one is answered 413 (400 for its other sizes), and ends its
    /// connection; in a WebSocket it ends it only beyond twice the size, without an answer. They must leave room, up to
    /// what managers take, for the lines that we add (1 KiB, 3 headers): a message that a manager finds too large costs us
    /// the connection to it.
    pub message: sip::Limits,
    /// Sizes a message of a manager may have; a larger one costs it its connection.
    pub inner_message: sip::Limits,
    /// Requests in flight to managers. At nine tenths new requests, at the whole also those inside a dialog, are
    /// answered 503 with Retry-After.
    pub window: usize,
    /// Bytes of the requests in flight; refused as by `window`.
    pub window_bytes: usize,
    /// Keys of answered requests that are remembered for `give_up`. Beyond them the oldest goes: a repeat that crosses its
    /// answer may then hear 503 while no manager serves.
    pub answered: usize,
    /// Bytes waiting for a manager's connection. Full: the manager counts as having refused.
    pub link_queue: usize,
    /// Bytes waiting for a manager on a connection that it made. Full: what we would say is dropped.
    pub inner_queue: usize,
    /// Bytes waiting for a phone's connection. Full: the phone reads too slowly and its connection is closed.
    pub connection_queue: usize,
    /// Bytes waiting for all connections of phones. Full: a phone for which something waits already reads too slowly,
    /// and its connection is closed when more comes for it.
    pub connection_queues: usize,
    /// Bytes held of messages that have begun to come over connections of phones and are not whole. Full: the connection
    /// over which more of one comes is closed.
    pub partial_messages: usize,
    /// Bytes waiting for a UDP socket that would block. Full: the datagram is dropped.
    pub udp_queue: usize,
    /// Connections of phones, counted from accept on. At the limit a new one is closed at once.
    pub connections: usize,
    /// Connections of phones from one IP address.
    pub connections_per_source: usize,
    /// Requests of one source that is no trusted peer, whatever they are. Beyond them they are answered 480 with
    /// Retry-After, a few times a second, and otherwise dropped.
    pub requests_per_source: throttle::Rate,
    /// Refusals told to one source that is no trusted peer. Beyond them its requests in no dialog and without
    /// credentials are answered 480 with Retry-After, a few times a second, and otherwise dropped; see [`crate::throttle`].
    pub refusals_per_source: throttle::Bounds,
    /// Connections of managers to the inner listener.
    pub inner_connections: usize,
    /// Requests on their way to the upstream that none of its servers has answered. Full: a new one is answered 503.
    pub relayed: usize,
    /// Bytes of those; refused as by `relayed`.
    pub relayed_bytes: usize,
    /// Requests among those, and as large a part of the bytes, of one source that is no trusted peer. Full: a new one is
    /// answered 480 with Retry-After.
    pub relayed_per_source: usize,
    /// Requests that the upstream has taken, whose way is known to what follows them. Beyond them the oldest goes: a CANCEL
    /// of it may then reach another server, which knows nothing of it.
    pub relayed_ways: usize,
    /// Questions to the DNS at one time; the next one waits.
    pub lookups: usize,
    /// Answers of the DNS that are remembered. Beyond them those go that were not used lately.
    pub lookups_remembered: u64,
    /// Bytes that a request for a phone on UDP may have; a larger one goes as `oversize_udp` says (RFC 3261 18.1.1).
    pub datagram: usize,
    /// UDP sockets per listener, sharing its port (SO_REUSEPORT) so that several cores read.
    pub udp_sockets: usize,
    /// Receive buffer asked of the kernel for each UDP socket, in bytes.
    pub udp_receive_buffer: usize,
    /// Datagrams that come in one call, each into a buffer of 64 KiB; after them others have their turn.
    pub batch: usize,
}

#[derive(Clone, Debug)]
pub struct Timings {
    /// Between two pings of a manager.
    pub ping: Duration,
    /// A manager whose last "serving" is older is passed over.
    pub live: Duration,
    /// A manager connection without any answer to pings for this long is closed and made anew.
    pub link_silence: Duration,
    /// Bounds of the wait between two attempts to connect; it doubles in between.
    pub reconnect: (Duration, Duration),
    /// Without an answer for this long a request goes to the next manager.
    pub patience: Duration,
    /// A request that nobody takes waits so long for a manager that does; then it is answered 503. A manager without a
    /// leader makes it wait for as long.
    pub hold: Duration,
    /// A request that every manager refused is answered 503 if, so much later, one of them still says that it serves.
    /// Longer than `ping`, so that one that stops has said so by then.
    pub pause: Duration,
    /// A request unanswered for this long is forgotten (Timer F of its sender has fired).
    pub give_up: Duration,
    /// A server of the upstream that says nothing about a request for this long is followed by the next one.
    pub silence: Duration,
    /// One that failed is asked last for this long.
    pub shun: Duration,
    /// A relayed call that rings for longer is forgotten: what follows it goes the way that it would go now.
    pub ringing: Duration,
    /// How long a DNS server may take for an answer; then it is asked once more, or the next one is.
    pub lookup: Duration,
    /// What Retry-After says in a 503, and in the 480 of a source that is told too many refusals.
    pub retry_after: Duration,
    /// A phone's connection that sends nothing for this long is closed.
    pub idle: Duration,
    /// A message over a phone's connection that is not whole so long after its first byte ends the connection (RFC 3261
    /// knows no such time; nobody waits for its answer any longer).
    pub message_wait: Duration,
    /// A phone that has connected and not finished its handshakes (TLS, WebSocket) after this long is let go.
    pub handshake: Duration,
    /// How long a stop waits for requests in flight.
    pub drain: Duration,
}

impl Config {
    /// A dispatcher with the default bounds, no upstream and nobody trusted.
    pub fn new(
        listeners: impl IntoIterator<Item = SocketAddr>,
        inner: SocketAddr,
        managers: watch::Receiver<Vec<Manager>>,
        secret: Secret,
    ) -> Config {
        Config {
            listeners: listeners.into_iter().map(Listener::from).collect(),
            front: None,
            inner: inner.into(),
            managers,
            wires: tls::Wires::plain(),
            domains: Vec::new(),
            upstream: None,
            trusted_peers: Vec::new(),
            oversize_udp: Policy::default(),
            origins: Origins::default(),
            secret,
            limits: Limits::default(),
            timings: Timings::default(),
        }
    }
}

impl Speaks {
    /// The one over connections is the last.
    pub fn transports(self) -> &'static [Transport] {
        match self {
            Speaks::UdpAndTcp => &[Transport::Udp, Transport::Tcp],
            Speaks::Tls => &[Transport::Tls],
            Speaks::Ws => &[Transport::Ws],
            Speaks::Wss => &[Transport::Wss],
        }
    }

    pub fn over_tls(self) -> bool {
        matches!(self, Speaks::Tls | Speaks::Wss)
    }
}

impl From<SocketAddr> for Listener {
    fn from(bind: SocketAddr) -> Listener {
        Listener { endpoint: bind.into(), speaks: Speaks::default() }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(bind: SocketAddr) -> Endpoint {
        Endpoint { bind, advertise: None }
    }
}

impl Upstream {
    /// Takes everything that is not ours, REGISTER too.
    pub fn at(destination: Destination) -> Upstream {
        Upstream {
            destination,
            tls: None,
            registers: true,
            path: Path::default(),
            feature_code: String::new(),
            name_servers: Vec::new(),
        }
    }
}

impl Limits {
    pub(crate) fn transit(&self, timings: &Timings) -> transit::Bounds {
        transit::Bounds {
            requests: self.relayed,
            bytes: self.relayed_bytes,
            of_source: self.relayed_per_source,
            taken: self.relayed_ways,
            silence: timings.silence,
            give_up: timings.give_up,
            ringing: timings.ringing,
            shun: timings.shun,
        }
    }

    pub(crate) fn dns(&self, timings: &Timings) -> dns::Bounds {
        dns::Bounds { parallel: self.lookups, answers: self.lookups_remembered, timeout: timings.lookup }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message: sip::Limits { message: 60 << 10, headers: 120, ..sip::Limits::default() },
            inner_message: sip::Limits { message: 128 << 10, headers: 160, ..sip::Limits::default() },
            window: 65_536,
            window_bytes: 128 << 20,
            answered: 262_144,
            link_queue: 4 << 20,
            inner_queue: 1 << 20,
            connection_queue: 256 << 10,
            connection_queues: 512 << 20,
            partial_messages: 64 << 20,
            udp_queue: 4 << 20,
            connections: 100_000,
            connections_per_source: 10_000,
            requests_per_source: throttle::Rate { per_second: 20_000, burst: 200_000 },
            refusals_per_source: throttle::Bounds {
                per_second: 100,
                burst: 1_000,
                answers: 10,
                sources: 65_536,
            },
            inner_connections: 64,
            relayed: 16_384,
            relayed_bytes: 32 << 20,
            relayed_per_source: 4_096,
            relayed_ways: 65_536,
            lookups: 16,
            lookups_remembered: 256,
            datagram: 1_300,
            udp_sockets: 1,
            udp_receive_buffer: 4 << 20,
            batch: 32,
        }
    }
}

impl Default for Timings {
    fn default() -> Timings {
        Timings {
            ping: Duration::from_millis(250),
            live: Duration::from_millis(750),
            link_silence: Duration::from_secs(5),
            reconnect: (Duration::from_millis(50), Duration::from_secs(2)),
            patience: Duration::from_secs(1),
            hold: Duration::from_secs(3),
            pause: Duration::from_millis(500),
            give_up: Duration::from_secs(32),
            silence: Duration::from_secs(4),
            shun: Duration::from_secs(30),
            ringing: Duration::from_secs(200),
            lookup: Duration::from_secs(2),
            retry_after: Duration::from_secs(5),
            idle: Duration::from_secs(3600),
            message_wait: Duration::from_secs(32),
            handshake: Duration::from_secs(5),
            drain: Duration::from_secs(2),
        }
    }
}
