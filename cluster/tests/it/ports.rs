//! Addresses for servers that are stopped and come back.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that the system gives to outgoing connections: a server that was stopped comes back to its own port,
/// and of the many that try to reach it meanwhile one would now and then be given that very port, and hold it.
/// None is given twice.
pub fn free_address() -> SocketAddr {
    static TRIED: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id() as u16).wrapping_mul(61);
    let port = || 20_000 + begin.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % 12_000;
    let mut free = (0..12_000).filter_map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, port())).ok());
    free.next().and_then(|held| held.local_addr().ok()).expect("loopback has free ports")
}
