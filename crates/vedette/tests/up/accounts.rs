//! Whose accounts a whole cluster answers for.

use std::io::Write;

use sip::header::Name;

use crate::command_line::assert_refused;
use crate::phone::{Phone, pidf, tag};
use crate::server::Server;

fn file(text: &str) -> tempfile::TempPath {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("room in it");
    file.into_temp_path()
}

#[test]
fn the_settings_say_who_knows_the_accounts() {
    let accounts = file("[[account]]\nuri = \"sip:zoe@vedette.test\"\npassword = \"zoepw\"\n");
    let config = file(&format!("[auth]\naccounts = {:?}\n", accounts.to_str().unwrap()));

    let server = Server::up(&["--managers", "1", "--config", config.to_str().unwrap()]);

    let mut zoe = Phone::new("zoe", server.sip);
    assert!(!tag(&zoe.publish("", 600, &pidf("zoe", "open", "here"))).is_empty());
}

#[test]
fn a_customer_blocked_in_the_accounts_file_is_shown_nothing_more() {
    let account = |name| format!("[[account]]\nuri = \"sip:{name}@vedette.test\"\npassword = \"{name}pw\"\n");
    let accounts = file(&(account("alice") + &account("bob")));
    let server = Server::up(&["--managers", "1", "--accounts", accounts.to_str().unwrap()]);
    let (mut alice, mut bob) = (Phone::new("alice", server.sip), Phone::new("bob", server.sip));
    bob.subscribe("alice");
    assert_eq!(bob.notified().text(Name::SubscriptionState).map(|state| &state[..6]), Some("active"));

    std::fs::write(&accounts, account("alice") + &account("bob") + "blocked = true\n").unwrap();

    let last = bob.notified();
    assert_eq!(last.text(Name::SubscriptionState), Some("terminated;reason=rejected"));
    alice.publish("", 600, &pidf("alice", "open", "in private"));
    assert_eq!(bob.subscribe("alice").0.status(), Some(403));
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let config = file("[auth]\naccounts = \"a.toml\"\nbilling = \"http://127.0.0.1:1\"\n");

    assert_refused(&["up", "--config", config.to_str().unwrap()], "more than one of `accounts`");
}
