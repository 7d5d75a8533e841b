//! SIP as values: messages, transactions, dialogs and digests (RFC 3261 and its kin).
//!
//! Nothing here does I/O, reads a clock or draws a random number. Bytes of the network enter through
//! `StreamFramer` (streams) and `Message::parse`; whatever they hold, nothing here panics or grows
//! without bound. Bytes leave through `ResponseWriter`, `RequestWriter` and `Edit`. There is no typed
//! header tree: a message stays the bytes it came as, and is read where a rule asks.

mod check;
mod dialog;
pub mod digest;
pub mod digits;
mod edit;
mod fault;
mod flow_token;
mod frame;
mod head_so_far;
pub mod header;
mod header_lines;
mod host;
mod level;
mod line_ends;
mod message;
mod method;
mod network;
mod recent;
mod secret;
mod status;
mod time;
pub mod transaction;
mod transport;
pub mod uri;
mod wire;
mod write;

pub use check::Checked;
pub use dialog::{Addressing, DialogId, route_set};
pub use edit::Edit;
pub use fault::{Fault, NotSip};
pub use flow_token::Flow;
pub use frame::{Frame, Framed, StreamFramer};
pub use header::{CSeq, Contacts, Event, Name, NameAddr, Params, SubscriptionState, Via};
pub use level::Level;
pub use message::Message;
pub use method::Method;
pub use network::Network;
pub use recent::Recent;
pub use secret::{Secret, hex};
pub use status::reason;
pub use time::Instant;
pub use transport::Transport;
pub use uri::{BadUri, Scheme, Uri, unescape};
pub use wire::Limits;
pub use write::{RequestWriter, ResponseWriter};
