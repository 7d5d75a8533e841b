//! The system group's consumer: keeps the directory as its log says, proposes what this node has to say in it, and tells
//! everybody on this node.
//!
//! What it proposes is level-triggered: as long as the birth, or this node's present start, is not seen in the
//! directory, it is proposed again. The directory that others see here is never older than the copy on the disk.

pub mod copy;
pub mod follow;
pub mod wire;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use placement::directory::{Change, Refused};
use placement::{Directory, NodeId};
use prost::Message;
use proto::v1::DirectoryRecord;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, info, warn};

use crate::events::{CaptureReply, Entry, Event, GroupEvents};
use crate::groups::Group;
use crate::membership::front::Front;
use crate::metrics::{DIRECTORY_REFUSED, DIRECTORY_VERSION, LEVEL, MEMBERS};

const TICK: Duration = Duration::from_millis(100);
/// Changes that wait for the keeper.
const REQUESTS: usize = 16;
/// Room for the commands of an entry in a position, as everywhere.
const PLACES: u64 = 1024;

pub struct Keeper {
    group: Group,
    events: GroupEvents,
    requests: mpsc::Receiver<Request>,
    front: Front,
    data: PathBuf,
    /// What stands in the log.
    state: Directory,
    next_ticket: u64,
    /// Our own word that is on its way.
    announcing: Option<u64>,
    waiting: BTreeMap<u64, oneshot::Sender<Outcome>>,
}

/// A change to be proposed for somebody who waits for its fate.
pub struct Request {
    pub change: Change,
    pub reply: oneshot::Sender<Outcome>,
}

/// What became of a change.
pub enum Outcome {
    Committed(Result<(), Refused>),
    /// No leader took it in time, nobody knows, or nobody could read it.
    NotSeen,
}

impl Keeper {
    /// Requests reach it through the sender.
    pub fn new(
        group: Group,
        events: GroupEvents,
        front: Front,
        data: PathBuf,
    ) -> (Keeper, mpsc::Sender<Request>) {
        let (sender, requests) = mpsc::channel(REQUESTS);
        let (state, waiting) = (Directory::default(), BTreeMap::new());
        let keeper =
            Keeper { group, events, requests, front, data, state, next_ticket: 0, announcing: None, waiting };
        (keeper, sender)
    }

    /// Ends when the group does, or with the reason why the directory cannot be kept.
    pub async fn run(mut self) -> Option<String> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.events.next() => match event {
                    Some(event) => if let Err(error) = self.take(event) {
                        return Some(format!("the system group cannot be followed: {error}"));
                    },
                    None => return None,
                },
                Some(Request { change, reply }) = self.requests.recv() => {
                    if let Some(ticket) = self.propose(&change) {
                        self.waiting.insert(ticket, reply);
                    }
                }
                _ = tick.tick() => self.announce(),
            }
            self.publish().await;
        }
    }

    fn take(&mut self, event: Event) -> Result<(), wire::Unreadable> {
        match event {
            Event::Committed(entry) => self.perform(entry)?,
            Event::Failed { ticket } | Event::Lost { ticket } => self.ended(ticket, Outcome::NotSeen),
            Event::Restore { chunks, .. } => self.state = restored(chunks)?,
            Event::Capture(reply) => self.picture(reply),
            Event::Leadership { .. } => {}
        }
        Ok(())
    }

    fn perform(&mut self, entry: Entry) -> Result<(), wire::Unreadable> {
        for (place, submitted) in (0..PLACES).zip(entry.commands) {
            let at = entry.index * PLACES + place;
            let outcome = perform(&mut self.state, at, submitted.origin, submitted.command)?;
            let own =
                submitted.origin == self.group.node() && submitted.incarnation == self.group.incarnation();
            if own {
                self.ended(submitted.ticket, outcome);
            }
        }
        Ok(())
    }

    fn ended(&mut self, ticket: u64, outcome: Outcome) {
        if self.announcing == Some(ticket) {
            self.announcing = None;
        }
        if let Some(reply) = self.waiting.remove(&ticket) {
            // Who asked may have given up.
            let _ = reply.send(outcome);
        }
    }

    /// Says what is not in the directory yet: the birth, if this node leads, and this node's present start.
    fn announce(&mut self) {
        if self.announcing.is_some() {
            return;
        }
        let published = self.front.directory();
        let change = if !self.state.is_born() {
            if published.is_born() || !self.group.is_leader() {
                return;
            }
            let (cluster, slots) = (published.cluster, published.slots.clone());
            Change::Born { cluster, slots, members: published.members.clone() }
        } else {
            let node = self.group.node();
            let member = self.front.member();
            match self.state.members.get(&node) {
                Some(held) if *held != member && held.incarnation <= member.incarnation => {
                    Change::NodeUp { node, member }
                }
                _ => return,
            }
        };
        self.announcing = self.propose(&change);
    }

    fn propose(&mut self, change: &Change) -> Option<u64> {
        self.next_ticket += 1;
        self.group.propose(self.next_ticket, wire::change(change)).ok()?;
        Some(self.next_ticket)
    }

    async fn publish(&mut self) {
        if self.state.version <= self.front.directory().version {
            return;
        }
        let directory = self.state.clone();
        info!(
            cluster = %directory.cluster,
            version = directory.version,
            level = directory.level,
            members = directory.members.len(),
            "The directory changed"
        );
        metrics::gauge!(DIRECTORY_VERSION).set(directory.version as f64);
        metrics::gauge!(MEMBERS).set(directory.members.len() as f64);
        metrics::gauge!(LEVEL).set(f64::from(directory.level));
        let (data, copied) = (self.data.clone(), directory.clone());
        let written = tokio::task::spawn_blocking(move || copy::write(&data, &copied)).await;
        // An older copy is still a true one.
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => error!(%error, "Cannot keep a copy of the directory"),
            Err(error) => error!(%error, "Cannot keep a copy of the directory"),
        }
        self.front.publish(directory);
    }

    fn picture(&self, reply: CaptureReply) {
        let record = wire::record(&self.state);
        reply.send(Box::new(move || vec![record.encode_to_vec().into()]));
    }
}

/// A change that makes no sense does so on every node, at every restart: it is refused. One of a kind that is not known
/// here may make sense to the others, so this node cannot go on.
fn perform(
    state: &mut Directory,
    at: u64,
    origin: NodeId,
    command: Bytes,
) -> Result<Outcome, wire::Unreadable> {
    let change = match wire::read_change(command) {
        Ok(change) => change,
        Err(wire::Unreadable::UnknownKind) => return Err(wire::Unreadable::UnknownKind),
        Err(unreadable) => {
            metrics::counter!(DIRECTORY_REFUSED, "reason" => "unreadable").increment(1);
            warn!(%origin, %unreadable, "Refused what is no change of the directory");
            return Ok(Outcome::NotSeen);
        }
    };
    let done = state.apply(at, change);
    if let Err(refused) = &done {
        metrics::counter!(DIRECTORY_REFUSED, "reason" => "invalid").increment(1);
        debug!(%origin, %refused, "A change of the directory was refused");
    }
    Ok(Outcome::Committed(done))
}

fn restored(chunks: Vec<Bytes>) -> Result<Directory, wire::Unreadable> {
    let chunk = chunks.into_iter().next().ok_or(wire::Unreadable::Part("the snapshot"))?;
    wire::read_record(DirectoryRecord::decode(chunk)?)
}

#[cfg(test)]
mod tests {
    use proto::v1::{self, directory_change::Kind};

    use super::*;

    #[test]
    fn a_change_that_makes_no_sense_is_refused_and_one_of_an_unknown_kind_stops_the_node() {
        let mut state = Directory::default();
        let mut perform =
            |command: &'static [u8]| perform(&mut state, 1_024, NodeId(2), Bytes::from_static(command));
        let without_member = v1::MemberAdded { seen: 1, member: None };
        let without_member = v1::DirectoryChange { kind: Some(Kind::Added(without_member)) };

        assert!(matches!(perform(&[0xff]), Ok(Outcome::NotSeen)));
        assert!(matches!(perform(b""), Ok(Outcome::NotSeen)));
        assert!(matches!(perform(without_member.encode_to_vec().leak()), Ok(Outcome::NotSeen)));
        // Field 99 of a later build.
        assert!(matches!(perform(&[0x9a, 0x06, 0x00]), Err(wire::Unreadable::UnknownKind)));
        assert_eq!(state, Directory::default());
    }
}
