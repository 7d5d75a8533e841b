//! How a WebSocket begins (RFC 6455 section 4.2): a request in HTTP, and our answer.
//!
//! Whoever is refused learns why, over HTTP. Subprotocols other than SIP, extensions and other versions of the protocol
//! are not for us.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::origins::Origins;

/// What both sides must name (RFC 7118 section 4.1).
const SUBPROTOCOL: &str = "sip";
/// The one version there is.
const VERSION: &str = "13";
const KEY_LENGTH: usize = 16;
/// Browsers send about 15 headers and 1 KB, cookies aside. Beyond either bound the answer is 431.
const HEADERS: usize = 64;
const HEAD: usize = 16 << 10;

/// A stream on which frames follow, and what has come of them already.
#[derive(Debug)]
pub struct Agreed<S> {
    pub stream: S,
    pub early: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error(transparent)]
    Stream(#[from] io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("it ended before it said what it wants")]
    Silent,
    #[error("{0}")]
    Refused(Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("A WebSocket begins with a GET (RFC 6455 section 4.1).")]
    Method,
    #[error("One Host is needed (RFC 9112 section 3.2).")]
    Host,
    #[error(
        "This is for WebSockets: Connection: Upgrade and Upgrade: websocket are needed (RFC 6455 section 4.2.1)."
    )]
    NoUpgrade,
    #[error("Sec-WebSocket-Version: 13 is needed (RFC 6455 section 4.2.2).")]
    Version,
    #[error("Sec-WebSocket-Key: 16 bytes in Base64 are needed (RFC 6455 section 4.2.1).")]
    Key,
    #[error("This page may not connect (RFC 6455 section 10.2).")]
    Origin,
    #[error("Sec-WebSocket-Protocol: sip is needed (RFC 7118 section 4.1).")]
    Subprotocol,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::NoUpgrade | Refusal::Version => StatusCode::UPGRADE_REQUIRED,
            Refusal::Origin => StatusCode::FORBIDDEN,
            Refusal::Host | Refusal::Key | Refusal::Subprotocol => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads the request and answers it.
pub async fn shake<S>(stream: S, origins: &Origins) -> Result<Agreed<S>, Failed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let outcome = OnceLock::new();
    let service = service_fn(|request| {
        let agreed = agree(&request, origins);
        let answer = agreed.as_ref().map_or_else(|refusal| refuse(*refusal), accept);
        let _ = outcome.set(agreed.map(drop));
        ready(Ok::<_, Infallible>(answer))
    });
    let connection = http1::Builder::new()
        .max_headers(HEADERS)
        .max_header_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let http1::Parts { io, read_buf: early, .. } = connection.without_shutdown().await?;
    let mut stream = io.into_inner();
    match outcome.into_inner() {
        Some(Ok(())) => Ok(Agreed { stream, early }),
        Some(Err(refusal)) => {
            // TLS tells the other side that nothing was cut off.
            stream.shutdown().await?;
            Err(Failed::Refused(refusal))
        }
        None => Err(Failed::Silent),
    }
}

/// The key of a request that can be granted.
fn agree<B>(request: &Request<B>, origins: &Origins) -> Result<HeaderValue, Refusal> {
    let headers = request.headers();
    let demand = |holds: bool, refusal| if holds { Ok(()) } else { Err(refusal) };
    demand(request.method() == Method::GET, Refusal::Method)?;
    demand(only(headers, &header::HOST).is_some(), Refusal::Host)?;
    let asks =
        names(headers, &header::CONNECTION, "upgrade") && names(headers, &header::UPGRADE, "websocket");
    demand(asks && request.version() >= Version::HTTP_11, Refusal::NoUpgrade)?;
    let version = only(headers, &header::SEC_WEBSOCKET_VERSION);
    demand(version.is_some_and(|version| version == VERSION), Refusal::Version)?;
    let key = only(headers, &header::SEC_WEBSOCKET_KEY).filter(|key| is_key(key)).ok_or(Refusal::Key)?;
    demand(origins.admits(headers.get(header::ORIGIN).map(HeaderValue::as_bytes)), Refusal::Origin)?;
    demand(names(headers, &header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL), Refusal::Subprotocol)?;
    Ok(key.clone())
}

/// The value of a header that may be there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether a header that is a list, over as many lines as it likes (RFC 9110 section 5.3), has this in it.
fn names(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|each| each.trim().eq_ignore_ascii_case(wanted))
}

fn is_key(key: &HeaderValue) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == KEY_LENGTH)
}

fn accept(key: &HeaderValue) -> Response<String> {
    let proof = HeaderValue::try_from(derive_accept_key(key.as_bytes())).expect("Base64 is text");
    let mut answer = respond(StatusCode::SWITCHING_PROTOCOLS, String::new());
    offer_upgrade(&mut answer);
    answer.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, proof);
    answer.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    answer
}

/// The connection ends with it.
fn refuse(refusal: Refusal) -> Response<String> {
    let mut answer = respond(refusal.status(), format!("{refusal}\n"));
    match refusal.status() {
        StatusCode::UPGRADE_REQUIRED => {
            offer_upgrade(&mut answer);
            answer.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
        }
        _ => {}
    }
    answer.headers_mut().append(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

fn offer_upgrade(answer: &mut Response<String>) {
    answer.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
}

fn respond(status: StatusCode, body: String) -> Response<String> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    /// What a browser sends, in the order in which the tests change it.
    const LINES: [&str; 7] = [
        "GET /ws HTTP/1.1",
        "Host: sip.example.net",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: sip",
    ];

    #[tokio::test]
    async fn a_request_for_a_websocket_is_granted_with_the_proof_of_its_key() {
        let answer = answer_to(&LINES).await;

        assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
        for line in [
            "upgrade: websocket",
            "connection: upgrade",
            // The example of RFC 6455 section 1.3.
            "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=",
            "sec-websocket-protocol: sip",
        ] {
            assert!(answer.to_lowercase().contains(&format!("\r\n{line}\r\n")), "{line} in {answer}");
        }
    }

    #[tokio::test]
    async fn connection_upgrade_and_subprotocols_are_lists_over_several_lines() {
        for (at, instead) in [
            (2, "Connection: keep-alive, Upgrade"),
            (2, "Connection: keep-alive\r\nConnection: upgrade"),
            (3, "Upgrade: h2c, WebSocket"),
            (6, "Sec-WebSocket-Protocol: msrp\r\nSec-WebSocket-Protocol: xmpp ,\tsip"),
        ] {
            assert_eq!(status_with(at, instead).await, "101", "{instead}");
        }
    }

    #[tokio::test]
    async fn what_is_refused_is_answered_over_http_with_its_status() {
        for (at, instead, status) in [
            (0, "POST /ws HTTP/1.1", "405"),
            (0, "GET /ws HTTP/1.0", "426"),
            (0, "SUBSCRIBE sip:bob@example.net SIP/2.0", "400"),
            (1, "X: none", "400"),
            (1, "Host: a\r\nHost: b", "400"),
            (2, "Connection: close", "426"),
            (3, "Upgrade: h2c", "426"),
            (4, "Sec-WebSocket-Version: 8", "426"),
            (4, "X: none", "426"),
            (5, "X: none", "400"),
            (5, "Sec-WebSocket-Key: c2hvcnQ=", "400"),
            (5, "Sec-WebSocket-Key: ****************", "400"),
            (6, "Sec-WebSocket-Protocol: sipx", "400"),
            (6, "X: none", "400"),
        ] {
            assert_eq!(status_with(at, instead).await, status, "{instead}");
        }
        let long = format!("X: {}", "x".repeat(HEAD));
        assert_eq!(status_with(1, &long).await, "431");
    }

    #[tokio::test]
    async fn another_version_is_told_which_one_there_is() {
        let answer = answer_to(&with(4, "Sec-WebSocket-Version: 12")).await.to_lowercase();

        assert!(answer.contains("\r\nsec-websocket-version: 13\r\n"), "{answer}");
        assert!(answer.contains("\r\nupgrade: websocket\r\n"), "{answer}");
    }

    #[tokio::test]
    async fn a_request_may_come_byte_by_byte_and_what_follows_it_is_kept() {
        let (phone, server) = duplex(1);
        let origins = Origins::default();
        let request = format!("{}\r\n\r\nfra", LINES.join("\r\n"));
        let (mut reading, mut writing) = tokio::io::split(phone);
        let speak = async { writing.write_all(request.as_bytes()).await.unwrap() };
        let listen = async {
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                answer.push(reading.read_u8().await.unwrap());
            }
        };

        let (agreed, (), ()) = tokio::join!(shake_and_read_on(server, &origins), speak, listen);

        assert_eq!(agreed, b"fra");
    }

    #[tokio::test]
    async fn who_ends_without_a_request_has_failed() {
        let (phone, server) = duplex(100);
        drop(phone);

        assert!(shake(server, &Origins::default()).await.is_err());
    }

    async fn shake_and_read_on(server: tokio::io::DuplexStream, origins: &Origins) -> Vec<u8> {
        let mut agreed = shake(server, origins).await.unwrap();
        let mut read = agreed.early.to_vec();
        while read.len() < 3 {
            read.push(agreed.stream.read_u8().await.unwrap());
        }
        read
    }

    fn with<'a>(at: usize, instead: &'a str) -> [&'a str; 7] {
        let mut lines: [&'a str; 7] = LINES;
        lines[at] = instead;
        lines
    }

    async fn status_with(at: usize, instead: &str) -> String {
        let answer = answer_to(&with(at, instead)).await;
        answer.strip_prefix("HTTP/1.1 ").or(answer.strip_prefix("HTTP/1.0 ")).unwrap_or(&answer)[..3]
            .to_owned()
    }

    async fn answer_to(lines: &[&str]) -> String {
        let (mut phone, server) = duplex(64 << 10);
        phone.write_all(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes()).await.unwrap();
        drop(shake(server, &Origins::default()).await);
        let mut answer = String::new();
        phone.read_to_string(&mut answer).await.unwrap();
        answer
    }
}
