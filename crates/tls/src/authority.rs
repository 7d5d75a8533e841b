//! A CA and the certificates that it issues, for tests of whoever uses this crate.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PublicKeyData,
};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::identity::provider;
use crate::{Files, Front, Stream, Wires, connect};

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate with its key.
pub struct Issued {
    pub der: Vec<u8>,
    pub cert: String,
    pub key: String,
}

/// A process with its files.
pub struct Party {
    pub folder: TempDir,
    pub wires: Wires,
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

impl Authority {
    pub fn new() -> Authority {
        let key = KeyPair::generate().expect("ring makes keys");
        let mut params = CertificateParams::new([]).expect("no name is no bad name");
        // Two of them are told apart by their names first.
        params.distinguished_name.push(DnType::CommonName, format!("CA {:?}", &key.der_bytes()[..8]));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("the key is good").pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_as(names, |_| {})
    }

    pub fn issue_as(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let key = KeyPair::generate().expect("ring makes keys");
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("tests name hosts and addresses");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let issued = params.signed_by(&key, &self.issuer).expect("the key of the CA is good");
        Issued { der: issued.der().to_vec(), cert: issued.pem(), key: key.serialize_pem() }
    }

    /// A process with a certificate for these names, which verifies peers by what it dials, or by `name`.
    pub fn party(&self, names: &[&str], name: Option<&str>) -> Party {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let mut files = self.issue(names).write(folder.path(), &self.pem);
        files.name = name.map(str::to_owned);
        let wires = Wires::mutual(files).expect("the files fit");
        Party { folder, wires }
    }

    /// What phones are shown, and the folder of its files, which [`Issued::write`] renews.
    pub fn front(&self, names: &[&str]) -> (TempDir, Front) {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let files = self.issue(names).write(folder.path(), &self.pem);
        (folder, Front::new("phones", files.cert, files.key).expect("the files fit"))
    }

    /// A phone that trusts this CA and shows nothing.
    pub async fn dial(&self, address: SocketAddr) -> io::Result<Stream> {
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("it is a certificate");
        roots.add(ca).expect("it is one of a CA");
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring knows them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let socket = TcpStream::connect(address).await?;
        connect::handshake(&Arc::new(config).into(), socket, connect::name_of(&address.ip().to_string())?)
            .await
    }
}

impl Issued {
    /// Writes it and the CA where a [`Party`] has them.
    pub fn write(&self, folder: &Path, ca: &str) -> Files {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).expect("there is room for a file");
            path
        };
        Files {
            cert: write("tls.crt", &self.cert),
            key: write("tls.key", &self.key),
            ca: write("ca.crt", ca),
            name: None,
        }
    }
}
