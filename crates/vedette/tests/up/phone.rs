//! A phone: one UDP socket, an account, and the little SIP that watching and publishing take.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use bytes::Bytes;
use sip::digest::{Algorithm, ha1};
use sip::{Limits, Message, Name, ResponseWriter};

pub struct Phone {
    socket: UdpSocket,
    server: SocketAddr,
    pub name: &'static str,
    cseq: u32,
}

/// A subscription as its watcher knows it.
pub struct Dialog {
    pub call_id: String,
    to: String,
    routes: Vec<String>,
    target: String,
}

pub const PIDF: &str = "application/pidf+xml";

/// Longer than any answer takes on a machine that is busy; a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

impl Phone {
    pub fn new(name: &'static str, server: SocketAddr) -> Phone {
        Phone::at("127.0.0.1:0".parse().expect("an address"), name, server)
    }

    /// The phone that had this address before.
    pub fn at(address: SocketAddr, name: &'static str, server: SocketAddr) -> Phone {
        let socket = UdpSocket::bind(address).expect("loopback has free ports");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket has time-outs");
        Phone { socket, server, name, cseq: 0 }
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a bound socket has an address")
    }

    /// A later request of the same phone counts on.
    pub fn with_cseq(mut self, cseq: u32) -> Phone {
        self.cseq = cseq;
        self
    }

    pub fn cseq(&self) -> u32 {
        self.cseq
    }

    /// Publishes a state; an empty `tag` makes a publication. Gives the answer.
    pub fn publish(&mut self, tag: &str, expires: u32, body: &str) -> Message {
        let uri = format!("sip:{}@vedette.test", self.name);
        let mut headers = format!("Event: presence\r\nExpires: {expires}\r\n");
        if !tag.is_empty() {
            headers += &format!("SIP-If-Match: {tag}\r\n");
        }
        if !body.is_empty() {
            headers += &format!("Content-Type: {PIDF}\r\n");
        }
        let head = Head {
            method: "PUBLISH",
            uri: uri.clone(),
            to: format!("<{uri}>"),
            call_id: format!("p-{}", self.name),
        };
        self.authorised(&head, &headers, body)
    }

    pub fn subscribe(&mut self, whom: &str) -> (Message, Dialog) {
        let uri = format!("sip:{whom}@vedette.test");
        let call_id = format!("s-{}-{whom}-{}", self.name, self.address().port());
        let head =
            Head { method: "SUBSCRIBE", uri: uri.clone(), to: format!("<{uri}>"), call_id: call_id.clone() };
        let headers = format!("{}Event: presence\r\nExpires: 600\r\n", self.contact());
        let answer = self.authorised(&head, &headers, "");
        let text = |name| answer.text(name).unwrap_or_default().to_owned();
        // A caller's route set is the Record-Route backwards (RFC 3261 12.1.2).
        let mut routes: Vec<_> = answer
            .values(Name::RecordRoute)
            .map(|route| String::from_utf8_lossy(route).into_owned())
            .collect();
        routes.reverse();
        let target = text(Name::Contact).trim_matches(['<', '>']).to_owned();
        (answer.clone(), Dialog { call_id, to: text(Name::To), routes, target })
    }

    /// A request in the dialog, without credentials.
    pub fn refresh(&mut self, dialog: &Dialog, expires: u32) -> Message {
        let head = Head {
            method: "SUBSCRIBE",
            uri: dialog.target.clone(),
            to: dialog.to.clone(),
            call_id: dialog.call_id.clone(),
        };
        let routes: String = dialog.routes.iter().map(|route| format!("Route: {route}\r\n")).collect();
        let headers = format!("{routes}{}Event: presence\r\nExpires: {expires}\r\n", self.contact());
        self.ask(&head, &headers, "")
    }

    pub fn register(&mut self, expires: u32) -> Message {
        let aor = format!("<sip:{}@vedette.test>", self.name);
        let call_id = format!("r-{}", self.name);
        let head = Head { method: "REGISTER", uri: "sip:vedette.test".into(), to: aor, call_id };
        let headers = format!("{}Expires: {expires}\r\n", self.contact());
        self.authorised(&head, &headers, "")
    }

    /// Asks the registrar which bindings there are.
    pub fn bindings(&mut self) -> Vec<String> {
        let aor = format!("<sip:{}@vedette.test>", self.name);
        let call_id = format!("q-{}", self.name);
        let head = Head { method: "REGISTER", uri: "sip:vedette.test".into(), to: aor, call_id };
        let answer = self.authorised(&head, "", "");
        answer.values(Name::Contact).map(|contact| String::from_utf8_lossy(contact).into_owned()).collect()
    }

    /// The next NOTIFY, answered 200.
    pub fn notified(&self) -> Message {
        let notify = self.next(|message| message.method_text() == "NOTIFY" && message.is_request());
        self.send(&ResponseWriter::new(&notify, 200).finish());
        notify
    }

    /// NOTIFYs until one holds `text`: states in between may be skipped or not.
    pub fn notified_of(&self, text: &str) -> Message {
        loop {
            let notify = self.notified();
            if String::from_utf8_lossy(&notify.body()).contains(text) {
                return notify;
            }
        }
    }

    pub fn send(&self, bytes: &[u8]) {
        self.socket.send_to(bytes, self.server).expect("loopback takes datagrams");
    }

    /// Sends a request, with credentials once it was challenged.
    fn authorised(&mut self, head: &Head, headers: &str, body: &str) -> Message {
        let challenge = self.ask(head, headers, body);
        if challenge.status() != Some(401) {
            return challenge;
        }
        let md5 = challenge
            .headers(Name::WwwAuthenticate)
            .map(String::from_utf8_lossy)
            .find(|line| line.contains("MD5"));
        let nonce = md5.expect("MD5 is offered").split("nonce=\"").nth(1).expect("a nonce").to_owned();
        let nonce = nonce.split('"').next().unwrap_or_default();
        let (scheme, rest) = head.uri.split_once(':').expect("a URI has a scheme");
        let md5 = |a: &str, b: &str, c: &str| ha1(Algorithm::Md5, a, b, c);
        let secret = md5(self.name, "vedette.test", &format!("{}pw", self.name));
        let response = md5(&secret, nonce, &md5(head.method, scheme, rest));
        let authorization = format!(
            "Authorization: Digest username=\"{}\", realm=\"vedette.test\", nonce=\"{nonce}\", uri=\"{}\", \
             response=\"{response}\"\r\n{headers}",
            self.name, head.uri,
        );
        self.ask(head, &authorization, body)
    }

    /// Sends a request and waits for its final answer.
    fn ask(&mut self, head: &Head, headers: &str, body: &str) -> Message {
        self.cseq += 1;
        let (cseq, me) = (self.cseq, self.address());
        let request = format!(
            "{} {} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bK{}{cseq};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{}@vedette.test>;tag=t{}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {}\r\n{headers}\
             Content-Length: {}\r\n\r\n{body}",
            head.method,
            head.uri,
            self.name,
            self.name,
            self.name,
            head.to,
            head.call_id,
            head.method,
            body.len(),
        );
        self.send(request.as_bytes());
        self.next(|answer| answer.status().is_some() && answer.cseq().is_ok_and(|it| it.number == cseq))
    }

    fn next(&self, wanted: impl Fn(&Message) -> bool) -> Message {
        let mut buffer = [0; 65_535];
        loop {
            let length = self.socket.recv(&mut buffer).expect("an answer within the patience of the test");
            let bytes = Bytes::copy_from_slice(&buffer[..length]);
            let message = Message::parse(bytes, &Limits::default()).expect("the server sends SIP");
            if wanted(&message) {
                return message;
            }
        }
    }

    fn contact(&self) -> String {
        format!("Contact: <sip:{}@{}>\r\n", self.name, self.address())
    }
}

struct Head {
    method: &'static str,
    uri: String,
    to: String,
    call_id: String,
}

/// The entity-tag of an answer to PUBLISH.
pub fn tag(answer: &Message) -> String {
    assert_eq!(answer.status(), Some(200));
    answer.text(Name::SipEtag).expect("a 200 to PUBLISH has an entity-tag").to_owned()
}

/// A document of one tuple.
pub fn pidf(name: &str, basic: &str, note: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:{name}@vedette.test\">\
         <tuple id=\"t1\"><status><basic>{basic}</basic></status><note>{note}</note></tuple></presence>"
    )
}
