//! What the command line promises: exit codes, and one clear line for what is wrong.

use std::net::TcpListener;
use std::process::Output;

use crate::server::{Server, vedette};

fn run(args: &[&str]) -> Output {
    vedette().args(args).output().expect("the binary starts")
}

/// Exit 2 and one line on standard error, which holds `text`.
pub fn assert_refused(args: &[&str], text: &str) {
    let output = run(args);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
    assert!(error.contains(text) && error.lines().count() == 1, "{args:?}: {error}");
}

#[test]
fn ctrl_c_ends_the_server_with_status_0() {
    let server = Server::up(&["--managers", "1"]);

    assert_eq!(server.interrupt().code(), Some(0));
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    assert_refused(&["up", "--sip", &address, "--http", "127.0.0.1:0"], &address);
    assert_refused(&["up", "--sip", "127.0.0.1:0", "--http", &address], &address);
}

#[test]
fn wrong_flags_and_unreadable_files_are_named() {
    assert_refused(&["up", "--nonsense"], "--nonsense");
    assert_refused(&["up", "--managers", "0"], "--managers");
    assert_refused(&["up", "--accounts", "/nowhere/accounts.toml"], "/nowhere/accounts.toml");
    assert_refused(&["up", "--config", "/nowhere/vedette.toml"], "/nowhere/vedette.toml");
    assert_refused(&["up", "--upstream", "tel:nonsense"], "tel:nonsense");
    assert_refused(&["manager", "--config", "/nowhere/vedette.toml"], "/nowhere/vedette.toml");
    assert_refused(&["ctl", "--api", "http://127.0.0.1:1", "status"], "127.0.0.1:1");
}

#[test]
fn a_status_shows_every_member_and_one_leader() {
    let server = Server::up(&[]);

    let status = server.ctl(&["status"]);

    assert!(status.contains("3 managers, all answer; cluster "), "{status}");
    // The system group and the one that holds all presentities.
    assert_eq!(status.matches("follower").count(), 4, "{status}");
    assert!(status.contains("manager-3") && !status.contains("not asked"), "{status}");
}
