//! A connection, plain or not.
//!
//! Each kind notices when the other side is of the other one. Whoever writes must flush: TLS keeps what the socket did not
//! take at once.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper_util::client::legacy::connect::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::TlsStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::complaints::complain;
use crate::reason::Reason;

pub struct Stream {
    wire: Wire,
    watch: Watch,
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Looks at what comes in.
#[derive(Clone, Copy)]
enum Watch {
    /// Nothing came yet; whoever speaks TLS says so with its first byte.
    First(Option<IpAddr>),
    /// Of somebody who speaks as we do.
    Usual(Option<IpAddr>),
}

pub struct ReadHalf {
    wire: ReadWire,
    watch: Watch,
}

enum ReadWire {
    Plain(OwnedReadHalf),
    Tls(tokio::io::ReadHalf<Box<TlsStream<TcpStream>>>),
}

pub enum WriteHalf {
    Plain(OwnedWriteHalf),
    Tls(tokio::io::WriteHalf<Box<TlsStream<TcpStream>>>),
}

/// The types of TLS records that begin a conversation or refuse one (RFC 8446 section 5.1).
const ALERT: u8 = 0x15;
const HANDSHAKE: u8 = 0x16;

impl Stream {
    pub(crate) fn plain(socket: TcpStream) -> Stream {
        let watch = Watch::First(peer(&socket));
        Stream { wire: Wire::Plain(socket), watch }
    }

    pub(crate) fn tls(stream: TlsStream<TcpStream>) -> Stream {
        let watch = Watch::Usual(peer(stream.get_ref().0));
        Stream { wire: Wire::Tls(Box::new(stream)), watch }
    }

    /// To read and write from two places. When both halves are gone the connection is closed.
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        let watch = self.watch;
        match self.wire {
            Wire::Plain(socket) => {
                let (reading, writing) = socket.into_split();
                (ReadHalf { wire: ReadWire::Plain(reading), watch }, WriteHalf::Plain(writing))
            }
            Wire::Tls(stream) => {
                let (reading, writing) = tokio::io::split(stream);
                (ReadHalf { wire: ReadWire::Tls(reading), watch }, WriteHalf::Tls(writing))
            }
        }
    }

    /// The first certificate that the other side has shown, in DER.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        match &self.wire {
            Wire::Plain(_) => None,
            Wire::Tls(stream) => stream.get_ref().1.peer_certificates()?.first().map(|shown| &**shown),
        }
    }

    fn socket(&self) -> &TcpStream {
        match &self.wire {
            Wire::Plain(socket) => socket,
            Wire::Tls(stream) => stream.get_ref().0,
        }
    }
}

fn peer(socket: &TcpStream) -> Option<IpAddr> {
    socket.peer_addr().ok().map(|peer| peer.ip())
}

impl Watch {
    /// Looks at a read that ended so; `new` is what it brought.
    fn look(&mut self, read: io::Result<()>, new: &[u8]) -> io::Result<()> {
        match (*self, read) {
            (Watch::First(peer), Ok(())) => {
                *self = Watch::Usual(peer);
                match new.first() {
                    Some(&(ALERT | HANDSHAKE)) => {
                        let text = "it speaks TLS, and this process has no [tls] in its configuration";
                        Err(told(peer, Reason::new("tls", text)))
                    }
                    _ => Ok(()),
                }
            }
            (Watch::First(peer) | Watch::Usual(peer), Err(error)) => {
                Err(Reason::of(&error).map_or(error, |reason| told(peer, reason)))
            }
            (Watch::Usual(_), Ok(())) => Ok(()),
        }
    }
}

fn told(peer: Option<IpAddr>, reason: Reason) -> io::Error {
    let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
    complain(&peer, &reason);
    reason.into()
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Stream { wire, watch } = self.get_mut();
        let before = buffer.filled().len();
        let read = ready!(match wire {
            Wire::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            Wire::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        });
        Poll::Ready(watch.look(read, &buffer.filled()[before..]))
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let ReadHalf { wire, watch } = self.get_mut();
        let before = buffer.filled().len();
        let read = ready!(match wire {
            ReadWire::Plain(half) => Pin::new(half).poll_read(cx, buffer),
            ReadWire::Tls(half) => Pin::new(half).poll_read(cx, buffer),
        });
        Poll::Ready(watch.look(read, &buffer.filled()[before..]))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().wire {
            Wire::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Wire::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().wire {
            Wire::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, pieces),
            Wire::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().wire {
            Wire::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            WriteHalf::Plain(half) => Pin::new(half).poll_write(cx, bytes),
            WriteHalf::Tls(half) => Pin::new(half).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            WriteHalf::Plain(half) => Pin::new(half).poll_flush(cx),
            WriteHalf::Tls(half) => Pin::new(half).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            WriteHalf::Plain(half) => Pin::new(half).poll_shutdown(cx),
            WriteHalf::Tls(half) => Pin::new(half).poll_shutdown(cx),
        }
    }
}

/// For clients of hyper.
impl Connection for Stream {
    fn connected(&self) -> hyper_util::client::legacy::connect::Connected {
        hyper_util::client::legacy::connect::Connected::new()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.wire {
            Wire::Plain(_) => "plain",
            Wire::Tls(_) => "TLS",
        })
    }
}

impl Connected for Stream {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.socket().connect_info()
    }
}
