//! What an operator types while the server runs: a command a line, an answer a line.

use std::io::BufRead;
use std::sync::Arc;

use clap::ValueEnum;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::customers::Customer;
use super::faults::{Faults, Lie};
use super::service::Billing;

const HELP: &str =
    "block URI | unblock URI | approve WATCHER PRESENTITY | calls | delay MS | fail on|off | lie NAME|off";

/// Does what one line says; the answer starts with "error" if it cannot.
pub fn perform(billing: &Billing, line: &str) -> String {
    let faults = billing.faults();
    let words: Vec<_> = line.split_whitespace().collect();
    let done = match words[..] {
        ["block", uri] => change(billing, uri, uri, |customer| customer.blocked = true),
        ["unblock", uri] => change(billing, uri, uri, |customer| customer.blocked = false),
        // It is the watcher for whom the answer is another one now.
        ["approve", watcher, presentity] => {
            change(billing, presentity, watcher, |customer| customer.approved.push(watcher.to_owned()))
        }
        ["calls"] => {
            let (questions, streams) = billing.calls();
            Ok(format!("{questions} questions, {streams} streams"))
        }
        ["delay", ms] => match ms.parse() {
            Ok(delay_ms) => be(billing, Faults { delay_ms, ..faults }),
            Err(_) => Err(format!("{ms} is no number of milliseconds")),
        },
        ["fail", "on"] => be(billing, Faults { fail: true, ..faults }),
        ["fail", "off"] => be(billing, Faults { fail: false, ..faults }),
        ["lie", "off"] => be(billing, Faults { lie: None, ..faults }),
        ["lie", name] => match Lie::from_str(name, false) {
            Ok(lie) => be(billing, Faults { lie: Some(lie), ..faults }),
            Err(_) => Err(format!("there is no lie {name}")),
        },
        ["help"] => Ok(HELP.to_owned()),
        _ => Err(HELP.to_owned()),
    };
    done.unwrap_or_else(|why| format!("error: {why}"))
}

/// Changes a customer, and says so to everybody who holds answers about `told`.
fn change(
    billing: &Billing,
    uri: &str,
    told: &str,
    change: impl FnOnce(&mut Customer),
) -> Result<String, String> {
    let mut customers = billing.customers();
    change(customers.find_mut(uri).ok_or_else(|| format!("{uri} is no customer"))?);
    drop(customers);
    billing.changed(told);
    Ok("done".to_owned())
}

fn be(billing: &Billing, faults: Faults) -> Result<String, String> {
    billing.set_faults(faults);
    Ok("done".to_owned())
}

pub fn from_standard_input(billing: &Billing) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        println!("{}", perform(billing, &line));
    }
}

/// `printf 'calls\n' | nc 127.0.0.1 7401`
pub async fn from_port(billing: Arc<Billing>, listener: TcpListener) {
    while let Ok((connection, _)) = listener.accept().await {
        let billing = billing.clone();
        tokio::spawn(async move {
            // An operator who leaves in the middle of a line is no failure of ours.
            let _ = converse(&billing, connection).await;
        });
    }
}

async fn converse(billing: &Billing, mut connection: TcpStream) -> std::io::Result<()> {
    let (reader, mut writer) = connection.split();
    let mut lines = BufReader::new(reader).lines();
    while let Some(line) = lines.next_line().await? {
        writer.write_all(format!("{}\n", perform(billing, &line)).as_bytes()).await?;
    }
    Ok(())
}
