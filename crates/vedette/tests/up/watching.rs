//! One cluster, several phones and programs: what one says, the others see.

use crate::phone::{Phone, pidf, tag};
use crate::server::Server;

#[test]
fn a_watcher_sees_what_a_phone_a_program_and_a_registration_say() {
    let server = Server::up(&[]);
    let (mut alice, mut bob) = (Phone::new("alice", server.sip), Phone::new("bob", server.sip));

    let (subscribed, dialog) = bob.subscribe("alice");
    assert_eq!(subscribed.status(), Some(200));
    bob.notified_of("<basic>closed</basic>");

    assert_eq!(alice.register(60).status(), Some(200));
    bob.notified_of("<basic>open</basic>");

    let first = tag(&alice.publish("", 120, &pidf("alice", "open", "at my desk")));
    bob.notified_of("at my desk");

    server.ctl(&["publish", "alice@vedette.test", "busy", "--note", "on a call"]);
    let both = bob.notified_of("on a call");
    assert!(String::from_utf8_lossy(&both.body()).contains("at my desk"));
    let seen = server.ctl(&["presence", "alice@vedette.test"]);
    assert!(seen.contains("on a call") && seen.contains("at my desk"), "{seen}");

    assert_eq!(alice.publish(&first, 0, "").status(), Some(200));
    bob.notified_of("on a call");
    assert_eq!(bob.refresh(&dialog, 0).status(), Some(200));
    let last = bob.notified();
    assert!(last.text(sip::Name::SubscriptionState).is_some_and(|state| state.starts_with("terminated")));
}

#[test]
fn a_wrong_password_or_a_foreign_presentity_changes_nothing() {
    let server = Server::up(&[]);
    let mut mallory = Phone::new("mallory", server.sip);

    let refused = mallory.publish("", 120, &pidf("mallory", "open", "me"));

    assert_eq!(refused.status(), Some(403));
    assert!(server.ctl(&["presence", "mallory@vedette.test"]).contains("closed"));
}
