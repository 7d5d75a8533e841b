//! What must hold of any bytes that are read as a message. The fuzz target `message` feeds it too.

use bytes::Bytes;
use sip::digest::{self, Algorithm};
use sip::transaction::{ClientTransactions, ServerTransactions};
use sip::uri::unescape;
use sip::{
    Addressing, Contacts, DialogId, Edit, Instant, Limits, Message, Method, Name, NameAddr, ResponseWriter,
    Secret, Uri, route_set,
};

/// Everything that the crate can do with a message, whatever `check` thinks of it.
pub fn exercise(bytes: &[u8]) {
    let limits = Limits::default();
    let Ok(message) = Message::parse(Bytes::copy_from_slice(bytes), &limits) else { return };
    read(&message);
    edit(&message);
    transact(&message);
    if message.check().is_ok() {
        let again = Message::parse(message.bytes().clone(), &limits).unwrap();
        assert_eq!(again.bytes(), message.bytes(), "what was normalised stays so");
        assert_eq!(again.check(), Ok(()));
    }
}

fn read(message: &Message) {
    let _ = (
        message.method_text(),
        message.request_uri(),
        message.status(),
        message.answerable(),
        message.call_id(),
    );
    let _ =
        (message.from(), message.to(), message.contact(), message.cseq(), message.expires(), message.event());
    let _ = (message.max_forwards(), message.subscription_state(), message.extension("x"), message.body());
    let _ = format!("{message:?} {}", unescape(message.request_uri()));
    for name in [Name::Via, Name::Route, Name::From, Name::Other] {
        let _ = (message.header(name), message.text(name), message.headers(name).count());
        for value in message.values(name) {
            let _ = NameAddr::parse(value).map(|address| (address.display_text().len(), address.tag()));
        }
    }
    for via in message.vias().flatten() {
        let _ = (via.unique_branch(), via.params.iter().count());
    }
    if let Ok(Contacts::List(contacts)) = message.contacts() {
        for contact in contacts {
            let _ = contact.params.unquoted("expires");
            let _ = Uri::parse(contact.uri).map(|uri| (uri.socket_addr(), uri.params.get("gr")));
        }
    }
    if let Some(found) = digest::credentials(message, "r") {
        let ha1 = digest::ha1(Algorithm::Sha256, &found.username, "r", "p");
        assert!(!digest::verify(&found, message.method_text(), &ha1, &message.body()));
    }
    let _ = DialogId::of_request(message);
    let _ = Addressing::new(message.request_uri(), &route_set(message)).next_hop();
}

fn edit(message: &Message) {
    let limits = Limits::default();
    let source = "[2001:db8::9]:1".parse().unwrap();
    let all = Edit::new(message)
        .request_uri("sip:x")
        .note_source(source)
        .pop_routes(1)
        .push_route("<sip:r;lr>")
        .push_record_route("<sip:r;lr>")
        .max_forwards(1)
        .strip(Name::Authorization)
        .append("X", "y")
        .finish();
    let popped = Edit::new(message).pop_via().pop_via().finish();
    let pushed = Edit::new(message).push_via(&["SIP/2.0/TCP us;branch=z9hG4bKx"]).finish();
    if message.check().is_ok() {
        assert!(Message::parse(all, &limits).is_ok());
        assert!(Message::parse(popped, &limits).is_ok());
        let pushed = Message::parse(pushed, &limits).unwrap();
        assert_eq!(pushed.via().unwrap().branch, Some("z9hG4bKx"));
        assert_eq!(Edit::new(&pushed).pop_via().finish(), Edit::new(message).finish());
    }
    if message.is_request() {
        let answer =
            ResponseWriter::new(message, 400).to_tag("t").copy(Name::RecordRoute).body("a/b", b"x").finish();
        let answer = Message::parse(answer, &limits).unwrap();
        assert_eq!(answer.status(), Some(400));
        assert!(message.check().is_err() || answer.check().is_ok() || message.method() == Method::Other);
    }
}

fn transact(message: &Message) {
    let mut servers = ServerTransactions::new(1, Secret::new("lab"));
    if let Ok(via) = message.via() {
        let _ = (servers.receive(message, &via, Instant(0)), servers.is_cancelled_by(message, &via));
    }
    servers.handle_timeout(Instant(u64::MAX));
    let mut clients = ClientTransactions::new(1);
    clients.start("z9hG4bK1".into(), message.bytes().clone(), false, (), Instant(0)).unwrap();
    let _ = clients.receive(message, Instant(1));
}
