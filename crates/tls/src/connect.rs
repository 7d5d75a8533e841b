//! Connections going out, for gRPC and for whatever else takes a connector.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use metrics::counter;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::codegen::http::Uri;
use tower_service::Service;

use crate::complaints::complain;
use crate::metrics::HANDSHAKES;
use crate::reason::Reason;
use crate::{Outside, Protocol, Stream, Wires};

/// Opens a connection to the host and port of a URI.
#[derive(Clone)]
pub struct Connector(To);

#[derive(Clone)]
enum To {
    /// The scheme says nothing: the wires do.
    Roles(Wires),
    /// `https` is TLS, `http` is not.
    Others(Arc<Outside>, Protocol),
}

impl Connector {
    pub(crate) fn to_roles(wires: Wires) -> Connector {
        Connector(To::Roles(wires))
    }

    pub(crate) fn to_others(outside: Arc<Outside>, protocol: Protocol) -> Connector {
        Connector(To::Others(outside, protocol))
    }

    async fn connect(self, uri: Uri) -> io::Result<Stream> {
        let secure = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let socket = TcpStream::connect((host, port)).await?;
        match self.0 {
            To::Roles(wires) => wires.open(socket, host, Protocol::Grpc).await,
            To::Others(outside, protocol) if secure => outside.open(socket, host, protocol).await,
            To::Others(..) => {
                let _ = socket.set_nodelay(true);
                Ok(Stream::plain(socket))
            }
        }
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(uri).await.map(TokioIo::new) })
    }
}

pub fn name_of(host: &str) -> io::Result<ServerName<'static>> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("{host:?} is no name of a host")))
}

/// The caller bounds the time.
pub async fn handshake(
    connector: &TlsConnector,
    socket: TcpStream,
    name: ServerName<'static>,
) -> io::Result<Stream> {
    let dialled = socket.peer_addr().map_or_else(|_| "unknown".to_owned(), |address| address.to_string());
    match connector.connect(name, socket).await {
        Ok(stream) => {
            counter!(HANDSHAKES, "side" => "client").increment(1);
            Ok(Stream::tls(stream.into()))
        }
        Err(error) => {
            let left =
                || Reason::new("left", "it closed the connection in the handshake: does it speak TLS?");
            let closed = matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            );
            let reason = Reason::of(&error).or_else(|| closed.then(left));
            let Some(reason) = reason else { return Err(error) };
            complain(&dialled, &reason);
            Err(reason.into())
        }
    }
}
