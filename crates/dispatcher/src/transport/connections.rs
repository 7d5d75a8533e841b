//! The connections of phones, by the number that flow tokens and branches name them with.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::RwLock;
use sip::Transport;
use tokio_util::sync::CancellationToken;

use super::owed::Owed;
use crate::names::Leg;
use crate::outbox::{Budget, Outbox, Unsent};

pub struct Connections {
    bounds: Bounds,
    budget: Arc<Budget>,
    partial_messages: Arc<Budget>,
    next: AtomicU64,
    table: RwLock<Table>,
}

#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub total: usize,
    pub per_source: usize,
    /// Bytes that may wait for one connection.
    pub queue: usize,
    /// Bytes that may wait for all of them.
    pub queues: usize,
    /// Bytes of messages that are not whole, from all of them.
    pub partial_messages: usize,
}

#[derive(Default)]
struct Table {
    open: HashMap<u64, Connection>,
    sources: HashMap<IpAddr, usize>,
}

#[derive(Clone)]
pub struct Connection {
    pub number: u64,
    pub outbox: Arc<Outbox>,
    /// Cancelled when a full queue shows that the phone does not read.
    pub stuck: CancellationToken,
    pub owed: Arc<Owed>,
    source: IpAddr,
}

impl Connections {
    pub fn new(bounds: Bounds) -> Connections {
        // Numbers go on from the wall clock, so the token of a connection that an earlier process had does not name
        // one of this process.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let first = u64::try_from(since_epoch.as_micros()).unwrap_or_default().max(1);
        Connections {
            bounds,
            budget: Arc::new(Budget::new(bounds.queues)),
            partial_messages: Arc::new(Budget::new(bounds.partial_messages)),
            next: AtomicU64::new(first),
            table: RwLock::default(),
        }
    }

    /// `None` if there are as many as may be, in all or from that source.
    pub fn open(&self, source: IpAddr) -> Option<Connection> {
        let mut table = self.table.write();
        let from_source = table.sources.get(&source).copied().unwrap_or(0);
        if table.open.len() >= self.bounds.total || from_source >= self.bounds.per_source {
            return None;
        }
        let connection = Connection {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            outbox: Arc::new(Outbox::sharing(self.bounds.queue, self.budget.clone())),
            stuck: CancellationToken::new(),
            owed: Arc::default(),
            source,
        };
        table.sources.insert(source, from_source + 1);
        table.open.insert(connection.number, connection.clone());
        Some(connection)
    }

    pub fn close(&self, number: u64) {
        let mut table = self.table.write();
        let Some(connection) = table.open.remove(&number) else { return };
        if let Some(count) = table.sources.get_mut(&connection.source) {
            *count -= 1;
            if *count == 0 {
                table.sources.remove(&connection.source);
            }
        }
    }

    /// Sends a request: whoever sends nothing any more would not answer it. A connection whose queue is full is closed.
    pub fn ask(&self, number: u64, request: Bytes) -> Result<(), Unsent> {
        let table = self.table.read();
        let open = table.open.get(&number).filter(|connection| !connection.owed.has_ended());
        open.ok_or(Unsent::Gone)?.push(request)
    }

    /// Sends an answer. A connection whose queue is full is closed.
    pub fn answer(&self, number: u64, answer: Bytes) -> Result<(), Unsent> {
        self.table.read().open.get(&number).ok_or(Unsent::Gone)?.push(answer)
    }

    /// A request of the phone is on its way to a manager.
    pub fn owe(&self, phone: &Leg) {
        self.of(phone, Owed::asked);
    }

    /// The phone has its final answer to one, or will have none.
    pub fn answered(&self, phone: &Leg) {
        self.of(phone, Owed::answered);
    }

    fn of(&self, phone: &Leg, note: impl FnOnce(&Owed)) {
        if phone.transport != Transport::Udp
            && let Some(connection) = self.table.read().open.get(&phone.connection)
        {
            note(&connection.owed);
        }
    }

    /// What all of them may hold of messages that are not whole.
    pub fn partial_messages(&self) -> Arc<Budget> {
        self.partial_messages.clone()
    }

    /// Bytes that wait for all of them.
    pub fn queued(&self) -> usize {
        self.budget.spent()
    }

    pub fn len(&self) -> usize {
        self.table.read().open.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Connection {
    fn push(&self, message: Bytes) -> Result<(), Unsent> {
        self.outbox.push(message).inspect_err(|_| self.stuck.cancel())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn connections() -> Connections {
        Connections::new(Bounds {
            total: 3,
            per_source: 2,
            queue: 100,
            queues: 1_000,
            partial_messages: 1_000,
        })
    }

    #[test]
    fn a_source_has_its_own_bound_below_that_of_all() {
        let connections = connections();

        assert!(connections.open(ONE).is_some());
        assert!(connections.open(ONE).is_some());
        assert!(connections.open(ONE).is_none());
        assert!(connections.open(OTHER).is_some());
        assert!(connections.open(OTHER).is_none());
    }

    #[test]
    fn a_closed_connection_makes_room_and_can_not_be_reached() {
        let connections = connections();
        let first = connections.open(ONE).unwrap();
        connections.open(ONE).unwrap();

        connections.close(first.number);

        assert_eq!(connections.ask(first.number, "x".into()), Err(Unsent::Gone));
        assert!(connections.open(ONE).is_some_and(|next| next.number != first.number));
    }

    #[test]
    fn a_phone_that_sends_no_more_is_answered_and_asked_nothing() {
        let connections = connections();
        let phone = connections.open(ONE).unwrap();

        phone.owed.end();

        assert_eq!(connections.ask(phone.number, "NOTIFY".into()), Err(Unsent::Gone));
        assert_eq!(connections.answer(phone.number, "SIP/2.0 200 OK".into()), Ok(()));
    }

    #[test]
    fn a_phone_that_does_not_read_loses_its_connection() {
        let connections = connections();
        let phone = connections.open(ONE).unwrap();
        connections.ask(phone.number, "1".repeat(30).into()).unwrap();

        let unsent = connections.ask(phone.number, "2".repeat(30).into());

        assert_eq!(unsent, Err(Unsent::Full));
        assert!(phone.stuck.is_cancelled());
    }
}
