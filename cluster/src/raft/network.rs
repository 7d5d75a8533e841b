//! openraft's calls to the other nodes, as gRPC.
//!
//! All groups share the channels to a node: one for the log, one for snapshots, so that a large snapshot does not
//! delay heartbeats, and one for proposals. They connect when needed, again and again. Appends share a stream as well
//! (see `calls`).

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::storage::Snapshot as RaftSnapshot;
use openraft::{EmptyNode, OptionalSend, RaftNetwork, RaftNetworkFactory};
use placement::{GroupId, NodeId};
use proto::v1::raft_client::RaftClient;
use proto::v1::{self, AppendOutcome, Envelope, SnapshotPiece, snapshot_piece};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};

use super::news::News;
use super::storage::GroupLog;
use super::wire::{self, Malformed};
use super::{LogId, TypeConfig, Vote};
use crate::calls::{Call, Calls};
use crate::leadership::clocks::SharedClock;
use crate::leadership::pulse::Pulse;
use crate::leadership::standing::Reign;
use crate::membership::front::Letterhead;
use crate::peers::Peers;
use crate::snapshots::SnapshotData;

/// Largest message between nodes; an AppendEntries is about 1 MiB.
pub const MESSAGE_LIMIT: usize = 16 * 1024 * 1024;
pub const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
pub const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
const CONNECT_WAIT: Duration = Duration::from_secs(1);
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(5);
pub const KEEP_ALIVE_WAIT: Duration = Duration::from_secs(2);
/// Pause after a node could not be reached at all.
const UNREACHABLE_PAUSE: Duration = Duration::from_millis(100);
const PIECE: usize = 512 * 1024;
const PIECES_AHEAD: usize = 4;

type RpcError<E = RaftError<u64>> = RPCError<u64, EmptyNode, E>;
type StreamError = StreamingError<TypeConfig, Fatal<u64>>;

/// The channels to one node.
#[derive(Clone)]
pub struct Peer {
    pub log: Channel,
    pub snapshots: Channel,
    pub proposals: Channel,
}

impl Peer {
    /// Connects to nothing yet. `Err` if the address is none.
    pub fn new(address: &str, connector: tls::Connector) -> Result<Peer, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .connect_timeout(CONNECT_WAIT)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
            .keep_alive_timeout(KEEP_ALIVE_WAIT)
            .keep_alive_while_idle(true);
        Ok(Peer {
            log: endpoint.connect_with_connector_lazy(connector.clone()),
            snapshots: endpoint.connect_with_connector_lazy(connector.clone()),
            proposals: endpoint.connect_with_connector_lazy(connector),
        })
    }
}

/// Makes the links of one group.
#[derive(Clone)]
pub struct Network {
    pub group: GroupId,
    pub letterhead: Letterhead,
    pub peers: Peers,
    pub appends: Calls<v1::AppendRequest>,
    pub clock: SharedClock,
    pub pulse: Arc<Pulse>,
    pub log: GroupLog,
}

/// From this node to one other, for one group.
pub struct GroupLink {
    to: Envelope,
    peers: Peers,
    appends: Calls<v1::AppendRequest>,
    clock: SharedClock,
    pulse: Arc<Pulse>,
    log: GroupLog,
    /// What the other node's clock showed in its last answer, and when that came.
    their_clock: Option<(u64, Instant)>,
    news: News,
}

impl Network {
    pub fn link(&self, target: NodeId) -> GroupLink {
        GroupLink {
            to: self.letterhead.to(self.group, target),
            peers: self.peers.clone(),
            appends: self.appends.clone(),
            clock: self.clock.clone(),
            pulse: self.pulse.clone(),
            log: self.log.clone(),
            their_clock: None,
            news: News::default(),
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = GroupLink;

    async fn new_client(&mut self, target: u64, _node: &EmptyNode) -> GroupLink {
        self.link(NodeId(target))
    }
}

impl RaftNetwork<TypeConfig> for GroupLink {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RpcError> {
        let (reign, sent) = (wire::reign(&rpc.vote), Instant::now());
        let target = NodeId(self.to.target);
        let message = v1::AppendRequest {
            to: Some(self.to),
            vote: Some(wire::vote(&rpc.vote)),
            previous: rpc.prev_log_id.as_ref().map(wire::log_id),
            records: rpc.entries.iter().map(wire::record).collect(),
            committed: rpc.leader_commit.as_ref().map(wire::log_id),
            log_now_ms: self.clock.live().unwrap_or(0),
            quorum_age_ms: self.pulse.quorum_age(reign, sent).map(wire::millis_up),
            your_clock_ms: self.their_clock.map(|(clock, came)| wire::clock_at(clock, came, sent)),
            log_end: self.log.last().map_or(0, |id| id.index),
            call: 0,
        };
        if self.news.needs_no_answer(&rpc, sent) {
            self.appends.tell(target, message).map_err(|status| self.failed(status))?;
            return Ok(AppendEntriesResponse::Success);
        }
        self.news.ask();
        // openraft drops this after a heartbeat interval.
        let reply = self.appends.call(target, message).await;
        let reply = reply.map_err(|status| self.failed(status))?;
        self.their_clock = Some((reply.clock_ms, Instant::now()));
        let response = read_append_reply(&rpc, reply).map_err(nonsense)?;
        if matches!(response, AppendEntriesResponse::Success) {
            self.news.confirm(last_of(&rpc), sent);
        }
        let followed = !matches!(response, AppendEntriesResponse::HigherVote(_));
        self.heard(followed.then_some((reign, sent)));
        Ok(response)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        option: RPCOption,
    ) -> Result<VoteResponse<u64>, RpcError> {
        let message = v1::VoteRequest {
            to: Some(self.to),
            vote: Some(wire::vote(&rpc.vote)),
            last: rpc.last_log_id.as_ref().map(wire::log_id),
        };
        let mut client = client(&self.peer()?.log);
        let reply = client.vote(within(message, option.hard_ttl())).await;
        let reply = reply.map_err(|status| self.failed(status))?;
        let reply = reply.into_inner();
        self.heard(None);
        let vote = wire::read_vote(reply.vote).map_err(nonsense)?;
        Ok(VoteResponse { vote, vote_granted: reply.granted, last_log_id: reply.last.map(wire::read_log_id) })
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: RaftSnapshot<TypeConfig>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamError> {
        let offer = v1::SnapshotOffer {
            vote: Some(wire::vote(&vote)),
            last: snapshot.meta.last_log_id.as_ref().map(wire::log_id),
            members: Some(wire::stored_members(&snapshot.meta.last_membership)),
            snapshot_id: snapshot.meta.snapshot_id,
            bytes: snapshot.snapshot.bytes,
        };
        let channel = self.peer().map_err(unreachable)?.snapshots.clone();
        let (pieces, outgoing) = mpsc::channel(PIECES_AHEAD);
        let to = self.to;
        // It ends by itself when nobody takes the pieces any more.
        tokio::task::spawn_blocking(move || feed(to, offer, &snapshot.snapshot, &pieces));
        let mut client = client(&channel);
        let call = client.install_snapshot(within(ReceiverStream::new(outgoing), option.hard_ttl()));
        let reply = tokio::select! {
            reply = call => reply,
            closed = cancel => return Err(StreamingError::Closed(closed)),
        };
        let reply = reply.map_err(|status| unreachable(Unreachable::new(&status)))?.into_inner();
        self.heard(None);
        let vote = wire::read_vote(reply.vote);
        vote.map(SnapshotResponse::new).map_err(|error| StreamingError::Network(NetworkError::new(&error)))
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(UNREACHABLE_PAUSE))
    }
}

impl GroupLink {
    /// Whether the other node hears no leader and could vote for this one, whose log ends with `last`.
    pub async fn agrees_to_election(&self, last: Option<LogId>, wait: Duration) -> bool {
        let message = v1::HearsRequest { to: Some(self.to), last: last.as_ref().map(wire::log_id) };
        let Ok(peer) = self.peer() else {
            return false;
        };
        let mut client = client(&peer.log);
        match tokio::time::timeout(wait, client.hears(within(message, wait))).await {
            Ok(Ok(reply)) => {
                self.heard(None);
                let reply = reply.into_inner();
                !reply.leader && !reply.longer_log
            }
            Ok(Err(status)) => {
                self.peers.ended(&status);
                false
            }
            Err(_) => false,
        }
    }

    /// Asks the other node to stand for election at once. Whether it does.
    pub async fn hand_over(&self, wait: Duration) -> bool {
        let message = v1::HandOverRequest { to: Some(self.to) };
        let Ok(peer) = self.peer() else {
            return false;
        };
        let mut client = client(&peer.log);
        let reply = tokio::time::timeout(wait, client.hand_over(within(message, wait))).await;
        matches!(reply, Ok(Ok(reply)) if reply.get_ref().stands)
    }

    /// The other node answered; it may have acknowledged what was sent to it.
    fn heard(&self, acknowledged: Option<(Reign, Instant)>) {
        let target = NodeId(self.to.target);
        self.pulse.hear(target);
        if let Some((reign, sent)) = acknowledged {
            self.pulse.acknowledge(reign, target, sent);
        }
    }

    fn peer(&self) -> Result<Peer, Unreachable> {
        let target = NodeId(self.to.target);
        self.peers.get(target).ok_or_else(|| Unreachable::new(&UnknownNode(target)))
    }

    fn failed(&self, status: Status) -> RpcError {
        self.peers.ended(&status);
        match status.code() {
            // The node is only slow.
            Code::DeadlineExceeded => RPCError::Network(NetworkError::new(&status)),
            _ => RPCError::Unreachable(Unreachable::new(&status)),
        }
    }
}

impl Call for v1::AppendRequest {
    type Reply = v1::AppendReply;

    fn numbered(self, call: u64) -> v1::AppendRequest {
        v1::AppendRequest { call, ..self }
    }

    fn number(reply: &v1::AppendReply) -> u64 {
        reply.call
    }

    async fn open(
        peer: Peer,
        messages: ReceiverStream<v1::AppendRequest>,
    ) -> Result<Response<Streaming<v1::AppendReply>>, Status> {
        client(&peer.log).append(messages).await
    }
}

#[derive(Debug, thiserror::Error)]
#[error("node {0} has no address")]
struct UnknownNode(NodeId);

/// Sends the snapshot file, piece after piece, as fast as the peer takes it.
fn feed(to: Envelope, offer: v1::SnapshotOffer, data: &SnapshotData, pieces: &mpsc::Sender<SnapshotPiece>) {
    let piece = |part| SnapshotPiece { to: Some(to), part: Some(part) };
    let mut sent = pieces.blocking_send(piece(snapshot_piece::Part::Offer(offer))).is_ok();
    let mut at = 0;
    while sent && at < data.bytes {
        // A stream that ends too early is refused by the peer, so a read that fails needs no other sign.
        let Ok(bytes) = data.read_at(at, PIECE) else {
            return;
        };
        at += bytes.len() as u64;
        sent = pieces.blocking_send(piece(snapshot_piece::Part::Data(bytes))).is_ok();
    }
}

pub fn client(channel: &Channel) -> RaftClient<Channel> {
    RaftClient::new(channel.clone())
        .max_decoding_message_size(MESSAGE_LIMIT)
        .max_encoding_message_size(MESSAGE_LIMIT)
}

fn within<T>(message: T, time: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(time);
    request
}

/// Nothing that openraft could not have asked for is passed on to it: it would panic.
fn read_append_reply(
    rpc: &AppendEntriesRequest<TypeConfig>,
    reply: v1::AppendReply,
) -> Result<AppendEntriesResponse<u64>, Malformed> {
    let last = last_of(rpc);
    match reply.outcome() {
        AppendOutcome::Success => Ok(AppendEntriesResponse::Success),
        AppendOutcome::Partial => match reply.matching.map(wire::read_log_id) {
            matching if rpc.prev_log_id <= matching && matching <= last => {
                Ok(AppendEntriesResponse::PartialSuccess(matching))
            }
            _ => Err(Malformed("matching record")),
        },
        AppendOutcome::Conflict if rpc.prev_log_id.is_some() => Ok(AppendEntriesResponse::Conflict),
        AppendOutcome::HigherVote => match wire::read_vote(reply.vote)? {
            vote if vote > rpc.vote => Ok(AppendEntriesResponse::HigherVote(vote)),
            _ => Err(Malformed("higher vote")),
        },
        AppendOutcome::Conflict | AppendOutcome::Unspecified => Err(Malformed("outcome")),
    }
}

/// The last record that a node has which follows this.
fn last_of(rpc: &AppendEntriesRequest<TypeConfig>) -> Option<LogId> {
    rpc.entries.last().map(|entry| entry.log_id).or(rpc.prev_log_id)
}

/// The node says what makes no sense; it is not asked again at once.
fn nonsense(error: Malformed) -> RpcError {
    RPCError::Unreachable(Unreachable::new(&error))
}

fn unreachable(error: Unreachable) -> StreamError {
    StreamingError::Unreachable(error)
}
