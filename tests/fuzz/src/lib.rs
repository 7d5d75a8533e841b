//! What must hold of everything that reads what strangers send, whatever they send: a function for each reader.
//!
//! None of it may panic, and where there is more to say it is asserted. `scripts/fuzz.sh` feeds them for as long as one
//! likes; the ordinary test `mutations` for a few seconds. WebSocket frames are a library's to read, and nothing here
//! reads multipart or compressed bodies.

use std::time::Duration;

use bytes::Bytes;
use placement::PresentityKey;
use presence::compositor::{self, Contribution};
use presence::format::pidf;
use sip::digest::{self, Nonces};
use sip::{Flow, Frame, Limits, Message, NameAddr, NotSip, Secret, StreamFramer, Uri};

// The file, not its crate, which would bring gRPC with it and make a fuzz build take many minutes.
#[allow(dead_code)]
#[path = "../../../crates/presence-agent/src/sdp.rs"]
mod session;

#[path = "../../../crates/sip/tests/messages/exercise.rs"]
pub mod exercise;

pub type Target = fn(&[u8]);

/// Each by its name.
pub const ALL: [(&str, Target); 7] = [
    ("message", exercise::exercise),
    ("framing", framing),
    ("uri", uri),
    ("digest", digest),
    ("flow_token", flow_token),
    ("document", document),
    ("sdp", sdp),
];

/// A stream means the same however it is cut, but that a head which grows beyond its limits ends it as soon as that is
/// seen. The first byte says how it is cut.
pub fn framing(input: &[u8]) {
    let Some((&cut, stream)) = input.split_first() else { return };
    let limits = Limits { message: 2_000, ..Limits::default() };
    let at_once = frames([stream].into_iter(), limits);
    let in_pieces = frames(stream.chunks(usize::from(cut) + 1), limits);
    match in_pieces.as_slice() {
        [before @ .., Ok(Frame::Message(cut)), Err(NotSip::TooLarge)] => {
            assert_eq!(at_once.get(..before.len()), Some(before));
            // At once its head may be whole, and its body on the way.
            if let Some(same) = at_once.get(before.len()) {
                let Ok(Frame::Message(same)) = same else { panic!("it is no message") };
                assert!(same.bytes().starts_with(cut.bytes()));
                let parsed = Message::parse(same.bytes().clone(), &limits);
                assert!(!parsed.is_ok_and(|message| message.fault().is_none()), "nothing is wrong with it");
            }
        }
        _ => assert_eq!(at_once, in_pieces),
    }
    for frame in at_once.iter().flatten() {
        let Frame::Message(framed) = frame else { continue };
        let bytes = framed.bytes();
        assert!(bytes.len() <= limits.message);
        exercise::exercise(bytes);
    }
}

/// The parts of a URI make it up, and a presentity has one name.
pub fn uri(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(uri) = Uri::parse(&text) {
        let _ = (uri.socket_addr(), uri.params.get("transport"), uri.params.iter().count());
        let parts = [uri.user.unwrap_or_default(), uri.host, uri.headers];
        assert!(parts.iter().all(|part| text.contains(part)));
    }
    let _ = (sip::unescape(&text), NameAddr::parse(input).map(|address| address.display_text().len()));
    if let Some(key) = PresentityKey::of(&text) {
        assert!(key.as_str().len() <= PresentityKey::MAX_LENGTH);
        assert_eq!(PresentityKey::of(&key.uri()), Some(key));
    }
}

/// Only the response to the secret verifies, and no nonce is ours but one that we minted.
pub fn digest(input: &[u8]) {
    let nonces = Nonces::new(Secret::new("fuzz"), Duration::from_secs(300));
    assert_eq!(nonces.check(&String::from_utf8_lossy(input), "lab.test", 0), digest::NonceState::Forged);
    let request = [b"OPTIONS sip:a SIP/2.0\r\nAuthorization: ", input, b"\r\n\r\n"].concat();
    let Some(message) = parse(&request) else { return };
    let Some(found) = digest::credentials(&message, "lab.test") else { return };
    let ha1 = digest::ha1(found.algorithm, &found.username, "lab.test", "secret");
    let expected = digest::response(&found, "OPTIONS", &ha1, b"body");
    let is_right = expected.is_some_and(|expected| expected == found.response.to_ascii_lowercase());
    assert_eq!(digest::verify(&found, "OPTIONS", &ha1, b"body"), is_right);
}

/// What we sealed opens again; what opens is what we sealed.
pub fn flow_token(input: &[u8]) {
    let key = Secret::new("fuzz");
    if let Some(flow) = Flow::open(&String::from_utf8_lossy(input), &key) {
        assert_eq!(flow.seal(&key).as_bytes(), input);
    }
    let Some((&[transport, ip, port @ ..], rest)) = input.split_first_chunk::<4>() else { return };
    let address = |ip: u8| match ip % 2 {
        0 => std::net::SocketAddr::from(([192, 0, 2, ip], u16::from_be_bytes(port))),
        _ => std::net::SocketAddr::from((
            [0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(ip)],
            u16::from_be_bytes(port),
        )),
    };
    let transports = [sip::Transport::Udp, sip::Transport::Tcp, sip::Transport::Tls, sip::Transport::Ws];
    let flow = Flow {
        transport: transports[usize::from(transport) % transports.len()],
        listener: address(transport),
        remote: address(ip),
        connection: rest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)),
    };
    let token = flow.seal(&key);
    assert_eq!(Flow::open(&token, &key), Some(flow));
    assert_eq!(Flow::open(&token, &Secret::new("other")), None);
}

/// What is composed of anything can be read again, and composing that changes nothing.
pub fn document(input: &[u8]) {
    let readable = pidf::Document::parse(input, &presence::format::Limits::default()).is_ok();
    let entity = "sip:alice@lab.test";
    let compose = |document: &[u8]| {
        compositor::compose(entity, &[Contribution { scope: "phone", newest: 1, document }], false)
    };
    let composed = compose(input);
    let limits = presence::format::Limits { bytes: 1 << 20, depth: 64, attributes: 256, namespaces: 256 };
    let again = pidf::Document::parse(&composed.document, &limits).expect("what we compose can be read");
    assert_eq!(again.entity().as_deref(), Some(entity));
    if readable {
        assert_eq!(compose(&composed.document).document, composed.document);
    }
}

/// Every stream that is offered has its line in the answer, and one at most is accepted (RFC 3264 section 6).
pub fn sdp(input: &[u8]) {
    let answer = session::answer(input, 1);
    let streams: Vec<_> = answer.lines().filter(|line| line.starts_with("m=")).collect();
    assert!(!streams.is_empty());
    assert!(streams.iter().filter(|line| line.split(' ').nth(1) != Some("0")).count() <= 1, "{answer}");
}

fn parse(bytes: &[u8]) -> Option<Message> {
    Message::parse(Bytes::copy_from_slice(bytes), &Limits::default()).ok()
}

fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>, limits: Limits) -> Vec<Result<Frame, NotSip>> {
    let mut framer = StreamFramer::new(limits);
    let mut frames = Vec::new();
    for piece in pieces {
        framer.push(piece);
        frames.extend(std::iter::from_fn(|| framer.next()));
    }
    frames
}
