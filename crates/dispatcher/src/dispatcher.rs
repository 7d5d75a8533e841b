//! A running dispatcher: sockets bound, tasks started, stopped in order.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use sip::{Frame, Transport};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::callers::Callers;
use crate::config::{Config, Endpoint, Listener, Manager, Speaks};
use crate::deliver::Deliverer;
use crate::forward::Forwarder;
use crate::health::Health;
use crate::members::Members;
use crate::metrics::{Dropped, Metrics, Queue};
use crate::names::{Leg, Names};
use crate::outbox::Outbox;
use crate::oversize::Oversize;
use crate::switchboard::Switchboard;
use crate::throttle::Throttle;
use crate::transport::connections::{self, Connections};
use crate::transport::lines::{Dial, Lines};
use crate::transport::phone::{Entrance, Speech};
use crate::transport::udp::UdpPort;
use crate::transport::{self, BindError, stream};
use crate::upstream::Upstream;
use crate::window::{self, Window};

/// A dispatcher whose sockets are bound; [`Dispatcher::serve`] makes it work.
pub struct Dispatcher {
    board: Arc<Switchboard>,
    entrances: Vec<Entrance>,
    front: Option<tls::Front>,
    inner: TcpListener,
    listeners: Vec<SocketAddr>,
    inner_address: SocketAddr,
    managers: watch::Receiver<Vec<Manager>>,
    ready: watch::Receiver<bool>,
    dials: mpsc::Receiver<Dial>,
}

/// Binds and serves until `shutdown`.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    Dispatcher::bind(config).await?.serve(shutdown).await;
    Ok(())
}

impl Dispatcher {
    /// Binds every address of the configuration. Nothing is read or sent yet.
    pub async fn bind(config: Config) -> Result<Dispatcher, BindError> {
        check(&config)?;
        let mut entrances = Vec::new();
        let mut ports = Vec::new();
        let mut listeners = Vec::new();
        let mut advertised = Vec::new();
        for (position, listener) in config.listeners.iter().enumerate() {
            let (entrance, port) = open(position, listener, &config)?;
            let bound = bound(&entrance.listener, &listener.endpoint)?;
            listeners.push(bound);
            let known_as = known_as(&listener.endpoint, bound);
            if advertised.iter().any(|(address, _)| *address == known_as) {
                return Err(BindError::AdvertisedTwice(known_as));
            }
            advertised.push((known_as, listener.speaks));
            entrances.push(entrance);
            ports.push(port);
        }
        let inner = transport::listener(config.inner.bind)?;
        let inner_address = bound(&inner, &config.inner)?;
        let names = Names::new(known_as(&config.inner, inner_address), &advertised, &config.domains);
        let managers = config.managers.clone();
        let upstream = upstream(&config, &names)?;
        let front = config.front.clone();
        let (ready, readiness) = watch::channel(false);
        let (lines, dials) = Lines::new();
        let board = board(config, names, ports, upstream, lines, ready);
        Ok(Dispatcher {
            board: Arc::new(board),
            entrances,
            front,
            inner,
            listeners,
            inner_address,
            managers,
            ready: readiness,
            dials,
        })
    }

    /// The addresses that the public listeners are bound to, in the order of the configuration.
    pub fn listeners(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// The address that the inner listener is bound to.
    pub fn inner(&self) -> SocketAddr {
        self.inner_address
    }

    /// True while at least one manager serves.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }

    /// Works until `shutdown`; then takes nothing new, waits a little for what is in flight, and closes everything.
    pub async fn serve(self, shutdown: CancellationToken) {
        let (board, tasks, closing) = (self.board, TaskTracker::new(), CancellationToken::new());
        let lines = make_lines(self.dials, board.clone(), tasks.clone(), closing.clone());
        tasks.spawn(until(closing.clone(), lines));
        tasks.spawn(until(closing.clone(), keep_upstream(board.clone())));
        let members = keep_members(self.managers, board.clone(), tasks.clone(), closing.clone());
        tasks.spawn(until(closing.clone(), members));
        let inner = serve_managers(self.inner, board.clone(), tasks.clone(), closing.clone());
        tasks.spawn(until(closing.clone(), inner));
        if let Some(front) = self.front {
            tasks.spawn(until(closing.clone(), front.keep_fresh()));
        }
        for entrance in self.entrances {
            spawn_udp(entrance.position, &board, &tasks, &closing);
            let phones = entrance.serve(board.clone(), tasks.clone(), closing.clone());
            tasks.spawn(until(shutdown.clone(), phones));
        }
        tasks.spawn(until(closing.clone(), keep_time(board.clone())));
        info!(listeners = ?self.listeners, inner = %self.inner_address, "Dispatcher serves");

        shutdown.cancelled().await;
        board.drain();
        let drained = timeout(board.timings.drain, drained(&board)).await.is_ok();
        info!(drained, left = board.in_flight(), "Dispatcher stops");
        closing.cancel();
        tasks.close();
        tasks.wait().await;
    }
}

fn check(config: &Config) -> Result<(), BindError> {
    if config.listeners.is_empty() {
        return Err(BindError::NoListener);
    }
    let mut all = config.listeners.iter().map(|listener| &listener.endpoint).chain([&config.inner]);
    match all.find(|endpoint| endpoint.bind.ip().is_unspecified() && endpoint.advertise.is_none()) {
        Some(endpoint) => Err(BindError::NoAdvertise(endpoint.bind)),
        None => Ok(()),
    }
}

fn open(
    position: usize,
    listener: &Listener,
    config: &Config,
) -> Result<(Entrance, Option<UdpPort>), BindError> {
    let address = listener.endpoint.bind;
    let speech = Speech::of(listener.speaks, config.front.as_ref());
    let speech = speech.ok_or(BindError::NoCertificate(address))?;
    let (listener, port) = match listener.speaks {
        Speaks::UdpAndTcp => transport::pair(address, &config.limits).map(|(tcp, udp)| (tcp, Some(udp)))?,
        Speaks::Tls | Speaks::Ws | Speaks::Wss => (transport::listener(address)?, None),
    };
    Ok((Entrance { listener, position, speech }, port))
}

fn bound(socket: &TcpListener, endpoint: &Endpoint) -> Result<SocketAddr, BindError> {
    socket.local_addr().map_err(|error| BindError::Io { address: endpoint.bind, error })
}

/// The address that others use; an advertised port of 0 is the port bound.
fn known_as(endpoint: &Endpoint, bound: SocketAddr) -> SocketAddr {
    match endpoint.advertise {
        Some(address) if address.port() == 0 => SocketAddr::new(address.ip(), bound.port()),
        Some(address) => address,
        None => bound,
    }
}

fn upstream(config: &Config, names: &Names) -> Result<Option<Upstream>, BindError> {
    let Some(wanted) = &config.upstream else { return Ok(None) };
    if wanted.destination.over_tls() && wanted.tls.is_none() {
        return Err(BindError::UpstreamTrust);
    }
    let upstream = Upstream::new(wanted, &config.limits, &config.timings, &config.secret)?;
    match upstream.unfaced(names) {
        Some(address) => Err(BindError::UpstreamFamily(address)),
        None => Ok(Some(upstream)),
    }
}

fn board(
    config: Config,
    names: Names,
    ports: Vec<Option<UdpPort>>,
    upstream: Option<Upstream>,
    lines: Lines,
    ready: watch::Sender<bool>,
) -> Switchboard {
    let (limits, timings) = (config.limits, config.timings);
    Switchboard {
        members: ArcSwap::from_pointee(Members::none()),
        callers: Callers::default(),
        forwarder: Forwarder::new(&config.secret, &config.trusted_peers),
        deliverer: Deliverer::new(&config.secret),
        connections: Connections::new(connections::Bounds {
            total: limits.connections,
            per_source: limits.connections_per_source,
            queue: limits.connection_queue,
            queues: limits.connection_queues,
            partial_messages: limits.partial_messages,
        }),
        window: Mutex::new(Window::new(window::Bounds {
            requests: limits.window,
            bytes: limits.window_bytes,
            patience: timings.patience,
            hold: timings.hold,
            pause: timings.pause,
            give_up: timings.give_up,
            answered: limits.answered,
        })),
        throttle: Mutex::new(Throttle::new(limits.requests_per_source, limits.refusals_per_source)),
        health: Health::new(ready),
        metrics: Metrics::registered(),
        draining: AtomicBool::new(false),
        started: Instant::now(),
        names,
        ports,
        upstream,
        lines,
        oversize: Oversize::new(config.oversize_udp, limits.datagram),
        origins: config.origins,
        wires: config.wires,
        limits,
        timings,
    }
}

/// Reads and writes the datagrams of a public listener, if it takes any.
fn spawn_udp(position: usize, board: &Arc<Switchboard>, tasks: &TaskTracker, closing: &CancellationToken) {
    let sockets = board.ports[position].as_ref().map_or(0, UdpPort::sockets);
    for socket in 0..sockets {
        let board = board.clone();
        let receive = async move {
            let Some(port) = &board.ports[position] else { return };
            let take = |bytes: Bytes, remote| {
                let leg = Leg { transport: Transport::Udp, listener: position, remote, connection: 0 };
                board.from_phone(bytes.into(), &leg);
            };
            port.receive(socket, board.limits.batch, || board.batch(), take).await;
        };
        tasks.spawn(until(closing.clone(), receive));
    }
    let board = board.clone();
    let flush = async move {
        if let Some(port) = &board.ports[position] {
            port.flush().await;
        }
    };
    tasks.spawn(until(closing.clone(), flush));
}

/// Follows the list of managers. It stays as it is when nobody tells it any more.
async fn keep_members(
    mut managers: watch::Receiver<Vec<Manager>>,
    board: Arc<Switchboard>,
    tasks: TaskTracker,
    closing: CancellationToken,
) {
    loop {
        let wanted = managers.borrow_and_update().clone();
        for link in board.set_members(&wanted) {
            tasks.spawn(link.run(board.clone(), closing.clone()));
        }
        if managers.changed().await.is_err() {
            return;
        }
    }
}

/// Accepts managers that have no connection of ours, for instance while we are trying to reach them.
async fn serve_managers(
    listener: TcpListener,
    board: Arc<Switchboard>,
    tasks: TaskTracker,
    closing: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(board.limits.inner_connections));
    let mut incoming = board.wires.accept(listener, tls::Protocol::Sip);
    loop {
        let (stream, remote) = incoming.accept().await;
        board.see(remote.ip());
        let Ok(place) = room.clone().try_acquire_owned() else {
            board.metrics.full(Queue::InnerConnections);
            continue;
        };
        let (board, closing) = (board.clone(), closing.clone());
        tasks.spawn(async move {
            until(closing, serve_manager(stream, remote.ip(), &board)).await;
            drop(place);
        });
    }
}

async fn serve_manager(connection: tls::Stream, ip: IpAddr, board: &Switchboard) {
    let (reading, writing) = connection.into_split();
    let mut caller = board.callers.connected(ip, Outbox::new(board.limits.inner_queue));
    let outbox = caller.outbox.clone();
    let take = |frame| {
        let framed = match frame {
            Frame::Message(framed) => framed,
            Frame::KeepAlive => {
                let _ = outbox.push(stream::PONG);
                return true;
            }
        };
        let Ok(message) = framed.parse(&board.limits.inner_message) else {
            board.metrics.dropped(Dropped::NotSip);
            return false;
        };
        if message.is_request() {
            caller.asks(&message);
        }
        board.from_peer(&message, None, &outbox);
        true
    };
    tokio::select! {
        _ = stream::read(reading, &board.limits.inner_message, None, || board.batch(), take) => {}
        _ = outbox.write_to(writing) => {}
    }
}

/// Makes the connections that are wanted.
async fn make_lines(
    mut dials: mpsc::Receiver<Dial>,
    board: Arc<Switchboard>,
    tasks: TaskTracker,
    closing: CancellationToken,
) {
    while let Some(dial) = dials.recv().await {
        tasks.spawn(dial.serve(board.clone(), closing.clone()));
    }
}

/// Follows where the upstream is, and whom to trust there.
async fn keep_upstream(board: Arc<Switchboard>) {
    if let Some(upstream) = &board.upstream {
        tokio::join!(upstream.keep_located(), upstream.keep_fresh());
    }
}

/// Runs the window's timers. Hardly a deadline can fall due before the one that `tick` names, for a new one lies a whole
/// pause ahead; only the last one of a request that nobody takes may lie nearer, and is then seen that much later.
async fn keep_time(board: Arc<Switchboard>) {
    loop {
        let next = board.tick();
        sleep_until(board.at(next)).await;
    }
}

async fn drained(board: &Switchboard) {
    while board.in_flight() > 0 {
        sleep(board.timings.drain / 100).await;
    }
}

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}
