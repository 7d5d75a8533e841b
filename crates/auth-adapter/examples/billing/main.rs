//! A billing server to start from: it answers `vedette.v1.Auth`, so a manager or an auth-adapter can be pointed at it.
//!
//!     cargo run -p auth-adapter --example billing -- --accounts crates/auth-adapter/examples/billing/customers.toml
//!     vedette ctl auth check http://127.0.0.1:7400 --script crates/auth-adapter/examples/billing/check.toml
//!
//! Read the files in this order; the first three are what a server of your own needs, in whatever language.
//!
//! | file | what |
//! |---|---|
//! | `service` | the two calls of the contract |
//! | `rules` | who may do what: the answer to one question |
//! | `digest` | HA1s, and how a digest is checked by those who keep the secret |
//! | `address` | account names, and the digest username in them |
//! | `customers` | the customers, from a TOML file |
//! | `admin` | blocking and approving while it runs, from standard input or a port |
//! | `faults` | being slow, broken or wrong on purpose, for tests |

mod address;
mod admin;
mod customers;
mod digest;
mod faults;
mod rules;
mod service;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use tokio::net::TcpListener;

pub use admin::perform;
pub use customers::Customers;
pub use faults::{Faults, Lie};
pub use rules::Secrets;
pub use service::{Billing, serve};

#[derive(Parser)]
struct Args {
    /// Where the contract is spoken (gRPC)
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7400")]
    listen: SocketAddr,
    /// A TOML file with a [[customer]] for each account
    #[arg(long, value_name = "FILE")]
    accounts: PathBuf,
    /// Check digests here in place of handing out HA1s
    #[arg(long)]
    keep_secrets: bool,
    /// How long an answer may be reused
    #[arg(long, value_name = "S", default_value_t = 60)]
    cache_seconds: u32,
    /// Take commands on this port as well as on standard input; anybody who reaches it may use it
    #[arg(long, value_name = "ADDR:PORT")]
    admin: Option<SocketAddr>,
    /// Answer late
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay_ms: u64,
    /// Answer UNAVAILABLE
    #[arg(long)]
    fail: bool,
    /// Answer wrong
    #[arg(long, value_enum)]
    lie: Option<Lie>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let secrets = if args.keep_secrets { Secrets::Kept } else { Secrets::Given };
    let customers = Customers::from_file(&args.accounts)?;
    let billing = Arc::new(Billing::new(customers, secrets, args.cache_seconds));
    billing.set_faults(Faults { delay_ms: args.delay_ms, fail: args.fail, lie: args.lie });

    let listener = TcpListener::bind(args.listen).await?;
    println!("Billing answers on {}; \"help\" names the commands", listener.local_addr()?);
    if let Some(address) = args.admin {
        let listener = TcpListener::bind(address).await?;
        println!("Commands are taken on {}", listener.local_addr()?);
        tokio::spawn(admin::from_port(billing.clone(), listener));
    }
    std::thread::spawn({
        let billing = billing.clone();
        move || admin::from_standard_input(&billing)
    });
    serve(listener, billing).await?;
    Ok(())
}
