//! The stage: the agents of one or several managers with scripted neighbours. Time moves only when a scene says so.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use placement::{GroupId, NodeId, PresentityKey};
use presence::time::Timestamp;
use presence_agent::agent::Entry;
use presence_agent::verdict::{Invalidated, Proof, Subject, Verdict};
use presence_agent::{Agent, Config, LinkId, Now, Output, Silence, Ticket};
use prost::Message as _;
use proto::v1;
use proto::v1::command::Kind;
use sip::{Instant, Limits, Message, Secret};

pub struct Stage {
    managers: Vec<Manager>,
    /// Which manager the phone's messages reach.
    at: usize,
    now: Now,
    index: u64,
    proposed: Vec<Proposed>,
    asked: Vec<(usize, Ticket)>,
    /// The last message that reached the phone.
    pub heard: String,
    ladder: String,
}

struct Manager {
    agent: Agent,
    /// How it is called in the ladder.
    name: String,
    /// When it fell silent; it does nothing meanwhile.
    silent: Option<Instant>,
    /// Entries that it has not seen yet.
    unseen: Vec<(u64, Timestamp, Vec<Proposed>)>,
}

#[derive(Clone)]
struct Proposed {
    by: usize,
    ticket: Ticket,
    command: Bytes,
}

/// What the phone's messages are written with.
pub const PHONE: &str = "192.0.2.7:5062";

impl Stage {
    /// A manager that has just started and is serving. `open`: nobody is asked for a password.
    pub fn set(open: bool) -> Stage {
        Stage::with(&["agent"], open)
    }

    /// Three managers, node 1 the leader.
    pub fn of_three() -> Stage {
        Stage::with(&["node 1", "node 2", "node 3"], true)
    }

    fn with(names: &[&str], open: bool) -> Stage {
        let now =
            Now { monotonic: Instant(0), log: Timestamp(1_000_000), unix: 1_000, lease: Instant(u64::MAX) };
        let manager = |(at, name): (usize, &&str)| Manager {
            agent: Agent::new(config(NodeId(at as u64 + 1), open), now),
            name: (*name).to_owned(),
            silent: None,
            unseen: Vec::new(),
        };
        let mut stage = Stage {
            managers: names.iter().enumerate().map(manager).collect(),
            at: 0,
            now,
            index: 0,
            proposed: Vec::new(),
            asked: Vec::new(),
            heard: String::new(),
            ladder: String::new(),
        };
        stage.collect();
        stage.commit();
        stage.ladder.clear();
        stage
    }

    /// From now on the phone's messages reach this node.
    pub fn phone_reaches(&mut self, node: usize) {
        self.at = node - 1;
    }

    /// The node does nothing and is not heard any more.
    pub fn falls_silent(&mut self, node: usize) {
        self.managers[node - 1].silent = Some(self.now.monotonic);
    }

    /// The node goes on, without its lease, and catches up with the log.
    pub fn wakes_up(&mut self, node: usize) {
        let at = node - 1;
        self.managers[at].silent = None;
        let without_lease = Now { lease: Instant(0), ..self.now };
        self.managers[at].agent.handle_timeout(without_lease, None);
        self.catch_up(at, without_lease);
        self.collect();
    }

    /// A remark of the scene.
    pub fn say(&mut self, text: &str) {
        let _ = writeln!(self.ladder, "== {text}\n");
    }

    /// The phone sends; lines end as SIP wants them.
    pub fn phone(&mut self, text: &str) {
        let text = text.trim_start().replace('\n', "\r\n");
        let arrow = format!("phone  -> {}", self.managers[self.at].name);
        self.arrow(&arrow, &text);
        let message = Message::parse(Bytes::from(text), &Limits::default()).expect("the script writes SIP");
        let agent = &mut self.managers[self.at].agent;
        match message.is_request() {
            true => agent.handle_request(LinkId(1), message, self.now),
            false => agent.handle_response(&message, self.now),
        }
        self.collect();
    }

    /// The phone answers the last request that reached it.
    pub fn phone_answers(&mut self, status: &str) {
        let copied: String = self
            .heard
            .lines()
            .filter(|line| {
                ["Via:", "From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name))
            })
            .map(|line| format!("{line}\n"))
            .collect();
        self.phone(&format!("SIP/2.0 {status}\n{copied}Content-Length: 0\n\n"));
    }

    /// Billing answers the oldest question.
    pub fn billing_says(&mut self, verdict: Verdict) {
        let decision = format!("{:?}", verdict.decision).to_lowercase();
        let secret = if verdict.has_secret() { ", with the secret" } else { "" };
        let _ = writeln!(self.ladder, "billing -> agent   {decision}{secret}\n");
        let (at, ticket) = self.asked.remove(0);
        self.managers[at].agent.handle_verdict(ticket, verdict, self.now);
        self.collect();
    }

    /// Billing names an account that has changed.
    pub fn billing_names(&mut self, account: &str) {
        let _ = writeln!(self.ladder, "billing -> all     {account} has changed\n");
        let named = Invalidated::Accounts(vec![PresentityKey::restored(account)]);
        for manager in &mut self.managers {
            manager.agent.handle_invalidated(&named, self.now);
        }
        self.collect();
    }

    /// All that was proposed is committed, in one entry.
    pub fn commit(&mut self) {
        self.index += 1;
        let to = if self.managers.len() == 1 { "agent" } else { "all" };
        let _ = writeln!(self.ladder, "log    -> {to}    entry {}\n", self.index);
        let entry = (self.index, self.now.log, std::mem::take(&mut self.proposed));
        for at in 0..self.managers.len() {
            self.managers[at].unseen.push(entry.clone());
            if self.managers[at].silent.is_none() {
                self.catch_up(at, self.now);
            }
        }
        self.collect();
    }

    fn catch_up(&mut self, at: usize, now: Now) {
        let manager = &mut self.managers[at];
        for (index, stamp, proposed) in manager.unseen.drain(..) {
            let mine =
                |proposed: Proposed| ((proposed.by == at).then_some(proposed.ticket), proposed.command);
            let commands = proposed.into_iter().map(mine).collect();
            manager.agent.handle_entry(Entry { index, stamp, commands }, now);
        }
    }

    pub fn pass(&mut self, seconds: u64) {
        let _ = writeln!(self.ladder, "== {seconds} s pass\n");
        self.now.monotonic = Instant(self.now.monotonic.0 + seconds * 1000);
        self.now.log = Timestamp(self.now.log.0 + seconds * 1000);
        self.now.unix += seconds;
        let silences: Vec<_> = self
            .managers
            .iter()
            .enumerate()
            .skip(1)
            .map(|(at, manager)| Silence {
                node: NodeId(at as u64 + 1),
                incarnation: 1,
                lasted: manager.silent.map_or(Duration::ZERO, |since| self.now.monotonic - since),
            })
            .collect();
        for (at, manager) in
            self.managers.iter_mut().enumerate().filter(|(_, manager)| manager.silent.is_none())
        {
            manager.agent.handle_timeout(self.now, (at == 0).then_some(&silences));
        }
        self.collect();
    }

    /// Holds the ladder against its file.
    pub fn compare(self, name: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("ladders").join(name);
        if std::env::var_os("UPDATE_LADDERS").is_some() {
            std::fs::write(&file, &self.ladder).expect("the ladder can be written");
        }
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(golden == self.ladder, "{} differs; now it is:\n{}", file.display(), self.ladder);
    }

    fn collect(&mut self) {
        for at in 0..self.managers.len() {
            while let Some(output) = self.managers[at].agent.poll_output() {
                self.perform(at, output);
            }
        }
    }

    fn perform(&mut self, at: usize, output: Output) {
        let who = self.managers[at].name.clone();
        match output {
            Output::Respond { bytes, .. } | Output::Send { bytes, .. } => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                self.arrow(&format!("{who:<6} -> phone"), &text);
                self.heard = text;
            }
            Output::Authorise { ticket, question, source } => {
                let Subject { account, method, presentity, .. } = question.subject;
                let proof = match question.proof {
                    Proof::Digest(_) => "by a digest",
                    Proof::Dialog => "in the dialog",
                    Proof::Asserted(_) => "asserted by a peer",
                };
                let _ = writeln!(
                    self.ladder,
                    "{who:<6} -> billing  {account} {method} {presentity}, from {source}, {proof}\n"
                );
                self.asked.push((at, ticket));
            }
            Output::Propose { ticket, command } => {
                let _ = writeln!(self.ladder, "{who:<6} -> log      {}\n", name(&command));
                self.proposed.push(Proposed { by: at, ticket, command });
            }
            Output::Reply { .. } | Output::Changed(_) | Output::Note(_) => {}
            Output::Diverged { .. } | Output::Stop(_) => panic!("{who} says {output:?}"),
        }
    }

    fn arrow(&mut self, arrow: &str, text: &str) {
        let lines: String =
            text.lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n").collect();
        let _ = writeln!(self.ladder, "{arrow}\n{}\n", lines.trim_end());
    }
}

fn config(node: NodeId, open: bool) -> Config {
    Config {
        node,
        group: GroupId(1),
        incarnation: 1,
        domains: vec!["lab.test".into()],
        secret: Secret::new("the secret of the ladders"),
        open,
        md5_only: Vec::new(),
        feature_code: "*48".into(),
        trust_asserted_identity: true,
        end_on_timeout: false,
        check_nc: false,
        algorithms: vec![sip::digest::Algorithm::Md5, sip::digest::Algorithm::Sha256],
        sent_by: format!("127.0.0.1:710{node}"),
        subscribe: Default::default(),
        publish: Default::default(),
        register: Default::default(),
        limits: Default::default(),
    }
}

/// What a command is called in `replica.proto`.
fn name(command: &Bytes) -> &'static str {
    let command = v1::Command::decode(command.clone()).expect("the agent proposes commands");
    match command.kind.expect("a command is of some kind") {
        Kind::Publish(_) => "Publish",
        Kind::SetSource(_) => "SetSource",
        Kind::Subscribe(_) => "Subscribe",
        Kind::Register(_) => "Register",
        Kind::Expire(_) => "Expire",
        Kind::Boot(_) => "Boot",
        Kind::Delivered(_) => "Delivered",
        Kind::EndSubscription(_) => "EndSubscription",
        Kind::Read(_) => "Read",
        Kind::RaiseEpoch(_) => "RaiseEpoch",
        Kind::TakeOver(_) => "TakeOver",
        Kind::Checksum(_) => "Checksum",
        Kind::Judge(_) => "Judge",
    }
}
