//! Following one presentity across the death of managers.
//!
//! A follower outlives the manager behind it: when that one breaks off, the next is asked, and what was seen already is
//! not said again. A replica that lags may offer an older state than the one seen; nobody goes back in time, so only
//! newer positions pass.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, stream};
use placement::PresentityKey;
use proto::v1;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tracing::debug;

use crate::error::ApiError;
use crate::json::Position;
use crate::managers::Managers;
use crate::metrics;

/// Between a broken stream and the next attempt, so that a manager that ends every stream at once costs little.
const RETRY: Duration = Duration::from_millis(250);

/// One view of one presentity.
pub struct Follower {
    managers: Arc<Managers>,
    presentity: String,
    stream: Option<Streaming<v1::PresentityState>>,
    seen: Seen,
    _open: Open,
}

impl Follower {
    pub async fn begin(
        managers: Arc<Managers>,
        presentity: &PresentityKey,
        seen: Option<Position>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Follower, ApiError> {
        let presentity = presentity.uri();
        let stream = Some(managers.watch(&presentity, seen).await?);
        Ok(Follower {
            managers,
            presentity,
            stream,
            seen: Seen { newest: seen, gone: false },
            _open: Open::new(permit),
        })
    }

    /// Every newer state. Ends at `closing` only: an endless answer would hold up the shutdown.
    pub fn states(self, closing: CancellationToken) -> impl Stream<Item = v1::PresentityState> + Send {
        stream::unfold((self, closing), async |(mut follower, closing)| {
            let state = closing.run_until_cancelled(follower.next()).await?;
            Some((state, (follower, closing)))
        })
    }

    async fn next(&mut self) -> v1::PresentityState {
        loop {
            let Some(stream) = &mut self.stream else {
                sleep(RETRY).await;
                self.stream = self.managers.watch(&self.presentity, self.seen.newest).await.ok();
                continue;
            };
            match stream.message().await {
                Ok(Some(state)) if self.seen.is_news(Position::parse(&state.position)) => return state,
                Ok(Some(_)) => {}
                ended => {
                    debug!(error = ?ended.err(), "An event stream goes on at another manager");
                    ::metrics::counter!(metrics::EVENT_RECONNECTS).increment(1);
                    self.stream = None;
                }
            }
        }
    }
}

/// What was told already.
struct Seen {
    newest: Option<Position>,
    /// The last state told was that nothing is left.
    gone: bool,
}

impl Seen {
    fn is_news(&mut self, position: Option<Position>) -> bool {
        if position == Some(Position::NOTHING) {
            // The manager says so only where that is newer than what was seen.
            return !std::mem::replace(&mut self.gone, true);
        }
        let news = position.is_none() || self.newest.is_none() || position > self.newest;
        self.newest = self.newest.max(position);
        self.gone &= !news;
        news
    }
}

/// Counts a presentity as followed for as long as it is kept.
struct Open {
    _permit: OwnedSemaphorePermit,
}

impl Open {
    fn new(permit: OwnedSemaphorePermit) -> Open {
        ::metrics::gauge!(metrics::EVENT_STREAMS).increment(1);
        Open { _permit: permit }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        ::metrics::gauge!(metrics::EVENT_STREAMS).decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_nothing_is_left_is_news_and_so_is_what_comes_after() {
        let mut seen = Seen { newest: None, gone: false };
        let told = ["7.0", "0.0", "0.0", "6.0", "7.0", "8.1", "0.0"]
            .map(|position| seen.is_news(Position::parse(position)));

        assert_eq!(told, [true, true, false, false, false, true, true]);
        assert_eq!(seen.newest, Position::parse("8.1"), "an older replica takes nobody back in time");
    }
}
