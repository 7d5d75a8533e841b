//! The example billing server in this process, and the checks as a process of their own.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;
use tokio::net::TcpListener;

use crate::billing::{Billing, Customers, Faults, Secrets, serve};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../auth-adapter/examples/billing");
pub const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../auth-adapter/examples/billing/check.toml");
/// Far more than a server on the same machine needs, however busy the machine is.
const DEADLINE_MS: &str = "20000";

/// Starts the example; gives its URL.
pub async fn start(secrets: Secrets, faults: Faults) -> (Arc<Billing>, String) {
    let customers = Customers::from_file(&Path::new(EXAMPLE).join("customers.toml")).unwrap();
    let billing = Arc::new(Billing::new(customers, secrets, 60));
    billing.set_faults(faults);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, billing.clone()));
    (billing, url)
}

/// `vedette ctl auth check` with these words.
pub async fn check<W: AsRef<OsStr>>(words: &[W]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vedette"));
    command.args(["ctl", "auth", "check"]).args(words);
    // The server under trial runs in this process meanwhile.
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("the binary starts")
}

/// The exit status, and the report of all checks with the example's own script.
pub async fn report(url: &str) -> (Option<i32>, Value) {
    report_within(url, DEADLINE_MS).await
}

pub async fn report_within(url: &str, deadline_ms: &str) -> (Option<i32>, Value) {
    let output = check(&[url, "--script", SCRIPT, "--deadline-ms", deadline_ms, "--json"]).await;
    let report = serde_json::from_slice(&output.stdout);
    (output.status.code(), report.unwrap_or_else(|_| panic!("no report: {output:?}")))
}

/// The names of those that ended so.
pub fn names<'a>(report: &'a Value, outcome: &str) -> Vec<&'a str> {
    let checks = report["checks"].as_array().expect("a report has checks");
    let ended_so = checks.iter().filter(|check| check["outcome"] == outcome);
    ended_so.filter_map(|check| check["name"].as_str()).collect()
}
