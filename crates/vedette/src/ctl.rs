//! `vedette ctl`: what an operator asks a running server, and sets in it, from a shell.
//!
//! It speaks HTTP to the API and nothing else, so it works from wherever the API can be reached. Answers go to standard
//! output, complaints to standard error; it exits with 0 when it did what was asked, 1 when the server refused, and 2 when
//! the command was wrong or no server could be reached.

mod auth;
mod client;
mod failure;
mod sse;
mod table;
mod token;
mod view;
mod watch;

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;

use client::Client;
use failure::Failure;
pub use token::token_file;
use web::json;

/// How long a status set without `--expires` lasts: as long as a phone's publication by default (RFC 3903).
const DEFAULT_EXPIRES: u32 = 3600;

/// Ask a running server, set statuses in it, and try a billing server.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vedette ctl status
  vedette ctl publish alice@vedette.test away --note Lunch
  vedette ctl history alice@vedette.test
  vedette ctl presence alice@vedette.test
  vedette ctl watch alice@vedette.test
  vedette ctl --api http://10.0.0.7:8080 watchers sip:alice@vedette.test

A URI may leave out its `sip:`. A token is taken from VEDETTE_TOKEN, or from the file that `vedette up` leaves for its
user; writing needs one always, reading on some servers. Exits with 1 when the server refused, with 2 when it was not reached.")]
pub struct Args {
    /// The server's HTTP API
    #[arg(
        long,
        value_name = "URL",
        global = true,
        env = "VEDETTE_API",
        default_value = "http://127.0.0.1:8080"
    )]
    api: String,
    /// Print JSON, as the API answered, in place of tables
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Members, roles, the leader of each group, log positions and counts
    Status,
    /// What the watchers of a presentity see, with the document
    #[command(after_help = "\
Examples:
  vedette ctl presence alice@vedette.test
  vedette ctl presence alice@vedette.test --consistent")]
    Presence {
        /// An address such as alice@vedette.test
        uri: String,
        /// Ask through the log: nothing older than what was answered before to anybody
        #[arg(long)]
        consistent: bool,
    },
    /// Who watches a presentity, and which node notifies them
    #[command(after_help = "Example:\n  vedette ctl watchers alice@vedette.test")]
    Watchers {
        /// An address such as alice@vedette.test
        uri: String,
    },
    /// Follow a presentity live, a line for each change, until Ctrl-C
    #[command(after_help = "\
Examples:
  vedette ctl watch alice@vedette.test
  vedette ctl watch alice@vedette.test --json | jq .basic")]
    Watch {
        /// An address such as alice@vedette.test
        uri: String,
    },
    /// What was said of a presentity, by whom and when
    #[command(after_help = "\
Examples:
  vedette ctl history alice@vedette.test
  vedette ctl history alice@vedette.test --since 2026-03-01T00:00:00Z --format csv > alice.csv
  vedette ctl history alice@vedette.test --since 812.3     what came after that position")]
    History {
        /// An address such as alice@vedette.test
        uri: String,
        /// A time such as 2026-03-01T00:00:00Z, or a position
        #[arg(long, value_name = "S")]
        since: Option<String>,
        /// In place of a table
        #[arg(long, value_name = "F")]
        format: Option<Format>,
    },
    /// Set a presentity's status, as one more source beside its phones
    #[command(after_help = "\
Examples:
  vedette ctl publish alice@vedette.test away --note \"Back at two\"
  vedette ctl publish alice@vedette.test donotdisturb --expires 0
  vedette ctl publish alice@vedette.test --contact tel:+4930123456,0.8

The token for writing is taken from VEDETTE_TOKEN, or from the file that `vedette up` leaves for its user.")]
    Publish(Publish),
    /// Try a billing server against the contract that managers and the auth-adapter speak
    Auth(auth::Args),
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Csv,
    Ndjson,
}

#[derive(Debug, clap::Args)]
struct Publish {
    /// An address such as alice@vedette.test
    uri: String,
    /// A status name: available, away, busy, donotdisturb, ...
    #[arg(required_unless_present = "contact")]
    status: Option<String>,
    /// Where else to reach them, with a priority from 0 to 1; may be repeated
    #[arg(long, value_name = "URI[,P]", value_parser = contact)]
    contact: Vec<json::Contact>,
    /// A text for people, shown beside the status
    #[arg(long, value_name = "T", default_value = "", hide_default_value = true)]
    note: String,
    /// Seconds until it is forgotten; 0 keeps it until it is removed
    #[arg(long, value_name = "S", default_value_t = DEFAULT_EXPIRES)]
    expires: u32,
}

/// Does what the command line says; the process exits with what this returns.
pub async fn run(args: Args) -> ExitCode {
    let Some(command) = args.command else {
        eprint!("{}", help());
        return ExitCode::from(2);
    };
    let client = Client::new(&args.api);
    let done = async { perform(&client?, command, args.json, &mut std::io::stdout()).await };
    match done.await {
        // Whoever reads our output has seen enough, as in `vedette ctl watch ... | head`.
        Ok(()) | Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("vedette ctl: {failure}");
            failure.exit_code()
        }
    }
}

async fn perform(
    client: &Client,
    command: Command,
    as_json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    match command {
        Command::Status => answer(out, as_json, &client.status().await?, view::status),
        Command::Presence { uri, consistent } => {
            answer(out, as_json, &client.presence(&uri, consistent).await?, view::presence)
        }
        Command::Watchers { uri } => answer(out, as_json, &client.watchers(&uri).await?, view::watchers),
        Command::Watch { uri } => watch::until_interrupted(client, &uri, as_json, out).await,
        Command::History { uri, since, format: None } => {
            answer(out, as_json, &client.history(&uri, since.as_deref()).await?, view::history)
        }
        Command::History { uri, since, format: Some(format) } => {
            let format = match format {
                Format::Csv => "csv",
                Format::Ndjson => "ndjson",
            };
            Ok(out.write_all(client.exported(&uri, since.as_deref(), format).await?.as_bytes())?)
        }
        Command::Publish(publish) => {
            let body = json::SetSource {
                status: publish.status.unwrap_or_default(),
                note: publish.note,
                expires: publish.expires,
                contacts: publish.contact,
            };
            let done = client.publish(&publish.uri, &body).await?;
            answer(out, as_json, &done, |done| view::published(done, &body))
        }
        Command::Auth(auth) => auth::run(auth, as_json, out).await,
    }
}

/// An address, and behind the last comma its priority.
fn contact(text: &str) -> Result<json::Contact, String> {
    let (uri, priority) = match text.rsplit_once(',') {
        Some((uri, priority)) => (uri, priority.trim().parse::<f64>().ok()),
        None => (text, Some(0.0)),
    };
    let contact = priority.map(|priority| json::Contact { uri: uri.to_owned(), priority });
    contact
        .filter(|contact| contact.thousandths().is_some())
        .ok_or_else(|| "write it as tel:+4930123456,0.8 with a priority from 0 to 1".to_owned())
}

fn answer<T: Serialize>(
    out: &mut impl Write,
    as_json: bool,
    value: &T,
    view: impl Fn(&T) -> String,
) -> Result<(), Failure> {
    let text = if as_json { serde_json::to_string_pretty(value)? } else { view(value) };
    writeln!(out, "{}", text.trim_end())?;
    Ok(())
}

fn help() -> String {
    let ctl = clap::Command::new("ctl").bin_name("vedette ctl").disable_help_subcommand(true);
    <Args as clap::Args>::augment_args(ctl).render_help().to_string()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Line::try_parse_from(["ctl"].into_iter().chain(line.split(' '))).map(|line| line.args)
    }

    #[test]
    fn flags_may_stand_before_and_after_the_word() {
        for line in ["--json watch alice@a.test", "watch alice@a.test --json", "watch --json alice@a.test"] {
            let args = parse(line).unwrap();
            assert!(args.json && matches!(args.command, Some(Command::Watch { .. })), "{line}");
        }
        assert_eq!(parse("status --api http://b:1").unwrap().api, "http://b:1");
    }

    #[test]
    fn a_wrong_command_line_is_refused() {
        for line in [
            "",
            "presence",
            "publish alice@a.test",
            "publish a@a.test away --expires soon",
            "publish a@a.test --contact tel:+49,2",
            "history a@a.test --format xml",
            "restart",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_source_may_say_contacts_and_no_status() {
        let args = parse("publish a@a.test --contact tel:+4930,0.8 --contact sip:a@b.test;lr").unwrap();
        let Some(Command::Publish(publish)) = args.command else { panic!("this is publish") };

        let contact = |uri: &str, priority| json::Contact { uri: uri.into(), priority };
        assert_eq!(publish.contact, [contact("tel:+4930", 0.8), contact("sip:a@b.test;lr", 0.0)]);
        assert_eq!(publish.status, None);
    }

    #[test]
    fn the_help_says_every_word_with_an_example() {
        let help = help();

        for word in ["status", "presence", "watchers", "watch", "history", "publish", "auth"] {
            assert!(help.contains(&format!("  {word} ")), "{help}");
        }
        assert!(help.contains("Usage: vedette ctl [OPTIONS]") && help.contains("Examples:"), "{help}");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named_with_what_to_do() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let client = Client::new(&format!("http://{closed}")).unwrap();

        let failure =
            perform(&client, Command::Status, false, &mut Vec::new()).await.unwrap_err().to_string();

        assert!(failure.starts_with(&format!("no server answers at http://{closed}")), "{failure}");
        assert!(failure.contains("vedette up") && !failure.contains('\n'), "{failure}");
    }
}
