//! Calls to the other nodes that share one gRPC stream to each, opened when needed.
//!
//! Whoever calls puts its message into the stream's queue itself, so messages that are ready together leave together,
//! and takes its answer by the number of its call. A stream that breaks, or that left a call unanswered for too long, is
//! closed: all who wait are told, and the next call opens another. Nothing is sent twice here.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use metrics::counter;
use parking_lot::Mutex;
use placement::NodeId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};
use tracing::{debug, warn};

use crate::metrics::ANSWERS_LATE;
use crate::peers::Peers;
use crate::raft::network::Peer;

/// An answer is due after this time.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// A heartbeat interval: for so long an append is waited for. A caller that has gone earlier had another reason.
const LATE: Duration = Duration::from_millis(100);
/// How often a stream is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Messages that wait to be sent. A group has one call at a time, those that were given up, and what
/// needs no answer.
const QUEUE: usize = 64;
/// The number of a message that asks for no answer; calls are counted from 1.
pub const UNANSWERED: u64 = 0;

/// What such a stream carries.
pub trait Call: Sized + Send + 'static {
    type Reply: Send + 'static;

    fn numbered(self, number: u64) -> Self;

    fn number(reply: &Self::Reply) -> u64;

    fn open(
        peer: Peer,
        messages: ReceiverStream<Self>,
    ) -> impl Future<Output = Result<Response<Streaming<Self::Reply>>, Status>> + Send;
}

/// The streams to all other nodes. Clones are the same streams; they end with the last clone.
pub struct Calls<C: Call> {
    peers: Peers,
    streams: Arc<Mutex<BTreeMap<NodeId, Arc<Stream<C>>>>>,
}

struct Stream<C: Call> {
    outgoing: mpsc::Sender<C>,
    due: Mutex<Due<C::Reply>>,
}

type Answer<T> = Result<T, Status>;

/// Calls that were sent on a stream and not yet answered, oldest first.
struct Due<T> {
    last: u64,
    calls: BTreeMap<u64, (Instant, oneshot::Sender<Answer<T>>)>,
    /// Nothing is sent on it any more.
    ended: bool,
}

impl<C: Call> Clone for Calls<C> {
    fn clone(&self) -> Calls<C> {
        Calls { peers: self.peers.clone(), streams: self.streams.clone() }
    }
}

impl<C: Call> Calls<C> {
    pub fn new(peers: Peers) -> Calls<C> {
        Calls { peers, streams: Arc::default() }
    }

    /// The other node's answer, or why there is none: then it may have taken the message, or not.
    pub async fn call(&self, target: NodeId, message: C) -> Answer<C::Reply> {
        let answered = self.stream(target).send(message)?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Sends what needs no answer, where the other node knows that number 0 asks for none. It may be lost.
    pub fn tell(&self, target: NodeId, message: C) -> Result<(), Status> {
        let stream = self.stream(target);
        stream.outgoing.try_send(message.numbered(UNANSWERED)).map_err(|_| closed())
    }

    fn stream(&self, target: NodeId) -> Arc<Stream<C>> {
        let mut streams = self.streams.lock();
        if let Some(stream) = streams.get(&target).filter(|stream| !stream.due.lock().ended) {
            return stream.clone();
        }
        let (stream, messages) = Stream::new();
        let stream = Arc::new(stream);
        tokio::spawn(run(target, self.peers.clone(), Arc::downgrade(&stream), messages));
        streams.insert(target, stream.clone());
        // Those to former members have ended by themselves.
        streams.retain(|_, stream| !stream.due.lock().ended);
        stream
    }
}

impl<C: Call> Stream<C> {
    fn new() -> (Stream<C>, mpsc::Receiver<C>) {
        let (outgoing, messages) = mpsc::channel(QUEUE);
        (Stream { outgoing, due: Mutex::default() }, messages)
    }

    fn send(&self, message: C) -> Result<oneshot::Receiver<Answer<C::Reply>>, Status> {
        let (answer, answered) = oneshot::channel();
        let mut due = self.due.lock();
        let number = due.expect(answer, Instant::now());
        // It has room unless the peer reads nothing; then nothing is answered either, and the stream is closed for that.
        if self.outgoing.try_send(message.numbered(number)).is_err() {
            due.calls.remove(&number);
            return Err(closed());
        }
        Ok(answered)
    }

    fn end(&self, status: &Status) {
        let mut due = self.due.lock();
        due.ended = true;
        for (_, answer) in std::mem::take(&mut due.calls).into_values() {
            // Whoever asked may have given up.
            let _ = answer.send(Err(status.clone()));
        }
    }
}

impl<T> Default for Due<T> {
    fn default() -> Due<T> {
        Due { last: 0, calls: BTreeMap::new(), ended: false }
    }
}

impl<T> Due<T> {
    /// The number of the call.
    fn expect(&mut self, answer: oneshot::Sender<Answer<T>>, now: Instant) -> u64 {
        self.last += 1;
        self.calls.insert(self.last, (now, answer));
        self.last
    }

    /// Gives when the call was made, if its caller has gone.
    fn answer(&mut self, number: u64, reply: T) -> Option<Instant> {
        let (sent, answer) = self.calls.remove(&number)?;
        answer.send(Ok(reply)).is_err().then_some(sent)
    }

    /// Whether the oldest call should long have been answered, however many were sent after it.
    fn is_late(&self, now: Instant) -> bool {
        self.calls.first_key_value().is_some_and(|(_, (sent, _))| now >= *sent + ANSWER_WAIT)
    }
}

/// Serves one stream until it ends, and tells all who wait.
async fn run<C: Call>(target: NodeId, peers: Peers, stream: Weak<Stream<C>>, messages: mpsc::Receiver<C>) {
    let status = serve(target, &peers, &stream, messages).await;
    peers.ended(&status);
    debug!(target = peers.name_of(target), %status, "A stream of calls ended");
    if let Some(stream) = stream.upgrade() {
        stream.end(&status);
    }
}

/// Returns why the stream ended.
async fn serve<C: Call>(
    target: NodeId,
    peers: &Peers,
    stream: &Weak<Stream<C>>,
    messages: mpsc::Receiver<C>,
) -> Status {
    let Some(peer) = peers.get(target) else {
        return no_member();
    };
    let opening = C::open(peer, ReceiverStream::new(messages));
    let mut replies = match tokio::time::timeout(ANSWER_WAIT, opening).await {
        Ok(Ok(opened)) => opened.into_inner(),
        Ok(Err(status)) => return status,
        Err(_) => return silent(),
    };
    let mut look = tokio::time::interval(LOOK);
    let mut is_warned = false;
    loop {
        let reply = tokio::select! {
            reply = replies.message() => reply,
            _ = look.tick() => match stream.upgrade() {
                Some(stream) if stream.due.lock().is_late(Instant::now()) => return silent(),
                Some(_) if peers.get(target).is_none() => return no_member(),
                Some(_) => continue,
                None => return closed(),
            },
        };
        match (reply, stream.upgrade()) {
            (Ok(Some(reply)), Some(stream)) => {
                let unheard = stream.due.lock().answer(C::number(&reply), reply);
                if unheard.is_some_and(|sent| sent.elapsed() >= LATE) {
                    counter!(ANSWERS_LATE).increment(1);
                    // Once for each stream: where one is late, most are.
                    if !std::mem::replace(&mut is_warned, true) {
                        warn!(
                            node = peers.name_of(target),
                            "Answers of another manager come too late to count"
                        );
                    }
                }
            }
            (Ok(_), _) => return closed(),
            (Err(status), _) => return status,
        }
    }
}

fn no_member() -> Status {
    Status::not_found("no member any more")
}

fn silent() -> Status {
    Status::deadline_exceeded("no answer")
}

fn closed() -> Status {
    Status::cancelled("the stream is closed")
}

#[cfg(test)]
mod tests {
    use proto::v1::{AppendReply, AppendRequest};

    use super::*;

    #[test]
    fn later_calls_do_not_hide_that_the_oldest_is_late() {
        let (mut due, start) = (Due::default(), Instant::now());
        assert!(!due.is_late(start + 9 * ANSWER_WAIT));

        due.expect(oneshot::channel().0, start);
        due.expect(oneshot::channel().0, start + ANSWER_WAIT / 2);

        assert!(!due.is_late(start + ANSWER_WAIT / 2));
        assert!(due.is_late(start + ANSWER_WAIT));
        assert_eq!(due.answer(1, ()), Some(start));
        assert!(!due.is_late(start + ANSWER_WAIT));
    }

    #[test]
    fn answers_find_their_calls_in_any_order() {
        let (stream, mut messages) = Stream::new();
        let mut first = stream.send(AppendRequest::default()).unwrap();
        let mut second = stream.send(AppendRequest::default()).unwrap();
        let sent = [messages.try_recv().unwrap().call, messages.try_recv().unwrap().call];

        for (call, clock_ms) in [(sent[1], 20), (sent[0], 10), (99, 30)] {
            let reply = AppendReply { call, clock_ms, ..AppendReply::default() };
            assert_eq!(stream.due.lock().answer(call, reply), None);
        }

        assert_eq!(first.try_recv().unwrap().unwrap().clock_ms, 10);
        assert_eq!(second.try_recv().unwrap().unwrap().clock_ms, 20);
    }

    #[test]
    fn an_answer_whose_caller_has_gone_says_when_it_was_asked_for() {
        let (mut due, sent) = (Due::default(), Instant::now());
        let caller = due.expect(oneshot::channel().0, sent);

        assert_eq!(due.answer(caller, ()), Some(sent));
        assert_eq!(due.answer(caller, ()), None);
    }

    #[test]
    fn all_who_wait_are_told_that_the_stream_ended() {
        let (stream, _messages) = Stream::new();
        let mut waiting = stream.send(AppendRequest::default()).unwrap();

        stream.end(&silent());

        assert_eq!(waiting.try_recv().unwrap().unwrap_err().code(), tonic::Code::DeadlineExceeded);
    }

    #[test]
    fn a_peer_that_reads_nothing_cannot_make_the_queue_grow() {
        let (stream, _messages) = Stream::new();
        for _ in 0..QUEUE {
            stream.send(AppendRequest::default()).unwrap();
        }

        assert!(stream.send(AppendRequest::default()).is_err());
    }
}
