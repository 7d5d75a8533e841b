//! Whose accounts a whole cluster answers for.

use std::io::Write;

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
fn settings_that_contradict_each_other_are_refused() {
    let config = file("[auth]\naccounts = \"a.toml\"\nbilling = \"http://127.0.0.1:1\"\n");

    assert_refused(&["up", "--config", config.to_str().unwrap()], "more than one of `accounts`");
}
