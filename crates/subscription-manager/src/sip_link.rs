//! The link to the dispatchers: plain SIP over TCP connections that they open and keep.
//!
//! Requests travel both ways on a connection. The Via of a request names the dispatcher's own inner address, and from
//! then on requests for that address leave over the connection it came on (RFC 5923). While there is none another
//! dispatcher may stand in, as [`stand_in`] has it; else the dispatcher is connected to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use metrics::counter;
use parking_lot::Mutex;
use placement::GroupId;
use presence_agent::LinkId;
use sip::{Frame, Framed, Limits, Message, Secret, StreamFramer, Uri, Via};
use tls::{Protocol, ReadHalf, Stream, Wires, WriteHalf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::LinkLimits;
use crate::demux::Demux;
use crate::driver::Input;
use crate::metrics::{FULL, LINK_DROPPED, NOT_SIP, Requests, STOOD_IN};
use crate::stand_in;

/// The connections of this manager. Clones are the same set.
#[derive(Clone)]
pub struct Links(Arc<Shared>);

struct Shared {
    table: Mutex<Table>,
    next: AtomicU64,
    limits: LinkLimits,
    wires: Wires,
    flow_key: Secret,
    demux: Demux,
    drivers: HashMap<GroupId, mpsc::Sender<Input>>,
    requests: Requests,
}

#[derive(Default)]
struct Table {
    queues: HashMap<LinkId, Open>,
    /// Which connection leads to a dispatcher's inner address.
    leads_to: HashMap<SocketAddr, LinkId>,
}

/// An open connection, from its writing side.
struct Open {
    queue: mpsc::Sender<Bytes>,
    /// Bytes in the queue.
    waiting: Arc<AtomicUsize>,
    /// Ends the reading side too.
    closed: CancellationToken,
    /// The public listeners for datagrams of the dispatcher there; `None` until it pings.
    listeners: Option<Vec<SocketAddr>>,
    /// We have connected, or are about to: nobody may be there.
    dialled: bool,
}

impl Table {
    fn leading_to(&self, next_hop: SocketAddr) -> Option<LinkId> {
        self.leads_to.get(&next_hop).copied().filter(|link| self.queues.contains_key(link))
    }

    fn is_dialled(&self, link: LinkId) -> bool {
        self.queues.get(&link).is_some_and(|open| open.dialled)
    }

    /// The same one each time, so that what it is sent stays in order.
    fn holder_of(&self, listener: SocketAddr) -> Option<LinkId> {
        let holds = |open: &Open| open.listeners.as_ref().is_some_and(|held| held.contains(&listener));
        let holders = self.queues.iter().filter(|(_, open)| holds(open));
        holders.map(|(link, _)| *link).min()
    }

    fn close(&mut self, link: LinkId) {
        if let Some(open) = self.queues.remove(&link) {
            open.closed.cancel();
        }
        self.leads_to.retain(|_, held| *held != link);
    }
}

/// Who sent the last request on a connection, as its Via says: hardly ever somebody else.
#[derive(Default)]
struct Known {
    host: String,
    port: Option<u16>,
}

impl Known {
    fn of(via: &Via<'_>) -> Known {
        Known { host: via.host.to_owned(), port: via.port }
    }

    fn is(&self, via: &Via<'_>) -> bool {
        self.host == via.host && self.port == via.port
    }
}

/// The other end of an open connection's queue.
struct Outgoing {
    queue: mpsc::Receiver<Bytes>,
    waiting: Arc<AtomicUsize>,
}

/// How long a dispatcher may take to accept a connection, and a closed one to take its last bytes.
const PATIENCE: Duration = Duration::from_secs(2);

impl Links {
    pub fn new(
        limits: LinkLimits,
        wires: Wires,
        flow_key: Secret,
        demux: Demux,
        drivers: HashMap<GroupId, mpsc::Sender<Input>>,
    ) -> Links {
        let (table, next) = (Mutex::default(), AtomicU64::new(1));
        let requests = Requests::registered();
        Links(Arc::new(Shared { table, next, limits, wires, flow_key, demux, drivers, requests }))
    }

    /// Takes connections until `shutdown`.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let mut incoming = self.0.wires.accept(listener, Protocol::Sip);
        loop {
            let (stream, peer) = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = incoming.accept() => accepted,
            };
            if self.0.table.lock().queues.len() >= self.0.limits.links {
                counter!(FULL, "bound" => "links").increment(1);
                warn!(%peer, "Refused a connection: there are too many");
                continue;
            }
            info!(%peer, "A dispatcher connected");
            let (link, outgoing, closed) = self.open(shutdown.child_token(), false);
            tokio::spawn(self.clone().carry(link, stream, outgoing, closed));
        }
    }

    /// Answers over the connection a request came on. If that is gone, so is whoever would read the answer; the phone
    /// asks again.
    pub fn respond(&self, link: LinkId, bytes: Bytes) {
        self.enqueue(&mut self.0.table.lock(), link, bytes);
    }

    /// Sends a request to the dispatcher whose inner address is `next_hop`, or to one that stands in for it.
    pub fn send(&self, next_hop: SocketAddr, bytes: Bytes) {
        let mut table = self.0.table.lock();
        if let Some(link) = table.leading_to(next_hop).filter(|link| !table.is_dialled(*link)) {
            return self.enqueue(&mut table, link, bytes);
        }
        // The others need not wait while the request is read.
        drop(table);
        let listener = stand_in::needed(bytes.clone(), &self.0.flow_key);
        let mut table = self.0.table.lock();
        if let Some(holder) = listener.and_then(|listener| table.holder_of(listener)) {
            counter!(STOOD_IN).increment(1);
            return self.enqueue(&mut table, holder, bytes);
        }
        match table.leading_to(next_hop) {
            Some(link) => self.enqueue(&mut table, link, bytes),
            None => {
                drop(table);
                self.connect(next_hop, bytes);
            }
        }
    }

    fn enqueue(&self, table: &mut Table, link: LinkId, bytes: Bytes) {
        let Some(open) = table.queues.get(&link) else { return counter!(LINK_DROPPED).increment(1) };
        let length = bytes.len();
        let waiting = open.waiting.fetch_add(length, Ordering::Relaxed);
        if waiting + length > self.0.limits.link_bytes || open.queue.try_send(bytes).is_err() {
            // The dispatcher does not read. Closing tells it so; what was lost is sent again by the transactions' timers,
            // or by the retries of the subscriptions that it leaves dirty.
            counter!(LINK_DROPPED).increment(1);
            table.close(link);
        }
    }

    fn open(&self, closed: CancellationToken, dialled: bool) -> (LinkId, Outgoing, CancellationToken) {
        let link = LinkId(self.0.next.fetch_add(1, Ordering::Relaxed));
        let (queue, receiver) = mpsc::channel(self.0.limits.link_queue);
        let waiting = Arc::new(AtomicUsize::new(0));
        let outgoing = Outgoing { queue: receiver, waiting: waiting.clone() };
        let open = Open { queue, waiting, closed: closed.clone(), listeners: None, dialled };
        self.0.table.lock().queues.insert(link, open);
        (link, outgoing, closed)
    }

    fn close(&self, link: LinkId) {
        self.0.table.lock().close(link);
    }

    fn connect(&self, next_hop: SocketAddr, bytes: Bytes) {
        if self.0.table.lock().queues.len() >= self.0.limits.links {
            // Its transaction repeats it, and by then the dispatcher may have come by itself.
            counter!(FULL, "bound" => "links").increment(1);
            return counter!(LINK_DROPPED).increment(1);
        }
        let (link, outgoing, closed) = self.open(CancellationToken::new(), true);
        self.0.table.lock().leads_to.insert(next_hop, link);
        self.respond(link, bytes);
        let links = self.clone();
        tokio::spawn(async move {
            match timeout(PATIENCE, links.0.wires.connect(next_hop)).await {
                Ok(Ok(stream)) => links.carry(link, stream, outgoing, closed).await,
                failed => {
                    debug!(%next_hop, ?failed, "A dispatcher cannot be reached");
                    links.close(link);
                }
            }
        });
    }

    async fn carry(self, link: LinkId, stream: Stream, outgoing: Outgoing, closed: CancellationToken) {
        let (reader, writer) = stream.into_split();
        let mut writing = tokio::spawn(write(writer, outgoing));
        tokio::select! {
            () = closed.cancelled() => {}
            () = self.read(link, reader) => {}
        }
        self.close(link);
        // The queue has no sender any more, so the writer ends when it is empty: a last answer still goes out, unless the
        // dispatcher does not read.
        if timeout(PATIENCE, &mut writing).await.is_err() {
            writing.abort();
        }
    }

    async fn read(&self, link: LinkId, mut reader: ReadHalf) {
        let mut framer = StreamFramer::new(Limits::default());
        let mut buffer = vec![0; 64 * 1024];
        let mut known = Known::default();
        loop {
            match timeout(self.0.limits.silence, reader.read(&mut buffer)).await {
                Ok(Ok(0) | Err(_)) => return,
                Ok(Ok(length)) => framer.push(&buffer[..length]),
                Err(_) if self.pings(link) => return info!("A dispatcher says nothing any more"),
                Err(_) => {}
            }
            while let Some(frame) = framer.next() {
                match frame {
                    Ok(Frame::Message(framed)) => self.take(link, framed, &mut known).await,
                    Ok(Frame::KeepAlive) => self.respond(link, Bytes::from_static(b"\r\n")),
                    Err(error) => {
                        counter!(NOT_SIP).increment(1);
                        warn!(%error, "A dispatcher sent what is no SIP message");
                        return;
                    }
                }
            }
        }
    }

    async fn take(&self, link: LinkId, framed: Framed, known: &mut Known) {
        let Ok(message) = framed.parse(&Limits::default()) else {
            return counter!(NOT_SIP).increment(1);
        };
        let Some(driver) = self.0.demux.route(&message).and_then(|group| self.0.drivers.get(&group)) else {
            return;
        };
        let input = if message.is_request() {
            self.0.requests.count(message.method());
            self.learn(link, &message, known);
            Input::Request { link, message }
        } else {
            Input::Response(message)
        };
        // A full queue makes us stop reading, and the dispatcher goes to the next manager.
        if let Err(TrySendError::Full(input)) = driver.try_send(input) {
            counter!(FULL, "bound" => "inputs").increment(1);
            let _ = driver.send(input).await;
        }
    }

    fn learn(&self, link: LinkId, request: &Message, known: &mut Known) {
        let Ok(via) = request.via() else { return };
        let listeners = stand_in::held(request);
        if listeners.is_none() && known.is(&via) {
            return;
        }
        let host = format!("sip:{}", via.host);
        let Some(mut address) = Uri::parse(&host).ok().and_then(|uri| uri.socket_addr()) else { return };
        address.set_port(via.port.unwrap_or(5060));
        *known = Known::of(&via);
        let mut table = self.0.table.lock();
        if table.leads_to.get(&address) != Some(&link) {
            table.leads_to.insert(address, link);
        }
        if let (Some(listeners), Some(open)) = (listeners, table.queues.get_mut(&link)) {
            open.listeners = Some(listeners);
        }
    }

    /// Whether a dispatcher that pings is there; a proxy that stands in for one may have nothing to say for long.
    fn pings(&self, link: LinkId) -> bool {
        self.0.table.lock().queues.get(&link).is_some_and(|open| open.listeners.is_some())
    }
}

/// Writes what waits in one go, so that a burst costs few system calls.
async fn write(mut writer: WriteHalf, mut outgoing: Outgoing) {
    let mut batch = Vec::with_capacity(64);
    let mut buffer = Vec::with_capacity(64 * 1024);
    while outgoing.queue.recv_many(&mut batch, 64).await > 0 {
        buffer.clear();
        batch.drain(..).for_each(|bytes| buffer.extend_from_slice(&bytes));
        if writer.write_all(&buffer).await.is_err() || writer.flush().await.is_err() {
            return;
        }
        outgoing.waiting.fetch_sub(buffer.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use placement::SlotTable;
    use sip::Transport;
    use tokio::net::TcpStream;

    use super::*;
    use crate::stand_in::tests::notify;

    /// A dispatcher that has pinged, and knows that its ping was taken.
    async fn dispatcher(manager: SocketAddr, inner: &str, listener: &str) -> TcpStream {
        let ping = format!(
            "OPTIONS sip:ping@{manager} SIP/2.0\r\nVia: SIP/2.0/TCP {inner};branch=z9hG4bKp\r\n\
             From: <sip:dispatcher@{inner}>;tag=ping\r\nTo: <sip:ping@{manager}>\r\nCall-ID: ping\r\n\
             CSeq: 1 OPTIONS\r\nContact: <sip:{listener}>\r\nContent-Length: 0\r\n\r\n"
        );
        let mut stream = TcpStream::connect(manager).await.unwrap();
        stream.write_all(format!("{ping}\r\n\r\n").as_bytes()).await.unwrap();
        let mut pong = [0; 2];
        stream.read_exact(&mut pong).await.unwrap();
        assert_eq!(&pong, b"\r\n");
        stream
    }

    async fn first_line(stream: &mut TcpStream) -> String {
        let mut buffer = vec![0; 4096];
        let length = stream.read(&mut buffer).await.unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        text.lines().next().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn while_a_dispatcher_is_away_another_one_with_its_listener_sends_its_datagrams() {
        let (table, flow_key) = (SlotTable::dealt(1), Secret::new("lab").derive("flow"));
        let (driver, _inputs) = mpsc::channel(8);
        let drivers = table.groups().into_iter().map(|group| (group, driver.clone())).collect();
        let demux = Demux::new(table);
        let limits = LinkLimits { silence: Duration::MAX, ..LinkLimits::default() };
        let links = Links::new(limits, Wires::plain(), flow_key.clone(), demux, drivers);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let manager = listener.local_addr().unwrap();
        tokio::spawn(links.clone().serve(listener, CancellationToken::new()));
        let mut stranger = dispatcher(manager, "10.0.0.3:7000", "192.0.2.9:5060").await;
        let mut holder = dispatcher(manager, "10.0.0.2:7000", "192.0.2.1:5060").await;

        // For a connection nobody stands in: that one is dialled, and meanwhile nothing else may wait for it.
        let away = "127.0.0.1:1".parse().unwrap();
        links.send(away, notify(Transport::Tcp, 7, &flow_key));
        links.send(away, notify(Transport::Udp, 0, &flow_key));
        links.send("10.0.0.3:7000".parse().unwrap(), Bytes::from_static(b"its own\r\n"));

        assert!(first_line(&mut holder).await.starts_with("NOTIFY "));
        assert_eq!(first_line(&mut stranger).await, "its own");
    }
}
