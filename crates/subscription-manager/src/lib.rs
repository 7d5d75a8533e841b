//! A manager node: the shell around the presence agent, one file per neighbour.
//!
//! It moves bytes between the agent and its neighbours and holds no rule of presence. A task per group, the driver,
//! owns that group's agent; everything else reaches it through one bounded queue.

mod api_link;
mod auth_link;
mod billing_codec;
mod codec;
pub mod config;
mod demux;
mod driver;
mod followers;
mod manager;
mod metrics;
mod sip_link;
mod stand_in;

pub use config::{Auth, Config};
pub use manager::{BindError, Manager};
