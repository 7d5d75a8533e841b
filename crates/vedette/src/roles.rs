//! The roles, each from its settings to its end. `vedette up` starts the same ones.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, bail};
use auth_adapter::AuthAdapter;
use dispatcher::config::{Endpoint, Listener, Speaks, Upstream};
use dispatcher::transport::origins::Origin;
use dispatcher::upstream::locate::Destination;
use dispatcher::{Dispatcher, directory};
use ipnet::IpNet;
use sip::Secret;
use sip::digest::Algorithm;
use subscription_manager::{Auth, Manager};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use web::live::{Metrics, Ready};

use crate::config::{self, RoleArgs, Settings};
use crate::{shutdown, telemetry};

/// openraft calls each message to a node that is away an error; what matters of it we say ourselves.
const LOG: &str = "info,openraft=off,sled=warn";

pub async fn dispatcher(args: RoleArgs) -> anyhow::Result<()> {
    let (settings, metrics, shutdown) = start(&args)?;
    let config = dispatcher_config(&settings)?;
    warn_if_exposed("dispatcher.inner", config.inner.bind, &settings);
    let dispatcher = Dispatcher::bind(config).await?;
    let http = serve_http(&settings, dispatcher_ready(&dispatcher), metrics, &shutdown).await?;
    info!(listen = ?dispatcher.listeners(), "The dispatcher serves");
    dispatcher.serve(shutdown).await;
    http.await.context("HTTP")
}

pub async fn manager(args: RoleArgs) -> anyhow::Result<()> {
    let (settings, metrics, shutdown) = start(&args)?;
    let config = manager_config(&settings)?;
    warn_if_exposed("manager.sip", config.sip, &settings);
    warn_if_exposed("manager.grpc", config.grpc, &settings);
    let manager = Manager::bind(config).await?;
    let http = serve_http(&settings, Arc::new(manager.ready()), metrics, &shutdown).await?;
    info!(name = settings.manager.name, "The manager starts");
    manager.serve(shutdown).await?;
    http.await.context("HTTP")
}

pub async fn auth(args: RoleArgs) -> anyhow::Result<()> {
    let (settings, metrics, shutdown) = start(&args)?;
    let config = settings.auth.adapter(&settings.wires)?;
    let listen = config.listen;
    warn_if_exposed("auth.listen", listen, &settings);
    let adapter = AuthAdapter::bind(config).await?;
    let http = serve_http(&settings, Arc::new(|| Ok(())), metrics, &shutdown).await?;
    info!(%listen, "The auth-adapter serves");
    adapter.serve(shutdown).await?;
    http.await.context("HTTP")
}

/// Without TLS nobody is asked who they are on the inner ports.
fn warn_if_exposed(key: &str, address: SocketAddr, settings: &Settings) {
    if !address.ip().is_loopback() && settings.wires.is_plain() {
        warn!(
            key, %address,
            "An inner port is not on loopback and speaks no TLS: set [tls], or keep everybody but the cluster away"
        );
    }
}

fn start(args: &RoleArgs) -> anyhow::Result<(Settings, Metrics, CancellationToken)> {
    let mut settings = args.load()?;
    let metrics = telemetry::start(LOG)?;
    settings.wires = settings.tls.wires()?;
    tokio::spawn(settings.wires.clone().keep_fresh());
    Ok((settings, metrics, shutdown::on_signal()?))
}

/// The HTTP side of a role: the three questions of an orchestrator, and the API where managers are named.
async fn serve_http(
    settings: &Settings,
    ready: Ready,
    metrics: Metrics,
    shutdown: &CancellationToken,
) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let Some(listen) = settings.http.listen else { return Ok(tokio::spawn(async {})) };
    let shutdown = shutdown.clone();
    if settings.http.managers.is_empty() {
        let server = web::server::Server::bind(listen).await?;
        let router = web::live::router(ready, metrics);
        return Ok(tokio::spawn(async move { server.serve(router, shutdown).await }));
    }
    let web = web::Web::bind(web_config(settings, listen, ready, metrics)?).await?;
    Ok(tokio::spawn(web.serve(shutdown)))
}

/// A dispatcher is ready while some manager takes requests.
pub fn dispatcher_ready(dispatcher: &Dispatcher) -> Ready {
    let live = dispatcher.ready();
    Arc::new(move || if *live.borrow() { Ok(()) } else { Err("no manager is live".into()) })
}

pub fn web_config(
    settings: &Settings,
    listen: SocketAddr,
    ready: Ready,
    metrics: Metrics,
) -> anyhow::Result<web::Config> {
    let own = &settings.http;
    Ok(web::Config {
        listen,
        managers: own.managers.clone(),
        wires: settings.wires.clone(),
        tokens: settings.tokens()?,
        open_reads: own.open_reads,
        rates: own.rates(),
        trusted_proxies: networks("http.trusted_proxies", &own.trusted_proxies)?,
        call_state: own.call_state(),
        event_streams: own.event_streams.unwrap_or(web::DEFAULT_EVENT_STREAMS),
        ready,
        metrics,
    })
}

/// Begins to follow the directory, so it needs a runtime.
pub fn dispatcher_config(settings: &Settings) -> anyhow::Result<dispatcher::Config> {
    let own = &settings.dispatcher;
    let inner =
        own.inner.context("`dispatcher.inner` is missing: the address managers reach this dispatcher at")?;
    if own.listen.is_empty() && own.listeners.is_empty() {
        bail!("`dispatcher.listen` and `dispatcher.listeners` are empty");
    }
    let managers = directory::follow(&own.directory, directory::Timings::default(), settings.wires.clone())
        .context("`dispatcher.directory`")?;
    let secret = Secret::new(&settings.secret);
    let mut config = dispatcher::Config::new([], inner, managers, secret);
    config.wires = settings.wires.clone();
    config.listeners = listeners(own)?;
    config.front = own.front()?;
    if let (None, Some(listener)) =
        (&config.front, config.listeners.iter().find(|listener| listener.speaks.over_tls()))
    {
        let address = listener.endpoint.bind;
        bail!("phones at {address} speak TLS: `dispatcher.cert` and `dispatcher.key` are missing");
    }
    config.domains = settings.domains.clone();
    config.upstream = own.upstream.as_deref().map(|uri| upstream(uri, settings)).transpose()?;
    config.trusted_peers = networks("dispatcher.trusted_peers", &own.trusted_peers)?;
    config.oversize_udp = own.oversize_udp.policy();
    config.origins = own
        .origins
        .iter()
        .map(|text| Origin::parse(text))
        .collect::<Result<_, _>>()
        .context("`dispatcher.origins`")?;
    settings.limits.check()?;
    settings.limits.dispatcher(&mut config.limits);
    settings.limits.dispatcher_timings(&mut config.timings);
    Ok(config)
}

/// Networks such as 192.0.2.0/24, or single addresses.
fn networks(key: &str, texts: &[String]) -> anyhow::Result<Vec<IpNet>> {
    let network = |text: &String| {
        let one = text.parse::<IpAddr>().map(IpNet::from);
        one.or_else(|_| text.parse()).ok().with_context(|| {
            format!("`{key}`: {text:?} is neither an address nor a network such as 192.0.2.0/24")
        })
    };
    texts.iter().map(network).collect()
}

fn listeners(own: &config::Dispatcher) -> anyhow::Result<Vec<Listener>> {
    if own.advertise.len() > own.listen.len() {
        bail!("`dispatcher.advertise` names more addresses than `dispatcher.listen`");
    }
    let advertise = own.advertise.iter().copied().map(Some).chain(std::iter::repeat(None));
    let plain = own.listen.iter().zip(advertise).map(|(bind, advertise)| Listener {
        endpoint: Endpoint { bind: *bind, advertise },
        speaks: Speaks::UdpAndTcp,
    });
    Ok(plain.chain(own.listeners.iter().map(|listener| listener.listener())).collect())
}

/// A SIP URI, or a host with or without a port.
fn upstream(uri: &str, settings: &Settings) -> anyhow::Result<Upstream> {
    let own = &settings.dispatcher;
    let destination = Destination::parse(uri).with_context(|| format!("`dispatcher.upstream`: {uri:?}"))?;
    Ok(Upstream {
        tls: own.upstream_tls(&destination)?,
        registers: own.upstream_registers.unwrap_or(true),
        path: own.upstream_path.policy(),
        feature_code: settings.manager.feature_code.clone(),
        name_servers: own.dns.clone(),
        ..Upstream::at(destination)
    })
}

pub fn manager_config(settings: &Settings) -> anyhow::Result<subscription_manager::Config> {
    let own = &settings.manager;
    if own.name.is_empty() {
        bail!("`manager.name` is missing: which of `manager.members` this manager is");
    }
    let member = |member: &config::Member| cluster::DeclaredMember {
        name: member.name.clone(),
        grpc: member.grpc.clone(),
    };
    let members: Vec<_> = own.members.iter().map(member).collect();
    let sip = own.sip.context("`manager.sip` is missing: the address dispatchers reach this manager at")?;
    let auth = match own.auth.as_deref() {
        None => bail!("`manager.auth` is missing: \"open\", or the URL of an auth-adapter"),
        Some("open") => Auth::Open,
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
            check_scheme(url, settings)?;
            Auth::Adapter(url.to_owned())
        }
        Some(other) => {
            bail!("auth {other:?} is neither \"open\" nor the URL of an auth-adapter (http://host:port)")
        }
    };
    let mut config = subscription_manager::Config {
        name: own.name.clone(),
        sip,
        advertise_sip: advertised(own.advertise_sip.as_deref(), sip)?,
        grpc: own.grpc.context("`manager.grpc` is missing: the address managers reach this manager at")?,
        wires: settings.wires.clone(),
        data: own.data.clone().context("`manager.data` is missing: the folder of this node's log")?,
        members,
        groups: own.groups.max(1),
        domains: settings.domains.clone(),
        secret: Secret::new(&settings.secret),
        auth,
        algorithms: algorithms(&own.algorithms)?,
        md5_only: own.md5_only.clone(),
        feature_code: own.feature_code.clone(),
        trust_asserted_identity: own.trust_asserted_identity,
        end_on_timeout: own.end_on_timeout,
        check_nc: own.check_nc,
        subscribe: settings.expires.subscribe.policy(),
        publish: settings.expires.publish.policy(),
        register: settings.expires.register.policy(),
        agent_limits: presence_agent::config::Limits::default(),
        cluster_limits: cluster::Limits::default(),
        timings: cluster::Timings::default(),
        limits: subscription_manager::config::LinkLimits::default(),
    };
    settings.limits.agent(&mut config.agent_limits);
    config.agent_limits.history_seconds = settings.history.seconds();
    settings.limits.cluster(&mut config.cluster_limits);
    settings.limits.links(&mut config.limits);
    Ok(config)
}

/// The wires decide; a URL that says otherwise is a mistake about one of them.
fn check_scheme(auth: &str, settings: &Settings) -> anyhow::Result<()> {
    match (auth.starts_with("https://"), settings.wires.is_plain()) {
        (true, true) => bail!("`manager.auth` is {auth}, but TLS inside needs [tls]"),
        (false, false) => bail!("`manager.auth` is {auth}, but with [tls] the auth-adapter is at https://"),
        _ => Ok(()),
    }
}

/// What dispatchers are told.
fn advertised(address: Option<&str>, sip: SocketAddr) -> anyhow::Result<String> {
    match address {
        Some(address) if cluster::is_address(address) => Ok(address.to_owned()),
        Some(address) => bail!("`manager.advertise_sip`: {address:?} is no address, write it as host:port"),
        None if sip.ip().is_unspecified() => {
            bail!("`manager.sip` is {sip}, which nobody can connect to: set `manager.advertise_sip`")
        }
        None => Ok(sip.to_string()),
    }
}

fn algorithms(names: &[String]) -> anyhow::Result<Vec<Algorithm>> {
    if names.is_empty() {
        bail!("`manager.algorithms` is empty: phones could not authenticate");
    }
    let known = |name: &String| {
        Algorithm::parse(name).with_context(|| {
            format!("`manager.algorithms`: {name:?} is none of MD5, SHA-256 and SHA-512-256")
        })
    };
    names.iter().map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_promises_tls_without_any_is_refused_and_the_other_way_round() {
        let ca = tls::authority::Authority::new();
        let party = ca.party(&["127.0.0.1"], None);
        let plain = Settings::default();
        let secure = Settings { wires: party.wires.clone(), ..Settings::default() };

        assert!(check_scheme("http://a:1", &plain).is_ok() && check_scheme("https://a:1", &secure).is_ok());
        assert!(check_scheme("https://a:1", &plain).is_err() && check_scheme("http://a:1", &secure).is_err());
    }
}
