//! One connection: which version of HTTP its client speaks, and for how long it may keep its place.
//!
//! hyper-util would tell the versions apart, but waits for ever for a client that says half of its first line; so the
//! first bytes are read here, against the clock. An HTTP/1.1 connection ends when its client does not begin a request in
//! time. HTTP/2 clients (gRPC) keep connections open between calls: one that is idle for a while is told to go, which
//! they do without losing a call.

use std::convert::Infallible;
use std::io::{self, Cursor};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Peer;
use super::patience::Patient;

/// How long a client may take from its connection, or its last request, to the end of the next head.
const HEAD_TIME: Duration = Duration::from_secs(20);
/// The longest head, and so what one HTTP/1.1 connection may make us buffer.
const HEAD_BYTES: usize = 16 * 1024;
/// Requests under way at one time on one HTTP/2 connection; a client waits with the next.
const STREAMS: u32 = 128;
/// What an HTTP/2 client may send ahead, for each request and altogether. No body is longer than the first.
const WINDOW: u32 = 32 * 1024;
const CONNECTION_WINDOW: u32 = 128 * 1024;
/// What is buffered of one answer that its client does not take yet.
const SEND_BYTES: usize = 64 * 1024;
/// An HTTP/2 client is asked for a sign of life this often, and has as long for it.
const PING_EVERY: Duration = Duration::from_secs(20);
/// An HTTP/2 connection on which nothing was under way at two looks in a row is closed.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How an HTTP/2 client begins (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub async fn serve(stream: TcpStream, peer: Peer, router: Router, shutdown: CancellationToken) {
    // Events are small and must not wait for an acknowledgement. A socket that refuses the option still works.
    let _ = stream.set_nodelay(true);
    let (mut read, write) = stream.into_split();
    let beginning = shutdown.run_until_cancelled(timeout(HEAD_TIME, beginning(&mut read))).await;
    let Some(Ok(Ok(start))) = beginning else { return };
    let is_http2 = start == PREFACE;
    let io = TokioIo::new(Patient::new(tokio::io::join(Cursor::new(start).chain(read), write)));
    let busy = Arc::new(());
    let service = service(router, peer, &busy);
    let ended = if is_http2 {
        http2(io, service, &busy, &shutdown).await
    } else {
        http1(io, service, &shutdown).await
    };
    if let Err(error) = ended {
        debug!(%error, "HTTP connection ended early");
    }
}

/// As many bytes as it takes to tell the versions apart.
async fn beginning(read: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(PREFACE.len());
    while start.len() < PREFACE.len() && PREFACE.starts_with(&start) {
        if read.take((PREFACE.len() - start.len()) as u64).read_buf(&mut start).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(start)
}

type Answer = Result<hyper::Response<Busy>, Infallible>;

/// The routes, told where the requests come from. `busy` is held by each request until its answer is out.
fn service(
    router: Router,
    peer: Peer,
    busy: &Arc<()>,
) -> impl Service<
    hyper::Request<Incoming>,
    Response = hyper::Response<Busy>,
    Error = Infallible,
    Future: Future<Output = Answer> + Send + 'static,
> + use<> {
    let (service, busy) = (TowerToHyperService::new(router), busy.clone());
    service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let (answer, busy) = (service.call(request), busy.clone());
        async move { Ok(answer.await?.map(|body| Busy { body, _until_it_is_out: busy })) }
    })
}

async fn http1<I, S>(io: I, service: S, shutdown: &CancellationToken) -> hyper::Result<()>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: Service<hyper::Request<Incoming>, Response = hyper::Response<Busy>, Error = Infallible>,
{
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(io, service);
    let mut served = std::pin::pin!(served);
    tokio::select! {
        ended = served.as_mut() => return ended,
        () = shutdown.cancelled() => served.as_mut().graceful_shutdown(),
    }
    served.await
}

async fn http2<I, S>(io: I, service: S, busy: &Arc<()>, shutdown: &CancellationToken) -> hyper::Result<()>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    S: Service<hyper::Request<Incoming>, Response = hyper::Response<Busy>, Error = Infallible>,
    S::Future: Send + 'static,
{
    let served = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_BYTES as u32)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY)
        .serve_connection(io, service);
    let mut served = std::pin::pin!(served);
    tokio::select! {
        ended = served.as_mut() => return ended,
        () = idle(busy) => served.as_mut().graceful_shutdown(),
        () = shutdown.cancelled() => served.as_mut().graceful_shutdown(),
    }
    // One that is told to go and stays is no better than an idle one.
    timeout(LOOK_EVERY, served).await.unwrap_or(Ok(()))
}

/// Returns when nothing was under way for some time. Only this connection's service holds `busy` besides its requests.
async fn idle(busy: &Arc<()>) {
    let mut looks = interval(LOOK_EVERY);
    let mut idle_before = false;
    looks.tick().await;
    loop {
        looks.tick().await;
        let idle = Arc::strong_count(busy) <= 2;
        if idle && idle_before {
            return;
        }
        idle_before = idle;
    }
}

/// An answer's body, which tells that its connection is in use.
struct Busy {
    body: Body,
    _until_it_is_out: Arc<()>,
}

impl hyper::body::Body for Busy {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_nothing_was_under_way_twice_in_a_row() {
        let busy = Arc::new(());
        let _service = busy.clone();
        let began = Instant::now();

        idle(&busy).await;

        assert_eq!(began.elapsed(), 2 * LOOK_EVERY);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_out_yet_keeps_its_connection() {
        let busy = Arc::new(());
        let _service = busy.clone();
        let answer = Busy { body: Body::empty(), _until_it_is_out: busy.clone() };

        assert!(timeout(100 * LOOK_EVERY, idle(&busy)).await.is_err());
        drop(answer);
        assert!(timeout(4 * LOOK_EVERY, idle(&busy)).await.is_ok());
    }

    #[tokio::test]
    async fn the_versions_are_told_apart_by_as_few_bytes_as_it_takes() {
        for (sent, read) in [
            (&b"GET / HTTP/1.1\r\n"[..], &b"GET / HTTP/1.1\r\n"[..]),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n and a frame", PREFACE),
        ] {
            assert_eq!(beginning(&mut &*sent).await.unwrap(), read);
        }
        assert!(beginning(&mut &b"PRI * HT"[..]).await.is_err(), "it broke off");
        assert!(beginning(&mut &b""[..]).await.is_err());
    }
}
