//! Phones that go on while managers of a running cluster are killed and paused, and that count what they lose.
//!
//!     AUTH=open scripts/cluster/local.sh start
//!     cargo run -p vedette-tests --bin survive -- --fault kill-leader --rounds 20
//!
//! All dialogs and publications are made once and outlive every round. After each round every entity-tag must be good at
//! every manager, every watcher must get the next change in its old dialog, its refresh must be granted, and it must hold
//! the newest state. Exit status: 0 nothing was lost, 1 something was, 2 it could not be tried.
//!
//! | file | what |
//! |---|---|
//! | `phones` | one UDP socket, all transactions, and time |
//! | `publisher`, `watcher` | what one phone knows and says |
//! | `cluster` | the script that breaks the cluster, and questions to it |
//! | `probe` | refreshes of entity-tags at one manager after the other |
//! | `trial` | the rounds |
//! | `report` | the figures and the verdict |

mod cluster;
mod phones;
mod probe;
mod publisher;
mod report;
mod request;
mod trial;
mod watcher;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Breaks a running cluster again and again, and counts what phones lose by it.
#[derive(Clone, Parser)]
pub struct Args {
    /// What is done in each round; `rotate` kills one manager after the other without looking in between
    #[arg(long, value_enum)]
    fault: Fault,
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// How many publish
    #[arg(long, default_value_t = 50)]
    presentities: usize,
    /// How many watch each of them
    #[arg(long, default_value_t = 4)]
    watchers: usize,
    /// PUBLISHes a second, all together
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// Seconds that watchers may stay silent before the manager is brought back
    #[arg(long, default_value_t = 10.0)]
    patience: f64,
    /// Seconds that it is away at least
    #[arg(long, default_value_t = 0.0)]
    away: f64,
    /// Seconds from one kill to the next of `rotate`
    #[arg(long, default_value_t = 20.0)]
    every: f64,
    /// Seconds that `rotate` goes on
    #[arg(long, default_value_t = 120.0)]
    duration: f64,
    /// The folder of the cluster, as `local.sh` has it
    #[arg(long, env = "DIR")]
    dir: PathBuf,
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/cluster/local.sh"))]
    script: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    KillLeader,
    KillFollower,
    PauseLeader,
    PauseFollower,
    Rotate,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match trial::run(&args) {
        Ok(report) => {
            print!("{report}");
            ExitCode::from(u8::from(report.lost_anything()))
        }
        Err(error) => {
            eprintln!("survive: {error:#}");
            ExitCode::from(2)
        }
    }
}
