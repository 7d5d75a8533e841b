//! Scripted neighbours of a dispatcher over loopback: phones and managers that say what a test tells them to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dispatcher::{Config, Dispatcher, Manager};
use sip::{Frame, Limits, Message, Method, Name, ResponseWriter, Secret, StreamFramer};
use tls::{Protocol, Wires};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Nothing here takes long; a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A dispatcher at work on ports of its own.
pub struct Running {
    pub public: SocketAddr,
    /// All of them; `public` is the first.
    pub listeners: Vec<SocketAddr>,
    pub inner: SocketAddr,
    pub ready: watch::Receiver<bool>,
    pub shutdown: CancellationToken,
    pub task: JoinHandle<()>,
}

impl Running {
    pub async fn start(config: Config) -> Running {
        let dispatcher = Dispatcher::bind(config).await.unwrap();
        let listeners = dispatcher.listeners().to_vec();
        let (public, inner, ready) = (listeners[0], dispatcher.inner(), dispatcher.ready());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(dispatcher.serve(shutdown.clone()));
        Running { public, listeners, inner, ready, shutdown, task }
    }

    pub async fn live(&mut self) {
        soon(self.ready.wait_for(|ready| *ready)).await.unwrap();
    }

    /// A dispatcher in front of these managers, with at least one of them live.
    pub async fn in_front_of(managers: &[&FakeManager]) -> Running {
        let mut running = Running::start(config(managers)).await;
        running.live().await;
        running
    }
}

pub fn config(managers: &[&FakeManager]) -> Config {
    following(watch::Sender::new(members(managers)).subscribe())
}

/// A dispatcher whose members change.
pub fn following(members: watch::Receiver<Vec<Manager>>) -> Config {
    Config::new([loopback()], loopback(), members, Secret::new("test"))
}

/// Named m0, m1 and so on.
pub fn members(managers: &[&FakeManager]) -> Vec<Manager> {
    managers.iter().enumerate().map(|(n, manager)| manager.named(&format!("m{n}"))).collect()
}

pub fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Accepts the dispatcher's link, answers its pings, and hands everything else to the test.
pub struct FakeManager {
    pub address: SocketAddr,
    serving: Arc<AtomicBool>,
    received: mpsc::UnboundedReceiver<Message>,
    sending: mpsc::UnboundedSender<Bytes>,
    task: JoinHandle<()>,
}

impl FakeManager {
    pub async fn start() -> FakeManager {
        FakeManager::start_at(loopback()).await
    }

    pub async fn start_at(address: SocketAddr) -> FakeManager {
        FakeManager::start_as(address, Answers::OfTheTest, Wires::plain()).await
    }

    /// Answers every request itself, and hands it to the test too.
    pub async fn busy() -> FakeManager {
        FakeManager::start_as(loopback(), Answers::AtOnce, Wires::plain()).await
    }

    pub async fn behind(wires: &Wires) -> FakeManager {
        FakeManager::start_as(loopback(), Answers::OfTheTest, wires.clone()).await
    }

    async fn start_as(address: SocketAddr, answers: Answers, wires: Wires) -> FakeManager {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, received) = mpsc::unbounded_channel();
        let (sending, mut to_send) = mpsc::unbounded_channel::<Bytes>();
        let serving = Arc::new(AtomicBool::new(true));
        let serves = serving.clone();
        let task = tokio::spawn(async move {
            let mut incoming = wires.accept(listener, Protocol::Sip);
            loop {
                let mut peer = Stream::new(incoming.accept().await.0);
                loop {
                    tokio::select! {
                        message = peer.read() => match message {
                            Some(ping) if ping.request_uri().starts_with("sip:ping@") => {
                                let status = if serves.load(Ordering::Relaxed) { 200 } else { 503 };
                                peer.write(ResponseWriter::new(&ping, status).finish()).await;
                            }
                            Some(message) => {
                                if answers == Answers::AtOnce && message.is_request() {
                                    peer.write(ok(&message)).await;
                                }
                                drop(heard.send(message));
                            }
                            None => break,
                        },
                        Some(bytes) = to_send.recv() => peer.write(bytes).await,
                    }
                }
            }
        });
        FakeManager { address, serving, received, sending, task }
    }

    pub fn named(&self, name: &str) -> Manager {
        Manager { name: name.to_owned(), sip: self.address }
    }

    /// What it says when it is asked whether it serves.
    pub fn serves(&self, serving: bool) {
        self.serving.store(serving, Ordering::Relaxed);
    }

    pub async fn receive(&mut self) -> Message {
        soon(self.received.recv()).await.unwrap()
    }

    pub fn heard_nothing(&mut self) -> bool {
        self.received.try_recv().is_err()
    }

    /// Waits for as many messages from now on.
    pub async fn receive_more(&mut self, count: usize) {
        while self.received.try_recv().is_ok() {}
        for _ in 0..count {
            self.receive().await;
        }
    }

    pub fn send(&self, bytes: Bytes) {
        self.sending.send(bytes).unwrap();
    }

    pub fn answer(&self, request: &Message, status: u16) {
        self.send(ResponseWriter::new(request, status).to_tag("m").copy(Name::RecordRoute).finish());
    }

    /// As when its process is killed: connections break, nobody listens.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// A NOTIFY in the dialog that this SUBSCRIBE has opened.
    pub fn notify(&self, subscribe: &Message, branch: &str) -> Bytes {
        let mut routes = String::new();
        for route in subscribe.values(Name::RecordRoute) {
            routes += &format!("Route: {}\r\n", std::str::from_utf8(route).unwrap());
        }
        format!(
            "NOTIFY {} SIP/2.0\r\nVia: SIP/2.0/TCP {};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n{routes}\
             From: <sip:bob@lab.test>;tag=m\r\nTo: <sip:alice@lab.test>;tag=a\r\nCall-ID: {}\r\nCSeq: 1 NOTIFY\r\n\
             Event: presence\r\nSubscription-State: active\r\nContent-Length: 0\r\n\r\n",
            subscribe.contact().unwrap().unwrap().uri,
            self.address,
            subscribe.call_id(),
        )
        .into()
    }

    /// Sends large NOTIFYs, of which the phone reads none, until one is answered: the kernel's buffers take the first
    /// megabytes, then the queue fills, and then the flow is gone.
    pub async fn notify_until_answered(&mut self, subscribe: &Message) -> Message {
        let body = "x".repeat(60_000);
        let length = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let notify = String::from_utf8(self.notify(subscribe, "n1").to_vec()).unwrap();
        let notify = notify.replace("Content-Length: 0\r\n\r\n", &length);
        loop {
            self.send(notify.clone().into());
            if let Ok(answer) = tokio::time::timeout(Duration::from_millis(1), self.receive()).await {
                return answer;
            }
        }
    }
}

/// Who answers what is no ping.
#[derive(Clone, Copy, PartialEq)]
enum Answers {
    OfTheTest,
    AtOnce,
}

/// Waits for whichever manager gets the next message; gives its position too.
pub async fn either(managers: &mut [FakeManager; 2]) -> (usize, Message) {
    let [one, other] = managers;
    tokio::select! {
        message = one.receive() => (0, message),
        message = other.receive() => (1, message),
    }
}

/// A stream of SIP messages: a phone over TCP, or one end of a link.
pub struct Stream<S = TcpStream> {
    socket: S,
    framer: StreamFramer,
}

impl Stream {
    pub async fn connect(address: SocketAddr) -> Stream {
        Stream::new(TcpStream::connect(address).await.unwrap())
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    pub fn new(socket: S) -> Stream<S> {
        Stream { socket, framer: StreamFramer::new(Limits::default()) }
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        // A peer that is being killed need not take it.
        let _ = self.socket.write_all(bytes.as_ref()).await;
        let _ = self.socket.flush().await;
    }

    /// `None` once the other side has closed.
    pub async fn read(&mut self) -> Option<Message> {
        loop {
            if let Some(Ok(Frame::Message(framed))) = self.framer.next() {
                return Some(parse(framed.bytes().clone()));
            }
            let mut buffer = [0; 4096];
            match self.socket.read(&mut buffer).await {
                Ok(length) if length > 0 => self.framer.push(&buffer[..length]),
                _ => return None,
            }
        }
    }

    pub async fn receive(&mut self) -> Message {
        soon(self.read()).await.unwrap()
    }

    pub async fn closed(&mut self) {
        assert!(soon(self.read()).await.is_none());
    }

    /// From here on it only reads.
    pub async fn end_sending(&mut self) {
        self.socket.shutdown().await.unwrap();
    }

    pub async fn read_exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        soon(self.socket.read_exact(&mut bytes)).await.unwrap();
        bytes
    }
}

/// A phone over UDP.
pub struct Phone {
    pub socket: UdpSocket,
}

impl Phone {
    pub async fn new() -> Phone {
        Phone { socket: UdpSocket::bind(loopback()).await.unwrap() }
    }

    pub async fn send(&self, bytes: impl AsRef<[u8]>, to: SocketAddr) {
        self.socket.send_to(bytes.as_ref(), to).await.unwrap();
    }

    pub async fn receive(&self) -> (Message, SocketAddr) {
        let mut buffer = vec![0; 65_536];
        let (length, from) = soon(self.socket.recv_from(&mut buffer)).await.unwrap();
        (parse(Bytes::copy_from_slice(&buffer[..length])), from)
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }
}

pub fn request(method: Method, transport: &str, phone: SocketAddr, call_id: &str) -> String {
    let method = method.as_str();
    format!(
        "{method} sip:bob@lab.test SIP/2.0\r\nVia: SIP/2.0/{transport} phone.invalid;branch=z9hG4bK{call_id};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@lab.test>;tag=a\r\nTo: <sip:bob@lab.test>\r\nCall-ID: {call_id}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:alice@{phone}>\r\nEvent: presence\r\nContent-Length: 0\r\n\r\n"
    )
}

pub fn parse(bytes: Bytes) -> Message {
    Message::parse(bytes, &Limits::default()).unwrap()
}

pub fn ok(request: &Message) -> Bytes {
    ResponseWriter::new(request, 200).finish()
}

pub async fn soon<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.expect("it should have happened by now")
}
