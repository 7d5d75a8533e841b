//! `vedette up`: a whole cluster in one process, each role talking to the others over loopback sockets through the same
//! code as in processes of their own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use auth_adapter::{Accounts, AuthAdapter, Source};
use dispatcher::{Dispatcher, Speaks};
use subscription_manager::Manager;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use web::Web;

use crate::config::{self, Settings};
use crate::ports::{self, Inner, write_private};
use crate::{ctl, roles, shutdown, telemetry};

#[derive(clap::Args)]
pub struct Args {
    /// How many managers, 1 to 7; each change is on the disks of a majority before it is answered
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=7))]
    managers: u8,
    /// A domain to serve; may be repeated [default: vedette.test]
    #[arg(long, value_name = "NAME")]
    domain: Vec<String>,
    /// Where phones reach us, over UDP and TCP [default: `dispatcher.listen` of the file, or 127.0.0.1:5060]
    #[arg(long, value_name = "ADDR:PORT", value_parser = address)]
    sip: Option<SocketAddr>,
    /// Where the HTTP API, health and metrics are
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR:PORT", value_parser = address)]
    http: SocketAddr,
    /// Where the state is kept [default: a temporary folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A TOML file of [[account]] entries with uri and password or ha1 [default: demo accounts]
    #[arg(long, value_name = "FILE", conflicts_with = "auth")]
    accounts: Option<PathBuf>,
    /// "open" (no digest, everything allowed) or the URL of an auth-adapter
    #[arg(long, value_name = "open|URL")]
    auth: Option<String>,
    /// The SIP service that takes what is not ours, such as sip:192.0.2.1:5060 or sip:pbx.example.com
    #[arg(long, value_name = "URI")]
    upstream: Option<String>,
    /// A TOML file with more settings (lifetimes, limits)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Default for Args {
    fn default() -> Args {
        Args {
            managers: 3,
            domain: Vec::new(),
            sip: None,
            http: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data: None,
            accounts: None,
            auth: None,
            upstream: None,
            config: None,
        }
    }
}

/// Where phones reach us unless something else is said.
const SIP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5060);
/// How long the cluster may take to elect its leaders and serve.
const START: Duration = Duration::from_secs(30);
const LOG: &str = "warn,openraft=off,sled=error";

pub async fn run(args: Args) -> anyhow::Result<()> {
    let metrics = telemetry::start(LOG)?;
    let shutdown = shutdown::on_signal()?;
    let mut settings = config::load(args.config.as_ref(), &[])?;
    if !settings.tls.wires()?.is_plain() {
        bail!(
            "`tls`: a cluster in one process speaks plainly inside, on loopback; [tls] is for roles that run alone"
        );
    }
    let folder = Folder::of(args.data.as_deref())?;
    let _lock = ports::lock(folder.path())?;
    let inner = Inner::of(folder.path(), usize::from(args.managers))?;
    let accounts = accounts(&args, &mut settings)?;
    let rules = settings.auth.rules()?;
    fill(&mut settings, &args, &inner);
    let minted = settings.http.token.is_none();
    let token = settings.http.token.get_or_insert_with(|| format!("{:032x}", rand::random::<u128>())).clone();

    let (managers, edge) = (CancellationToken::new(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    let dispatcher = Dispatcher::bind(roles::dispatcher_config(&settings)?).await?;
    let ready = roles::dispatcher_ready(&dispatcher);
    let web = Web::bind(roles::web_config(&settings, args.http, ready.clone(), metrics)?).await?;
    if let Some(source) = accounts {
        let (listen, wires) = (inner.auth, settings.wires.clone());
        let adapter = AuthAdapter::bind(auth_adapter::Config { listen, wires, source, rules }).await?;
        let stop = managers.clone();
        tasks.spawn(async move { adapter.serve(stop).await.context("auth-adapter") });
    }
    let mut all_ready = Vec::new();
    for (index, ports) in inner.managers.iter().enumerate() {
        let manager =
            Manager::bind(roles::manager_config(&member(&settings, index, ports, folder.path()))?).await?;
        all_ready.push(manager.ready());
        let stop = managers.clone();
        tasks.spawn(manager.serve(stop));
    }
    let stop = edge.clone();
    let mut serving = tokio::spawn(dispatcher.serve(stop));
    let web = tokio::spawn(web.serve(edge.clone()));

    let _token_file = TokenFile::write(args.http, &token);
    tokio::select! {
        started = until(|| all_ready.iter().all(|ready| ready().is_ok()) && ready().is_ok()) => {
            if !started {
                let reason = all_ready.iter().find_map(|ready| ready().err()).unwrap_or_default();
                bail!("the cluster did not get ready within {} s: {reason}", START.as_secs());
            }
            print!("{}", banner(&args, &settings, minted.then_some(&token), &folder));
            tokio::select! {
                () = shutdown.cancelled() => {}
                ended = &mut serving => ended.context("dispatcher")?,
                Some(ended) = tasks.join_next() => { ended??; bail!("a role ended by itself"); }
            }
        }
        () = shutdown.cancelled() => {}
    }

    // The edge drains first, while there are still managers to answer what is under way.
    edge.cancel();
    if !serving.is_finished() {
        serving.await.context("dispatcher")?;
    }
    web.await.context("HTTP")?;
    managers.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// Whether the condition came true in time. The roles say it of themselves and there is no single event for all.
async fn until(condition: impl Fn() -> bool) -> bool {
    let deadline = tokio::time::Instant::now() + START;
    while tokio::time::Instant::now() < deadline {
        if condition() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

/// Who knows the accounts this process answers for; none when another adapter does. Flags win over `[auth]`.
fn accounts(args: &Args, settings: &mut Settings) -> anyhow::Result<Option<Source>> {
    if !args.domain.is_empty() {
        settings.domains = args.domain.iter().map(|domain| domain.to_ascii_lowercase()).collect();
    }
    let (auth, life) = (&settings.auth, settings.auth.life());
    match (&args.auth, &args.accounts) {
        (Some(_), _) => Ok(None),
        (None, Some(file)) => Ok(Some(Source::File { path: file.clone(), life })),
        (None, None) if auth.named() => Ok(Some(auth.source()?)),
        (None, None) => Ok(Some(Source::Fixed { accounts: demo_accounts(&settings.domains)?, life })),
    }
}

const DEMO: [&str; 3] = ["alice", "bob", "carol"];

fn demo_accounts(domains: &[String]) -> anyhow::Result<Accounts> {
    let names = domains.iter().flat_map(|domain| DEMO.map(|name| (format!("sip:{name}@{domain}"), name)));
    Ok(Accounts::from_pairs(names.map(|(uri, name)| (uri, format!("{name}pw"))))?)
}

/// Puts the flags and the inner ports where the roles look for them.
fn fill(settings: &mut Settings, args: &Args, inner: &Inner) {
    settings.secret.clone_from(&inner.secret);
    match args.sip {
        Some(sip) => settings.dispatcher.listen = vec![sip],
        None if settings.dispatcher.listen.is_empty() => settings.dispatcher.listen = vec![SIP],
        None => {}
    }
    settings.dispatcher.inner = Some(inner.dispatcher);
    if args.upstream.is_some() {
        settings.dispatcher.upstream.clone_from(&args.upstream);
    }
    let names = (1..).map(|number| format!("manager-{number}"));
    settings.dispatcher.directory = inner.managers.iter().map(|ports| ports.grpc.to_string()).collect();
    settings.manager.members = names
        .zip(&inner.managers)
        .map(|(name, ports)| config::Member { name, grpc: ports.grpc.to_string() })
        .collect();
    settings.http.managers = inner.managers.iter().map(|ports| ports.grpc.to_string()).collect();
    settings.manager.auth = Some(args.auth.clone().unwrap_or_else(|| format!("http://{}", inner.auth)));
}

fn member(settings: &Settings, index: usize, ports: &crate::ports::ManagerPorts, data: &Path) -> Settings {
    let mut settings = settings.clone();
    settings.manager.name = format!("manager-{}", index + 1);
    settings.manager.sip = Some(ports.sip);
    settings.manager.grpc = Some(ports.grpc);
    settings.manager.data = Some(data.join(&settings.manager.name));
    settings
}

/// Shows the token only where it is this process's own.
fn banner(args: &Args, settings: &Settings, minted: Option<&String>, folder: &Folder) -> String {
    let me = std::env::current_exe().ok();
    let here = std::env::current_dir().ok();
    let me = me.as_deref().map(|me| here.and_then(|here| me.strip_prefix(here).ok()).unwrap_or(me));
    let me = me.map_or_else(|| "vedette".into(), |me| me.display().to_string());
    let api = if args.http == Args::default().http {
        String::new()
    } else {
        format!(" --api http://{}", args.http)
    };
    let domain = settings.domains.first().map_or("vedette.test", String::as_str);
    let accounts = match (&args.auth, &args.accounts) {
        (Some(auth), _) if auth == "open" => {
            "NOBODY IS ASKED FOR A PASSWORD (--auth open): everything is allowed to everyone".to_owned()
        }
        (Some(url), _) => format!("asked of {url}"),
        (None, Some(file)) => format!("from {}", file.display()),
        (None, None) if settings.auth.named() => "as [auth] says".into(),
        (None, None) => DEMO.map(|name| format!("{name} / {name}pw")).join(", "),
    };
    format!(
        "\nVedette is ready: {} managers, one dispatcher, HTTP.\n\n  \
         SIP       {}\n  \
         Domains   {}\n  \
         HTTP      http://{}, gRPC on the same port\n  \
         Token     {}\n  \
         Accounts  {accounts}\n  \
         Data      {folder}\n\n\
         Try, in another terminal:\n\n  \
         {me} ctl{api} watch alice@{domain}\n  \
         {me} ctl{api} publish alice@{domain} busy --note \"On a call\"\n\n\
         Ctrl-C stops it.\n",
        args.managers,
        reached_at(&settings.dispatcher),
        settings.domains.join(", "),
        args.http,
        minted.map_or("the one of `http.token`", String::as_str),
    )
}

/// Each place where phones reach us, on a line of its own.
fn reached_at(dispatcher: &config::Dispatcher) -> String {
    let listen = dispatcher.listen.iter().map(|address| (*address, Speaks::UdpAndTcp));
    let listeners = dispatcher.listeners.iter().map(|each| (each.bind, each.listener().speaks));
    let places =
        listen.chain(listeners).map(|(address, speaks)| format!("{address} over {}", spoken(speaks)));
    places.collect::<Vec<_>>().join("\n            ")
}

fn spoken(speaks: Speaks) -> &'static str {
    match speaks {
        Speaks::UdpAndTcp => "UDP and TCP",
        Speaks::Tls => "TLS",
        Speaks::Ws => "WebSocket",
        Speaks::Wss => "secure WebSocket",
    }
}

/// Where the state is.
enum Folder {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    fn of(data: Option<&Path>) -> anyhow::Result<Folder> {
        match data {
            Some(data) => {
                std::fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
                Ok(Folder::Kept(data.to_owned()))
            }
            None => Ok(Folder::Temporary(tempfile::Builder::new().prefix("vedette-").tempdir()?)),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Folder::Kept(path) => path,
            Folder::Temporary(folder) => folder.path(),
        }
    }
}

impl std::fmt::Display for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Folder::Kept(path) => path.display().fmt(f),
            Folder::Temporary(_) => write!(f, "{} (temporary; --data DIR keeps it)", self.path().display()),
        }
    }
}

/// The token of writes, where `vedette ctl` of the same user finds it; gone when it stops.
struct TokenFile(PathBuf);

impl TokenFile {
    /// Without a home to write to there is no file, and `ctl` needs VEDETTE_TOKEN.
    fn write(http: SocketAddr, token: &str) -> Option<TokenFile> {
        let file = ctl::token_file(&format!("http://{http}"))?;
        std::fs::create_dir_all(file.parent()?).ok()?;
        write_private(&file, token).ok()?;
        Some(TokenFile(file))
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A name such as `localhost:5060` is as good as an address.
fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|error| format!("{error}: write it as 127.0.0.1:5060"))?;
    found.next().ok_or_else(|| "no such address".into())
}
