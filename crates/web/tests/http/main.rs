//! The HTTP role over real sockets, with managers that answer from memory behind it.

mod api;
mod call_state;
mod connections;
mod events;
mod fake;
mod grpc;
mod openapi;
mod probes;
mod rates;
mod rights;
