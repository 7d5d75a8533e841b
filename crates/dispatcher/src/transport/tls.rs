//! TLS from phones: TCP behind a handshake (RFC 3261 26.3.1). Phones show no certificate.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use super::phone::Phone;
use super::tcp;

/// `open` makes the handshake.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    open: impl Future<Output = io::Result<S>>,
    phone: Phone,
) {
    let Some((reading, writing)) = phone.handshake(async { open.await.map(tokio::io::split) }).await else {
        return;
    };
    tcp::converse(reading, writing, &phone).await;
}
