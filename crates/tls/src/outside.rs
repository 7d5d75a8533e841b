//! TLS to servers of others, such as a provider's billing, or the SIP service behind a dispatcher.
//!
//! They are verified by the host that was dialled, against a CA of their own or those that the system trusts; a
//! certificate of ours is shown where they ask for one. All of it is read anew when it changes, the system's CAs excepted.
//! A server of SIP must be named in full: a wildcard proves none (RFC 5922 section 7.2).

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use webpki::EndEntityCert;

use crate::certificate::Certificate;
use crate::complaints::complain;
use crate::connect::{self, Connector};
use crate::identity::{Identity, provider, trust};
use crate::reason::Reason;
use crate::watched::{BadFiles, File, OfFiles, Watched};
use crate::{Protocol, Stream};

/// PEM files.
#[derive(Clone, Debug, Default)]
pub struct OutsideFiles {
    /// Whom to trust, if not those whom the system trusts.
    pub ca: Option<PathBuf>,
    /// The certificate to show and its key.
    pub own: Option<(PathBuf, PathBuf)>,
}

pub struct Outside {
    what: &'static str,
    watched: Arc<Watched<Client>>,
}

struct Client {
    config: ClientConfig,
    certificate: Option<Certificate>,
    /// Trusted when no file says who is.
    system: Option<Arc<RootCertStore>>,
}

impl Outside {
    /// `what` it is for, for people and metrics: `billing`.
    pub fn new(what: &'static str, files: OutsideFiles) -> Result<Arc<Outside>, BadFiles> {
        let system = match files.ca {
            Some(_) => None,
            None => Some(system_roots()?),
        };
        let own = files.own.into_iter().flat_map(|(cert, key)| [cert, key]);
        let paths = files.ca.into_iter().chain(own).collect();
        let watched = Watched::new(what, paths, |files| Client::new(files, system))?;
        Ok(Arc::new(Outside { what, watched: Arc::new(watched) }))
    }

    /// Takes up new certificates, for ever.
    pub async fn keep_fresh(self: Arc<Self>) {
        self.watched.clone().keep_fresh().await;
    }

    /// For an `Endpoint` of tonic or a client of hyper; its URI says https, or http for a connection without TLS.
    pub fn connector(self: &Arc<Self>, protocol: Protocol) -> Connector {
        Connector::to_others(self.clone(), protocol)
    }

    /// TLS over a connection to `host`, which the certificate must be for, whatever address was dialled. The caller bounds
    /// the time.
    pub async fn open(&self, socket: TcpStream, host: &str, protocol: Protocol) -> io::Result<Stream> {
        let _ = socket.set_nodelay(true);
        let mut config = self.watched.current().config.clone();
        config.alpn_protocols = protocol.alpn();
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connect::handshake(&connector, socket, connect::name_of(host)?).await?;
        if protocol == Protocol::Sip && !is_named_in_full(&stream, host) {
            let text =
                format!("the certificate is for {host} by a wildcard only, which proves no SIP server");
            let reason = Reason::new("name", text);
            complain(host, &reason);
            return Err(reason.into());
        }
        Ok(stream)
    }
}

/// Of a certificate that was found good for this host. Addresses know no wildcards.
fn is_named_in_full(stream: &Stream, host: &str) -> bool {
    let shown = stream.peer_certificate().map(CertificateDer::from);
    let shown = shown.as_ref().and_then(|der| EndEntityCert::try_from(der).ok());
    let mut names = shown.iter().flat_map(|certificate| certificate.valid_dns_names());
    host.parse::<IpAddr>().is_ok() || names.any(|name| name.eq_ignore_ascii_case(host))
}

impl Client {
    /// The files are the CA unless the system's are used, then the certificate and its key if there is one.
    fn new(files: &[File], system: Option<Arc<RootCertStore>>) -> Result<Client, BadFiles> {
        let (roots, own) = match (&system, files) {
            (Some(roots), own) => (roots.clone(), own),
            (None, [ca, own @ ..]) => (trust(ca)?, own),
            (None, []) => return Err(BadFiles::Together("nobody is trusted".into())),
        };
        let mixed = |error: rustls::Error| BadFiles::Together(error.to_string());
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(mixed)?
            .with_root_certificates(roots);
        let [cert, key] = own else {
            let config = builder.with_no_client_auth();
            return Ok(Client { config, certificate: None, system });
        };
        let Identity { chain, key, certificate } = Identity::read(cert, key)?;
        let config = builder.with_client_auth_cert(chain, key).map_err(mixed)?;
        Ok(Client { config, certificate: Some(certificate), system })
    }
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS for {}", self.what)
    }
}

impl OfFiles for Client {
    fn remade(&self, files: &[File]) -> Result<Client, BadFiles> {
        Client::new(files, self.system.clone())
    }

    fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }
}

fn system_roots() -> Result<Arc<RootCertStore>, BadFiles> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (_, _odd) = roots.add_parsable_certificates(found.certs);
    match roots.is_empty() {
        false => Ok(Arc::new(roots)),
        true => Err(BadFiles::Together("this system trusts no CA; name one".into())),
    }
}
