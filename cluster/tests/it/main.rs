//! The replicated log on real disks and loopback sockets, three nodes in one process.

mod harness;
mod ports;
mod wires;

mod birth;
mod damage;
mod directory;
mod elections;
mod failover;
mod lease;
mod limits;
mod replacement;
mod replication;
mod restart;
mod secrecy;
mod strangers;
