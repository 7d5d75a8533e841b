//! kill -9 of the whole process, and a start from the same folder: everything that was acknowledged is there.

use crate::phone::{Phone, pidf, tag};
use crate::server::Server;

#[test]
fn after_kill_9_tags_dialogs_and_bindings_are_what_they_were() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Server::kept_in(data.path());
    let (sip, http) = (server.sip, server.http);
    let (mut alice, mut bob) = (Phone::new("alice", sip), Phone::new("bob", sip));
    let (_, dialog) = bob.subscribe("alice");
    bob.notified();
    let first = tag(&alice.publish("", 600, &pidf("alice", "open", "before")));
    bob.notified_of("before");
    assert_eq!(alice.register(600).status(), Some(200));
    assert_eq!(alice.bindings().len(), 1);
    let (address, cseq) = (bob.address(), bob.cseq());
    drop(bob);

    server.kill();
    let _server = Server::up_at(sip, http, &["--data", data.path().to_str().expect("a plain path")]);

    let mut bob = Phone::at(address, "bob", sip).with_cseq(cseq);
    let second = tag(&alice.publish(&first, 600, &pidf("alice", "open", "after")));
    let notify = bob.notified_of("after");
    assert_ne!(first, second);
    let bindings = alice.bindings();
    assert!(bindings.len() == 1 && bindings[0].contains(&alice.address().to_string()), "{bindings:?}");
    assert_eq!(bob.refresh(&dialog, 600).status(), Some(200));
    let later = bob.notified();
    let number = |message: &sip::Message| message.cseq().expect("a NOTIFY has a CSeq").number;
    assert!(number(&later) > number(&notify));
}
