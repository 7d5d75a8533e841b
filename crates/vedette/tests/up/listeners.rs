//! Where phones reach a whole cluster.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::phone::{Phone, pidf, tag};
use crate::ports::free_address;
use crate::server::Server;

#[test]
fn phones_reach_every_listener_that_the_settings_name() {
    let (one, other, web) = (free_address(), free_address(), free_address());
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sip.toml");
    let listeners = format!("listeners = [{{ transport = \"ws\", bind = \"{web}\" }}]");
    std::fs::write(&config, format!("[dispatcher]\nlisten = [\"{one}\", \"{other}\"]\n{listeners}\n"))
        .unwrap();

    let _server = Server::configured(one, &config);

    for address in [one, other] {
        let mut alice = Phone::new("alice", address);
        assert!(!tag(&alice.publish("", 600, &pidf("alice", "open", "here"))).is_empty(), "{address}");
    }
    assert!(asked_for_a_websocket(web).starts_with("HTTP/1.1 101 "));
}

fn asked_for_a_websocket(at: std::net::SocketAddr) -> String {
    let mut socket = TcpStream::connect(at).unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {at}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 13];
    socket.read_exact(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
