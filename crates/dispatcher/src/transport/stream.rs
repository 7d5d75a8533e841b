//! Reading framed messages from a stream.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use sip::{Frame, Limits, StreamFramer};
use tokio::io::{AsyncRead, ReadBuf};

use super::patience::Patience;

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Closed,
    /// The other side sends no more, and may still read.
    Finished,
    Idle,
    NotSip,
    /// A WebSocket message that is not even read.
    TooLarge,
    /// A message that was not whole in time.
    SlowSender,
    /// A message that was not whole while all of them together held too much.
    NoRoom,
}

/// The answer to a keep-alive (RFC 5626 3.5.1).
pub const PONG: Bytes = Bytes::from_static(b"\r\n");

/// Bytes read at once. The buffer lives on the stack while it is filled and emptied, so an idle connection has none.
const READ: usize = 16 * 1024;

/// Hands every frame to `take`, until the peer closes, wears out our patience, or sends what is not SIP. `take` says
/// whether what it was given was SIP. What `begin` gives is held while the frames of one read are taken.
pub async fn read<B>(
    mut stream: impl AsyncRead + Unpin,
    limits: &Limits,
    mut patience: Option<Patience>,
    begin: impl Fn() -> B,
    mut take: impl FnMut(Frame) -> bool,
) -> End {
    let mut framer = StreamFramer::new(*limits);
    loop {
        let pump = std::future::poll_fn(|cx| pump(Pin::new(&mut stream), cx, &mut framer, &begin, &mut take));
        let pumped = match &patience {
            Some(patience) => patience.within(pump).await.and_then(|pumped| pumped),
            None => pump.await,
        };
        let borne = pumped.and_then(|ended| match &mut patience {
            Some(patience) => patience.hold(framer.held(), ended),
            None => Ok(()),
        });
        if let Err(end) = borne {
            return end;
        }
        tokio::task::yield_now().await;
    }
}

/// One read and the frames that it completes: whether there are any.
fn pump<B>(
    stream: Pin<&mut impl AsyncRead>,
    cx: &mut Context<'_>,
    framer: &mut StreamFramer,
    begin: &impl Fn() -> B,
    take: &mut impl FnMut(Frame) -> bool,
) -> Poll<Result<bool, End>> {
    let mut buffer = [MaybeUninit::uninit(); READ];
    let mut buffer = ReadBuf::uninit(&mut buffer);
    match ready!(stream.poll_read(cx, &mut buffer)) {
        Ok(()) if !buffer.filled().is_empty() => framer.push(buffer.filled()),
        Ok(()) => return Poll::Ready(Err(End::Finished)),
        Err(_) => return Poll::Ready(Err(End::Closed)),
    }
    let _batch = begin();
    let mut any = false;
    while let Some(frame) = framer.next() {
        if !frame.is_ok_and(&mut *take) {
            return Poll::Ready(Err(End::NotSip));
        }
        any = true;
    }
    Poll::Ready(Ok(any))
}
