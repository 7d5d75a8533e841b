//! Opening the sockets that a dispatcher listens on.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use super::udp::UdpPort;
use crate::config::Limits;
use crate::upstream::dns::NoDns;

/// Connections that the kernel keeps for us to accept.
const BACKLOG: i32 = 1024;
/// How often another port is tried if the one that TCP was given is taken for UDP.
const ATTEMPTS: usize = 16;

/// Why a dispatcher can not start; each is one clear line.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("{0} is in use")]
    InUse(SocketAddr),
    #[error("cannot listen on {address}: {error}")]
    Io { address: SocketAddr, error: io::Error },
    #[error("{0} is bound to all addresses: say under which address others reach it (advertise)")]
    NoAdvertise(SocketAddr),
    #[error("{0} is advertised by two listeners")]
    AdvertisedTwice(SocketAddr),
    #[error("a dispatcher needs at least one listener")]
    NoListener,
    #[error("{0} speaks TLS with phones: it needs a certificate and its key")]
    NoCertificate(SocketAddr),
    #[error("the upstream is reached over TLS, and nobody says whose certificates are trusted there")]
    UpstreamTrust,
    #[error("no listener can face the upstream at {0}: none over UDP and TCP is of its address family")]
    UpstreamFamily(SocketAddr),
    #[error(transparent)]
    NoDns(#[from] NoDns),
}

/// A public listener for TCP and UDP, on one port. Port 0 takes one that is free for both.
pub fn pair(address: SocketAddr, limits: &Limits) -> Result<(TcpListener, UdpPort), BindError> {
    let attempts = if address.port() == 0 { ATTEMPTS } else { 1 };
    let mut attempt = 1;
    loop {
        let tcp = listener(address)?;
        let bound = tcp.local_addr().map_err(|error| BindError::Io { address, error })?;
        match udp_port(bound, limits) {
            Ok(udp) => return Ok((tcp, udp)),
            Err(error) if attempt == attempts => return Err(refused(bound, error)),
            Err(_) => attempt += 1,
        }
    }
}

pub fn listener(address: SocketAddr) -> Result<TcpListener, BindError> {
    open_listener(address).map_err(|error| refused(address, error))
}

fn open_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address, Type::STREAM, Protocol::TCP)?;
    // A restart must not wait for connections of the last process to time out.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn udp_port(address: SocketAddr, limits: &Limits) -> io::Result<UdpPort> {
    let count = limits.udp_sockets.max(1);
    let sockets = (0..count).map(|_| {
        let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
        // Only if wanted: it would let a second dispatcher take half of our datagrams.
        socket.set_reuse_port(count > 1)?;
        // The kernel gives what it may; less is no reason not to start.
        let _ = socket.set_recv_buffer_size(limits.udp_receive_buffer);
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    });
    Ok(UdpPort::new(sockets.collect::<io::Result<_>>()?, limits.udp_queue))
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // An IPv4 peer would otherwise come in disguise, with an address that its Via does not show.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn refused(address: SocketAddr, error: io::Error) -> BindError {
    match error.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(address),
        _ => BindError::Io { address, error },
    }
}
