//! Relays between the nodes that can be cut, so that two nodes hear nothing of each other while both live.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// A relay from each place to each other.
pub struct Wires {
    relays: BTreeMap<(usize, usize), Relay>,
    _runtime: Runtime,
}

struct Relay {
    address: SocketAddr,
    cut: watch::Sender<bool>,
}

impl Wires {
    pub fn between(places: &[SocketAddr]) -> Wires {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let pairs = (0..places.len()).flat_map(|from| (0..places.len()).map(move |to| (from, to)));
        let relays = pairs.filter(|(from, to)| from != to).map(|(from, to)| {
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
            let address = listener.local_addr().unwrap();
            let (cut, watch) = watch::channel(false);
            runtime.spawn(relay(listener, places[to], watch));
            ((from, to), Relay { address, cut })
        });
        Wires { relays: relays.collect(), _runtime: runtime }
    }

    /// Where the place `from` finds the place `to`.
    pub fn address(&self, from: usize, to: usize) -> SocketAddr {
        self.relays[&(from, to)].address
    }

    pub fn cut(&self, one: usize, other: usize) {
        self.set(one, other, true);
    }

    pub fn mend(&self, one: usize, other: usize) {
        self.set(one, other, false);
    }

    fn set(&self, one: usize, other: usize, cut: bool) {
        for pair in [(one, other), (other, one)] {
            self.relays[&pair].cut.send_replace(cut);
        }
    }
}

async fn relay(listener: TcpListener, to: SocketAddr, cut: watch::Receiver<bool>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let mut cut = cut.clone();
        if *cut.borrow() {
            continue;
        }
        tokio::spawn(async move {
            let Ok(mut far) = TcpStream::connect(to).await else { return };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                _ = cut.wait_for(|cut| *cut) => {}
            }
        });
    }
}
