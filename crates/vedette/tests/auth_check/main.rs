//! `vedette ctl auth check` against the example billing server: it passes, and each mistake that the example can be told
//! to make is found by the check that is there for it.

// The example as it is, with its `main` and all that only that uses.
#[allow(dead_code)]
#[path = "../../../auth-adapter/examples/billing/main.rs"]
mod billing;

mod command_line;
mod example;
mod mistakes;
mod secured;
mod server;
