//! All phones behind one UDP socket: their transactions, their retransmissions, and when each speaks.
//!
//! A thread of its own reads the socket, so nothing is missed while something else is done; everything else happens in
//! `run_until`, in one thread.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use sip::transaction::{ClientOutput, ClientTransactions};
use sip::{Instant, Limits, Message, Method, ResponseWriter};

use crate::publisher::Publisher;
use crate::report::Tally;
use crate::request::Via;
use crate::watcher::{Notified, Watcher};

pub struct Phones {
    socket: UdpSocket,
    me: SocketAddr,
    server: SocketAddr,
    inbox: Receiver<Bytes>,
    started: std::time::Instant,
    transactions: ClientTransactions<Phone>,
    salt: String,
    branches: u64,
    pub publishers: Vec<Publisher>,
    pub watchers: Vec<Watcher>,
    by_call_id: HashMap<String, usize>,
    /// The pause between two PUBLISHes of one phone; none are sent without one.
    pace: Option<Duration>,
    strike: Option<Strike>,
    pub tally: Tally,
}

#[derive(Clone, Copy)]
enum Phone {
    Publisher(usize),
    Watcher(usize),
}

/// A fault, and who has been told since of something that was published after it.
struct Strike {
    at: Instant,
    /// The newest state of each presentity that was sent before it.
    before: Vec<u64>,
    /// How long each watcher waited for a newer one.
    waited: Vec<Option<Duration>>,
}

/// How many phones there are, and whom they are told to ask.
pub struct Population<'a> {
    pub server: SocketAddr,
    pub domain: &'a str,
    pub presentities: usize,
    /// For each presentity.
    pub watchers: usize,
}

/// The longest pause between two looks at the clock.
const TICK: Duration = Duration::from_millis(5);
/// Between the first requests of two phones, so that a large population does not begin with a flood.
const STAGGER: Duration = Duration::from_millis(2);

impl Phones {
    pub fn new(population: &Population) -> anyhow::Result<Phones> {
        let socket = UdpSocket::bind("127.0.0.1:0").context("no UDP port for the phones")?;
        let (me, reader) = (socket.local_addr()?, socket.try_clone()?);
        let (deliver, inbox) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 65_535];
            while let Ok(length) = reader.recv(&mut buffer) {
                if deliver.send(Bytes::copy_from_slice(&buffer[..length])).is_err() {
                    return;
                }
            }
        });
        // Two trials against one cluster are not to meet each other's dialogs.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let salt = format!("{:x}-{:x}", now.as_millis(), me.port());
        let Population { server, domain, presentities, watchers } = *population;
        let publishers: Vec<_> =
            (0..presentities).map(|n| Publisher::new(&format!("p{n}-{salt}"), domain, &salt)).collect();
        let watcher = |n: usize| {
            let whom = n % presentities.max(1);
            Watcher::new(&format!("w{n}"), domain, &salt, whom, &publishers[whom].uri)
        };
        let watchers: Vec<_> = (0..presentities * watchers).map(watcher).collect();
        let by_call_id = watchers.iter().enumerate().map(|(n, watcher)| (watcher.call_id().to_owned(), n));
        Ok(Phones {
            me,
            server,
            inbox,
            started: std::time::Instant::now(),
            transactions: ClientTransactions::new(publishers.len() + watchers.len()),
            salt,
            branches: 0,
            by_call_id: by_call_id.collect(),
            publishers,
            watchers,
            pace: None,
            strike: None,
            tally: Tally::default(),
            socket,
        })
    }

    /// Every phone that publishes has something new to say now.
    pub fn publish_all(&mut self) {
        let now = self.now();
        self.publishers.iter_mut().for_each(|publisher| publisher.plan(now));
    }

    /// New states come at `pace` for each phone, spread evenly.
    pub fn go_on(&mut self, pace: Duration) {
        self.pace = Some(pace);
        let (now, all) = (self.now(), self.publishers.len() as u32);
        for (publisher, n) in self.publishers.iter_mut().zip(0..) {
            publisher.plan(now + pace * n / all);
        }
    }

    pub fn hold(&mut self) {
        self.pace = None;
        self.publishers.iter_mut().for_each(Publisher::hold);
    }

    /// Every watcher subscribes, or refreshes.
    pub fn subscribe_all(&mut self) {
        let now = self.now();
        for (watcher, n) in self.watchers.iter_mut().zip(0..) {
            watcher.plan(now + STAGGER * n);
        }
    }

    /// A fault began not before `at`, and is there now. Everybody publishes at once, so that what watchers wait for is
    /// the cluster and not the next PUBLISH; and what is published from now on cannot come from whom the fault befell.
    pub fn struck(&mut self, at: Instant) {
        let before = self.publishers.iter().map(|publisher| publisher.sent).collect();
        self.strike = Some(Strike { at, before, waited: vec![None; self.watchers.len()] });
        self.publish_all();
    }

    /// How long each watcher waited since the fault for something newer.
    pub fn waited(&self) -> &[Option<Duration>] {
        self.strike.as_ref().map_or(&[], |strike| &strike.waited)
    }

    pub fn all_told(&self) -> bool {
        self.waited().iter().all(Option::is_some)
    }

    pub fn are_quiet(&self) -> bool {
        self.publishers.iter().all(Publisher::is_quiet) && self.watchers.iter().all(Watcher::is_quiet)
    }

    /// Watchers that do not hold what their presentity said last.
    pub fn behind(&self) -> usize {
        let is_behind = |watcher: &&Watcher| watcher.seen != self.publishers[watcher.whom].said;
        self.watchers.iter().filter(is_behind).count()
    }

    /// Lives until the condition holds; false if it does not in time.
    pub fn run_until(&mut self, patience: Duration, mut done: impl FnMut(&Phones) -> bool) -> bool {
        let end = self.now() + patience;
        while !done(self) {
            if self.now() >= end {
                return false;
            }
            self.live();
        }
        true
    }

    /// Lives while something else is done.
    pub fn meanwhile<T: Send + 'static>(&mut self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let worker = std::thread::spawn(work);
        self.run_until(Duration::MAX, |_| worker.is_finished());
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    pub fn now(&self) -> Instant {
        Instant(self.started.elapsed().as_millis() as u64)
    }

    fn live(&mut self) {
        if let Ok(bytes) = self.inbox.recv_timeout(TICK) {
            self.receive(bytes);
        }
        while let Ok(bytes) = self.inbox.try_recv() {
            self.receive(bytes);
        }
        self.retransmit();
        self.speak();
    }

    fn receive(&mut self, bytes: Bytes) {
        let now = self.now();
        let Ok(message) = Message::parse(bytes, &Limits::default()) else {
            self.tally.not_sip += 1;
            return;
        };
        if !message.is_request() {
            if let Some(completed) = self.transactions.receive(&message, now) {
                self.answered(completed.tag, Some(&message), now);
            }
        } else if message.method() == Method::Notify {
            let status = self.notified(&message, now);
            self.send(&ResponseWriter::new(&message, status).finish());
        }
    }

    /// Gives the status of the answer.
    fn notified(&mut self, notify: &Message, now: Instant) -> u16 {
        let found = self.by_call_id.get(notify.call_id()).copied();
        let Some(n) = found else {
            self.tally.notified(Notified::Stranger);
            return Notified::Stranger.status();
        };
        let watcher = &mut self.watchers[n];
        let notified = watcher.notified(notify);
        self.tally.notified(notified);
        if notified == Notified::Accepted {
            self.tally.went_back += u64::from(!watcher.learn(notify));
            if let Some(strike) = &mut self.strike
                && watcher.seen > strike.before[watcher.whom]
            {
                strike.waited[n].get_or_insert(now - strike.at);
            }
        }
        notified.status()
    }

    fn answered(&mut self, phone: Phone, answer: Option<&Message>, now: Instant) {
        match phone {
            Phone::Watcher(n) => self.watchers[n].answered(answer, now, &mut self.tally),
            Phone::Publisher(n) => {
                let publisher = &mut self.publishers[n];
                publisher.answered(answer, now, &mut self.tally);
                if let Some(pace) = self.pace.filter(|_| publisher.is_quiet()) {
                    publisher.plan(now + pace);
                }
            }
        }
    }

    fn retransmit(&mut self) {
        let now = self.now();
        self.transactions.handle_timeout(now);
        let (mut again, mut unanswered) = (Vec::new(), Vec::new());
        while let Some(output) = self.transactions.poll_output() {
            match output {
                ClientOutput::Retransmit(bytes, _) => again.push(bytes),
                ClientOutput::TimedOut(phone) => unanswered.push(phone),
            }
        }
        again.iter().for_each(|bytes| self.send(bytes));
        self.tally.retransmitted += again.len() as u64;
        unanswered.into_iter().for_each(|phone| self.answered(phone, None, now));
    }

    /// Sends what is due.
    fn speak(&mut self) {
        let now = self.now();
        for n in 0..self.publishers.len() {
            if self.publishers[n].is_due(now) {
                let via = self.via();
                let request = self.publishers[n].request(&via);
                self.ask(Phone::Publisher(n), via, request, now);
            }
        }
        for n in 0..self.watchers.len() {
            if self.watchers[n].is_due(now) {
                let via = self.via();
                let request = self.watchers[n].request(&via);
                self.ask(Phone::Watcher(n), via, request, now);
            }
        }
    }

    fn via(&mut self) -> Via {
        self.branches += 1;
        Via { transport: "UDP", me: self.me, branch: format!("z9hG4bK{}-{}", self.salt, self.branches) }
    }

    fn ask(&mut self, phone: Phone, via: Via, request: Bytes, now: Instant) {
        self.send(&request);
        let started = self.transactions.start(via.branch.into(), request, false, phone, now);
        started.expect("each phone has one transaction at a time, and there is room for that");
    }

    fn send(&self, bytes: &[u8]) {
        // What the kernel does not take is lost like any datagram, and sent again.
        let _ = self.socket.send_to(bytes, self.server);
    }
}
