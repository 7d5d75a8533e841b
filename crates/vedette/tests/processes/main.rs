//! Managers as processes of their own, ended with kill -9 in the midst of their work: what phones keep.
//!
//! `scripts/cluster/local.sh` and `survive` do the same for longer and with many phones.

mod cluster;
mod kill;
// The phone of the other tests can do more than is asked of it here.
#[allow(dead_code)]
#[path = "../up/phone.rs"]
mod phone;
#[path = "../../../../cluster/tests/it/ports.rs"]
mod ports;
mod secrecy;
