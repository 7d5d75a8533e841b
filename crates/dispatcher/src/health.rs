//! Which managers serve, for all who want to know: logs, metrics, readiness, and requests that wait for one.

use std::collections::BTreeMap;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sip::Instant;
use tokio::sync::watch;
use tracing::info;

use crate::config::Timings;
use crate::link::Link;
use crate::members::Members;
use crate::metrics::Metrics;
use crate::route::{Peer, Standing};

pub struct Health {
    /// The names of those that were live when we last looked.
    live: Mutex<BTreeMap<Peer, String>>,
    ready: watch::Sender<bool>,
}

impl Health {
    /// `ready` is told when the first manager serves, and when none does.
    pub fn new(ready: watch::Sender<bool>) -> Health {
        Health { live: Mutex::default(), ready }
    }

    /// Looks again, and gives those that have begun to serve.
    pub fn look(
        &self,
        members: &ArcSwap<Members>,
        timings: &Timings,
        now: Instant,
        metrics: &Metrics,
    ) -> Vec<Peer> {
        let mut live = self.live.lock();
        // Loaded under the lock, or an older list could bring back one that has left.
        let members = members.load();
        let serves = |link: &Link| link.standing(timings.live, now) == Standing::Live;
        live.retain(|peer, name| {
            let stays = members.link(*peer).is_some_and(|link| serves(link));
            if !stays {
                info!(manager = name, live = false, "A manager's standing changed");
                metrics.manager_live(name, false);
            }
            stays
        });
        let mut risen = Vec::new();
        for link in members.links().filter(|link| serves(link)) {
            if live.insert(link.peer, link.name.clone()).is_none() {
                info!(manager = link.name, live = true, "A manager's standing changed");
                metrics.manager_live(&link.name, true);
                risen.push(link.peer);
            }
        }
        let ready = !live.is_empty();
        self.ready.send_if_modified(|known| std::mem::replace(known, ready) != ready);
        risen
    }
}
