//! What a dispatcher counts. Handles are made once, so counting a message costs one atomic addition.

use metrics::{Counter, Gauge, counter, gauge};
use sip::Transport;

use crate::throttle::Excess;

/// Messages received; label `side` is `phone` or `manager`.
pub const RECEIVED: &str = "vedette_dispatcher_messages_received_total";
/// Messages sent on to the next hop; label `side` as above, or `upstream`.
pub const FORWARDED: &str = "vedette_dispatcher_messages_forwarded_total";
/// Messages that went nowhere; label `reason`.
pub const DROPPED: &str = "vedette_dispatcher_messages_dropped_total";
/// Answers the dispatcher gave itself; label `status`.
pub const ANSWERED: &str = "vedette_dispatcher_answers_total";
/// Requests of sources that ask for too much, by the `bound`: `refusals` or `requests`; label `done` is `refused` or
/// `dropped`.
pub const THROTTLED: &str = "vedette_dispatcher_throttled_total";
/// Requests sent again, to another manager or another server of the upstream.
pub const RETRIED: &str = "vedette_dispatcher_retries_total";
/// Requests that nobody answered in time.
pub const GAVE_UP: &str = "vedette_dispatcher_requests_given_up_total";
/// Requests in flight to managers.
pub const IN_FLIGHT: &str = "vedette_dispatcher_requests_in_flight";
/// Requests for phones on UDP that are larger than a datagram should be; label `done` is `datagram`, `tcp` or `refused`.
pub const OVERSIZE: &str = "vedette_dispatcher_oversize_total";
/// Times that a queue had no room; label `queue`. What happens then stands at its bound in `config::Limits`.
pub const FULL: &str = "vedette_dispatcher_queue_full_total";
/// Bytes that wait for connections of phones.
pub const QUEUED: &str = "vedette_dispatcher_connection_queue_bytes";
/// Connections of phones that are open; label `transport`.
pub const CONNECTIONS: &str = "vedette_dispatcher_connections";
/// Connections closed by us; labels `transport` and `reason`.
pub const CLOSED: &str = "vedette_dispatcher_connections_closed_total";
/// The version of the directory that is in use, 0 while none is.
pub const DIRECTORY_VERSION: &str = "vedette_dispatcher_directory_version";
/// Times that a place where the directory is told did not answer, or broke off.
pub const DIRECTORY_LOST: &str = "vedette_dispatcher_directory_lost_total";
/// Questions to the DNS; label `result` is `found`, `nothing` or `failed`.
pub const LOOKUPS: &str = "vedette_dispatcher_dns_lookups_total";
/// 1 while a manager says that it serves; label `manager`.
pub const MANAGER_LIVE: &str = "vedette_dispatcher_manager_live";

/// Why a message went nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    NotSip,
    Malformed,
    NotOurs,
    /// Of no member, or of one that is not connected.
    UnknownManager,
    FlowGone,
    QueueFull,
    Unanswerable,
    Draining,
    /// A second answer.
    Late,
    /// Nobody knows where the upstream is.
    NoUpstream,
}

/// What has a bound, mostly in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    Window,
    Link,
    /// A connection that a manager made.
    Inner,
    Connection,
    Udp,
    /// Requests that the upstream has not answered.
    Relayed,
    /// Of one source, where there was still room in all.
    RelayedOfSource,
    /// Connections of managers, which are counted one by one.
    InnerConnections,
    /// Keys of answered requests.
    Answered,
    /// Sources that were told refusals.
    RefusedSources,
}

/// What became of a request that is large for a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Large {
    Datagram,
    Tcp,
    Refused,
}

/// Why we closed a phone's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    TooMany,
    SlowReader,
    Idle,
    NotSip,
    /// A WebSocket message that was not even read.
    TooLarge,
    /// A message of it was not whole in time.
    SlowSender,
    /// Messages that are not whole hold all that they may together, and it sent more of one.
    NoRoom,
    /// It did not finish its handshakes in time.
    Stalled,
    /// Its handshake failed, or it wants to speak something else.
    Handshake,
}

pub struct Metrics {
    pub from_phones: Counter,
    pub from_managers: Counter,
    pub to_phones: Counter,
    pub to_managers: Counter,
    pub to_upstream: Counter,
    pub retried: Counter,
    pub gave_up: Counter,
    pub in_flight: Gauge,
    pub queued: Gauge,
}

impl Metrics {
    pub fn registered() -> Metrics {
        Metrics {
            from_phones: counter!(RECEIVED, "side" => "phone"),
            from_managers: counter!(RECEIVED, "side" => "manager"),
            to_phones: counter!(FORWARDED, "side" => "phone"),
            to_managers: counter!(FORWARDED, "side" => "manager"),
            to_upstream: counter!(FORWARDED, "side" => "upstream"),
            retried: counter!(RETRIED),
            gave_up: counter!(GAVE_UP),
            in_flight: gauge!(IN_FLIGHT),
            queued: gauge!(QUEUED),
        }
    }

    pub fn dropped(&self, reason: Dropped) {
        let reason = match reason {
            Dropped::NotSip => "not_sip",
            Dropped::Malformed => "malformed",
            Dropped::NotOurs => "not_ours",
            Dropped::UnknownManager => "unknown_manager",
            Dropped::FlowGone => "flow_gone",
            Dropped::QueueFull => "queue_full",
            Dropped::Unanswerable => "unanswerable",
            Dropped::Draining => "draining",
            Dropped::Late => "late",
            Dropped::NoUpstream => "no_upstream",
        };
        counter!(DROPPED, "reason" => reason).increment(1);
    }

    pub fn full(&self, queue: Queue) {
        self.full_often(queue, 1);
    }

    pub fn full_often(&self, queue: Queue, times: u64) {
        if times == 0 {
            return;
        }
        let queue = match queue {
            Queue::Window => "window",
            Queue::Link => "link",
            Queue::Inner => "inner",
            Queue::Connection => "connection",
            Queue::Udp => "udp",
            Queue::Relayed => "relayed",
            Queue::RelayedOfSource => "relayed_of_source",
            Queue::InnerConnections => "inner_connections",
            Queue::Answered => "answered",
            Queue::RefusedSources => "refused_sources",
        };
        counter!(FULL, "queue" => queue).increment(times);
    }

    pub fn throttled(&self, excess: Excess, done: &'static str) {
        counter!(THROTTLED, "bound" => excess.as_str(), "done" => done).increment(1);
    }

    pub fn oversize(&self, large: Large) {
        let done = match large {
            Large::Datagram => "datagram",
            Large::Tcp => "tcp",
            Large::Refused => "refused",
        };
        counter!(OVERSIZE, "done" => done).increment(1);
    }

    pub fn connections(&self, transport: Transport) -> Gauge {
        gauge!(CONNECTIONS, "transport" => transport.as_str())
    }

    pub fn closed(&self, transport: Transport, reason: Closed) {
        let reason = match reason {
            Closed::TooMany => "too_many",
            Closed::SlowReader => "slow_reader",
            Closed::Idle => "idle",
            Closed::NotSip => "not_sip",
            Closed::TooLarge => "too_large",
            Closed::SlowSender => "slow_sender",
            Closed::NoRoom => "no_room",
            Closed::Stalled => "stalled",
            Closed::Handshake => "handshake",
        };
        counter!(CLOSED, "transport" => transport.as_str(), "reason" => reason).increment(1);
    }

    pub fn answered(&self, status: u16) {
        counter!(ANSWERED, "status" => status.to_string()).increment(1);
    }

    pub fn manager_live(&self, manager: &str, live: bool) {
        gauge!(MANAGER_LIVE, "manager" => manager.to_owned()).set(f64::from(u8::from(live)));
    }
}
