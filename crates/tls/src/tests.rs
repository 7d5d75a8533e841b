//! Processes that talk to each other over loopback.

use std::fs;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use tower_service::Service;

use crate::accept::{HANDSHAKES, PATIENCE};
use crate::authority::{Authority, Issued, Party};
use crate::certificate::Certificate;
use crate::{Files, Outside, OutsideFiles, Protocol, Stream, Wires};

const HERE: &[&str] = &["127.0.0.1"];
/// Nothing here takes long; a test that waits longer has failed.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn two_of_one_ca_speak_and_each_sees_the_others_certificate() {
    let ca = Authority::new();
    let (server, client) = (ca.party(HERE, None), ca.party(HERE, None));
    let mut door = Door::of(&server.wires).await;

    let mut near = client.wires.connect(door.address).await.unwrap();
    let mut far = door.next().await;

    assert_eq!(said(&mut near, &mut far).await.unwrap(), *b"well");
    assert_eq!(said(&mut far, &mut near).await.unwrap(), *b"well");
    assert_eq!(serial(&near), serial_in(&server));
    assert_eq!(serial(&far), serial_in(&client));
}

#[tokio::test]
async fn what_does_not_fit_into_the_socket_arrives_after_a_flush() {
    let ca = Authority::new();
    let party = ca.party(HERE, None);
    let mut door = Door::of(&party.wires).await;
    let (_reading, mut writing) = party.wires.connect(door.address).await.unwrap().into_split();
    let (mut reading, _writing) = door.next().await.into_split();

    let mut taken = 0;
    while let Some(written) = tokio::task::unconstrained(writing.write(&[7; 1_024])).now_or_never() {
        taken += written.unwrap();
    }
    let reader = tokio::spawn(async move {
        let mut came = vec![0; taken];
        reading.read_exact(&mut came).await.map(|_| came)
    });
    writing.flush().await.unwrap();

    assert_eq!(soon(reader).await.unwrap().unwrap(), vec![7; taken]);
}

#[tokio::test]
async fn a_stranger_with_a_certificate_of_another_ca_is_refused_by_both() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (us, them) = (ours.party(HERE, None), theirs.party(HERE, None));
    let door = Door::of(&us.wires).await;

    let error = them.wires.connect(door.address).await.err().unwrap().to_string();
    assert!(error.contains("not signed by the CA"), "{error}");

    // One that trusts us all the same, and is not trusted.
    let folder = tempfile::tempdir().unwrap();
    let stranger = outsider(&folder, &ours, Some(&theirs.issue(HERE)));
    assert!(refusal(&stranger, door).await.contains("does not trust the CA of our certificate"));
}

#[tokio::test]
async fn nobody_is_served_without_a_certificate() {
    let ca = Authority::new();
    let server = ca.party(HERE, None);
    let folder = tempfile::tempdir().unwrap();

    let refused = refusal(&outsider(&folder, &ca, None), Door::of(&server.wires).await).await;

    assert!(refused.contains("wants a certificate of us"), "{refused}");
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_refused() {
    let ca = Authority::new();
    let server = ca.party(HERE, None);
    let ended = ca.issue_as(HERE, |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let folder = tempfile::tempdir().unwrap();

    let refused = refusal(&outsider(&folder, &ca, Some(&ended)), Door::of(&server.wires).await).await;
    assert!(refused.contains("our certificate has ended"), "{refused}");

    // Nor does anybody start with one.
    let error = Wires::mutual(ended.write(folder.path(), &ca.pem)).unwrap_err().to_string();
    assert!(error.contains("ended"), "{error}");
}

#[tokio::test]
async fn a_server_must_be_who_was_dialled() {
    let ca = Authority::new();
    let (server, client) = (ca.party(&["elsewhere.test"], None), ca.party(HERE, None));
    let door = Door::of(&server.wires).await;

    let error = client.wires.connect(door.address).await.err().unwrap().to_string();

    assert!(error.contains("another name"), "{error}");
}

#[tokio::test]
async fn with_a_name_of_the_cluster_both_sides_must_carry_it_wherever_they_are() {
    let ca = Authority::new();
    let name = Some("vedette.internal");
    let (server, client) = (ca.party(&["vedette.internal"], name), ca.party(&["vedette.internal"], name));
    let mut door = Door::of(&server.wires).await;

    let mut near = client.wires.connect(door.address).await.unwrap();
    let mut far = door.next().await;
    assert_eq!(said(&mut near, &mut far).await.unwrap(), *b"well");

    let folder = tempfile::tempdir().unwrap();
    let another = outsider(&folder, &ca, Some(&ca.issue(&["another.internal"])));
    let through =
        another.open(TcpStream::connect(door.address).await.unwrap(), "vedette.internal", Protocol::Sip);
    let refused = first_word(through.await).await.unwrap_err().to_string();
    assert!(refused.contains("refuses our certificate"), "{refused}");
}

#[tokio::test]
async fn a_process_does_not_start_with_files_that_peers_would_refuse() {
    let (ca, other) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let error = |issued: &Issued, ca: &str, name: Option<&str>| {
        let files = issued.write(folder.path(), ca);
        Wires::mutual(Files { name: name.map(str::to_owned), ..files }).unwrap_err().to_string()
    };
    let good = ca.issue(HERE);
    let server_only = ca.issue_as(HERE, |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    let mixed = Issued { key: ca.issue(HERE).key, der: Vec::new(), cert: good.cert.clone() };

    assert!(error(&good, &other.pem, None).contains("not signed by the CA"));
    assert!(error(&good, "no PEM", None).contains("ca.crt holds no certificate"));
    assert!(error(&good, &ca.pem, Some("vedette.internal")).contains("another name"));
    assert!(error(&server_only, &ca.pem, None).contains("both purposes"));
    assert!(error(&mixed, &ca.pem, None).contains("tls.key does not belong to the certificate"));
}

#[tokio::test]
async fn who_speaks_plainly_is_refused_and_told_why_on_both_sides() {
    let ca = Authority::new();
    let secure = ca.party(HERE, None);
    let plain = Wires::plain();

    let door = Door::of(&secure.wires).await;
    let near = plain.connect(door.address).await;
    let refused = first_word(near).await.unwrap_err().to_string();
    assert!(refused.contains("it speaks TLS"), "{refused}");

    let mut door = Door::of(&plain).await;
    let address = door.address;
    let serving = tokio::spawn(async move { soon(door.next().await.read_u8()).await });
    let refused = secure.wires.connect(address).await.err().unwrap().to_string();
    assert!(refused.contains("does it speak TLS?"), "{refused}");
    assert!(serving.await.unwrap().unwrap_err().to_string().contains("it speaks TLS"));
}

#[tokio::test]
async fn a_connection_to_the_wrong_port_fails_at_once() {
    let ca = Authority::new();
    let party = ca.party(HERE, None);
    let door = Door::of(&party.wires).await;

    let socket = TcpStream::connect(door.address).await.unwrap();
    let error = party.wires.open(socket, "127.0.0.1", Protocol::Grpc).await.err().unwrap().to_string();

    assert!(error.contains("right port"), "{error}");
}

#[tokio::test]
async fn a_server_of_others_is_verified_by_the_host_that_was_dialled() {
    let (ca, another) = (Authority::new(), Authority::new());
    let server = ca.party(HERE, None);
    let door = Door::of(&server.wires).await;
    let dial = async |trusted: &Authority, url: String| {
        let folder = tempfile::tempdir().unwrap();
        let billing = outsider(&folder, trusted, Some(&ca.issue(HERE)));
        billing.connector(Protocol::Sip).call(url.parse().unwrap()).await
    };
    let port = door.address.port();

    let known = dial(&ca, format!("https://127.0.0.1:{port}")).await.unwrap();
    assert_eq!(serial(known.inner()), serial_in(&server));
    let elsewhere = dial(&ca, format!("https://localhost:{port}")).await.unwrap_err().to_string();
    assert!(elsewhere.contains("another name"), "{elsewhere}");
    let stranger = dial(&another, format!("https://127.0.0.1:{port}")).await.unwrap_err().to_string();
    assert!(stranger.contains("not signed by the CA"), "{stranger}");
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_the_old_ones_go_on() {
    let ca = Authority::new();
    let (server, client) = (ca.party(HERE, None), ca.party(HERE, None));
    let mut door = Door::of(&server.wires).await;
    let mut before = client.wires.connect(door.address).await.unwrap();
    let mut far = door.next().await;
    let old = serial_in(&server);

    ca.issue(HERE).write(server.folder.path(), &ca.pem);
    server.wires.look();
    assert_eq!(serial(&client.wires.connect(door.address).await.unwrap()), old);
    server.wires.look();

    assert_eq!(serial(&client.wires.connect(door.address).await.unwrap()), serial_in(&server));
    assert_ne!(serial_in(&server), old);
    assert_eq!(said(&mut before, &mut far).await.unwrap(), *b"well");
}

#[tokio::test]
async fn another_ca_takes_over_while_both_are_in_the_bundle() {
    let (old, new) = (Authority::new(), Authority::new());
    let (server, client) = (old.party(HERE, None), old.party(HERE, None));
    let both = format!("{}{}", old.pem, new.pem);
    let door = Door::of(&server.wires).await;

    for party in [&server, &client] {
        fs::write(party.folder.path().join("ca.crt"), &both).unwrap();
        look_twice(party);
    }
    new.issue(HERE).write(server.folder.path(), &both);
    look_twice(&server);
    assert_eq!(serial(&client.wires.connect(door.address).await.unwrap()), serial_in(&server));

    new.issue(HERE).write(client.folder.path(), &new.pem);
    look_twice(&client);
    assert!(client.wires.connect(door.address).await.is_ok());
}

#[tokio::test]
async fn files_that_make_no_sense_change_nothing_until_they_do() {
    let ca = Authority::new();
    let (server, client) = (ca.party(HERE, None), ca.party(HERE, None));
    let door = Door::of(&server.wires).await;
    let (old, next) = (serial_in(&server), ca.issue(HERE));

    for bad in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &next.cert] {
        fs::write(server.folder.path().join("tls.crt"), bad).unwrap();
        look_twice(&server);
        assert_eq!(serial(&client.wires.connect(door.address).await.unwrap()), old);
    }
    fs::remove_file(server.folder.path().join("ca.crt")).unwrap();
    look_twice(&server);
    assert_eq!(serial(&client.wires.connect(door.address).await.unwrap()), old);

    next.write(server.folder.path(), &ca.pem);
    look_twice(&server);
    assert_eq!(serial(&client.wires.connect(door.address).await.unwrap()), serial_in(&server));
}

#[tokio::test]
async fn files_are_followed_through_swapped_links() {
    let ca = Authority::new();
    let mount = tempfile::tempdir().unwrap();
    let release = |name: &str| {
        fs::create_dir(mount.path().join(name)).unwrap();
        ca.issue(HERE).write(&mount.path().join(name), &ca.pem);
        std::os::unix::fs::symlink(name, mount.path().join("next")).unwrap();
        fs::rename(mount.path().join("next"), mount.path().join("data")).unwrap();
    };
    release("1");
    let file = |name: &str| mount.path().join("data").join(name);
    let files = Files { cert: file("tls.crt"), key: file("tls.key"), ca: file("ca.crt"), name: None };
    let party = Party { wires: Wires::mutual(files).unwrap(), folder: tempfile::tempdir().unwrap() };
    let door = Door::of(&party.wires).await;
    let old = serial(&party.wires.connect(door.address).await.unwrap());

    release("2");
    look_twice(&party);

    assert_ne!(serial(&party.wires.connect(door.address).await.unwrap()), old);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_let_go_after_a_while() {
    let ca = Authority::new();
    let server = ca.party(HERE, None);
    let door = Door::of(&server.wires).await;
    let started = tokio::time::Instant::now();

    let mut silent = TcpStream::connect(door.address).await.unwrap();
    let end = silent.read(&mut [0; 8]).await.unwrap();

    assert_eq!(end, 0);
    assert!((PATIENCE..2 * PATIENCE).contains(&started.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn peers_that_say_nothing_keep_nobody_out_and_the_oldest_of_them_give_way() {
    let ca = Authority::new();
    let party = ca.party(HERE, None);
    let mut door = Door::of(&party.wires).await;
    // The clock stands still while a blocking task runs, so nobody is let go because of it.
    let (done, waiting) = std::sync::mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || waiting.recv_timeout(SOON).ok());
    let started = tokio::time::Instant::now();

    let mut silent = Vec::new();
    for _ in 0..2 * HANDSHAKES {
        silent.push(TcpStream::connect(door.address).await.unwrap());
    }
    let mut near = party.wires.connect(door.address).await.unwrap();
    let mut far = door.next().await;
    let oldest = silent[0].read(&mut [0; 8]).await.unwrap();

    assert_eq!((oldest, started.elapsed()), (0, Duration::ZERO));
    assert_eq!(said(&mut near, &mut far).await.unwrap(), *b"well");
    drop(done);
}

#[tokio::test]
async fn a_wildcard_proves_no_sip_server_but_any_other() {
    let ca = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let client = outsider(&folder, &ca, None);
    let asked = async |names: &[&str], protocol| {
        let (_folder, front) = ca.front(names);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let shaken = async { front.accept(listener.accept().await.unwrap().0).await };
        let (opened, _) = tokio::join!(client.open(socket, "pbx.lab.test", protocol), shaken);
        opened.map(drop).map_err(|error| error.to_string())
    };

    let refused = asked(&["*.lab.test", "lab.test"], Protocol::Sip).await.unwrap_err();
    assert!(refused.contains("by a wildcard only"), "{refused}");
    assert_eq!(asked(&["*.lab.test"], Protocol::Http).await, Ok(()));
    assert_eq!(asked(&["*.lab.test", "PBX.lab.test"], Protocol::Sip).await, Ok(()));
}

/// A listener that hands on what comes.
struct Door {
    address: SocketAddr,
    accepted: mpsc::Receiver<Stream>,
}

impl Door {
    async fn of(wires: &Wires) -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut incoming = wires.accept(listener, Protocol::Sip);
        let (sender, accepted) = mpsc::channel(8);
        tokio::spawn(async move { while sender.send(incoming.accept().await.0).await.is_ok() {} });
        Door { address, accepted }
    }

    async fn next(&mut self) -> Stream {
        soon(self.accepted.recv()).await.unwrap()
    }
}

/// What is said arrives.
async fn said(from: &mut Stream, to: &mut Stream) -> Result<[u8; 4], Error> {
    from.write_all(b"well").await?;
    from.flush().await?;
    let mut heard = [0; 4];
    soon(to.read_exact(&mut heard)).await?;
    Ok(heard)
}

/// What comes first, after a word of ours.
async fn first_word(stream: Result<Stream, Error>) -> Result<u8, Error> {
    let mut stream = stream?;
    // A peer that has refused us already need not take it.
    let _ = stream.write_all(b"well\r\n\r\n").await;
    let _ = stream.flush().await;
    soon(stream.read_u8()).await
}

/// How a server tells somebody that he is not served.
async fn refusal(client: &Arc<Outside>, mut door: Door) -> String {
    let socket = TcpStream::connect(door.address).await.unwrap();
    let refused = first_word(client.open(socket, "127.0.0.1", Protocol::Sip).await).await.unwrap_err();
    assert!(door.accepted.try_recv().is_err(), "nothing reached the role");
    assert_ne!(refused.kind(), ErrorKind::UnexpectedEof);
    refused.to_string()
}

/// Somebody who trusts a CA and shows what he has.
fn outsider(folder: &tempfile::TempDir, trusted: &Authority, own: Option<&Issued>) -> Arc<Outside> {
    let ca = folder.path().join("trusted.crt");
    fs::write(&ca, &trusted.pem).unwrap();
    let own = own.map(|issued| issued.write(folder.path(), "")).map(|files| (files.cert, files.key));
    Outside::new("test", OutsideFiles { ca: Some(ca), own }).unwrap()
}

fn look_twice(party: &Party) {
    party.wires.look();
    party.wires.look();
}

fn serial(stream: &Stream) -> String {
    Certificate::read(stream.peer_certificate().unwrap()).unwrap().serial
}

fn serial_in(party: &Party) -> String {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let der = CertificateDer::from_pem_file(party.folder.path().join("tls.crt")).unwrap();
    Certificate::read(&der).unwrap().serial
}

async fn soon<T>(wait: impl Future<Output = T>) -> T {
    timeout(SOON, wait).await.expect("it should have happened by now")
}
