//! What phones say, and how a test reads what they hear.

use sip::digest::{self, Algorithm, Credentials};
use sip::{Message, Name};

pub const PHONE: &str = "198.51.100.7:40000";

pub const OPEN: &str = r#"<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:alice@lab.test"><tuple id="t1"><status><basic>open</basic></status></tuple></presence>"#;

/// Bob watches alice; `cseq` makes each request another. `more` are further lines.
pub fn subscribe(cseq: u32, to_tag: &str, more: &str) -> String {
    let to_tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    format!(
        "SUBSCRIBE sip:alice@lab.test SIP/2.0\n\
         Via: SIP/2.0/UDP 10.0.0.7:5062;branch=z9hG4bKs{cseq};rport\n\
         Max-Forwards: 70\n\
         From: <sip:bob@lab.test>;tag=b\n\
         To: <sip:alice@lab.test>{to_tag}\n\
         Call-ID: watch\n\
         CSeq: {cseq} SUBSCRIBE\n\
         Contact: <sip:bob@10.0.0.7:5062>\n\
         {more}Content-Length: 0\n\n",
    )
}

/// Alice publishes.
pub fn publish(cseq: u32, more: &str, body: &str) -> String {
    let content = if body.is_empty() { "" } else { "Content-Type: application/pidf+xml\n" };
    format!(
        "PUBLISH sip:alice@lab.test SIP/2.0\n\
         Via: SIP/2.0/UDP 10.0.0.8:5062;branch=z9hG4bKp{cseq};rport\n\
         Max-Forwards: 70\n\
         From: <sip:alice@lab.test>;tag=a\n\
         To: <sip:alice@lab.test>\n\
         Call-ID: publish\n\
         CSeq: {cseq} PUBLISH\n\
         {more}{content}Content-Length: ?\n\n{body}",
    )
}

pub fn statuses(told: &[Message]) -> Vec<u16> {
    told.iter().filter_map(Message::status).collect()
}

pub fn header(message: &Message, name: Name) -> &str {
    message.text(name).unwrap_or_else(|| panic!("no {name:?} in {}", text(message)))
}

pub fn text(message: &Message) -> String {
    String::from_utf8_lossy(message.bytes()).into_owned()
}

pub fn body(message: &Message) -> String {
    String::from_utf8_lossy(&message.body()).into_owned()
}

pub fn to_tag(answer: &Message) -> String {
    answer.to().unwrap().tag().unwrap_or_default().to_owned()
}

pub fn cseq(message: &Message) -> u32 {
    message.cseq().unwrap().number
}

/// What a client that knows the password answers to the challenge of that algorithm.
pub struct Login {
    pub nonce: String,
    pub response: String,
}

/// `nc` and a cnonce of `c`, with qop `auth`; the password is the user name and `pw`.
pub fn login(
    challenged: &Message,
    algorithm: Algorithm,
    user: &str,
    method: &str,
    uri: &str,
    nc: &str,
) -> Login {
    let wanted = format!("algorithm={}", algorithm.as_str());
    let challenges = challenged.headers(Name::WwwAuthenticate).map(String::from_utf8_lossy);
    let challenge = challenges.into_iter().find(|line| line.contains(&wanted)).expect("a challenge it knows");
    let nonce = challenge.split("nonce=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a nonce");
    Login { response: response(nonce, algorithm, user, method, uri, nc), nonce: nonce.to_owned() }
}

/// The response under a nonce that is known already.
pub fn response(nonce: &str, algorithm: Algorithm, user: &str, method: &str, uri: &str, nc: &str) -> String {
    let credentials = Credentials {
        username: user.into(),
        realm: "lab.test".into(),
        nonce: nonce.into(),
        uri: uri.into(),
        response: "".into(),
        algorithm,
        qop: Some("auth"),
        nc: Some(nc),
        cnonce: Some("c"),
        opaque: None,
    };
    let ha1 = digest::ha1(algorithm, user, "lab.test", &format!("{user}pw"));
    digest::response(&credentials, method, &ha1, b"").expect("all that belongs to qop is there")
}
