//! The HTTP role over real sockets, with managers that answer from memory behind it.

mod api;
mod events;
mod fake;
mod probes;
