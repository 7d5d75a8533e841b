//! Reading framed messages from a stream.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use sip::{Frame, Limits, StreamFramer};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::timeout;

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Closed,
    Idle,
    NotSip,
    /// A WebSocket message that is not even read.
    TooLarge,
}

/// The answer to a keep-alive (RFC 5626 3.5.1).
pub const PONG: Bytes = Bytes::from_static(b"\r\n");

/// Bytes read at once. The buffer lives on the stack while it is filled and emptied, so an idle connection has none.
const READ: usize = 16 * 1024;

/// Hands every frame to `take`, until the peer closes, is silent for `idle`, or sends what is not SIP. `take` says
/// whether what it was given was SIP. What `begin` gives is held while the frames of one read are taken.
pub async fn read<B>(
    mut stream: impl AsyncRead + Unpin,
    limits: &Limits,
    idle: Option<Duration>,
    begin: impl Fn() -> B,
    mut take: impl FnMut(Frame) -> bool,
) -> End {
    let mut framer = StreamFramer::new(*limits);
    loop {
        let pump = std::future::poll_fn(|cx| pump(Pin::new(&mut stream), cx, &mut framer, &begin, &mut take));
        let pumped = match idle {
            Some(idle) => timeout(idle, pump).await.unwrap_or(Some(End::Idle)),
            None => pump.await,
        };
        if let Some(end) = pumped {
            return end;
        }
        tokio::task::yield_now().await;
    }
}

/// One read and the frames that it completes.
fn pump<B>(
    stream: Pin<&mut impl AsyncRead>,
    cx: &mut Context<'_>,
    framer: &mut StreamFramer,
    begin: &impl Fn() -> B,
    take: &mut impl FnMut(Frame) -> bool,
) -> Poll<Option<End>> {
    let mut buffer = [MaybeUninit::uninit(); READ];
    let mut buffer = ReadBuf::uninit(&mut buffer);
    match ready!(stream.poll_read(cx, &mut buffer)) {
        Ok(()) if !buffer.filled().is_empty() => framer.push(buffer.filled()),
        Ok(()) | Err(_) => return Poll::Ready(Some(End::Closed)),
    }
    let _batch = begin();
    while let Some(frame) = framer.next() {
        if !frame.is_ok_and(&mut *take) {
            return Poll::Ready(Some(End::NotSip));
        }
    }
    Poll::Ready(None)
}
