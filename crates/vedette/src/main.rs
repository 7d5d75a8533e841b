//! Vedette: a clustered SIP presence service. One binary, several roles.

mod config;
mod ctl;
mod ports;
mod roles;
mod shutdown;
mod telemetry;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use nix::sys::prctl;

/// Replication and SIP both make many small, short-lived buffers; the system's allocator is slower at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A clustered SIP presence service.
#[derive(Parser)]
#[command(name = "vedette", version, disable_help_subcommand = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Start a whole cluster in this process: dispatcher, managers, auth-adapter and HTTP (the default)
    Up(up::Args),
    /// Run a dispatcher: the SIP proxy that phones talk to
    Dispatcher(config::RoleArgs),
    /// Run a manager: a member of the cluster
    Manager(config::RoleArgs),
    /// Run an auth-adapter: answers for accounts
    Auth(config::RoleArgs),
    /// Look at a running cluster, watch a presentity, set a status
    Ctl(ctl::Args),
}

const EXAMPLES: &str = "\
Examples:
  vedette                                      a cluster on this machine, with demo accounts
  vedette up --domain lab.test --data ./data   the same, for another domain, and kept
  vedette ctl watch alice@vedette.test         follow alice's presence";

/// Exit status of wrong usage, unreadable files and ports in use.
const USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    spare_huge_pages();
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command.unwrap_or_else(|| Command::Up(up::Args::default())),
        Err(error) => return explain(&error),
    };
    let outcome = match command {
        Command::Ctl(args) => return ctl::run(args).await,
        Command::Up(args) => up::run(args).await,
        Command::Dispatcher(args) => roles::dispatcher(args).await,
        Command::Manager(args) => roles::manager(args).await,
        Command::Auth(args) => roles::auth(args).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vedette: {error:#}");
            ExitCode::from(USAGE)
        }
    }
}

/// The allocator gives large blocks back when a burst is over. In a huge page the next burst would have 2 MiB cleared for
/// the little that it takes. Where the kernel does not allow it, all is well but slower.
fn spare_huge_pages() {
    let _ = prctl::set_thp_disable(true);
}

/// Help and the version are what was asked for; a wrong flag is told in one line.
fn explain(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        print!("{error}");
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let what: Vec<_> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let what = what.join(" ");
    eprintln!("vedette: {} (--help says more)", what.strip_prefix("error: ").unwrap_or(&what));
    ExitCode::from(USAGE)
}
