//! Billing that is reached over TLS.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use auth_adapter::{Rules, Source};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::NamedTempFile;
use tls::OutsideFiles;
use tls::authority::Authority;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tonic::Code;

use super::fake_billing::FakeBilling;
use super::{Manager, rules, subscribe};

/// Speaks TLS where billing speaks none, with a certificate for 127.0.0.1.
struct Front {
    address: SocketAddr,
    /// Who signed its certificate.
    ca: NamedTempFile,
}

impl Front {
    async fn of(billing: SocketAddr) -> Front {
        let authority = Authority::new();
        let issued = authority.issue(&["127.0.0.1"]);
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(issued.der)], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let accepting = acceptor.accept(socket);
                tokio::spawn(async move {
                    let mut client = accepting.await?;
                    copy_bidirectional(&mut client, &mut TcpStream::connect(billing).await?).await
                });
            }
        });
        let mut ca = NamedTempFile::new().unwrap();
        ca.write_all(authority.pem.as_bytes()).unwrap();
        Front { address, ca }
    }

    fn source(&self, ca: &NamedTempFile) -> Source {
        Source::Billing {
            url: format!("https://{}", self.address),
            files: OutsideFiles { ca: Some(ca.path().to_owned()), own: None },
        }
    }
}

#[tokio::test]
async fn a_billing_is_believed_when_its_certificate_is_of_the_named_ca() {
    let billing = FakeBilling::start();
    let front = Front::of(billing.address).await;
    let manager = Manager::before(front.source(&front.ca)).await;

    assert_eq!(manager.ask(subscribe("alice")).await.unwrap().max_expires, 1);
    billing.followed(1).await;
}

#[tokio::test]
async fn a_billing_with_a_certificate_of_somebody_else_is_not_asked() {
    let billing = FakeBilling::start();
    let (front, other) = (Front::of(billing.address).await, Front::of(billing.address).await);
    let rules = Rules { deadline: Duration::from_secs(2), ..rules() };
    let manager = Manager::with(front.source(&other.ca), rules).await;

    assert_eq!(manager.ask(subscribe("alice")).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(billing.calls(), 0);
}
