//! What this node answers to the others: the log, votes, snapshots, and proposals for the groups it leads.
//!
//! A message that the gate does not admit, or for a group that is not here, is refused, and so is one that openraft could
//! not have sent: openraft would panic on it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest};
use parking_lot::Mutex;
use placement::{GroupId, NodeId};
use proto::v1::raft_server::{Raft as RaftService, RaftServer};
use proto::v1::{self, AppendOutcome, Envelope, LogItem, ProposeOutcome, snapshot_piece};
use tonic::{Request, Response, Status, Streaming};
use tracing::warn;

use super::group::{RaftGroup, Stopped};
use super::network::MESSAGE_LIMIT;
use super::wire::{self, Malformed};
use super::{LogId, SnapshotMeta, TypeConfig, Vote};
use crate::calls::UNANSWERED;
use crate::leadership::pulse::Word;
use crate::membership::front::Front;
use crate::membership::gate::Gate;
use crate::metrics::MESSAGES_REFUSED;
use crate::propose::intake::Intake;
use crate::snapshots::SnapshotData;

/// Appends of one stream that are worked on at a time; a well-behaved peer has one or two for each group.
const APPENDS_AT_ONCE: usize = 64;
/// Batches of one stream that wait for room at a time; a well-behaved peer has one for each group.
const BATCHES_AT_ONCE: usize = 64;
/// A snapshot that stops arriving is given up after this time.
const PIECE_WAIT: Duration = Duration::from_secs(30);

/// On a stream. A message that is refused ends it.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Clones answer for the same node.
#[derive(Clone)]
pub struct Service(Arc<Shared>);

struct Shared {
    front: Front,
    serving: OnceLock<Serving>,
}

/// There once the node takes part.
struct Serving {
    gate: Mutex<Gate>,
    groups: BTreeMap<GroupId, (RaftGroup, Intake)>,
}

impl Service {
    /// Until `open`, everything is answered UNAVAILABLE.
    pub fn new(front: Front) -> Service {
        Service(Arc::new(Shared { front, serving: OnceLock::new() }))
    }

    pub fn open(&self, groups: BTreeMap<GroupId, (RaftGroup, Intake)>) {
        let letterhead = self.0.front.letterhead();
        let gate = Mutex::new(Gate::new(letterhead.cluster, letterhead.node));
        // A node starts its groups once.
        let _ = self.0.serving.set(Serving { gate, groups });
    }

    pub fn into_server(self) -> RaftServer<Service> {
        RaftServer::new(self)
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT)
    }

    fn group(&self, to: Option<Envelope>) -> Result<(&RaftGroup, &Intake, Envelope), Status> {
        let to = to.ok_or_else(|| malformed(Malformed("envelope")))?;
        let serving = self.0.serving.get();
        let serving = serving.ok_or_else(|| Status::unavailable("this node does not take part yet"))?;
        self.admit(serving, &to)?;
        let (group, intake) = serving
            .groups
            .get(&GroupId(to.group))
            .ok_or_else(|| Status::not_found(format!("group {} is not here", to.group)))?;
        group.pulse().hear(NodeId(to.source));
        Ok((group, intake, to))
    }

    fn admit(&self, serving: &Serving, to: &Envelope) -> Result<(), Status> {
        let directory = self.0.front.directory();
        let Err(refused) = serving.gate.lock().admit(to, &directory) else {
            return Ok(());
        };
        let why = refused.why;
        metrics::counter!(MESSAGES_REFUSED, "reason" => why.label()).increment(1);
        if refused.first {
            let source = directory.name_of(NodeId(to.source));
            warn!(source, target = to.target, incarnation = to.incarnation, %why, "Refused a message");
        }
        // Whoever takes us for another may know something about us.
        self.0.front.doubt();
        Err(Status::failed_precondition(why.to_string()))
    }

    async fn append_one(self, message: v1::AppendRequest) -> Result<v1::AppendReply, Status> {
        let (group, ..) = self.group(message.to)?;
        let call = message.call;
        let (log_now, quorum_age) = (message.log_now_ms, message.quorum_age_ms.map(Duration::from_millis));
        let (our_clock, log_end) = (message.your_clock_ms, message.log_end);
        let request = read_append(message).map_err(malformed)?;
        let word = Word { reign: wire::reign(&request.vote), quorum_age, our_clock, log_end };
        let response = group.append(request, word, log_now).await.map_err(stopped)?;
        Ok(v1::AppendReply { call, clock_ms: group.pulse().clock(), ..append_reply(response) })
    }

    async fn accept(self, request: v1::ProposeRequest) -> Result<v1::ProposeReply, Status> {
        let (_, intake, to) = self.group(request.to)?;
        let (origin, incarnation) = (to.source, request.incarnation);
        let item = |proposal: v1::Proposal| LogItem {
            origin,
            incarnation,
            ticket: proposal.ticket,
            command: proposal.command,
        };
        // A member's own limits keep these away; a value beyond them would leave the file that is synced.
        let fits = |item: &LogItem| item.command.len() <= crate::config::MAX_ENTRY_BYTES;
        let items: Vec<LogItem> = request.proposals.into_iter().map(item).filter(fits).collect();
        let outcome: ProposeOutcome = intake.accept(items).await;
        let back = self.0.front.letterhead().to(GroupId(to.group), NodeId(to.source));
        Ok(v1::ProposeReply { to: Some(back), batch: request.batch, outcome: outcome.into() })
    }
}

#[tonic::async_trait]
impl RaftService for Service {
    type AppendStream = Answers<v1::AppendReply>;
    type ProposeStream = Answers<v1::ProposeReply>;

    async fn append(
        &self,
        request: Request<Streaming<v1::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let service = self.clone();
        let answer = move |request| {
            let service = service.clone();
            async move { service.append_one(request?).await }
        };
        let asked = |reply: &Result<v1::AppendReply, _>| {
            std::future::ready(!matches!(reply, Ok(reply) if reply.call == UNANSWERED))
        };
        let answers = request.into_inner().map(answer).buffer_unordered(APPENDS_AT_ONCE).filter(asked);
        Ok(Response::new(Box::pin(answers)))
    }

    async fn vote(&self, request: Request<v1::VoteRequest>) -> Result<Response<v1::VoteReply>, Status> {
        let message = request.into_inner();
        let (group, ..) = self.group(message.to)?;
        let vote = wire::read_vote(message.vote).map_err(malformed)?;
        let request = VoteRequest::new(vote, message.last.map(wire::read_log_id));
        let response = group.vote(request).await.map_err(stopped)?;
        Ok(Response::new(v1::VoteReply {
            vote: Some(wire::vote(&response.vote)),
            granted: response.vote_granted,
            last: response.last_log_id.as_ref().map(wire::log_id),
        }))
    }

    async fn hears(&self, request: Request<v1::HearsRequest>) -> Result<Response<v1::HearsReply>, Status> {
        let message = request.into_inner();
        let (group, ..) = self.group(message.to)?;
        Ok(Response::new(group.hears(message.last.map(wire::read_log_id))))
    }

    async fn hand_over(
        &self,
        request: Request<v1::HandOverRequest>,
    ) -> Result<Response<v1::HandOverReply>, Status> {
        let (group, _, to) = self.group(request.into_inner().to)?;
        Ok(Response::new(v1::HandOverReply { stands: group.take_over(NodeId(to.source)).await }))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<v1::SnapshotPiece>>,
    ) -> Result<Response<v1::SnapshotReply>, Status> {
        let mut pieces = request.into_inner();
        let first = next_piece(&mut pieces).await?.ok_or_else(|| malformed(Malformed("offer")))?;
        let (group, _, to) = self.group(first.to)?;
        let Some(snapshot_piece::Part::Offer(offer)) = first.part else {
            return Err(malformed(Malformed("offer")));
        };
        let bytes = offer.bytes;
        let (vote, meta) = read_offer(offer).map_err(malformed)?;

        let (_receiving, data) =
            group.receive().ok_or_else(|| Status::resource_exhausted("a snapshot is being received"))?;
        let data = receive(&mut pieces, to, data.map_err(internal)?, bytes).await?;
        let checker = group.clone();
        let checked = tokio::task::spawn_blocking(move || checker.check(data)).await.map_err(internal)?;
        let checked = checked.map_err(|error| Status::data_loss(error.to_string()))?;
        if !checked.describes(&meta.last_log_id.as_ref().map(wire::log_id)) {
            return Err(Status::data_loss("the snapshot is not the one that was offered"));
        }
        let vote = group.install(vote, meta, checked).await.map_err(stopped)?;
        Ok(Response::new(v1::SnapshotReply { vote: Some(wire::vote(&vote)) }))
    }

    async fn propose(
        &self,
        request: Request<Streaming<v1::ProposeRequest>>,
    ) -> Result<Response<Self::ProposeStream>, Status> {
        let service = self.clone();
        let answer = move |request| {
            let service = service.clone();
            async move { service.accept(request?).await }
        };
        let answers = request.into_inner().map(answer).buffer_unordered(BATCHES_AT_ONCE);
        Ok(Response::new(Box::pin(answers)))
    }
}

async fn next_piece(pieces: &mut Streaming<v1::SnapshotPiece>) -> Result<Option<v1::SnapshotPiece>, Status> {
    let piece = tokio::time::timeout(PIECE_WAIT, pieces.message()).await;
    piece.map_err(|_| Status::deadline_exceeded("the snapshot stopped arriving"))?
}

/// Writes the pieces to the file, no more than were announced.
async fn receive(
    pieces: &mut Streaming<v1::SnapshotPiece>,
    to: Envelope,
    mut data: SnapshotData,
    bytes: u64,
) -> Result<SnapshotData, Status> {
    while let Some(piece) = next_piece(pieces).await? {
        let Some(snapshot_piece::Part::Data(piece_bytes)) = piece.part.filter(|_| piece.to == Some(to))
        else {
            return Err(malformed(Malformed("piece")));
        };
        if data.bytes + piece_bytes.len() as u64 > bytes {
            return Err(malformed(Malformed("length")));
        }
        let write = move || data.append(&piece_bytes).map(|()| data);
        data = tokio::task::spawn_blocking(write).await.map_err(internal)?.map_err(internal)?;
    }
    match data.bytes == bytes {
        true => Ok(data),
        false => Err(malformed(Malformed("length"))),
    }
}

fn read_append(message: v1::AppendRequest) -> Result<AppendEntriesRequest<TypeConfig>, Malformed> {
    let vote = wire::read_vote(message.vote)?;
    if !vote.committed {
        return Err(Malformed("vote"));
    }
    let previous = message.previous.map(wire::read_log_id);
    let entries: Vec<_> = message.records.into_iter().map(wire::read_record).collect::<Result<_, _>>()?;
    let mut before: Option<LogId> = previous;
    for entry in &entries {
        let follows =
            entry.log_id.index == before.map_or(0, |id| id.index + 1) && Some(entry.log_id) > before;
        if !follows {
            return Err(Malformed("order of records"));
        }
        before = Some(entry.log_id);
    }
    let leader_commit = message.committed.map(wire::read_log_id);
    Ok(AppendEntriesRequest { vote, prev_log_id: previous, entries, leader_commit })
}

fn read_offer(offer: v1::SnapshotOffer) -> Result<(Vote, SnapshotMeta), Malformed> {
    let meta = SnapshotMeta {
        last_log_id: offer.last.map(wire::read_log_id),
        last_membership: wire::read_stored_members(offer.members)?,
        snapshot_id: offer.snapshot_id,
    };
    Ok((wire::read_vote(offer.vote)?, meta))
}

fn append_reply(response: AppendEntriesResponse<u64>) -> v1::AppendReply {
    let (mut vote, mut matching) = (None, None);
    let outcome = match response {
        AppendEntriesResponse::Success => AppendOutcome::Success,
        AppendEntriesResponse::PartialSuccess(upto) => {
            matching = upto.as_ref().map(wire::log_id);
            AppendOutcome::Partial
        }
        AppendEntriesResponse::Conflict => AppendOutcome::Conflict,
        AppendEntriesResponse::HigherVote(higher) => {
            vote = Some(wire::vote(&higher));
            AppendOutcome::HigherVote
        }
    };
    v1::AppendReply { outcome: outcome.into(), vote, matching, ..v1::AppendReply::default() }
}

fn malformed(error: Malformed) -> Status {
    Status::invalid_argument(error.to_string())
}

fn stopped(error: Stopped) -> Status {
    Status::unavailable(error.to_string())
}

fn internal(error: impl std::error::Error) -> Status {
    Status::internal(error.to_string())
}
