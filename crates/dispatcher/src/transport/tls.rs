//! TLS from phones: TCP behind a handshake (RFC 3261 26.3.1). Phones show no certificate.

use tls::Front;
use tokio::net::TcpStream;

use super::phone::Phone;
use super::tcp;

pub async fn serve(socket: TcpStream, front: &Front, phone: Phone) {
    let Some(stream) = phone.handshake(front.accept(socket)).await else { return };
    let (reading, writing) = tokio::io::split(stream);
    tcp::converse(reading, writing, &phone).await;
}
