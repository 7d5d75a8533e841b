//! Mutual TLS: both sides show a certificate of the same CA, and both look.

use std::sync::Arc;

use rustls::client::{Resumption, danger::HandshakeSignatureValid};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::Protocol;
use crate::certificate::Certificate;
use crate::identity::{Identity, provider, trust};
use crate::reason::Reason;
use crate::watched::{BadFiles, File, OfFiles};

/// Both sides of a connection, with one certificate.
pub struct Mutual {
    server: ServerConfig,
    client: ClientConfig,
    /// What every certificate names, if there is such a name.
    pub name: Option<ServerName<'static>>,
    certificate: Certificate,
}

impl Mutual {
    /// The files are the certificate with its chain, its key, and the CA.
    pub fn new(files: &[File], name: Option<ServerName<'static>>) -> Result<Mutual, BadFiles> {
        let [chain, key, ca] = files else {
            return Err(BadFiles::Together("a certificate, a key and a CA are needed".into()));
        };
        let (identity, roots) = (Identity::read(chain, key)?, trust(ca)?);
        let peers = Peers::new(&roots, name.clone()).map_err(|error| ca.bad(error.to_string()))?;
        check_own(&identity, &roots, &peers).map_err(|error| {
            BadFiles::Together(format!("peers would refuse our certificate: {}", Reason::of_tls(&error)))
        })?;
        let mixed = |error: Error| BadFiles::Together(error.to_string());
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(mixed)?
            .with_client_cert_verifier(Arc::new(peers))
            .with_single_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(mixed)?;
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(mixed)?
            .with_root_certificates(roots)
            .with_client_auth_cert(identity.chain, identity.key)
            .map_err(mixed)?;
        // Connections are kept for days, so there is little to save by resuming; and whoever resumes is not looked at.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        client.resumption = Resumption::disabled();
        Ok(Mutual { server, client, name, certificate: identity.certificate })
    }

    pub fn acceptor(&self, protocol: Protocol) -> TlsAcceptor {
        let mut config = self.server.clone();
        config.alpn_protocols = protocol.alpn();
        Arc::new(config).into()
    }

    pub fn connector(&self, protocol: Protocol) -> TlsConnector {
        let mut config = self.client.clone();
        config.alpn_protocols = protocol.alpn();
        Arc::new(config).into()
    }
}

impl OfFiles for Mutual {
    fn remade(&self, files: &[File]) -> Result<Mutual, BadFiles> {
        Mutual::new(files, self.name.clone())
    }

    fn certificate(&self) -> Option<&Certificate> {
        Some(&self.certificate)
    }
}

/// What the others would say, in either role: better known at the start than from their logs.
fn check_own(identity: &Identity, roots: &RootCertStore, peers: &Peers) -> Result<(), Error> {
    let (own, above) = identity.chain.split_first().ok_or(Error::NoCertificatesPresented)?;
    let now = UnixTime::now();
    peers.verify_client_cert(own, above, now)?;
    let algorithms = provider().signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(own)?,
        roots,
        above,
        now,
        algorithms,
    )
}

/// Who may connect: whoever has a certificate of the CA, with the name if there is one.
#[derive(Debug)]
struct Peers {
    signed: Arc<dyn ClientCertVerifier>,
    name: Option<ServerName<'static>>,
}

impl Peers {
    fn new(
        roots: &Arc<RootCertStore>,
        name: Option<ServerName<'static>>,
    ) -> Result<Peers, impl ToString + use<>> {
        let signed = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider()).build();
        signed.map(|signed| Peers { signed, name })
    }
}

impl ClientCertVerifier for Peers {
    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.signed.verify_client_cert(own, above, now)?;
        if let Some(name) = &self.name {
            verify_server_name(&ParsedCertificate::try_from(own)?, name)?;
        }
        Ok(verified)
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.signed.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}
