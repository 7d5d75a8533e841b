//! SIP over WebSocket (RFC 7118), plain or inside TLS.
//!
//! A WebSocket message is one SIP message, so Content-Length is not needed to find its end. Pings are answered by the
//! library. Line ends as on a stream are answered too: some clients watch for them.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, Stream, StreamExt};
use sip::Frame;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::frames::Counted;
use super::handshake::{self, Agreed, Failed};
use super::patience::Patience;
use super::phone::{LAST_WORDS, Phone};
use super::stream::End;
use crate::config::Limits;
use crate::metrics::Closed;
use crate::outbox::Outbox;

/// Allocated for each connection as long as it lasts; most of them are idle.
const READ: usize = 4 << 10;
/// Bytes that are gathered before they are written.
const WRITE: usize = 16 << 10;

/// `open` opens the stream below.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    open: impl Future<Output = io::Result<S>>,
    phone: Phone,
) {
    let shake = async {
        let Agreed { stream, early } = handshake::shake(open.await?, &phone.board.origins).await?;
        let stream = Counted::new(stream, &early);
        let (held, config) = (stream.held(), config(&phone.board.limits));
        let websocket =
            WebSocketStream::from_partially_read(stream, early.into(), Role::Server, Some(config)).await;
        Ok::<_, Failed>((websocket, held))
    };
    let Some((websocket, held)) = phone.handshake(shake).await else { return };
    let (mut sink, source) = websocket.split();
    let read = read(source, &held, phone.patience(), |frame| phone.take(frame));
    let reason = phone.converse(read, write(&phone.connection.outbox, &mut sink)).await;
    let goodbye = sink.send(Message::Close(Some(goodbye(reason))));
    let _ = timeout(LAST_WORDS, goodbye).await;
}

fn config(limits: &Limits) -> WebSocketConfig {
    // What is too large is read up to twice its bound, so that it can be answered 413. It ends nothing: unlike on a
    // stream it is known where the next message starts.
    let largest = 2 * limits.message.message;
    WebSocketConfig::default()
        .read_buffer_size(READ)
        .write_buffer_size(WRITE)
        // Bounds the answers to pings of a phone that does not read; a message of ours fits in any case.
        .max_write_buffer_size(WRITE + limits.connection_queue.max(2 * limits.inner_message.message))
        .max_message_size(Some(largest))
        .max_frame_size(Some(largest))
}

async fn read<S: AsyncRead + AsyncWrite + Unpin>(
    mut source: SplitStream<WebSocketStream<S>>,
    held: &AtomicUsize,
    mut patience: Patience,
    mut take: impl FnMut(Frame) -> bool,
) -> End {
    loop {
        let next = match patience.within(progress(&mut source, held)).await {
            Ok(next) => next,
            Err(end) => return end,
        };
        let message = match next {
            Some(Ok(Some(Message::Text(text)))) => Some(text.into()),
            Some(Ok(Some(Message::Binary(bytes)))) => Some(bytes),
            Some(Ok(_part_or_ping_or_pong_or_close)) => None,
            // Who goes without a word, as a browser that is closed, has only gone.
            Some(Err(Error::Io(_) | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) | None => {
                return End::Closed;
            }
            Some(Err(Error::Capacity(_))) => return End::TooLarge,
            Some(Err(_)) => return End::NotSip,
        };
        let ended = message.is_some();
        if !message.is_none_or(|bytes| take(frame(bytes))) {
            return End::NotSip;
        }
        if let Err(end) = patience.hold(held.load(Ordering::Relaxed), ended) {
            return end;
        }
    }
}

/// The next message, or no message when more of one has come.
async fn progress(
    mut source: impl Stream<Item = Result<Message, Error>> + Unpin,
    held: &AtomicUsize,
) -> Option<Result<Option<Message>, Error>> {
    let before = held.load(Ordering::Relaxed);
    std::future::poll_fn(|cx| match source.poll_next_unpin(cx) {
        Poll::Ready(next) => Poll::Ready(next.map(|next| next.map(Some))),
        Poll::Pending if held.load(Ordering::Relaxed) != before => Poll::Ready(Some(Ok(None))),
        Poll::Pending => Poll::Pending,
    })
    .await
}

fn frame(bytes: Bytes) -> Frame {
    match bytes.as_ref() {
        b"\r\n\r\n" => Frame::KeepAlive,
        _ => Frame::Message(bytes.into()),
    }
}

/// Writes whatever is pushed, each message by itself, until the stream fails.
async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    outbox: &Outbox,
    sink: &mut SplitSink<WebSocketStream<S>, Message>,
) -> Result<(), Error> {
    loop {
        let (messages, cost) = outbox.take().await;
        for message in messages {
            sink.feed(spoken(message)).await?;
        }
        sink.flush().await?;
        outbox.written(cost);
    }
}

/// As text if it is, which is what browsers hand on without ado.
fn spoken(message: Bytes) -> Message {
    match Utf8Bytes::try_from(message.clone()) {
        Ok(text) => Message::Text(text),
        Err(_) => Message::Binary(message),
    }
}

fn goodbye(reason: Option<Closed>) -> CloseFrame {
    let code = match reason {
        Some(Closed::TooLarge) => CloseCode::Size,
        Some(Closed::NotSip) => CloseCode::Policy,
        _ => CloseCode::Away,
    };
    CloseFrame { code, reason: Utf8Bytes::default() }
}
