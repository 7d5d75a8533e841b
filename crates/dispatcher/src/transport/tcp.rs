//! TCP from phones.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::phone::{LAST_WORDS, Phone};
use super::stream;

pub async fn serve(socket: TcpStream, phone: Phone) {
    let (reading, writing) = socket.into_split();
    converse(reading, writing, &phone).await;
}

/// SIP on any stream of bytes: framed by Content-Length, kept alive by line ends (RFC 5626 3.5.1).
pub async fn converse(reading: impl AsyncRead + Unpin, mut writing: impl AsyncWrite + Unpin, phone: &Phone) {
    let board = &phone.board;
    let (limits, patience) = (&board.limits.message, Some(phone.patience()));
    let read = stream::read(reading, limits, patience, || board.batch(), |frame| phone.take(frame));
    phone.converse(read, phone.connection.outbox.write_to(&mut writing)).await;
    // TLS tells the other side that nothing was cut off.
    let _ = timeout(LAST_WORDS, writing.shutdown()).await;
}
