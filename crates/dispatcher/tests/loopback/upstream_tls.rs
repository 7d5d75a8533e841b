//! The upstream over TLS, and who may say that it is the upstream.

use dispatcher::upstream::locate::Destination;
use dispatcher::{Config, Listener, Speaks, Upstream};
use sip::{Method, Name, ResponseWriter};
use tempfile::TempDir;
use tls::authority::Authority;
use tls::{Front, Outside, OutsideFiles};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use crate::nameserver::NameServer;
use crate::support::{FakeManager, Phone, Running, Stream, config, loopback, ok, request, soon};

#[tokio::test]
async fn a_call_goes_out_over_tls_and_its_answer_comes_back() {
    let lab = Lab::new().await;
    let server = lab.server("sips:127.0.0.1", &["127.0.0.1"]).await;
    let phone = Phone::new().await;

    phone.send(request(Method::Invite, "UDP", phone.address(), "1"), server.running.public).await;
    let mut upstream = server.accept().await;
    let call = upstream.receive().await;
    let via = call.via().unwrap();
    assert_eq!((call.method(), via.transport), (Method::Invite, "TLS"));
    let tls = server.running.listeners[1];
    assert_eq!(via.port, Some(tls.port()), "where we speak TLS ourselves");
    let route = String::from_utf8(call.values(Name::RecordRoute).next().unwrap().to_vec()).unwrap();
    assert!(route.contains(&format!("@{tls};transport=tls;lr")), "{route}");
    upstream.write(ResponseWriter::new(&call, 180).to_tag("u").finish()).await;
    assert_eq!(phone.receive().await.0.status(), Some(180));

    // What the upstream asks within the dialog comes over the same connection, or a new one to our listener.
    let listener = String::from_utf8(call.values(Name::RecordRoute).nth(1).unwrap().to_vec()).unwrap();
    let bye = request(Method::Bye, "TLS", phone.address(), "1")
        .replace("Event: presence", &format!("Route: {route}, {listener}"));
    upstream.write(bye).await;
    let (bye, _) = phone.receive().await;
    assert_eq!((bye.method(), bye.header(Name::Route)), (Method::Bye, None));
    phone.send(ok(&bye), server.running.public).await;
    assert_eq!(upstream.receive().await.status(), Some(200));
}

#[tokio::test]
async fn what_asks_for_tls_on_the_whole_way_goes_out_with_sips_recorded() {
    let lab = Lab::new().await;
    let server = lab.server("sips:127.0.0.1", &["127.0.0.1"]).await;
    let phone = Phone::new().await;
    let call = request(Method::Invite, "UDP", phone.address(), "1").replace("INVITE sip:", "INVITE sips:");

    phone.send(call, server.running.public).await;

    let call = server.accept().await.receive().await;
    let route = call.values(Name::RecordRoute).next().unwrap();
    assert!(route.starts_with(b"<sips:"), "{}", String::from_utf8_lossy(route));
}

#[tokio::test]
async fn a_server_whose_certificate_is_for_another_name_hears_nothing() {
    let lab = Lab::new().await;
    let server = lab.server("sip:127.0.0.1;transport=tls", &["pbx.elsewhere.test"]).await;
    let phone = Phone::new().await;

    phone.send(request(Method::Invite, "UDP", phone.address(), "1"), server.running.public).await;

    assert_eq!(phone.receive().await.0.status(), Some(503));
    assert!(soon(server.try_accept()).await.is_none());
}

#[tokio::test]
async fn the_domain_is_what_a_server_proves_and_not_the_name_that_the_dns_gave() {
    let lab = Lab::new().await;
    let impostor = lab.listener(&["host.pbx.test"]).await;
    let server = lab.server("sip:pbx.test", &["pbx.test"]).await;
    lab.dns.naptr("pbx.test", 1, "SIPS+D2T", "_sips._tcp.pbx.test");
    lab.dns.srv("_sips._tcp.pbx.test", 1, "host.pbx.test", impostor.port());
    lab.dns.srv("_sips._tcp.pbx.test", 2, "host.pbx.test", server.secured.port());
    lab.dns.a("host.pbx.test", [127, 0, 0, 1]);
    let (phone, public) = (Phone::new().await, server.running.public);

    let mut heard = tokio::spawn(async move { server.accept().await.receive().await });
    let believed = tokio::spawn(async move { while impostor.try_accept().await.is_none() {} });
    let heard = loop {
        let text = request(Method::Message, "UDP", phone.address(), "m");
        phone.send(text, public).await;
        // Until the DNS has answered, requests are refused with 503.
        tokio::select! {
            heard = &mut heard => break heard.unwrap(),
            _ = phone.receive() => {}
        }
    };

    assert_eq!(heard.method(), Method::Message);
    assert!(!believed.is_finished());
}

#[tokio::test]
async fn a_server_that_is_to_be_found_elsewhere_still_proves_the_domain() {
    let lab = Lab::new().await;
    let (domain, elsewhere) = (lab.listener(&["pbx.test"]).await, lab.listener(&["127.0.0.1"]).await);

    for (server, expected) in [(domain, Some(Method::Invite)), (elsewhere, None)] {
        let uri = format!("sips:pbx.test:{};maddr=127.0.0.1", server.port());
        let running = Running::start(lab.before(&uri)).await;
        let phone = Phone::new().await;

        phone.send(request(Method::Invite, "UDP", phone.address(), "1"), running.public).await;

        let heard = match soon(server.try_accept()).await {
            Some(mut stream) => Some(stream.receive().await.method()),
            None => None,
        };
        assert_eq!(heard, expected);
    }
}

struct Lab {
    manager: FakeManager,
    authority: Authority,
    dns: NameServer,
    folder: TempDir,
}

/// Takes connections with a certificate.
struct Secured {
    listener: TcpListener,
    front: Front,
    _folder: TempDir,
}

struct Server {
    running: Running,
    secured: Secured,
}

impl Lab {
    async fn new() -> Lab {
        Lab {
            manager: FakeManager::start().await,
            authority: Authority::new(),
            dns: NameServer::start().await,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    async fn listener(&self, names: &[&str]) -> Secured {
        let (folder, front) = self.authority.front(names);
        Secured { listener: TcpListener::bind(loopback()).await.unwrap(), front, _folder: folder }
    }

    /// A dispatcher before the upstream at this URI, whose certificate is for these names.
    async fn server(&self, uri: &str, names: &[&str]) -> Server {
        let secured = self.listener(names).await;
        let uri = uri.replace("127.0.0.1", &format!("127.0.0.1:{}", secured.port()));
        let running = Running::start(self.before(&uri)).await;
        Server { running, secured }
    }

    fn before(&self, uri: &str) -> Config {
        let ca = self.folder.path().join("upstream-ca.crt");
        std::fs::write(&ca, &self.authority.pem).unwrap();
        let outside = Outside::new("upstream", OutsideFiles { ca: Some(ca), own: None }).unwrap();
        let mut config = config(&[&self.manager]);
        let (folder, front) = self.authority.front(&["127.0.0.1"]);
        config.front = Some(front);
        drop(folder);
        config.listeners.push(Listener { endpoint: loopback().into(), speaks: Speaks::Tls });
        config.domains = vec!["lab.test".to_owned()];
        let upstream = Upstream::at(Destination::parse(uri).unwrap());
        config.upstream =
            Some(Upstream { tls: Some(outside), name_servers: vec![self.dns.address], ..upstream });
        config
    }
}

impl Secured {
    fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// The next connection; `None` if it did not come about.
    async fn try_accept(&self) -> Option<Stream<impl AsyncRead + AsyncWrite + Unpin + use<>>> {
        let (socket, _) = self.listener.accept().await.unwrap();
        self.front.accept(socket).await.ok().map(Stream::new)
    }
}

impl Server {
    async fn try_accept(&self) -> Option<Stream<impl AsyncRead + AsyncWrite + Unpin + use<>>> {
        self.secured.try_accept().await
    }

    async fn accept(&self) -> Stream<impl AsyncRead + AsyncWrite + Unpin + use<>> {
        soon(self.try_accept()).await.expect("the dispatcher trusts it")
    }
}
