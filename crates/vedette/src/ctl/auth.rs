//! `vedette ctl auth check`: whether a billing server keeps the contract `vedette.v1.Auth`, for those who write one.
//!
//! It asks as a manager would, about the accounts of a test system that a script names, and judges the answers by what a
//! manager would make of them. It changes nothing there.
//!
//! | file | what |
//! |---|---|
//! | `script` | the accounts, from a TOML file |
//! | `login` | the digest that a phone would send |
//! | `question` | what is asked |
//! | `verdict` | what an answer amounts to, and whether that was expected |
//! | `checks` | the list of checks |
//! | `server` | the calls, and all that was answered |
//! | `report` | the list for people and for programs |

mod checks;
mod login;
mod question;
mod report;
mod script;
mod server;
mod verdict;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::failure::Failure;
use checks::CHECKS;
use report::Report;
use script::Script;
use server::Server;
use tls::OutsideFiles;

/// The script that fits the example billing server.
const SAMPLE: &str = include_str!("../../../auth-adapter/examples/billing/check.toml");

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run all checks against a billing server and print what passed and what failed
    #[command(after_help = "\
Examples:
  vedette ctl auth check --sample > check.toml
  vedette ctl auth check http://billing.example.com:7400 --script check.toml
  vedette ctl auth check http://billing.example.com:7400 --script check.toml --json | jq .failed

The script is a TOML file with accounts of your test system: [account] is a customer in good standing with its
password, [unknown] an address that is nobody's, [blocked] a customer who is blocked, [pending] (may be left out)
somebody who has to agree before the account may watch. The sample explains each line.

Each check is one line: what was expected, and what came. Exits with 0 when none failed, with 1 when one did, with 2
when they could not be run.")]
    Check(Check),
}

#[derive(Debug, clap::Args)]
struct Check {
    /// The billing server (gRPC), as a manager or an auth-adapter would be told
    #[arg(value_name = "URL", required_unless_present_any = ["list", "sample"])]
    url: Option<String>,
    /// The accounts to ask about
    #[arg(long, value_name = "FILE", required_unless_present_any = ["list", "sample"])]
    script: Option<PathBuf>,
    /// Whom to trust with an https:// URL, as PEM [default: whom the system trusts]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The certificate to show there, as PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// How long an answer is waited for
    #[arg(long, value_name = "MS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    deadline_ms: u32,
    /// Print the name of each check and what it expects, and run none
    #[arg(long, conflicts_with = "sample")]
    list: bool,
    /// Print a script to start from
    #[arg(long)]
    sample: bool,
}

pub async fn run(args: Args, as_json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let Command::Check(args) = args.command;
    if args.sample {
        out.write_all(SAMPLE.as_bytes())?;
        return Ok(());
    }
    let (Some(url), Some(script), false) = (&args.url, &args.script, args.list) else {
        for check in CHECKS {
            writeln!(out, "{:<width$}  {}", check.name, check.expects, width = checks::longest_name())?;
        }
        return Ok(());
    };
    let script = load(script)?;
    let deadline = Duration::from_millis(args.deadline_ms.into());
    let files = OutsideFiles { ca: args.ca, own: args.cert.zip(args.key) };
    let mut server = Server::connect(url, files, deadline).await.map_err(Failure::Usage)?;

    let mut report = Report::new(url, as_json);
    for check in CHECKS {
        let outcome = check.run(&script, &mut server).await;
        report.add(out, check, outcome)?;
    }
    report.end(out, &mut server)
}

fn load(path: &Path) -> Result<Script, Failure> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Usage(format!("cannot read the script {file}: {error}")))?;
    Script::parse(&text).map_err(|bad| Failure::Usage(format!("{file}:{}: {}", bad.line, bad.reason)))
}
