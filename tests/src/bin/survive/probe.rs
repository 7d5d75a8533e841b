//! Whether every entity-tag is good at every manager: each is refreshed at one manager after the other, straight over
//! the TCP port that dispatchers use, so that no dispatcher can choose a better one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use sip::{Frame, Limits, Message, Name, StreamFramer};

use crate::request::{Identity, Via, retry_after};

/// An entity-tag and whose it is; the tag changes with each refresh.
#[derive(Clone, Debug)]
pub struct Held {
    pub uri: String,
    pub tag: String,
}

/// A refresh that was not answered 200.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    /// Counted from 1.
    pub manager: usize,
    pub status: u16,
}

/// As long as a phone waits for an answer.
const PATIENCE: Duration = Duration::from_secs(32);
/// How often a manager may say 503 to one refresh.
const TRIES: u32 = 10;

/// Refreshes all tags at all managers. A refused one keeps the tag it had.
pub fn refresh_everywhere(managers: &[SocketAddr], held: &mut [Held]) -> anyhow::Result<Vec<Refused>> {
    let mut refused = Vec::new();
    for (address, manager) in managers.iter().zip(1..) {
        let mut line = Line::open(*address)?;
        for held in &mut *held {
            match line.refresh(held)? {
                Ok(tag) => held.tag = tag,
                Err(status) => refused.push(Refused { manager, status }),
            }
        }
    }
    Ok(refused)
}

/// A connection to a manager.
struct Line {
    stream: TcpStream,
    framer: StreamFramer,
    me: SocketAddr,
    sent: u32,
}

impl Line {
    fn open(manager: SocketAddr) -> anyhow::Result<Line> {
        let stream =
            TcpStream::connect(manager).with_context(|| format!("manager {manager} takes no connection"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let me = stream.local_addr()?;
        Ok(Line { stream, framer: StreamFramer::new(Limits::default()), me, sent: 0 })
    }

    /// The new entity-tag, or the status of the refusal.
    fn refresh(&mut self, held: &Held) -> anyhow::Result<Result<String, u16>> {
        for _ in 0..TRIES {
            let answer = self.ask(held)?;
            match answer.status().unwrap_or_default() {
                200 => {
                    let tag = answer.text(Name::SipEtag).context("a 200 to PUBLISH has an entity-tag")?;
                    return Ok(Ok(tag.to_owned()));
                }
                503 => std::thread::sleep(retry_after(&answer).unwrap_or(Duration::from_secs(1))),
                status => return Ok(Err(status)),
            }
        }
        Ok(Err(503))
    }

    fn ask(&mut self, held: &Held) -> anyhow::Result<Message> {
        self.sent += 1;
        // A tag is never used twice, so neither is a branch, whatever port the system gives out again.
        let name = format!("probe-{}-{}", held.tag, self.sent);
        let via = Via { transport: "TCP", me: self.me, branch: format!("z9hG4bK{name}") };
        let mut identity = Identity {
            from: held.uri.clone(),
            from_tag: "probe".to_owned(),
            to: format!("<{}>", held.uri),
            call_id: name,
            cseq: 0,
        };
        let request = identity.next("PUBLISH", &held.uri, &via).header(Name::SipIfMatch, &held.tag);
        self.stream.write_all(&request.finish())?;
        loop {
            let message = Message::parse(self.read()?, &Limits::default())?;
            let ours = message.via().is_ok_and(|top| top.branch == Some(&via.branch));
            if ours && message.status().is_some_and(|status| status >= 200) {
                return Ok(message);
            }
        }
    }

    fn read(&mut self) -> anyhow::Result<Bytes> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.framer.next().transpose()? {
                Some(Frame::Message(framed)) => return Ok(framed.bytes().clone()),
                Some(Frame::KeepAlive) => continue,
                None => {}
            }
            match self.stream.read(&mut buffer).context("a manager does not answer a refresh")? {
                0 => bail!("a manager closed the connection"),
                length => self.framer.push(&buffer[..length]),
            }
        }
    }
}
