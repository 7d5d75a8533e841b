//! The stage: an agent with scripted neighbours. Time moves only when a scene says so.

use std::fmt::Write;
use std::path::Path;

use bytes::Bytes;
use placement::{GroupId, NodeId};
use presence::time::Timestamp;
use presence_agent::agent::Entry;
use presence_agent::verdict::{Decision, Verdict};
use presence_agent::{Agent, Config, LinkId, Now, Output, Ticket};
use prost::Message as _;
use proto::v1;
use proto::v1::command::Kind;
use sip::{Instant, Limits, Message, Secret};

pub struct Stage {
    agent: Agent,
    now: Now,
    index: u64,
    proposed: Vec<(Ticket, Bytes)>,
    asked: Vec<Ticket>,
    /// The last message that reached the phone.
    pub heard: String,
    ladder: String,
}

/// What the phone's messages are written with.
pub const PHONE: &str = "192.0.2.7:5062";

impl Stage {
    /// A manager that has just started and is serving. `open`: nobody is asked for a password.
    pub fn set(open: bool) -> Stage {
        let now =
            Now { monotonic: Instant(0), log: Timestamp(1_000_000), unix: 1_000, lease: Instant(u64::MAX) };
        let config = Config {
            node: NodeId(1),
            group: GroupId(1),
            incarnation: 1,
            domains: vec!["lab.test".into()],
            secret: Secret::new("the secret of the ladders"),
            open,
            md5_only: Vec::new(),
            algorithms: vec![sip::digest::Algorithm::Md5, sip::digest::Algorithm::Sha256],
            sent_by: "127.0.0.1:7101".into(),
            subscribe: Default::default(),
            publish: Default::default(),
            register: Default::default(),
            limits: Default::default(),
        };
        let mut stage = Stage {
            agent: Agent::new(config, now),
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

    /// A remark of the scene.
    pub fn say(&mut self, text: &str) {
        let _ = writeln!(self.ladder, "== {text}\n");
    }

    /// The phone sends; lines end as SIP wants them.
    pub fn phone(&mut self, text: &str) {
        let text = text.trim_start().replace('\n', "\r\n");
        self.arrow("phone  -> agent", &text);
        let message = Message::parse(Bytes::from(text), &Limits::default()).expect("the script writes SIP");
        match message.is_request() {
            true => self.agent.handle_request(LinkId(1), message, self.now),
            false => self.agent.handle_response(&message, self.now),
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
    pub fn billing_allows(&mut self, ha1_md5: &str) {
        let _ = writeln!(self.ladder, "billing -> agent   allow\n");
        let verdict = Verdict { decision: Decision::Allow, ha1_md5: ha1_md5.into(), ..Verdict::allowed() };
        let ticket = self.asked.remove(0);
        self.agent.handle_verdict(ticket, verdict, self.now);
        self.collect();
    }

    /// All that was proposed is committed, in one entry.
    pub fn commit(&mut self) {
        self.index += 1;
        let _ = writeln!(self.ladder, "log    -> agent    entry {}\n", self.index);
        let mut entry = Entry::new(self.index, self.now.log.0);
        entry.commands = self.proposed.drain(..).map(|(ticket, command)| (Some(ticket), command)).collect();
        self.agent.handle_entry(entry, self.now);
        self.collect();
    }

    pub fn pass(&mut self, seconds: u64) {
        let _ = writeln!(self.ladder, "== {seconds} s pass\n");
        self.now.monotonic = Instant(self.now.monotonic.0 + seconds * 1000);
        self.now.log = Timestamp(self.now.log.0 + seconds * 1000);
        self.now.unix += seconds;
        self.agent.handle_timeout(self.now, Some(&[]));
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
        while let Some(output) = self.agent.poll_output() {
            match output {
                Output::Respond { bytes, .. } | Output::Send { bytes, .. } => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    self.arrow("agent  -> phone", &text);
                    self.heard = text;
                }
                Output::Authorise { ticket, question, source } => {
                    let (who, what, whom) = (&question.account, question.method, &question.presentity);
                    let _ = writeln!(self.ladder, "agent  -> billing  {who} {what} {whom}, from {source}\n");
                    self.asked.push(ticket);
                }
                Output::Propose { ticket, command } => {
                    let _ = writeln!(self.ladder, "agent  -> log      {}\n", name(&command));
                    self.proposed.push((ticket, command));
                }
                Output::Reply { .. } | Output::Changed(_) => {}
                Output::Stop(why) => panic!("the agent stopped: {why}"),
            }
        }
    }

    fn arrow(&mut self, arrow: &str, text: &str) {
        let lines: String =
            text.lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n").collect();
        let _ = writeln!(self.ladder, "{arrow}\n{}\n", lines.trim_end());
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
    }
}
