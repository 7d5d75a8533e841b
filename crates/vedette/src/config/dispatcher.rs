//! The settings of a dispatcher: where phones and managers reach it, and what is not its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use dispatcher::Speaks;
use dispatcher::oversize::Policy;
use dispatcher::upstream::locate::Destination;
use dispatcher::upstream::relay::Path;
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dispatcher {
    /// Where phones reach us, over UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// The addresses to tell phones, in the order of `listen`, where they differ.
    pub advertise: Vec<SocketAddr>,
    /// More places where phones reach us, each with what they speak there.
    pub listeners: Vec<PhoneListener>,
    /// What phones over TLS are shown, with those between it and its CA: PEM files that are read anew when they change.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// Where managers reach us.
    pub inner: Option<SocketAddr>,
    /// gRPC addresses of managers, `host:port`; from those that answer it learns who the managers are.
    pub directory: Vec<String>,
    /// The SIP service behind us, as a SIP URI or `host:port`: what is not ours goes there.
    pub upstream: Option<String>,
    /// Who signs its certificates, where it is reached over TLS: a PEM file. Unless said, whom the system trusts, and then
    /// there is TLS only where `upstream` asks for it.
    pub upstream_ca: Option<PathBuf>,
    /// Whether REGISTER goes there too; unless said, it does.
    pub upstream_registers: Option<bool>,
    pub upstream_path: UpstreamPath,
    pub oversize_udp: OversizeUdp,
    /// Who is asked where the upstream is; those whom the system asks, unless said.
    pub dns: Vec<SocketAddr>,
    /// Addresses and networks whose P-Asserted-Identity counts.
    pub trusted_peers: Vec<String>,
    /// Whose pages may open a WebSocket; without any, all.
    pub origins: Vec<String>,
}

/// Which phones the upstream learns the flow of (RFC 3327).
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamPath {
    #[default]
    Supported,
    Always,
    Never,
}

/// What becomes of a NOTIFY that is large for a datagram.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OversizeUdp {
    #[default]
    Send,
    Tcp,
    Refuse,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhoneListener {
    #[serde(default)]
    pub transport: PhoneTransport,
    pub bind: SocketAddr,
    pub advertise: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub enum PhoneTransport {
    #[default]
    #[serde(rename = "udp+tcp")]
    UdpAndTcp,
    #[serde(rename = "tls")]
    Tls,
    #[serde(rename = "ws")]
    Ws,
    #[serde(rename = "wss")]
    Wss,
}

impl Dispatcher {
    pub fn front(&self) -> anyhow::Result<Option<tls::Front>> {
        match (&self.cert, &self.key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => {
                let front = tls::Front::new("phones", cert.clone(), key.clone());
                Ok(Some(front.context("`dispatcher.cert` and `dispatcher.key`")?))
            }
            _ => bail!("`dispatcher.cert` and `dispatcher.key` belong together: one of them is missing"),
        }
    }

    /// TLS with the upstream; the certificate that phones are shown is ours there too, if it asks for one.
    pub fn upstream_tls(&self, destination: &Destination) -> anyhow::Result<Option<Arc<tls::Outside>>> {
        if self.upstream_ca.is_none() && !destination.over_tls() {
            return Ok(None);
        }
        let own = self.cert.clone().zip(self.key.clone());
        let files = tls::OutsideFiles { ca: self.upstream_ca.clone(), own };
        Ok(Some(tls::Outside::new("upstream", files).context("`dispatcher.upstream_ca`")?))
    }
}

impl OversizeUdp {
    pub fn policy(self) -> Policy {
        match self {
            OversizeUdp::Send => Policy::Send,
            OversizeUdp::Tcp => Policy::Tcp,
            OversizeUdp::Refuse => Policy::Refuse,
        }
    }
}

impl UpstreamPath {
    pub fn policy(self) -> Path {
        match self {
            UpstreamPath::Supported => Path::Supported,
            UpstreamPath::Always => Path::Always,
            UpstreamPath::Never => Path::Never,
        }
    }
}

impl PhoneListener {
    pub fn listener(self) -> dispatcher::Listener {
        let endpoint = dispatcher::Endpoint { bind: self.bind, advertise: self.advertise };
        let speaks = match self.transport {
            PhoneTransport::UdpAndTcp => Speaks::UdpAndTcp,
            PhoneTransport::Tls => Speaks::Tls,
            PhoneTransport::Ws => Speaks::Ws,
            PhoneTransport::Wss => Speaks::Wss,
        };
        dispatcher::Listener { endpoint, speaks }
    }
}
