//! A billing server behind TLS that asks for a certificate, as one outside of our own network would be.

use std::net::SocketAddr;
use std::path::Path;

use tls::Protocol;
use tls::authority::Authority;
use tokio::net::{TcpListener, TcpStream};

use crate::billing::{Faults, Secrets};
use crate::server::{SCRIPT, check, start};

/// Ends TLS in front of a plain server; gives the URL.
async fn in_front_of(plain: SocketAddr, wires: tls::Wires) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let mut incoming = wires.accept(listener, Protocol::Grpc);
    tokio::spawn(async move {
        loop {
            let (mut outside, _) = incoming.accept().await;
            tokio::spawn(async move {
                let mut inside = TcpStream::connect(plain).await?;
                tokio::io::copy_bidirectional(&mut outside, &mut inside).await
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_behind_tls_is_checked_with_the_ca_and_the_certificate_that_are_named() {
    let (_, plain) = start(Secrets::Given, Faults::default()).await;
    let plain = plain.strip_prefix("http://").and_then(|address| address.parse().ok()).unwrap();
    let (authority, other) = (Authority::new(), Authority::new());
    let party = authority.party(&["127.0.0.1"], None);
    let stranger = other.party(&["127.0.0.1"], None);
    let url = in_front_of(plain, party.wires).await;
    let file = |folder: &Path, name: &str| folder.join(name).display().to_string();
    let words = |ca: &Path| {
        let own = party.folder.path();
        let files =
            ["--ca".into(), file(ca, "ca.crt"), "--cert".into(), file(own, "tls.crt"), "--key".into()];
        [&[url.clone(), "--script".into(), SCRIPT.into()], &files[..], &[file(own, "tls.key")]].concat()
    };

    let trusted = check(&words(party.folder.path())).await;
    let not_trusted = check(&words(stranger.folder.path())).await;

    assert_eq!(trusted.status.code(), Some(0), "{trusted:?}");
    let error = String::from_utf8_lossy(&not_trusted.stderr);
    assert!(error.contains(&url) && error.lines().count() == 1, "{error}");
    assert_eq!(not_trusted.status.code(), Some(2));
}
