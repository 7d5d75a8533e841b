//! Many datagrams in one system call (recvmmsg, sendmmsg); the only file that speaks to sockets through nix.
//!
//! The headers that the kernel wants are made for each call: they are small beside the call, and hold no pointer for
//! longer than it takes.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use bytes::Bytes;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Where datagrams are received, one in each buffer.
pub struct Buffers {
    bytes: Vec<u8>,
}

/// No datagram is larger.
const LARGEST: usize = 65_536;

impl Buffers {
    /// For at least one. The memory is taken as datagrams fill it.
    pub fn new(datagrams: usize) -> Buffers {
        Buffers { bytes: vec![0; LARGEST * datagrams.max(1)] }
    }
}

/// Hands to `take` what has come, as far as there are buffers; `WouldBlock` says that it was all.
pub fn receive(
    socket: &UdpSocket,
    buffers: &mut Buffers,
    mut take: impl FnMut(&[u8], SocketAddr),
) -> io::Result<()> {
    socket.try_io(Interest::READABLE, || {
        let mut slices: Vec<_> =
            buffers.bytes.chunks_mut(LARGEST).map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let all = slices.len();
        let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(all, None);
        let received =
            recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        let mut count = 0;
        for datagram in received {
            if let Some(from) = datagram.address.and_then(address) {
                take(datagram.iovs().next().unwrap_or_default(), from);
            }
            count += 1;
        }
        // With a buffer left the socket was empty: to ask it once more would be another call for each batch. Nothing else
        // ends a batch early, for a socket that is connected to nobody meets no errors of what it has sent. What comes after
        // that, be it while this batch is taken, is an edge of its own, which the runtime does not forget.
        if count < all { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    })
}

/// Sends as many of them as the socket takes, in order, and says how many; an error is about the first one.
pub fn send<'a>(
    socket: &UdpSocket,
    datagrams: impl Iterator<Item = &'a (Bytes, SocketAddr)>,
) -> io::Result<usize> {
    socket.try_io(Interest::WRITABLE, || {
        let (slices, addresses): (Vec<_>, Vec<_>) =
            datagrams.map(|(bytes, to)| ([IoSlice::new(bytes)], Some(SockaddrStorage::from(*to)))).unzip();
        let mut headers = MultiHeaders::preallocate(slices.len(), None);
        let flags = MsgFlags::MSG_DONTWAIT;
        let sent = sendmmsg(socket.as_raw_fd(), &mut headers, &slices, &addresses, [], flags)?;
        Ok(sent.count())
    })
}

fn address(from: SockaddrStorage) -> Option<SocketAddr> {
    let v4 = from.as_sockaddr_in().map(|from| SocketAddr::V4((*from).into()));
    v4.or_else(|| from.as_sockaddr_in6().map(|from| SocketAddr::V6((*from).into())))
}
