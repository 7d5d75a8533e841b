//! Sockets. A transport brings messages in and takes bytes out; it knows nothing of their meaning.

mod bind;
pub mod connections;
mod datagrams;
mod frames;
mod handshake;
pub mod lines;
pub mod origins;
mod owed;
pub mod patience;
pub mod phone;
pub mod stream;
pub mod stun;
pub mod tcp;
pub mod tls;
pub mod udp;
pub mod websocket;

pub use bind::{BindError, listener, pair};
