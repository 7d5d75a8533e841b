//! A phone: one account, one script, and real SIP. It asks one thing at a time, repeats what is not answered (RFC 3261
//! 17.1.2), and answers NOTIFYs by the rules of a dialog (RFC 3261 12.2.2).

mod ask;
mod dialog;
mod publisher;
mod registrant;
mod script;
mod watcher;

use std::net::SocketAddr;

use bytes::Bytes;
use dispatcher::names::Leg;
use sip::{Limits, Message, Method, Name, ResponseWriter, Transport};

use ask::Author;
pub use ask::{Ask, Purpose};
pub use dialog::{Dialog, Heard};
pub use script::{Answer, Script};

use crate::coverage::{Coverage, Seen};
use crate::names;
use crate::rng::Rng;

pub struct Phone {
    pub id: usize,
    pub transport: Transport,
    pub address: SocketAddr,
    /// 0 over UDP.
    pub connection: u64,
    /// The dispatcher that it talks to.
    pub dispatcher: usize,
    pub script: Script,
    /// When the world wakes it next.
    pub woken_at: u64,
    pub silent_until: u64,
    pub seen: Coverage,
    user: String,
    moves: u16,
    branches: u64,
    nonce: Option<String>,
    transaction: Option<Transaction>,
    /// A request to send again as a new one, and when.
    again: Option<(u64, Ask)>,
    next_act: u64,
    outgoing: Vec<Bytes>,
    reports: Vec<Report>,
}

struct Transaction {
    ask: Ask,
    bytes: Bytes,
    resend_at: u64,
    pause: u64,
    gives_up_at: u64,
}

/// What somebody who looks over the user's shoulder sees.
#[derive(Debug)]
pub enum Report {
    Asked {
        ask: Ask,
    },
    Answered {
        message: Message,
    },
    GaveUp {
        ask: Ask,
    },
    /// The phone lost its connection: it does not wait for the answer any more.
    Dropped,
    Notified(Heard),
}

const T1: u64 = 500;
const T2: u64 = 4_000;

impl Phone {
    pub fn new(id: usize, user: String, transport: Transport, script: Script, first_act: u64) -> Phone {
        Phone {
            id,
            transport,
            address: names::phone(id, 0),
            connection: 0,
            dispatcher: 0,
            script,
            woken_at: u64::MAX,
            silent_until: 0,
            seen: Coverage::default(),
            user,
            moves: 0,
            branches: 0,
            nonce: None,
            transaction: None,
            again: None,
            next_act: first_act,
            outgoing: Vec::new(),
            reports: Vec::new(),
        }
    }

    pub fn take_outgoing(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.outgoing)
    }

    pub fn take_reports(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.reports)
    }

    /// `user@domain`
    pub fn account(&self) -> String {
        format!("{}@{}", self.user, names::DOMAIN)
    }

    /// Its end of the hop to a dispatcher.
    pub fn leg(&self) -> Leg {
        let (transport, remote, connection) = (self.transport, self.address, self.connection);
        Leg { transport, listener: 0, remote, connection }
    }

    pub fn contact(&self) -> String {
        let parameter = if self.transport.reliable() { ";transport=tcp" } else { "" };
        format!("sip:{}@{}{parameter}", self.user, self.address)
    }

    pub fn wakes_at(&self) -> u64 {
        match (&self.transaction, &self.again) {
            (Some(transaction), _) => transaction.resend_at.min(transaction.gives_up_at),
            (None, Some((at, _))) => *at,
            (None, None) => self.next_act,
        }
    }

    /// Does what is due. `calm`: faults have stopped, so nothing is begun but what keeps the phone informed.
    pub fn wake(&mut self, now: u64, calm: bool, rng: &mut Rng) {
        if self.wakes_at() > now {
            return;
        }
        if let Some(transaction) = &mut self.transaction {
            if now >= transaction.gives_up_at {
                return self.give_up(now, rng);
            }
            transaction.pause = (transaction.pause * 2).min(T2);
            transaction.resend_at = now + transaction.pause;
            self.seen.note(Seen::RequestRepeated);
            return self.outgoing.push(transaction.bytes.clone());
        }
        if let Some((_, ask)) = self.again.take() {
            return self.send_anew(ask, now);
        }
        match self.script.act(&self.user, now, calm, rng) {
            Some(ask) => self.send(ask, now),
            None => self.next_act = self.script.next_act(now, calm, rng),
        }
    }

    /// The phone's network changes under it: what it was doing is forgotten.
    pub fn moves(&mut self, now: u64) {
        self.moves += 1;
        self.address = names::phone(self.id, self.moves);
        if let Some(transaction) = self.transaction.take() {
            self.script.answered(&transaction.ask, Answer::None, now);
            self.reports.push(Report::Dropped);
        }
        self.again = None;
        self.script.moved();
        self.next_act = now;
        self.seen.note(match self.transport {
            Transport::Udp => Seen::PhoneMoved,
            _ => Seen::PhoneReconnected,
        });
    }

    pub fn receive(&mut self, bytes: Bytes, now: u64, rng: &mut Rng) {
        let message = Message::parse(bytes, &Limits::default()).expect("a phone is sent SIP");
        match message.is_request() {
            true => self.notified(&message),
            false => self.answered(message, now, rng),
        }
    }

    fn send(&mut self, ask: Ask, now: u64) {
        self.branches += 1;
        let (transport, address, reliable) =
            (self.transport.as_str(), self.address, self.transport.reliable());
        let via = format!("SIP/2.0/{transport} {address};rport;branch=z9hG4bKp{}-{}", self.id, self.branches);
        let contact = self.contact();
        let author = Author { user: &self.user, via: &via, contact: &contact, nonce: self.nonce.as_deref() };
        let bytes = ask.write(&author);
        self.outgoing.push(bytes.clone());
        self.reports.push(Report::Asked { ask: ask.clone() });
        let gives_up_at = now + 64 * T1;
        let resend_at = if reliable { gives_up_at } else { now + T1 };
        self.transaction = Some(Transaction { ask, bytes, resend_at, pause: T1, gives_up_at });
    }

    fn send_anew(&mut self, mut ask: Ask, now: u64) {
        ask.call.cseq = self.script.next_cseq(&ask);
        self.send(ask, now);
    }

    fn give_up(&mut self, now: u64, rng: &mut Rng) {
        let Some(transaction) = self.transaction.take() else { return };
        self.seen.note(Seen::RequestGivenUp);
        self.script.answered(&transaction.ask, Answer::None, now);
        self.reports.push(Report::GaveUp { ask: transaction.ask });
        self.next_act = now + rng.between(10, 500);
    }

    fn answered(&mut self, message: Message, now: u64, rng: &mut Rng) {
        let cseq = message.cseq().expect("an answer repeats the CSeq").number;
        let is_answered =
            |held: &mut Transaction| held.ask.call.id == message.call_id() && held.ask.call.cseq == cseq;
        self.reports.push(Report::Answered { message: message.clone() });
        let Some(Transaction { ask, .. }) = self.transaction.take_if(is_answered) else { return };
        match message.status() {
            Some(401) => {
                self.seen.note(Seen::Challenged);
                self.nonce = nonce(&message);
                self.send_anew(ask, now);
            }
            Some(503) => {
                let wait = message.text(Name::RetryAfter).and_then(|text| text.parse::<u64>().ok());
                let wait = wait.expect("a 503 says when to come again") * 1_000;
                self.again = Some((now + wait + rng.between(0, 300), ask));
            }
            _ => {
                self.script.answered(&ask, Answer::Final(&message), now);
                self.next_act = self.script.next_act(now, false, rng);
            }
        }
    }

    fn notified(&mut self, notify: &Message) {
        assert_eq!(notify.method(), Method::Notify, "a phone got {notify:?}");
        let (status, heard) = match &mut self.script {
            Script::Watcher(watcher) => watcher.notified(notify),
            _ => (481, None),
        };
        self.seen.note(match (status, &heard) {
            (200, Some(_)) => Seen::NotifyAccepted,
            (200, None) => Seen::NotifyRepeated,
            (500, _) => Seen::NotifyTooLow,
            _ => Seen::NotifyUnknown,
        });
        self.outgoing.push(ResponseWriter::new(notify, status).finish());
        self.reports.extend(heard.map(Report::Notified));
    }
}

/// Somebody else who has got a phone's old address: it knows nothing of the phone's dialogs.
pub fn stranger_answers(bytes: Bytes) -> Option<Bytes> {
    let message = Message::parse(bytes, &Limits::default()).ok()?;
    message.is_request().then(|| ResponseWriter::new(&message, 481).finish())
}

fn nonce(challenge: &Message) -> Option<String> {
    let (_, rest) = challenge.text(Name::WwwAuthenticate)?.split_once("nonce=\"")?;
    rest.split_once('"').map(|(nonce, _)| nonce.to_owned())
}
