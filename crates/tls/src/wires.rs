//! The inner wires of a process.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::connect::{self, Connector};
use crate::mutual::Mutual;
use crate::watched::{BadFiles, Watched};
use crate::{Incoming, Protocol, Stream};

/// Clones are the same wires.
#[derive(Clone, Default)]
pub struct Wires(Option<Arc<Watched<Mutual>>>);

/// PEM files, and the name that stands in every certificate.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate, and those between it and the CA.
    pub cert: PathBuf,
    pub key: PathBuf,
    /// The CA, or several while one follows another.
    pub ca: PathBuf,
    /// A name that every role's certificate carries; peers are verified against it and not against what was dialled.
    pub name: Option<String>,
}

impl Wires {
    pub fn plain() -> Wires {
        Wires(None)
    }

    pub fn mutual(files: Files) -> Result<Wires, BadFiles> {
        let wrong =
            |name: &String| BadFiles::Together(format!("{name:?} is neither a host name nor an address"));
        let name = files.name.as_ref();
        let name =
            name.map(|name| ServerName::try_from(name.clone()).map_err(|_| wrong(name))).transpose()?;
        let paths = vec![files.cert, files.key, files.ca];
        let watched = Watched::new("inner", paths, |files| Mutual::new(files, name))?;
        Ok(Wires(Some(Arc::new(watched))))
    }

    pub fn is_plain(&self) -> bool {
        self.0.is_none()
    }

    /// Takes up new certificates, for ever.
    pub async fn keep_fresh(self) {
        match self.0 {
            Some(watched) => watched.keep_fresh().await,
            None => std::future::pending().await,
        }
    }

    /// Looks at the files once; what changed is used when two looks agree on it.
    pub fn look(&self) {
        self.0.iter().for_each(|watched| watched.look());
    }

    /// Whoever connects there.
    pub fn accept(&self, listener: TcpListener, protocol: Protocol) -> Incoming {
        Incoming::new(listener, self.clone(), protocol)
    }

    /// For gRPC: give it to an `Endpoint` with the scheme http, whatever the wires are.
    pub fn connector(&self) -> Connector {
        Connector::to_roles(self.clone())
    }

    /// A stream of SIP to this address.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<Stream> {
        let socket = TcpStream::connect(address).await?;
        self.open(socket, &address.ip().to_string(), Protocol::Sip).await
    }

    /// `host` is what was dialled.
    pub(crate) async fn open(&self, socket: TcpStream, host: &str, protocol: Protocol) -> io::Result<Stream> {
        let _ = socket.set_nodelay(true);
        let Some(watched) = &self.0 else { return Ok(Stream::plain(socket)) };
        let mutual = watched.current();
        let name = mutual.name.clone().map_or_else(|| connect::name_of(host), Ok)?;
        connect::handshake(&mutual.connector(protocol), socket, name).await
    }

    pub(crate) fn acceptor(&self, protocol: Protocol) -> Option<TlsAcceptor> {
        self.0.as_ref().map(|watched| watched.current().acceptor(protocol))
    }
}

impl fmt::Debug for Wires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_plain() { "plain" } else { "mutual TLS" })
    }
}
