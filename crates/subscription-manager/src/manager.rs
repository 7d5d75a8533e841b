//! A manager, put together: its part of the cluster, a driver per group, and the links.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use cluster::{Group, GroupEvents, Node, NodeConfig};
use presence_agent::Agent;
use proto::v1::admin_server::AdminServer;
use proto::v1::presence_server::PresenceServer;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::api_link::{ApiLink, Shared};
use crate::auth_link::AuthLink;
use crate::config::{Auth, Config};
use crate::demux::Demux;
use crate::driver::{Clock, Driver, Input, Replies};
use crate::followers::Followers;
use crate::layout;
use crate::sip_link::Links;

/// A manager with its ports taken and its disk read, ready to serve.
pub struct Manager {
    node: Node,
    drivers: Vec<Driver>,
    links: Links,
    api: ApiLink,
    demux: Demux,
    sip: TcpListener,
    grpc: TcpListener,
}

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
        let sip = listen(config.sip).await?;
        let grpc = listen(config.grpc).await?;
        layout::check(&config.data, config.groups).map_err(BindError::Config)?;
        let auth = match &config.auth {
            Auth::Open => {
                warn!("auth = \"open\": NOBODY IS ASKED FOR A PASSWORD, everything is allowed to everyone");
                None
            }
            Auth::Adapter(url) => Some(AuthLink::new(url, config.limits).map_err(BindError::Config)?),
        };
        let demux = Demux::new(placement::SlotTable::dealt(config.groups));
        let (node, groups) = Node::start(node_config(&config, &demux)).await?;
        let (senders, receivers) = queues(&demux, config.limits.inputs);
        let links = Links::new(config.limits, demux.clone(), senders.clone());
        let api = ApiLink::new(Shared {
            node: config.node,
            name: config.name.clone(),
            members: config.members.clone(),
            domains: config.domains.clone(),
            demux: demux.clone(),
            groups: groups.iter().map(|(group, _)| group.clone()).collect(),
            drivers: senders.clone(),
            started: Instant::now(),
        });
        let sent_by = sip.local_addr().unwrap_or(config.sip).to_string();
        let drivers = groups
            .into_iter()
            .zip(receivers)
            .map(|((group, events), inputs)| {
                let own_inputs = senders[&group.id()].clone();
                let seat = Seat { group, events, inputs, own_inputs };
                driver(&config, seat, &links, auth.as_ref(), &demux, &sent_by)
            })
            .collect();
        Ok(Manager { node, drivers, links, api, demux, sip, grpc })
    }

    /// Whether every group is served here: asked by readiness probes.
    pub fn ready(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let demux = self.demux.clone();
        move || demux.serves_all()
    }

    /// Serves until `shutdown`; then answers what is under way, and closes the log last. A group that cannot be served any
    /// more ends the whole node: half a manager would take requests and answer none.
    pub async fn serve(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let wires = CancellationToken::new();
        let routes = self
            .node
            .routes()
            .add_service(PresenceServer::new(self.api.clone()))
            .add_service(AdminServer::new(self.api));
        let incoming = TcpListenerStream::new(self.grpc);
        let stop = wires.clone();
        let grpc = tokio::spawn(async move {
            // Streams of the other managers stay open for ever, so this ends with the wires, not after them.
            let serving = cluster::server().add_routes(routes).serve_with_incoming(incoming);
            tokio::select! {
                () = stop.cancelled() => {}
                served = serving => if let Err(error) = served { error!(%error, "The gRPC server failed") },
            }
        });
        let links = tokio::spawn(self.links.serve(self.sip, wires.clone()));
        let mut drivers = JoinSet::new();
        for driver in self.drivers {
            drivers.spawn(driver.run(shutdown.clone()));
        }
        let mut outcome = Ok(());
        while let Some(ended) = drivers.join_next().await {
            let ended = ended.map_err(anyhow::Error::from).flatten();
            if let Err(error) = ended {
                shutdown.cancel();
                outcome = Err(error);
            }
        }
        // While the others can still reach this node: they need its vote.
        self.node.hand_over().await;
        wires.cancel();
        // Both end with the wires; how they end tells nothing that was not logged.
        let _ = tokio::join!(grpc, links);
        self.node.shutdown().await;
        info!("The manager stopped");
        outcome
    }
}

/// What a driver gets from the cluster and from the queues.
struct Seat {
    group: Group,
    events: GroupEvents,
    inputs: mpsc::Receiver<Input>,
    own_inputs: mpsc::Sender<Input>,
}

fn driver(
    config: &Config,
    seat: Seat,
    links: &Links,
    auth: Option<&AuthLink>,
    demux: &Demux,
    sent_by: &str,
) -> Driver {
    let clock = Clock::start();
    let agent = presence_agent::Config {
        node: config.node,
        group: seat.group.id(),
        incarnation: seat.group.incarnation(),
        domains: config.domains.clone(),
        secret: config.secret.clone(),
        open: auth.is_none(),
        algorithms: config.algorithms.clone(),
        md5_only: config.md5_only.clone(),
        sent_by: sent_by.to_owned(),
        subscribe: config.subscribe,
        publish: config.publish,
        register: config.register,
        limits: config.agent_limits,
    };
    Driver {
        agent: Agent::new(agent, clock.now(&seat.group, 0)),
        group: seat.group,
        events: seat.events,
        inputs: seat.inputs,
        own_inputs: seat.own_inputs,
        links: links.clone(),
        auth: auth.cloned(),
        demux: demux.clone(),
        followers: Followers::new(config.limits.followers),
        clock,
        replies: Replies::default(),
    }
}

fn node_config(config: &Config, demux: &Demux) -> NodeConfig {
    NodeConfig {
        id: config.node,
        name: config.name.clone(),
        members: config.members.clone(),
        data: config.data.clone(),
        groups: demux.groups().collect(),
        timings: config.timings.clone(),
        limits: config.cluster_limits.clone(),
    }
}

fn queues(
    demux: &Demux,
    capacity: usize,
) -> (HashMap<placement::GroupId, mpsc::Sender<Input>>, Vec<mpsc::Receiver<Input>>) {
    let (mut senders, mut receivers) = (HashMap::new(), Vec::new());
    for group in demux.groups() {
        let (sender, receiver) = mpsc::channel(capacity);
        senders.insert(group, sender);
        receivers.push(receiver);
    }
    (senders, receivers)
}

async fn listen(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|error| BindError::Listen { address, error })
}
