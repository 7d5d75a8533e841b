//! Reading framed messages from a stream.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use sip::{Frame, Limits, StreamFramer};
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::timeout;

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Closed,
    Idle,
    NotSip,
}

/// The answer to a keep-alive (RFC 5626 3.5.1).
pub const PONG: Bytes = Bytes::from_static(b"\r\n");

/// Bytes read at once. The buffer lives on the stack while it is filled and emptied, so an idle connection has none.
const READ: usize = 16 * 1024;

/// Hands every frame to `take`, until the peer closes, is silent for `idle`, or sends what is not SIP. `take` says
/// whether what it was given was SIP.
pub async fn read(
    stream: &OwnedReadHalf,
    limits: &Limits,
    idle: Option<Duration>,
    mut take: impl FnMut(Frame) -> bool,
) -> End {
    let mut framer = StreamFramer::new(*limits);
    loop {
        let ready = match idle {
            Some(idle) => timeout(idle, stream.readable()).await,
            None => Ok(stream.readable().await),
        };
        match ready {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return End::Closed,
            Err(_) => return End::Idle,
        }
        if let Some(end) = pump(stream, &mut framer, &mut take) {
            return end;
        }
        tokio::task::yield_now().await;
    }
}

/// One read and the frames that it completes.
fn pump(
    stream: &OwnedReadHalf,
    framer: &mut StreamFramer,
    take: &mut impl FnMut(Frame) -> bool,
) -> Option<End> {
    let mut buffer = [0; READ];
    match stream.try_read(&mut buffer) {
        Ok(0) => return Some(End::Closed),
        Ok(length) => framer.push(&buffer[..length]),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
        Err(_) => return Some(End::Closed),
    }
    while let Some(frame) = framer.next() {
        if !frame.is_ok_and(&mut *take) {
            return Some(End::NotSip);
        }
    }
    None
}
