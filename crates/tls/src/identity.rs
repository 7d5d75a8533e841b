//! Who we are and whom we trust, from PEM files.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::certificate::Certificate;
use crate::watched::{BadFiles, File};

/// A certificate with those above it, and its key.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    /// What the first of the chain says of itself; the end is that of whichever ends first.
    pub certificate: Certificate,
}

impl Identity {
    pub fn read(chain: &File, key: &File) -> Result<Identity, BadFiles> {
        let held = certificates(chain)?;
        let read = held.iter().map(|der| Certificate::read(der)).collect::<Option<Vec<_>>>();
        let read = read.ok_or_else(|| chain.bad("holds what is no certificate"))?;
        let expires = read.iter().map(|certificate| certificate.expires).min();
        let own = read.into_iter().next().zip(expires);
        let (own, expires) = own.ok_or_else(|| chain.bad("holds no certificate"))?;
        let private = PrivateKeyDer::from_pem_slice(&key.text)
            .map_err(|_| key.bad("holds no private key (PEM, PKCS #8, SEC1 or PKCS #1)"))?;
        CertifiedKey::from_der(held.clone(), private.clone_key(), &provider())
            .map_err(|_| key.bad("does not belong to the certificate"))?;
        Ok(Identity { chain: held, key: private, certificate: Certificate { expires, ..own } })
    }
}

pub fn trust(bundle: &File) -> Result<Arc<RootCertStore>, BadFiles> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(bundle)? {
        roots.add(certificate).map_err(|_| bundle.bad("holds a certificate that is none of a CA"))?;
    }
    Ok(Arc::new(roots))
}

/// The only provider there is; named each time, so that no global state decides.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(file: &File) -> Result<Vec<CertificateDer<'static>>, BadFiles> {
    let read = CertificateDer::pem_slice_iter(&file.text).collect::<Result<Vec<_>, _>>();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(file.bad("holds no certificate (PEM, BEGIN CERTIFICATE)")),
    }
}
