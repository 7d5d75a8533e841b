//! A server as a phone sees it: the dispatcher's rules before the agent of one manager, with a log that commits at once
//! and a billing system that knows every password. Time moves only when a test says so.

use std::net::SocketAddr;

use bytes::Bytes;
use dispatcher::Speaks;
use dispatcher::deliver::Deliverer;
use dispatcher::forward::{self, Forwarder};
use dispatcher::names::{Leg, Names};
use placement::{GroupId, NodeId};
use presence::time::Timestamp;
use presence_agent::agent::Entry;
use presence_agent::verdict::{Decision, Question, Verdict};
use presence_agent::{Agent, Config, LinkId, Now, Output, Ticket};
use sip::digest::{self, Algorithm};
use sip::{Edit, Instant, Limits, Message, ResponseWriter, Secret, Transport};

const LISTENER: &str = "192.0.2.1:5060";
/// The listener that speaks WebSocket.
const BROWSERS: &str = "192.0.2.1:8080";
/// The listener that speaks TLS.
const SECURE: &str = "192.0.2.1:5061";
const INNER: &str = "127.0.0.1:7060";
const SECRET: &str = "the secret of the rules";

pub struct Server {
    names: Names,
    forwarder: Forwarder,
    deliverer: Deliverer,
    agent: Agent,
    now: Now,
    index: u64,
    proposed: Vec<(Ticket, Bytes)>,
    /// The log commits nothing until it is told to.
    pub log_waits: bool,
    /// Billing lets everybody in, but watchers wait for approval.
    pub approval_waits: bool,
    /// What has reached phones, and which.
    heard: Vec<(Leg, Message)>,
}

impl Server {
    /// Nobody is asked for a password.
    pub fn open() -> Server {
        Server::with(config(true))
    }

    /// Everybody's password is the user name and `pw`.
    pub fn asking() -> Server {
        Server::with(config(false))
    }

    pub fn with(config: Config) -> Server {
        let secret = Secret::new(SECRET);
        let now =
            Now { monotonic: Instant(0), log: Timestamp(1_000_000), unix: 1_000, lease: Instant(u64::MAX) };
        let listeners = [
            (address(LISTENER), Speaks::UdpAndTcp),
            (address(BROWSERS), Speaks::Ws),
            (address(SECURE), Speaks::Tls),
        ];
        let mut server = Server {
            names: Names::new(address(INNER), &listeners, &["lab.test".to_owned()]),
            forwarder: Forwarder::new(&secret, &[]),
            deliverer: Deliverer::new(&secret),
            agent: Agent::new(config, now),
            now,
            index: 0,
            proposed: Vec::new(),
            log_waits: false,
            approval_waits: false,
            heard: Vec::new(),
        };
        server.settle();
        server
    }

    /// A phone sends; what has reached phones since is returned, in its order.
    pub fn hears(&mut self, leg: &Leg, text: &str) -> Vec<Message> {
        self.hears_bytes(leg, sip_text(text))
    }

    pub fn hears_bytes(&mut self, leg: &Leg, bytes: Bytes) -> Vec<Message> {
        self.receives(leg, bytes);
        self.told()
    }

    /// The only message that comes of it.
    pub fn answers(&mut self, leg: &Leg, text: &str) -> Message {
        let mut told = self.hears(leg, text);
        assert_eq!(told.len(), 1, "{told:?}");
        told.remove(0)
    }

    /// A phone answers a request of ours.
    pub fn replies(&mut self, leg: &Leg, request: &Message, status: u16) -> Vec<Message> {
        self.receives(leg, ResponseWriter::new(request, status).finish());
        self.told()
    }

    /// A phone refuses a request of ours, and says after how many seconds it may be asked again.
    pub fn refuses(&mut self, leg: &Leg, request: &Message, status: u16, retry_after: u32) -> Vec<Message> {
        let answer = ResponseWriter::new(request, status).header("Retry-After", retry_after).finish();
        self.receives(leg, answer);
        self.told()
    }

    /// Everything that waits in the log is committed.
    pub fn commits(&mut self) -> Vec<Message> {
        self.commit();
        self.settle();
        self.told()
    }

    /// What waits in the log will never be in it.
    pub fn log_fails(&mut self) -> Vec<Message> {
        for (ticket, _) in std::mem::take(&mut self.proposed) {
            self.agent.handle_failed(ticket, self.now);
        }
        self.settle();
        self.told()
    }

    /// Nobody knows what became of what waits in the log.
    pub fn log_is_lost(&mut self) -> Vec<Message> {
        for (ticket, _) in std::mem::take(&mut self.proposed) {
            self.agent.handle_lost(ticket, self.now);
        }
        self.settle();
        self.told()
    }

    pub fn pass(&mut self, millis: u64) -> Vec<Message> {
        self.now.monotonic = Instant(self.now.monotonic.0 + millis);
        self.now.log = Timestamp(self.now.log.0 + millis);
        self.now.unix += millis / 1000;
        self.agent.handle_timeout(self.now, Some(&[]));
        self.settle();
        self.told()
    }

    /// A phone sends; on which legs messages reach phones because of it.
    pub fn legs(&mut self, leg: &Leg, text: &str) -> Vec<Leg> {
        self.receives(leg, sip_text(text));
        std::mem::take(&mut self.heard).into_iter().map(|(leg, _)| leg).collect()
    }

    /// The request as the manager gets it.
    pub fn forwarded(&self, leg: &Leg, text: &str) -> Message {
        let request = parse(sip_text(text));
        parse(self.forwarder.request(&request, leg, &self.names).unwrap().bytes)
    }

    pub fn subscriptions(&self) -> u64 {
        self.agent.counts().subscriptions as u64
    }

    fn told(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.heard).into_iter().map(|(_, message)| message).collect()
    }

    fn receives(&mut self, leg: &Leg, bytes: Bytes) {
        let message = parse(bytes);
        if !message.is_request() {
            if let Ok((_, answer)) = self.deliverer.answer(&message, &self.names) {
                self.agent.handle_response(&parse(answer), self.now);
            }
            return self.settle();
        }
        match self.forwarder.request(&message, leg, &self.names) {
            Ok(forwarded) => self.agent.handle_request(LinkId(1), parse(forwarded.bytes), self.now),
            Err(refusal) => {
                let noted = forward::noted(&message, leg.remote, &Limits::default()).unwrap();
                let answer = refusal.answer(&noted);
                self.heard.extend(answer.map(|answer| (*leg, parse(answer))));
            }
        }
        self.settle();
    }

    /// Performs what the agent asks for until it asks for nothing.
    fn settle(&mut self) {
        loop {
            while let Some(output) = self.agent.poll_output() {
                self.perform(output);
            }
            if self.log_waits || self.proposed.is_empty() {
                return;
            }
            self.commit();
        }
    }

    fn commit(&mut self) {
        self.index += 1;
        let commands = std::mem::take(&mut self.proposed);
        let commands = commands.into_iter().map(|(ticket, command)| (Some(ticket), command)).collect();
        self.agent.handle_entry(Entry { index: self.index, stamp: self.now.log, commands }, self.now);
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Respond { bytes, .. } => {
                let answer = parse(bytes);
                let way = forward::return_path(&answer, &self.names).expect("an answer goes to a phone");
                self.heard.push((way.to, parse(forward::returned(&answer))));
            }
            Output::Send { bytes, .. } => {
                let request = parse(bytes);
                match self.deliverer.request(&request, &self.names) {
                    Ok(delivery) => self.heard.push((delivery.to, parse(delivery.bytes))),
                    Err(refusal) => {
                        let answer = refusal.answer(&request).expect("a NOTIFY can be answered");
                        self.agent.handle_response(&parse(answer), self.now);
                    }
                }
            }
            Output::Authorise { ticket, question, .. } => {
                let verdict = self.verdict(&question);
                self.agent.handle_verdict(ticket, verdict, self.now);
            }
            Output::Propose { ticket, command } => self.proposed.push((ticket, command)),
            Output::Reply { .. } | Output::Changed(_) | Output::Note(_) => {}
            Output::Diverged { .. } | Output::Stop(_) => panic!("{output:?}"),
        }
    }

    fn verdict(&self, question: &Question) -> Verdict {
        let user = question.subject.account.split('@').next().unwrap_or_default();
        let ha1 = |algorithm| digest::ha1(algorithm, user, &question.realm, &format!("{user}pw"));
        let decision = if self.approval_waits { Decision::Pending } else { Decision::Verify };
        Verdict {
            decision,
            ha1_md5: ha1(Algorithm::Md5),
            ha1_sha256: ha1(Algorithm::Sha256),
            ha1_sha512_256: ha1(Algorithm::Sha512_256),
            ..Verdict::allowed()
        }
    }

    /// The dispatcher has no connection to the phone any more, and says so in answer to this NOTIFY.
    pub fn flow_is_gone(&mut self, notify: &Message) -> Vec<Message> {
        let answer = Edit::new(&parse(ResponseWriter::new(notify, 430).finish())).pop_via().finish();
        self.agent.handle_response(&parse(answer), self.now);
        self.settle();
        self.told()
    }
}

pub fn config(open: bool) -> Config {
    Config {
        node: NodeId(1),
        group: GroupId(1),
        incarnation: 1,
        domains: vec!["lab.test".into()],
        secret: Secret::new(SECRET),
        open,
        md5_only: Vec::new(),
        feature_code: String::new(),
        trust_asserted_identity: false,
        end_on_timeout: false,
        check_nc: false,
        algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
        sent_by: "127.0.0.1:7101".into(),
        subscribe: Default::default(),
        publish: Default::default(),
        register: Default::default(),
        limits: Default::default(),
    }
}

pub fn udp(remote: &str) -> Leg {
    Leg { transport: Transport::Udp, listener: 0, remote: address(remote), connection: 0 }
}

pub fn stream(remote: &str, connection: u64) -> Leg {
    Leg { transport: Transport::Tcp, connection, ..udp(remote) }
}

pub fn websocket(remote: &str, connection: u64) -> Leg {
    Leg { transport: Transport::Ws, listener: 1, connection, ..udp(remote) }
}

pub fn tls(remote: &str, connection: u64) -> Leg {
    Leg { transport: Transport::Tls, listener: 2, connection, ..udp(remote) }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn parse(bytes: Bytes) -> Message {
    Message::parse(bytes, &Limits::default()).expect("only SIP is spoken here")
}

/// Lines end as SIP wants them, and `Content-Length: ?` is filled in; what follows the first empty line is the body.
fn sip_text(text: &str) -> Bytes {
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
    let head = head.replace("Content-Length: ?", &format!("Content-Length: {}", body.len()));
    format!("{}\r\n\r\n{body}", head.replace('\n', "\r\n")).into()
}
