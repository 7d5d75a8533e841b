//! What a connection may cost, whatever is said on it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fake::{Api, nowhere};

async fn connected(api: &Api) -> TcpStream {
    TcpStream::connect(api.address).await.unwrap()
}

#[tokio::test]
async fn a_request_that_comes_byte_by_byte_is_understood() {
    let api = Api::start(&[&nowhere().await]).await;
    let mut stream = connected(&api).await;

    // It begins like the preface of HTTP/2, and is none.
    for byte in b"PRI HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();

    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_the_server_goes_on() {
    let api = Api::start(&[&nowhere().await]).await;
    for noise in
        [&b"\x16\x03\x01\x02\x00\x01"[..], &[0; 64], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a frame at all"]
    {
        let mut stream = connected(&api).await;
        stream.write_all(noise).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let ended = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the connection ends");
    }

    assert_eq!(api.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn connections_that_say_nothing_or_half_a_line_do_not_hold_up_a_shutdown() {
    let api = Api::start(&[&nowhere().await]).await;
    let (_silent, mut half) = (connected(&api).await, connected(&api).await);
    half.write_all(b"PRI * HT").await.unwrap();

    api.shutdown.cancel();

    timeout(Duration::from_secs(5), api.server).await.expect("the server ends").unwrap();
}
