//! TLS, WebSocket and secure WebSocket (RFC 7118), over IPv4 and IPv6.

use std::net::SocketAddr;
use std::time::Duration;

use dispatcher::config::Endpoint;
use dispatcher::transport::origins::Origin;
use dispatcher::{BindError, Dispatcher, Listener, Speaks};
use futures_util::{SinkExt, StreamExt};
use sip::{Method, Name};
use tempfile::TempDir;
use tls::authority::Authority;
use tls::{Front, Wires};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::{self, FakeManager, Running, config, ok, parse, request, soon};

const V4: &str = "127.0.0.1:0";
const V6: &str = "[::1]:0";
const NAMES: &[&str] = &["127.0.0.1", "::1"];

// Flows

#[tokio::test]
async fn a_subscription_over_each_transport_is_answered_and_notified_on_its_connection() {
    let mut manager = FakeManager::start().await;
    let mut listeners = vec![(Speaks::Tls, V4), (Speaks::Ws, V4), (Speaks::Wss, V4), (Speaks::UdpAndTcp, V4)];
    if TcpListener::bind(V6).await.is_ok() {
        listeners.extend([(Speaks::Tls, V6), (Speaks::Ws, V6), (Speaks::Wss, V6)]);
    }
    let lab = Lab::with(&manager, &listeners).await;

    for (n, (speaks, _)) in listeners.into_iter().enumerate().filter(|(n, _)| *n != 3) {
        let address = lab.server.listeners[n];
        let (via, parameter) = match speaks {
            Speaks::Tls => ("TLS", "tls"),
            Speaks::Ws => ("WS", "ws"),
            _ => ("WSS", "ws"),
        };
        let mut phone = lab.phone(n, speaks).await;

        phone.send(subscribe(via, &n.to_string())).await;
        let subscribe = manager.receive().await;
        assert_eq!(subscribe.vias().nth(1).unwrap().unwrap().transport, via);
        let public = subscribe.values(Name::RecordRoute).nth(1).unwrap();
        assert_eq!(public, format!("<sip:{address};transport={parameter};lr>").as_bytes());
        manager.answer(&subscribe, 200);
        assert_eq!(phone.receive().await.status(), Some(200));

        manager.send(manager.notify(&subscribe, "n1"));
        let notify = phone.receive().await;
        let ours = notify.via().unwrap();
        assert_eq!((ours.transport, ours.port), (via, Some(address.port())));
        assert_eq!(notify.values(Name::RecordRoute).next(), Some(public));
        phone.send(ok(&notify)).await;
        assert_eq!(manager.receive().await.via().unwrap().branch, Some("z9hG4bKn1"));
    }
}

#[tokio::test]
async fn a_phone_asking_for_sips_over_tls_is_recorded_with_sips() {
    let mut manager = FakeManager::start().await;
    let lab = Lab::with(&manager, &[(Speaks::Tls, V4)]).await;
    let mut phone = lab.phone(0, Speaks::Tls).await;

    phone.send(subscribe("TLS", "1").replace("SUBSCRIBE sip:", "SUBSCRIBE sips:")).await;

    let subscribe = manager.receive().await;
    let public = subscribe.values(Name::RecordRoute).nth(1).unwrap();
    assert_eq!(public, format!("<sips:{};lr>", lab.server.public).as_bytes());
}

#[tokio::test]
async fn messages_that_wait_together_go_out_one_by_one_in_a_websocket() {
    let mut manager = FakeManager::start().await;
    let lab = Lab::with(&manager, &[(Speaks::Ws, V4)]).await;
    let mut phone = lab.phone(0, Speaks::Ws).await;
    phone.send(subscribe("WS", "1")).await;
    let subscribe = manager.receive().await;

    let branches: Vec<_> = (0..20).map(|n| format!("n{n}")).collect();
    manager.send(branches.iter().flat_map(|branch| manager.notify(&subscribe, branch)).collect());

    for _ in branches {
        assert_eq!(phone.receive().await.method(), Method::Notify);
    }
}

#[tokio::test]
async fn a_notify_for_a_websocket_that_is_gone_is_answered_430() {
    let mut manager = FakeManager::start().await;
    let lab = Lab::with(&manager, &[(Speaks::Wss, V4)]).await;
    let mut phone = lab.phone(0, Speaks::Wss).await;
    phone.send(subscribe("WSS", "1")).await;
    let subscribe = manager.receive().await;
    phone.send("not SIP at all").await;
    phone.closed().await;

    manager.send(manager.notify(&subscribe, "n1"));

    assert_eq!(manager.receive().await.status(), Some(430));
}

#[tokio::test]
async fn a_udp_phone_that_asks_by_stun_is_told_its_address() {
    let manager = FakeManager::start().await;
    let server = Running::in_front_of(&[&manager]).await;
    let phone = support::Phone::new().await;
    let request = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], b"transaction1"].concat();

    phone.send(&request, server.public).await;

    let mut answer = [0; 64];
    let (length, from) = soon(phone.socket.recv_from(&mut answer)).await.unwrap();
    assert_eq!((length, from, &answer[..2]), (32, server.public, &[1, 1][..]));
    let port = u16::from_be_bytes([answer[26] ^ 0x21, answer[27] ^ 0x12]);
    assert_eq!((port, &answer[8..20]), (phone.address().port(), &b"transaction1"[..]));
}

#[tokio::test]
async fn a_message_may_be_binary() {
    let mut manager = FakeManager::start().await;
    let lab = Lab::with(&manager, &[(Speaks::Ws, V4)]).await;
    let mut websocket = lab.websocket(0).await;

    websocket.send(Message::Binary(subscribe("WS", "1").into())).await.unwrap();

    assert_eq!(manager.receive().await.method(), Method::Subscribe);
}

// Keep-alives

#[tokio::test]
async fn a_keep_alive_over_tls_is_answered() {
    let manager = FakeManager::start().await;
    let lab = Lab::with(&manager, &[(Speaks::Tls, V4)]).await;
    let mut phone = support::Stream::new(lab.ca.dial(lab.server.public).await.unwrap());

    phone.write("\r\n\r\n").await;

    assert_eq!(phone.read_exactly(2).await, b"\r\n");
}

#[tokio::test]
async fn pings_and_line_ends_are_answered_in_a_websocket() {
    let manager = FakeManager::start().await;
    let lab = Lab::with(&manager, &[(Speaks::Ws, V4)]).await;
    let mut websocket = lab.websocket(0).await;

    websocket.send(Message::Ping("are you there".into())).await.unwrap();
    assert_eq!(next(&mut websocket).await.unwrap(), Message::Pong("are you there".into()));

    // A single one is no ping, and no reason to end.
    websocket.send(Message::text("\r\n")).await.unwrap();
    websocket.send(Message::text("\r\n\r\n")).await.unwrap();
    assert_eq!(next(&mut websocket).await.unwrap(), Message::text("\r\n"));
}

// Handshakes

#[tokio::test]
async fn a_websocket_without_the_subprotocol_is_refused_with_400() {
    let manager = FakeManager::start().await;
    let lab = Lab::with(&manager, &[(Speaks::Ws, V4)]).await;

    for offered in [None, Some("xmpp"), Some("sipx, msrp")] {
        let socket = TcpStream::connect(lab.server.public).await.unwrap();
        let refused = soon(client_async(upgrade(offered), socket)).await.err().unwrap();

        let tungstenite::Error::Http(answer) = refused else { panic!("{refused}") };
        assert_eq!(answer.status(), 400);
    }
    let socket = TcpStream::connect(lab.server.public).await.unwrap();
    let (_, answer) = soon(client_async(upgrade(Some("msrp, sip")), socket)).await.unwrap();
    assert_eq!(answer.headers()[header::SEC_WEBSOCKET_PROTOCOL], "sip");
}

#[tokio::test]
async fn a_page_that_is_not_on_the_list_is_refused_with_403() {
    let manager = FakeManager::start().await;
    let lab = Lab::of(&manager, &[(Speaks::Ws, V4)], |config| {
        config.origins = [Origin::parse("https://phone.lab.test").unwrap()].into_iter().collect();
    })
    .await;
    let with = |origin| {
        let mut request = upgrade(Some("sip"));
        request.headers_mut().insert(header::ORIGIN, HeaderValue::from_static(origin));
        request
    };

    let refused = client_async(with("https://evil.test"), lab.socket(0).await).await.err().unwrap();
    let tungstenite::Error::Http(answer) = refused else { panic!("{refused}") };
    assert_eq!(answer.status(), 403);

    assert!(client_async(with("https://phone.lab.test"), lab.socket(0).await).await.is_ok());
    assert!(client_async(upgrade(Some("sip")), lab.socket(0).await).await.is_ok(), "no page at all");
}

#[tokio::test]
async fn who_has_connected_has_its_place_before_its_handshake() {
    let manager = FakeManager::start().await;
    let lab = Lab::of(&manager, &[(Speaks::Tls, V4), (Speaks::Ws, V4)], |config| {
        config.limits.connections_per_source = 1;
    })
    .await;

    let _silent = TcpStream::connect(lab.server.listeners[0]).await.unwrap();
    // The places are counted over all listeners, each of which accepts for itself.
    let refused = async {
        while client_async(upgrade(Some("sip")), TcpStream::connect(lab.server.listeners[1]).await.unwrap())
            .await
            .is_ok()
        {}
    };

    soon(refused).await;
}

#[tokio::test]
async fn a_handshake_that_stalls_is_closed_and_gives_its_place_back() {
    let manager = FakeManager::start().await;
    let listeners = [(Speaks::Tls, V4), (Speaks::Ws, V4), (Speaks::Wss, V4)];
    let lab = Lab::of(&manager, &listeners, |config| {
        config.limits.connections_per_source = 1;
        config.timings.handshake = Duration::from_millis(100);
    })
    .await;

    for (n, (speaks, _)) in listeners.into_iter().enumerate() {
        let mut stalled = lab.socket(n).await;
        let first_byte = if matches!(speaks, Speaks::Ws) { b"G" } else { b"\x16" };
        stalled.write_all(first_byte).await.unwrap();
        assert_eq!(soon(stalled.read(&mut [0; 1])).await.unwrap_or(0), 0);

        let mut phone = lab.phone(n, speaks).await;
        phone.send(subscribe("WS", "1").replace("Forwards: 70", "Forwards: 0")).await;
        assert_eq!(phone.receive().await.status(), Some(483));
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_the_next_phone_and_the_standing_one_goes_on() {
    let manager = FakeManager::start().await;
    let lab = Lab::with(&manager, &[(Speaks::Tls, V4)]).await;
    let first = lab.ca.dial(lab.server.public).await.unwrap();
    let shown = first.peer_certificate().unwrap().to_vec();
    let mut standing = support::Stream::new(first);

    let renewed = lab.ca.issue(NAMES);
    renewed.write(lab.files.path(), &lab.ca.pem);
    lab.front.look();
    lab.front.look();

    let second = lab.ca.dial(lab.server.public).await.unwrap();
    assert_eq!(second.peer_certificate().unwrap(), renewed.der);
    assert_ne!(shown, renewed.der);
    standing.write("\r\n\r\n").await;
    assert_eq!(standing.read_exactly(2).await, b"\r\n");
}

#[tokio::test]
async fn a_listener_over_tls_without_a_certificate_is_refused_in_one_line() {
    let manager = FakeManager::start().await;
    for speaks in [Speaks::Tls, Speaks::Wss] {
        let mut config = config(&[&manager]);
        config.listeners = vec![listener(speaks, V4)];

        let error = Dispatcher::bind(config).await.err().unwrap();

        assert!(matches!(error, BindError::NoCertificate(_)), "{error}");
    }
}

// Abuse

#[tokio::test]
async fn a_message_too_large_for_managers_is_answered_413_and_one_far_too_large_ends_its_websocket() {
    let mut manager = FakeManager::start().await;
    let lab = Lab::with(&manager, &[(Speaks::Ws, V4)]).await;
    let mut phone = lab.phone(0, Speaks::Ws).await;
    // Without Content-Length, which a WebSocket does not need.
    let sized = |length: usize| {
        let publish = request(Method::Publish, "WS", "192.0.2.9:1".parse().unwrap(), "1");
        publish.replace("Content-Length: 0\r\n\r\n", &format!("\r\n{}", "x".repeat(length)))
    };

    phone.send(sized(60_000)).await;
    assert_eq!(manager.receive().await.body().len(), 60_000);
    phone.send(sized(65_000)).await;
    assert_eq!(phone.receive().await.status(), Some(413));
    phone.send(request(Method::Publish, "WS", "192.0.2.9:1".parse().unwrap(), "2")).await;
    assert_eq!(manager.receive().await.call_id(), "2", "its connection is as good as before");
    phone.send(sized(200_000)).await;

    phone.closed().await;
    assert!(manager.heard_nothing());
}

#[tokio::test]
async fn a_phone_that_sends_garbage_loses_only_its_own_connection() {
    let mut manager = FakeManager::start().await;
    let lab = Lab::with(&manager, &[(Speaks::Ws, V4), (Speaks::Tls, V4)]).await;
    let mut good = lab.phone(0, Speaks::Ws).await;

    for garbage in ["GET / HTTP/1.1\r\n\r\n", "\0", "{\"method\":\"SUBSCRIBE\"}"] {
        let mut bad = lab.phone(0, Speaks::Ws).await;
        bad.send(garbage).await;
        bad.closed().await;
    }
    // No frames at all, reserved bits, a frame without a mask, a control frame that is too long, text that is no UTF-8.
    for garbage in [
        &b"SUBSCRIBE sip:a SIP/2.0\r\n\r\n"[..],
        b"\xf1\x80\0\0\0\0",
        b"\x81\x01a",
        b"\x89\xfe\xff\xff",
        b"\x81\x81\0\0\0\0\xff",
    ] {
        let mut bad = lab.websocket(0).await.into_inner();
        // Enough for any length that it may be read as.
        let garbage = [garbage, &[0; 70_000]].concat();
        let _ = bad.write_all(&garbage).await;
        let _ = soon(bad.read_to_end(&mut Vec::new())).await;
    }
    let mut no_tls = lab.socket(1).await;
    no_tls.write_all(b"SUBSCRIBE sip:a SIP/2.0\r\n\r\n").await.unwrap();
    let _ = soon(no_tls.read_to_end(&mut Vec::new())).await;

    good.send(subscribe("WS", "1")).await;
    let subscribe = manager.receive().await;
    manager.answer(&subscribe, 200);
    assert_eq!(good.receive().await.status(), Some(200));
}

#[tokio::test]
async fn a_phone_that_does_not_read_loses_its_websocket() {
    let mut manager = FakeManager::start().await;
    let lab = Lab::of(&manager, &[(Speaks::Ws, V4)], |config| config.limits.connection_queue = 10_000).await;
    let mut phone = lab.phone(0, Speaks::Ws).await;
    phone.send(subscribe("WS", "1")).await;
    let subscribe = manager.receive().await;

    assert_eq!(manager.notify_until_answered(&subscribe).await.status(), Some(430));
}

#[tokio::test]
async fn a_silent_websocket_is_closed_in_the_end() {
    let manager = FakeManager::start().await;
    let lab =
        Lab::of(&manager, &[(Speaks::Ws, V4)], |config| config.timings.idle = Duration::from_millis(20))
            .await;

    lab.phone(0, Speaks::Ws).await.closed().await;
}

/// The first bytes of a message over each transport that has connections, and no more.
async fn begin(lab: &Lab, listener: usize, speaks: Speaks) -> Box<dyn AsyncRead + Unpin> {
    let begun = subscribe("TCP", "1").into_bytes()[..100].to_vec();
    let mut frame = vec![0x01, 0x80 | 100, 0, 0, 0, 0];
    frame.extend(&begun);
    let address = lab.server.listeners[listener];
    let stream = match speaks {
        Speaks::Tls | Speaks::Wss => lab.ca.dial(address).await.unwrap(),
        _ => Wires::plain().connect(address).await.unwrap(),
    };
    match speaks {
        Speaks::UdpAndTcp | Speaks::Tls => {
            let mut stream = stream;
            stream.write_all(&begun).await.unwrap();
            Box::new(stream)
        }
        Speaks::Ws | Speaks::Wss => {
            let mut stream = client_async(upgrade(Some("sip")), stream).await.unwrap().0.into_inner();
            stream.write_all(&frame).await.unwrap();
            Box::new(stream)
        }
    }
}

const CONNECTED: [(Speaks, &str); 4] =
    [(Speaks::UdpAndTcp, V4), (Speaks::Tls, V4), (Speaks::Ws, V4), (Speaks::Wss, V4)];

#[tokio::test]
async fn a_message_that_does_not_become_whole_in_time_ends_its_connection_and_silence_does_not() {
    let manager = FakeManager::start().await;
    let lab = Lab::of(&manager, &CONNECTED, |config| {
        config.timings.message_wait = Duration::from_millis(100);
    })
    .await;

    for (n, (speaks, _)) in CONNECTED.into_iter().enumerate() {
        let mut silent = lab.phone(n, speaks).await;
        let mut begun = begin(&lab, n, speaks).await;
        let _ = soon(begun.read_to_end(&mut Vec::new())).await;

        silent.send(subscribe("TCP", "1").replace("Forwards: 70", "Forwards: 0")).await;
        assert_eq!(silent.receive().await.status(), Some(483));
    }
}

#[tokio::test]
async fn who_begins_a_message_when_there_is_no_room_for_halves_is_closed_and_whole_ones_go_through() {
    let manager = FakeManager::start().await;
    let lab = Lab::of(&manager, &CONNECTED, |config| config.limits.partial_messages = 50).await;

    for (n, (speaks, _)) in CONNECTED.into_iter().enumerate() {
        let mut begun = begin(&lab, n, speaks).await;
        let _ = soon(begun.read_to_end(&mut Vec::new())).await;

        let mut whole = lab.phone(n, speaks).await;
        whole.send(subscribe("TCP", "1").replace("Forwards: 70", "Forwards: 0")).await;
        assert_eq!(whole.receive().await.status(), Some(483));
    }
}

/// A dispatcher with these listeners, and the CA of its certificate.
struct Lab {
    server: Running,
    ca: Authority,
    front: Front,
    files: TempDir,
}

impl Lab {
    async fn with(manager: &FakeManager, listeners: &[(Speaks, &str)]) -> Lab {
        Lab::of(manager, listeners, |_| {}).await
    }

    async fn of(
        manager: &FakeManager,
        listeners: &[(Speaks, &str)],
        change: impl FnOnce(&mut dispatcher::Config),
    ) -> Lab {
        let ca = Authority::new();
        let (files, front) = ca.front(NAMES);
        let mut config = config(&[manager]);
        config.listeners = listeners.iter().map(|(speaks, address)| listener(*speaks, address)).collect();
        config.front = Some(front.clone());
        change(&mut config);
        let mut server = Running::start(config).await;
        server.live().await;
        Lab { server, ca, front, files }
    }

    async fn socket(&self, listener: usize) -> TcpStream {
        TcpStream::connect(self.server.listeners[listener]).await.unwrap()
    }

    /// Tries again while the place of somebody who has just left is not free yet.
    async fn phone(&self, listener: usize, speaks: Speaks) -> Phone {
        soon(async {
            loop {
                if let Some(phone) = self.try_phone(listener, speaks).await {
                    return phone;
                }
            }
        })
        .await
    }

    async fn try_phone(&self, listener: usize, speaks: Speaks) -> Option<Phone> {
        let address = self.server.listeners[listener];
        let stream = match speaks {
            Speaks::Tls | Speaks::Wss => self.ca.dial(address).await.ok()?,
            _ => Wires::plain().connect(address).await.ok()?,
        };
        match speaks {
            Speaks::Tls | Speaks::UdpAndTcp => Some(Phone::Stream(support::Stream::new(stream))),
            _ => {
                let (websocket, _) = client_async(upgrade(Some("sip")), stream).await.ok()?;
                Some(Phone::Web(Box::new(websocket)))
            }
        }
    }

    async fn websocket(&self, listener: usize) -> WebSocketStream<TcpStream> {
        client_async(upgrade(Some("sip")), self.socket(listener).await).await.unwrap().0
    }
}

enum Phone {
    Stream(support::Stream<tls::Stream>),
    Web(Box<WebSocketStream<tls::Stream>>),
}

impl Phone {
    async fn send(&mut self, message: impl AsRef<[u8]>) {
        match self {
            Phone::Stream(stream) => stream.write(message).await,
            Phone::Web(websocket) => {
                let text = std::str::from_utf8(message.as_ref()).unwrap();
                // The other side may close before it has all of it.
                let _ = websocket.send(Message::text(text)).await;
            }
        }
    }

    async fn receive(&mut self) -> sip::Message {
        match self {
            Phone::Stream(stream) => stream.receive().await,
            Phone::Web(websocket) => parse(next(websocket).await.unwrap().into_data()),
        }
    }

    async fn closed(&mut self) {
        match self {
            Phone::Stream(stream) => stream.closed().await,
            Phone::Web(websocket) => {
                let end = soon(websocket.next()).await;
                assert!(matches!(end, None | Some(Err(_) | Ok(Message::Close(_)))), "{end:?}");
            }
        }
    }
}

async fn next<S>(websocket: &mut WebSocketStream<S>) -> Result<Message, tungstenite::Error>
where
    WebSocketStream<S>: futures_util::Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
{
    soon(websocket.next()).await.unwrap()
}

fn upgrade(offered: Option<&'static str>) -> tungstenite::handshake::client::Request {
    let mut request = "ws://lab.test/".into_client_request().unwrap();
    if let Some(offered) = offered {
        let offered = HeaderValue::from_static(offered);
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, offered);
    }
    request
}

/// Of a phone whose Contact leads nowhere, as a browser has it.
fn subscribe(transport: &str, call_id: &str) -> String {
    let nowhere: SocketAddr = "192.0.2.9:1".parse().unwrap();
    request(Method::Subscribe, transport, nowhere, call_id)
        .replace("192.0.2.9:1", "df7jal23ls0d.invalid;transport=ws")
}

fn listener(speaks: Speaks, address: &str) -> Listener {
    let bind: SocketAddr = address.parse().unwrap();
    Listener { endpoint: Endpoint::from(bind), speaks }
}
