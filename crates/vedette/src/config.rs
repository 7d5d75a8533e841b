//! The configuration of a role: a TOML file, over it `VEDETTE_*` environment variables, over them `--set`.
//!
//! A key such as `manager.name` is `VEDETTE_MANAGER__NAME` in the environment. An unknown key is an error: a typing
//! mistake must not become a default.

mod auth;
mod dispatcher;
mod http;
mod limits;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use figment::Figment;
use figment::providers::{Env, Format, Toml};
use serde::Deserialize;

pub use auth::Auth;
pub use dispatcher::Dispatcher;
pub use http::{Http, Tenant};
pub use limits::Limits;

/// Flags of the roles that run alone.
#[derive(clap::Args)]
pub struct RoleArgs {
    /// The TOML file with this role's settings
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Overrides one key of the file, such as manager.name=manager-2
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// All settings there are. A role reads its own part.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The domains served.
    pub domains: Vec<String>,
    /// Shared by the whole cluster; at least 16 characters. Nonces, tags and flow tokens are signed with it.
    pub secret: String,
    pub dispatcher: Dispatcher,
    pub manager: Manager,
    pub auth: Auth,
    pub http: Http,
    pub tls: Tls,
    /// Whose domains are whose, where one customer has several.
    pub tenants: Vec<Tenant>,
    pub expires: AllExpires,
    pub history: History,
    pub limits: Limits,
    /// What `tls` says, once it is opened.
    #[serde(skip)]
    pub wires: tls::Wires,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Manager {
    /// Which of the `members` this is.
    pub name: String,
    /// Where this manager listens for dispatchers.
    pub sip: Option<SocketAddr>,
    /// `host:port` that dispatchers reach it at, where that differs from `sip`.
    pub advertise_sip: Option<String>,
    /// Where managers and the HTTP role connect.
    pub grpc: Option<SocketAddr>,
    pub data: Option<PathBuf>,
    /// All managers, in the same words at each of them. A birth needs them all.
    pub members: Vec<Member>,
    /// Raft groups that presentities are dealt to at a birth.
    pub groups: u32,
    /// "open", or the URL of the auth-adapter.
    pub auth: Option<String>,
    /// What challenges offer, in this order: "MD5", "SHA-256", "SHA-512-256".
    pub algorithms: Vec<String>,
    /// User-Agents, by how they begin, that are offered MD5 alone.
    pub md5_only: Vec<String>,
    /// What a phone dials before the digit of a status, such as `*48`; empty turns it off.
    pub feature_code: String,
    /// Whether P-Asserted-Identity is believed.
    pub trust_asserted_identity: bool,
    /// Whether a digest whose `nc` was used before is challenged again.
    pub check_nc: bool,
    /// Whether a watcher that does not answer a NOTIFY loses its subscription.
    pub end_on_timeout: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    pub name: String,
    /// `host:port` that the others reach it at.
    pub grpc: String,
}

/// Mutual TLS on every wire between the roles: PEM files that are read anew when they change.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// This role's certificate, and those between it and the CA.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Who signs the certificates of the roles.
    pub ca: Option<PathBuf>,
    /// A name in the certificate of each role, which is looked for instead of the host or address that was dialled.
    pub name: Option<String>,
}

/// Lifetimes in seconds.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AllExpires {
    pub subscribe: Expires,
    pub publish: Expires,
    pub register: Expires,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expires {
    pub min: u32,
    pub default: u32,
    pub max: u32,
}

/// What was said of each presentity, by whom and when.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct History {
    /// For how many days a change is told; 0 records none.
    pub keep_days: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            domains: vec!["vedette.test".into()],
            secret: String::new(),
            dispatcher: Dispatcher::default(),
            manager: Manager::default(),
            auth: Auth::default(),
            http: Http::default(),
            tls: Tls::default(),
            tenants: Vec::new(),
            expires: AllExpires::default(),
            history: History::default(),
            limits: Limits::default(),
            wires: tls::Wires::plain(),
        }
    }
}

impl Default for Manager {
    fn default() -> Manager {
        Manager {
            name: String::new(),
            sip: None,
            advertise_sip: None,
            grpc: None,
            data: None,
            members: Vec::new(),
            groups: 1,
            auth: None,
            // RFC 8760 wants the strongest first, but there are clients (SIPp 3.6) that read the first header only.
            algorithms: vec!["MD5".into(), "SHA-256".into()],
            // baresip 1.0 does not answer a challenge beside which another one names SHA-256.
            md5_only: vec!["baresip v0.".into(), "baresip v1.".into()],
            feature_code: "*48".into(),
            // Dispatchers strip it from everybody but their trusted peers.
            trust_asserted_identity: true,
            end_on_timeout: false,
            check_nc: false,
        }
    }
}

impl Default for Expires {
    fn default() -> Expires {
        let own = presence_agent::config::Expires::default();
        Expires { min: own.min, default: own.default, max: own.max }
    }
}

impl Default for History {
    fn default() -> History {
        History { keep_days: presence_agent::config::Limits::default().history_seconds / DAY }
    }
}

const DAY: u32 = 86_400;

impl RoleArgs {
    pub fn load(&self) -> anyhow::Result<Settings> {
        let settings = load(Some(&self.config), &self.set)?;
        if settings.secret.len() < 16 || settings.secret.starts_with("change me") {
            bail!(
                "`secret` must have at least 16 characters of your own, the same for every role of the cluster"
            );
        }
        Ok(settings)
    }
}

/// Reads the file, then the environment, then the overrides.
pub fn load(file: Option<&PathBuf>, overrides: &[String]) -> anyhow::Result<Settings> {
    let mut figment = Figment::new();
    if let Some(file) = file {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        figment = figment.merge(Toml::string(&text));
    }
    // These three belong to `ctl` and to the logs.
    figment = figment.merge(Env::prefixed("VEDETTE_").ignore(&["api", "token", "log"]).split("__"));
    for pair in overrides {
        let (key, value) =
            pair.split_once('=').with_context(|| format!("--set {pair:?} is not KEY=VALUE"))?;
        figment = figment.merge((key, override_value(value)));
    }
    let settings: Settings = figment.extract().map_err(|errors| explained(file, errors))?;
    for (name, expires) in [
        ("subscribe", settings.expires.subscribe),
        ("publish", settings.expires.publish),
        ("register", settings.expires.register),
    ] {
        if !(expires.min <= expires.default && expires.default <= expires.max) {
            bail!("expires.{name} needs min <= default <= max");
        }
    }
    Ok(Settings {
        domains: settings.domains.iter().map(|domain| domain.to_ascii_lowercase()).collect(),
        ..settings
    })
}

/// One line that names the file and each key.
fn explained(file: Option<&PathBuf>, errors: figment::Error) -> anyhow::Error {
    let place = file.map_or("configuration".into(), |file| file.display().to_string());
    let each = errors.into_iter().map(|error| match error.path.join(".") {
        key if key.is_empty() => error.kind.to_string(),
        key => format!("{key}: {}", error.kind),
    });
    let text = each.collect::<Vec<_>>().join("; ");
    anyhow::anyhow!("{place}: {}", text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A value in TOML's syntax if it is one, else the text as it stands.
fn override_value(text: &str) -> figment::value::Value {
    text.parse().unwrap_or_else(|_| text.into())
}

impl Tls {
    /// Without any of its keys the wires are plain; with some of them they are not wires at all.
    pub fn wires(&self) -> anyhow::Result<tls::Wires> {
        match self.clone() {
            Tls { cert: None, key: None, ca: None, name: None } => Ok(tls::Wires::plain()),
            Tls { cert: Some(cert), key: Some(key), ca: Some(ca), name } => {
                tls::Wires::mutual(tls::Files { cert, key, ca, name }).context("`tls`")
            }
            _ => bail!("`tls` needs `cert`, `key` and `ca`"),
        }
    }
}

impl Expires {
    pub fn policy(self) -> presence_agent::config::Expires {
        presence_agent::config::Expires { min: self.min, default: self.default, max: self.max }
    }
}

impl History {
    pub fn seconds(self) -> u32 {
        self.keep_days.saturating_mul(DAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(overrides: &[&str]) -> anyhow::Result<Settings> {
        load(None, &overrides.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = with(&["manager.node=2"]).unwrap_err().to_string();

        assert!(error.contains("node"), "{error}");
    }

    #[test]
    fn an_override_reaches_the_key_it_names() {
        let settings =
            with(&["manager.name=m-2", "dispatcher.listen=[\"127.0.0.1:5060\"]", "secret=abc"]).unwrap();

        assert_eq!((&*settings.manager.name, settings.dispatcher.listen.len()), ("m-2", 1));
        assert_eq!(settings.secret, "abc");
    }

    #[test]
    fn a_file_that_is_no_toml_is_told_in_one_line_with_its_name() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, b"domains = [\n\n= nonsense").unwrap();

        let error = load(Some(&file.path().to_owned()), &[]).unwrap_err().to_string();

        assert!(error.contains(file.path().to_str().unwrap()) && error.lines().count() == 1, "{error}");
    }

    #[test]
    fn half_of_what_tls_needs_is_not_taken_for_none_of_it() {
        assert!(with(&[]).unwrap().tls.wires().unwrap().is_plain());
        for half in ["tls.name=a", "tls.ca=a", "tls.cert=a"] {
            assert!(with(&[half]).unwrap().tls.wires().unwrap_err().to_string().contains("`key`"), "{half}");
        }
    }

    #[test]
    fn a_listener_says_what_is_spoken_there_and_a_transport_unknown_to_us_is_refused() {
        let spoken = |text: &str| {
            let read = Figment::new().merge(Toml::string(&format!("listeners = [{text}]")));
            let dispatcher: Dispatcher = read.extract().ok()?;
            Some(dispatcher.listeners.iter().map(|each| each.listener().speaks).collect::<Vec<_>>())
        };

        let both = spoken("{ transport = 'wss', bind = '[::1]:443' }, { bind = '127.0.0.1:5070' }").unwrap();
        assert_eq!(both, [::dispatcher::Speaks::Wss, ::dispatcher::Speaks::UdpAndTcp]);
        assert!(spoken("{ transport = 'sctp', bind = '127.0.0.1:1' }").is_none());
        assert!(spoken("{ transport = 'ws' }").is_none());
    }

    #[test]
    fn a_certificate_for_phones_needs_its_key() {
        let front = |overrides: &[&str]| with(overrides).unwrap().dispatcher.front();

        assert!(front(&[]).unwrap().is_none());
        let half = front(&["dispatcher.cert=a.crt"]).unwrap_err().to_string();
        assert!(half.contains("`dispatcher.key`"), "{half}");
        assert!(front(&["dispatcher.cert=/none.crt", "dispatcher.key=/none.key"]).is_err());
    }

    #[test]
    fn lifetimes_that_contradict_each_other_are_refused() {
        assert!(with(&["expires.publish.min=100", "expires.publish.default=50"]).is_err());
    }
}
