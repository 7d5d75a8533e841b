//! `vedette up` as a user meets it: the real binary, real sockets, phones that speak SIP.

mod accounts;
mod command_line;
mod hard_state;
mod listeners;
mod phone;
#[path = "../../../../cluster/tests/it/ports.rs"]
mod ports;
mod restart;
mod server;
mod watching;
