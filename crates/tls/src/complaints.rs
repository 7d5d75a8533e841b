//! What is wrong with a connection is told once in a while: peers try again several times a second, for ever.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use metrics::counter;
use parking_lot::Mutex;
use tracing::warn;

use crate::metrics::REFUSED;
use crate::reason::Reason;

/// The same is not told again for so long.
const QUIET: Duration = Duration::from_secs(30);
/// Peers and reasons remembered. With more of them at a time the others are only counted.
const REMEMBERED: usize = 256;

static TOLD: Mutex<Told> = Mutex::new(Told(BTreeMap::new()));

/// Counts it, and tells it if it is news. `peer` is without a port that changes with each connection.
pub fn complain(peer: &str, reason: &Reason) {
    counter!(REFUSED, "reason" => reason.cause).increment(1);
    if TOLD.lock().is_news(peer, reason.cause, Instant::now()) {
        warn!(peer, %reason, "No TLS with a peer");
    }
}

/// When each was told last.
struct Told(BTreeMap<(String, &'static str), Instant>);

impl Told {
    fn is_news(&mut self, peer: &str, cause: &'static str, now: Instant) -> bool {
        self.0.retain(|_, told| now.duration_since(*told) < QUIET);
        let key = (peer.to_owned(), cause);
        let news = !self.0.contains_key(&key) && self.0.len() < REMEMBERED;
        if news {
            self.0.insert(key, now);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_news_once_in_a_while_and_their_number_is_bounded() {
        let (mut told, now) = (Told(BTreeMap::new()), Instant::now());

        assert!(told.is_news("a", "expired", now));
        assert!(!told.is_news("a", "expired", now + QUIET / 2));
        assert!(told.is_news("a", "issuer", now));
        assert!(told.is_news("a", "expired", now + QUIET));

        let many = (0..1_000).filter(|n| told.is_news(&n.to_string(), "plain", now + QUIET)).count();
        assert_eq!((many, told.0.len()), (REMEMBERED - 1, REMEMBERED));
    }
}
