//! TLS towards phones: a certificate is shown and none is asked for.
//!
//! Who a phone is, it proves inside. No protocol is agreed on (ALPN): SIP phones name none, and browsers name theirs.
//! A handshake that fails is its caller's to count; strangers on a public port are no news for the log.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::certificate::Certificate;
use crate::identity::{Identity, provider};
use crate::watched::{BadFiles, File, OfFiles, Watched};

/// Clones show the same certificate.
#[derive(Clone)]
pub struct Front(Arc<Watched<Shown>>);

struct Shown {
    config: Arc<ServerConfig>,
    certificate: Certificate,
}

impl Front {
    /// PEM files: the certificate with those between it and its CA, and its key. `what` it is for, for people and
    /// metrics: `phones`.
    pub fn new(what: &'static str, cert: PathBuf, key: PathBuf) -> Result<Front, BadFiles> {
        Ok(Front(Arc::new(Watched::new(what, vec![cert, key], Shown::new)?)))
    }

    /// Takes up new certificates, for ever.
    pub async fn keep_fresh(self) {
        self.0.keep_fresh().await;
    }

    /// Looks at the files once; what changed is used when two looks agree on it.
    pub fn look(&self) {
        self.0.look();
    }

    /// The handshake with who has connected. It takes as long as the peer wants. Its state is in a box, so that whoever
    /// goes on without it does not keep the room.
    pub fn accept(
        &self,
        socket: TcpStream,
    ) -> impl Future<Output = io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>>> + Send + Unpin + use<>
    {
        Box::pin(TlsAcceptor::from(self.0.current().config.clone()).accept(socket))
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TLS")
    }
}

impl Shown {
    fn new(files: &[File]) -> Result<Shown, BadFiles> {
        let [chain, key] = files else {
            return Err(BadFiles::Together("a certificate and its key are needed".into()));
        };
        let Identity { chain, key, certificate } = Identity::read(chain, key)?;
        let mixed = |error: rustls::Error| BadFiles::Together(error.to_string());
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(mixed)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(mixed)?;
        Ok(Shown { config: Arc::new(config), certificate })
    }
}

impl OfFiles for Shown {
    fn remade(&self, files: &[File]) -> Result<Shown, BadFiles> {
        Shown::new(files)
    }

    fn certificate(&self) -> Option<&Certificate> {
        Some(&self.certificate)
    }
}
