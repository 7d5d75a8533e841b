//! Which requests were counted under a nonce (RFC 7616 section 3.4, `nc`), for operators who want replays refused.
//!
//! Whoever overhears a request can send its credentials again with another body. The count is what tells: it rises with
//! each request of a client, whom its `cnonce` sets apart from others that were given the same nonce. The very same
//! request may come again, as a repeat does, and counts may be left out, for a client speaks to several nodes and each
//! knows what it saw itself; a replay at another node goes unnoticed. Nonces live for minutes, so little is kept.

use std::collections::BTreeMap;

use super::{Credentials, Nonces};

#[derive(Debug)]
pub struct NonceCounts {
    capacity: usize,
    /// By the second of the nonce's birth and a name for nonce, user and cnonce.
    seen: BTreeMap<(u64, Name), Counted>,
    /// Nothing is known any more of nonces born up to here.
    forgotten: u64,
    overflowed: bool,
}

/// A keyed hash, shortened.
type Name = [u8; 16];

#[derive(Debug)]
struct Counted {
    highest: u32,
    /// What was counted so: the name of the request.
    request: Name,
}

impl NonceCounts {
    /// At most `capacity` clients; beyond it the nonces that were born first are good no more.
    pub fn new(capacity: usize) -> NonceCounts {
        NonceCounts { capacity: capacity.max(1), seen: BTreeMap::new(), forgotten: 0, overflowed: false }
    }

    pub fn len(&self) -> usize {
        self.seen.len()
    }

    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Whether there was no room since this was last asked.
    pub fn take_overflowed(&mut self) -> bool {
        std::mem::take(&mut self.overflowed)
    }

    /// Takes note of verified credentials under a nonce of ours. False if they may be a replay: the count was used for
    /// another request, or there is none, or what there was to know has been forgotten. `request` tells one request from
    /// any other.
    pub fn admits(&mut self, credentials: &Credentials<'_>, request: &[u8], nonces: &Nonces) -> bool {
        let (Some(nc), Some(cnonce)) = (credentials.nc, credentials.cnonce) else { return false };
        let (Ok(count), Some(birth)) = (u32::from_str_radix(nc, 16), Nonces::birth(&credentials.nonce))
        else {
            return false;
        };
        let name = |parts: &[&[u8]]| nonces.name(parts);
        let request = name(&[request]);
        let client =
            name(&[credentials.nonce.as_bytes(), credentials.username.as_bytes(), cnonce.as_bytes()]);
        match self.seen.get_mut(&(birth, client)) {
            Some(seen) if count < seen.highest => false,
            Some(seen) if count == seen.highest => seen.request == request,
            Some(seen) => {
                *seen = Counted { highest: count, request };
                true
            }
            None if birth <= self.forgotten => false,
            None => {
                self.seen.insert((birth, client), Counted { highest: count, request });
                self.make_room();
                true
            }
        }
    }

    /// Forgets what was counted under nonces born before `unix_seconds`: they are stale.
    pub fn forget_before(&mut self, unix_seconds: u64) {
        self.seen = self.seen.split_off(&(unix_seconds, Name::default()));
    }

    fn make_room(&mut self) {
        while self.seen.len() > self.capacity
            && let Some(((birth, _), _)) = self.seen.pop_first()
        {
            self.forgotten = birth;
            self.overflowed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::digest::Algorithm;
    use crate::secret::Secret;

    fn nonces() -> Nonces {
        Nonces::new(Secret::new("lab"), Duration::from_secs(60))
    }

    fn with<'a>(nonce: &'a str, cnonce: &'a str, nc: Option<&'a str>) -> Credentials<'a> {
        Credentials {
            username: "bob".into(),
            realm: "lab.test".into(),
            nonce: nonce.into(),
            uri: "sip:lab.test".into(),
            response: "".into(),
            algorithm: Algorithm::Md5,
            qop: Some("auth"),
            nc,
            cnonce: Some(cnonce),
            opaque: None,
        }
    }

    #[test]
    fn a_count_is_good_for_one_request_and_its_repeats_and_no_lower_one_after_it() {
        let nonce = nonces().mint("lab.test", 1_000);
        let mut counts = NonceCounts::new(10);
        let mut admits =
            |cnonce, nc, request: &[u8]| counts.admits(&with(&nonce, cnonce, Some(nc)), request, &nonces());

        assert!(admits("c", "00000001", b"publish"));
        assert!(admits("c", "00000001", b"publish"), "a repeat");
        assert!(!admits("c", "00000001", b"forged"));
        assert!(admits("c", "0000000a", b"next"), "others may have gone to another node");
        assert!(!admits("c", "00000009", b"late"));
        assert!(admits("d", "00000001", b"forged"), "another client counts for itself");
    }

    #[test]
    fn without_a_count_nothing_tells_a_replay() {
        let nonce = nonces().mint("lab.test", 1_000);
        let mut counts = NonceCounts::new(10);

        for nc in [None, Some("x"), Some("100000000")] {
            assert!(!counts.admits(&with(&nonce, "c", nc), b"r", &nonces()), "{nc:?}");
        }
    }

    #[test]
    fn what_there_was_no_room_for_is_not_taken_for_unseen() {
        let [first, second] = [1_000, 1_001].map(|birth| nonces().mint("lab.test", birth));
        let mut counts = NonceCounts::new(1);
        let mut admits = |nonce, cnonce| counts.admits(&with(nonce, cnonce, Some("1")), b"r", &nonces());

        assert!(admits(&first, "c"));
        assert!(admits(&second, "c"));

        assert!(!admits(&first, "c") && !admits(&first, "d"));
        assert_eq!(counts.len(), 1);
    }

    #[test]
    fn what_was_counted_under_a_stale_nonce_is_forgotten() {
        let nonce = nonces().mint("lab.test", 1_000);
        let mut counts = NonceCounts::new(10);
        counts.admits(&with(&nonce, "c", Some("1")), b"r", &nonces());

        counts.forget_before(1_000);
        assert_eq!(counts.len(), 1);
        counts.forget_before(1_001);
        assert!(counts.is_empty());
    }
}
