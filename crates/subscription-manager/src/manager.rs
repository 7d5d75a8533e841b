//! A manager, put together: its part of the cluster, a driver per group, and the links.
//!
//! It answers the other managers from its first moment. Dispatchers and programs are served once it belongs to a cluster
//! and its log is read.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use cluster::{Declared, Door, Group, GroupEvents, Node, NodeConfig};
use placement::GroupId;
use presence_agent::Agent;
use proto::v1::admin_server::AdminServer;
use proto::v1::presence_server::PresenceServer;
use tls::{Incoming, Protocol};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tracing::{info, warn};

use crate::api_link::{ApiLink, Serving};
use crate::auth_link::AuthLink;
use crate::config::{Auth, Config};
use crate::demux::Demux;
use crate::driver::{Clock, Driver, Input, Replies};
use crate::followers::Followers;
use crate::metrics::Meters;
use crate::sip_link::Links;

/// A manager with its ports and its data folder taken.
pub struct Manager {
    config: Config,
    door: Door,
    auth: Option<AuthLink>,
    api: ApiLink,
    demux: Arc<OnceLock<Demux>>,
    /// Bound, so that nobody else takes the port; it listens when there is somebody to answer.
    sip: TcpSocket,
    grpc: TcpListener,
}

/// Dispatchers that connect at the same moment.
const BACKLOG: u32 = 1_024;

#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: std::io::Error },
    #[error(transparent)]
    Start(#[from] cluster::StartError),
    #[error("{0:#}")]
    Config(anyhow::Error),
}

impl Manager {
    pub async fn bind(config: Config) -> Result<Manager, BindError> {
        let listen = |address| move |error| BindError::Listen { address, error };
        let sip = bind(config.sip).map_err(listen(config.sip))?;
        let grpc = TcpListener::bind(config.grpc).await.map_err(listen(config.grpc))?;
        let auth = match &config.auth {
            Auth::Open => {
                warn!("auth = \"open\": NOBODY IS ASKED FOR A PASSWORD, everything is allowed to everyone");
                None
            }
            Auth::Adapter(url) => {
                Some(AuthLink::new(url, config.limits, &config.wires).map_err(BindError::Config)?)
            }
        };
        let door = Door::open(node_config(&config)).await?;
        Ok(Manager { config, door, auth, api: ApiLink::new(), demux: Arc::default(), sip, grpc })
    }

    /// Whether every group is served here, and why not: asked by readiness probes.
    pub fn ready(&self) -> impl Fn() -> Result<(), String> + Send + Sync + use<> {
        let (demux, waiting) = (self.demux.clone(), self.door.waiting());
        move || match demux.get() {
            Some(demux) if demux.serves_all() => Ok(()),
            Some(_) => Err("not every group is served".to_owned()),
            None => Err(waiting.borrow().clone()),
        }
    }

    /// Serves until `shutdown`; then answers what is under way, and closes the log last. A group that cannot be served any
    /// more ends the whole node: half a manager would take requests and answer none.
    pub async fn serve(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let wires = CancellationToken::new();
        let routes = self
            .door
            .routes()
            .add_service(PresenceServer::new(self.api.clone()))
            .add_service(AdminServer::new(self.api.clone()));
        let incoming = self.config.wires.accept(self.grpc, Protocol::Grpc);
        let grpc = tokio::spawn(serve_grpc(incoming, routes, wires.clone(), shutdown.clone()));
        let entered = tokio::select! {
            () = shutdown.cancelled() => None,
            entered = self.door.enter() => Some(entered),
        };
        let outcome = match entered {
            None => Ok(()),
            Some(Err(error)) => Err(error.into()),
            Some(Ok((node, groups))) => {
                let table = node.directory().borrow().slots.clone();
                let demux = self.demux.get_or_init(|| Demux::new(table)).clone();
                let member = Member { config: self.config, auth: self.auth, api: self.api, demux, node };
                let sip = self.sip.listen(BACKLOG)?;
                member.serve(groups, sip, &wires, &shutdown).await
            }
        };
        wires.cancel();
        let served = grpc.await.map_err(anyhow::Error::from).flatten();
        info!("The manager stopped");
        outcome.and(served)
    }
}

/// A manager that takes part in a cluster.
struct Member {
    config: Config,
    auth: Option<AuthLink>,
    api: ApiLink,
    demux: Demux,
    node: Node,
}

impl Member {
    async fn serve(
        self,
        groups: Vec<(Group, GroupEvents)>,
        sip: TcpListener,
        wires: &CancellationToken,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        let (senders, receivers) = queues(&groups, self.config.limits.inputs);
        let wires_of = self.config.wires.clone();
        let flow_key = self.config.secret.derive("flow");
        let links = Links::new(self.config.limits, wires_of, flow_key, self.demux.clone(), senders.clone());
        self.api.open(Serving {
            name: self.config.name.clone(),
            directory: self.node.directory(),
            system: self.node.system(),
            domains: self.config.domains.clone(),
            feature_code: self.config.feature_code.clone(),
            demux: self.demux.clone(),
            groups: groups.iter().map(|(group, _)| group.clone()).collect(),
            drivers: senders.clone(),
        });
        let following =
            self.auth.clone().map(|auth| tokio::spawn(auth.follow(senders.values().cloned().collect())));
        let mut drivers = JoinSet::new();
        for ((group, events), inputs) in groups.into_iter().zip(receivers) {
            let own_inputs = senders[&group.id()].clone();
            let driver = self.driver(Seat { group, events, inputs, own_inputs }, &links);
            drivers.spawn(driver.run(shutdown.clone()));
        }
        let links = tokio::spawn(links.serve(sip, wires.clone()));
        let outcome = self.until_drivers_end(drivers, shutdown).await;
        if let Some(following) = following {
            following.abort();
        }
        // While the others can still reach this node: they need its vote.
        self.node.hand_over().await;
        wires.cancel();
        // It ends with the wires; how it ends tells nothing that was not logged.
        let _ = links.await;
        self.node.shutdown().await;
        outcome
    }

    /// The first failure, after which the others are told to stop.
    async fn until_drivers_end(
        &self,
        mut drivers: JoinSet<anyhow::Result<GroupEvents>>,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut ended = std::pin::pin!(self.node.ended());
        let mut outcome = Ok(());
        loop {
            let failed = tokio::select! {
                reason = &mut ended, if outcome.is_ok() => Err(anyhow::Error::msg(reason)),
                driver = drivers.join_next() => match driver {
                    Some(driver) => driver.map_err(anyhow::Error::from).flatten().map(read_on),
                    None => return outcome,
                },
            };
            if failed.is_err() {
                shutdown.cancel();
                outcome = outcome.and(failed);
            }
        }
    }
    fn driver(&self, seat: Seat, links: &Links) -> Driver {
        let (clock, config) = (Clock::start(), &self.config);
        let agent = presence_agent::Config {
            node: seat.group.node(),
            group: seat.group.id(),
            incarnation: seat.group.incarnation(),
            domains: config.domains.clone(),
            secret: config.secret.clone(),
            open: self.auth.is_none(),
            algorithms: config.algorithms.clone(),
            md5_only: config.md5_only.clone(),
            feature_code: config.feature_code.clone(),
            trust_asserted_identity: config.trust_asserted_identity,
            end_on_timeout: config.end_on_timeout,
            check_nc: config.check_nc,
            sent_by: config.advertise_sip.clone(),
            subscribe: config.subscribe,
            publish: config.publish,
            register: config.register,
            limits: config.agent_limits,
        };
        Driver {
            agent: Agent::new(agent, clock.now(&seat.group, 0)),
            directory: self.node.directory(),
            group: seat.group,
            events: seat.events,
            inputs: seat.inputs,
            own_inputs: seat.own_inputs,
            links: links.clone(),
            auth: self.auth.clone(),
            demux: self.demux.clone(),
            followers: Followers::new(config.limits.followers),
            clock,
            replies: Replies::default(),
            meters: Meters::registered(),
        }
    }
}

/// Serves until `stop`. However it ends, the manager does too: the others could not reach it any more.
async fn serve_grpc(
    incoming: Incoming,
    routes: Routes,
    stop: CancellationToken,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let _ends_the_manager = shutdown.drop_guard();
    // Streams of the other managers stay open for ever, so this ends with the wires, not after them.
    let serving = cluster::server().add_routes(routes).serve_with_incoming(incoming);
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        served = serving => {
            served.context("the gRPC server failed")?;
            anyhow::bail!("the gRPC server ended")
        }
    }
}

/// What a driver gets from the cluster and from the queues.
struct Seat {
    group: Group,
    events: GroupEvents,
    inputs: mpsc::Receiver<Input>,
    own_inputs: mpsc::Sender<Input>,
}

fn node_config(config: &Config) -> NodeConfig {
    NodeConfig {
        name: config.name.clone(),
        declared: Declared { members: config.members.clone(), groups: config.groups },
        sip: config.advertise_sip.clone(),
        data: config.data.clone(),
        detours: [].into(),
        wires: config.wires.clone(),
        timings: config.timings.clone(),
        limits: config.cluster_limits.clone(),
    }
}

fn queues(
    groups: &[(Group, GroupEvents)],
    capacity: usize,
) -> (HashMap<GroupId, mpsc::Sender<Input>>, Vec<mpsc::Receiver<Input>>) {
    let (mut senders, mut receivers) = (HashMap::new(), Vec::new());
    for (group, _) in groups {
        let (sender, receiver) = mpsc::channel(capacity);
        senders.insert(group.id(), sender);
        receivers.push(receiver);
    }
    (senders, receivers)
}

fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart finds connections of its former self that have not ended yet.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// A group whose events nobody reads stops, and then it cannot hand over. What is read here is in the log.
fn read_on(mut events: GroupEvents) {
    tokio::spawn(async move { while events.next().await.is_some() {} });
}
