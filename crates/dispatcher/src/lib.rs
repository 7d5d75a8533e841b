//! The dispatcher: the SIP proxy between phones and managers.
//!
//! It keeps the phones' flows (sockets and connections) and a bounded window of requests in flight, and nothing else:
//! any dispatcher can take any request, and a restart loses only connections. The rules are values ([`forward`],
//! [`deliver`], [`route`], [`window`], [`members`], [`throttle`], [`oversize`], most of [`upstream`]); sockets are in [`transport`], [`link`] and
//! [`directory`], which tells who the managers are; [`switchboard`] joins them.

pub mod branch;
mod callers;
pub mod config;
pub mod deliver;
pub mod directory;
pub mod dispatcher;
pub mod forward;
pub mod health;
pub mod link;
pub mod members;
pub mod metrics;
pub mod names;
pub mod outbox;
pub mod oversize;
pub mod refusal;
pub mod route;
pub mod switchboard;
pub mod throttle;
pub mod transport;
pub mod upstream;
pub mod window;

pub use config::{Config, Endpoint, Limits, Listener, Manager, Speaks, Timings, Upstream};
pub use dispatcher::{Dispatcher, run};
pub use transport::BindError;
