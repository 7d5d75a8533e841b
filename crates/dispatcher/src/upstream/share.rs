//! The room for requests that no server of the upstream has answered, and what one source may take of it.

use std::collections::BTreeMap;

use super::transit::Toll;
use crate::throttle::Source;

pub struct Shares {
    most: Share,
    /// Of one source.
    most_of_source: Share,
    taken: Share,
    sources: BTreeMap<Source, Share>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    requests: usize,
    bytes: usize,
}

/// There is no room for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    #[error("as many requests are on their way as may be")]
    InAll,
    #[error("its source has as many requests on their way as it may")]
    OfSource,
}

impl Shares {
    /// Of the bytes a source has as large a part as of the requests.
    pub fn new(requests: usize, bytes: usize, of_source: usize) -> Shares {
        let part =
            u128::from(bytes as u64) * u128::from(of_source as u64) / u128::from(requests.max(1) as u64);
        Shares {
            most: Share { requests, bytes },
            most_of_source: Share { requests: of_source, bytes: usize::try_from(part).unwrap_or(usize::MAX) },
            taken: Share::default(),
            sources: BTreeMap::new(),
        }
    }

    pub fn take(&mut self, toll: Toll) -> Result<(), TooMuch> {
        let after = self.taken.with(toll.bytes);
        if after.exceeds(self.most) {
            return Err(TooMuch::InAll);
        }
        if let Some(source) = toll.source {
            let share = self.sources.get(&source).copied().unwrap_or_default().with(toll.bytes);
            if share.exceeds(self.most_of_source) {
                return Err(TooMuch::OfSource);
            }
            self.sources.insert(source, share);
        }
        self.taken = after;
        Ok(())
    }

    pub fn is_untaken(&self) -> bool {
        self.taken == Share::default() && self.sources.is_empty()
    }

    /// What was taken before.
    pub fn give_back(&mut self, toll: Toll) {
        self.taken = self.taken.without(toll.bytes);
        let Some(source) = toll.source else { return };
        match self.sources.get(&source).copied().unwrap_or_default().without(toll.bytes) {
            share if share.requests == 0 => drop(self.sources.remove(&source)),
            share => drop(self.sources.insert(source, share)),
        }
    }
}

impl Share {
    fn with(self, bytes: usize) -> Share {
        Share { requests: self.requests + 1, bytes: self.bytes + bytes }
    }

    fn without(self, bytes: usize) -> Share {
        Share { requests: self.requests.saturating_sub(1), bytes: self.bytes.saturating_sub(bytes) }
    }

    fn exceeds(self, most: Share) -> bool {
        self.requests > most.requests || self.bytes > most.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::throttle::tests::source;

    #[test]
    fn one_source_can_not_fill_the_room_of_all() {
        let mut shares = Shares::new(8, 8_000, 2);
        let of = |ip| Toll { bytes: 10, source: Some(source(ip, 0)) };

        assert_eq!([(); 3].map(|()| shares.take(of("192.0.2.1"))), [Ok(()), Ok(()), Err(TooMuch::OfSource)]);
        assert_eq!(shares.take(of("192.0.2.2")), Ok(()));

        shares.give_back(of("192.0.2.1"));
        assert_eq!(shares.take(of("192.0.2.1")), Ok(()));
    }

    #[test]
    fn its_part_of_the_bytes_is_that_of_the_requests() {
        let mut shares = Shares::new(8, 8_000, 2);
        let of = |bytes| Toll { bytes, source: Some(source("192.0.2.1", 0)) };

        assert_eq!(shares.take(of(2_001)), Err(TooMuch::OfSource));
        assert_eq!(shares.take(of(2_000)), Ok(()));
    }

    #[test]
    fn who_brings_the_requests_of_many_has_no_share_but_all() {
        let mut shares = Shares::new(8, 8_000, 2);
        let anybody = Toll { bytes: 10, source: None };
        for _ in 0..8 {
            assert_eq!(shares.take(anybody), Ok(()));
        }

        assert_eq!(shares.take(anybody), Err(TooMuch::InAll));
    }

    #[test]
    fn what_is_given_back_leaves_nothing_behind() {
        let mut shares = Shares::new(8, 8_000, 2);
        let toll = Toll { bytes: 10, source: Some(source("192.0.2.1", 0)) };
        shares.take(toll).unwrap();

        shares.give_back(toll);

        assert!(shares.is_untaken());
    }
}
