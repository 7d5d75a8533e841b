//! What the command line promises: exit codes, one line a check, and one clear line for what is wrong.

use std::io::Write;

use crate::billing::{Faults, Lie, Secrets};
use crate::server::{SCRIPT, check, start};

/// Exit 2 and one line on standard error, which holds `text`.
async fn assert_refused(words: &[&str], text: &str) {
    let output = check(words).await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{words:?}: {error}");
    assert!(error.contains(text) && error.lines().count() == 1, "{words:?}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_check_is_a_line_with_what_was_expected_and_what_came() {
    let (_, url) = start(Secrets::Given, Faults { lie: Some(Lie::IgnoreBlock), ..Faults::default() }).await;

    let output = check(&[&url, "--script", SCRIPT, "--deadline-ms", "20000"]).await;

    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("pass  subscribe-md5  "), "{text}");
    let failed = text.lines().find(|line| line.starts_with("FAIL  blocked-account")).expect("it is found");
    assert!(
        failed.contains("expected: DENY, with the right password; came: ALLOW, for sip:dave@"),
        "{failed}"
    );
    assert!(text.contains("all at once: 100 questions, p50 ") && text.ends_with("0 skipped\n"), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_run_is_told_in_one_line() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{free}");
    let mut script = tempfile::NamedTempFile::new().unwrap();
    script.write_all(b"[account]\nuri = \"sip:alice@lab.test\"\npasword = \"pw\"\n").unwrap();
    let bad = script.path().to_str().unwrap();

    assert_refused(&[&nobody, "--script", SCRIPT], &nobody).await;
    assert_refused(&["127.0.0.1:7400", "--script", SCRIPT], "\"127.0.0.1:7400\" ").await;
    assert_refused(&["ftp://127.0.0.1:7400", "--script", SCRIPT], "neither with http:// nor").await;
    assert_refused(&[&nobody, "--script", "/nowhere/check.toml"], "/nowhere/check.toml").await;
    assert_refused(&[&nobody, "--script", bad], &format!("{bad}:3: unknown field `pasword`")).await;
    assert_refused(&[&nobody, "--script", SCRIPT, "--deadline-ms", "0"], "--deadline-ms").await;
    assert_refused(&["https://a.test", "--script", SCRIPT, "--ca", "/nowhere/ca.pem"], "/nowhere/ca.pem")
        .await;
    assert_refused(&[&nobody], "--script").await;
    assert_refused(&["--json"], "--script").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_script_leaves_out_is_skipped() {
    let (_, url) = start(Secrets::Given, Faults::default()).await;
    let script = std::fs::read_to_string(SCRIPT).unwrap();
    let (script, _) = script.split_once("[pending]").unwrap();
    let mut shorter = tempfile::NamedTempFile::new().unwrap();
    shorter.write_all(b"algorithms = [\"MD5\"]\n").unwrap();
    shorter.write_all(script.replace("tenant = \"acme\"", "").as_bytes()).unwrap();

    let path = shorter.path().to_str().unwrap();
    let output = check(&[&url, "--script", path, "--deadline-ms", "20000"]).await;

    let text = String::from_utf8_lossy(&output.stdout);
    let skipped: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("skip  ")?.split(' ').next()).collect();
    let expected = [
        "subscribe-sha256",
        "publish-sha256",
        "register-sha256",
        "pending",
        "pending-wrong-password",
        "tenant",
    ];
    assert_eq!((output.status.code(), skipped), (Some(0), expected.to_vec()), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_and_the_sample_need_no_server() {
    let list = check(&["--list"]).await;
    let sample = check(&["--sample"]).await;

    assert!(String::from_utf8_lossy(&list.stdout).contains("wrong-password "));
    assert_eq!(sample.stdout, std::fs::read(SCRIPT).unwrap());
    assert!(list.status.success() && sample.status.success());
}
