//! How long a phone may be silent, and how much it may leave half said.
//!
//! A message that has begun to come has to be whole in time, counted from its first byte: a byte now and then keeps
//! nothing alive. What is held of such messages has one bound over all connections, because each of them being small does
//! not make a hundred thousand of them so.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::stream::End;
use crate::outbox::Budget;

/// Of one connection.
pub struct Patience {
    idle: Duration,
    wait: Duration,
    budget: Arc<Budget>,
    /// Bytes of the message that is not whole, and since when there are any.
    held: usize,
    begun: Option<Instant>,
}

impl Patience {
    /// A message may take `wait`, and silence may last for `idle`.
    pub fn new(idle: Duration, wait: Duration, budget: Arc<Budget>) -> Patience {
        Patience { idle, wait, budget, held: 0, begun: None }
    }

    /// What `reading` brings, if that does not take too long.
    pub async fn within<T>(&self, reading: impl Future<Output = T>) -> Result<T, End> {
        let left = self.begun.map(|begun| self.wait.saturating_sub(begun.elapsed()));
        let (most, end) = match left {
            Some(left) if left < self.idle => (left, End::SlowSender),
            _ => (self.idle, End::Idle),
        };
        timeout(most, reading).await.map_err(|_| end)
    }

    /// So much is held now of a message that is not whole: of another one than before if one `ended` meanwhile.
    pub fn hold(&mut self, held: usize, ended: bool) -> Result<(), End> {
        if held > self.held && self.budget.lacks(held - self.held) {
            return Err(End::NoRoom);
        }
        self.book(held);
        match self.begun {
            _ if held == 0 => self.begun = None,
            Some(begun) if !ended && begun.elapsed() >= self.wait => return Err(End::SlowSender),
            Some(_) if !ended => {}
            _ => self.begun = Some(Instant::now()),
        }
        Ok(())
    }

    fn book(&mut self, held: usize) {
        if held != self.held {
            self.budget.release(self.held);
            self.budget.spend(held);
            self.held = held;
        }
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        self.book(0);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::advance;

    use super::*;

    const IDLE: Duration = Duration::from_secs(100);
    const WAIT: Duration = Duration::from_secs(10);
    const SECOND: Duration = Duration::from_secs(1);

    fn patience(budget: &Arc<Budget>) -> Patience {
        Patience::new(IDLE, WAIT, budget.clone())
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_has_its_time_from_its_first_byte_on_and_silence_has_its_own() {
        let mut patience = patience(&Arc::new(Budget::new(100)));

        let asked = Instant::now();
        assert_eq!(patience.within(pending::<()>()).await, Err(End::Idle));
        assert_eq!(asked.elapsed().as_secs(), 100);

        let asked = Instant::now();
        patience.hold(1, false).unwrap();
        advance(4 * SECOND).await;
        patience.hold(2, false).unwrap();
        assert_eq!(patience.within(pending::<()>()).await, Err(End::SlowSender));
        assert_eq!(asked.elapsed().as_secs(), 10);
        assert_eq!(patience.hold(3, false), Err(End::SlowSender), "also while bytes keep coming");
    }

    #[tokio::test(start_paused = true)]
    async fn another_message_has_the_whole_time_again() {
        let mut patience = patience(&Arc::new(Budget::new(100)));
        patience.hold(1, false).unwrap();
        advance(9 * SECOND).await;

        patience.hold(1, true).unwrap();
        advance(9 * SECOND).await;

        assert_eq!(patience.hold(2, false), Ok(()));
        patience.hold(0, true).unwrap();
        assert_eq!(patience.within(pending::<()>()).await, Err(End::Idle));
    }

    #[tokio::test]
    async fn who_holds_more_than_all_may_is_refused_and_what_ends_makes_room() {
        let budget = Arc::new(Budget::new(100));
        let (mut first, mut second) = (patience(&budget), patience(&budget));
        first.hold(60, false).unwrap();

        assert_eq!(second.hold(41, false), Err(End::NoRoom));
        assert_eq!(second.hold(40, false), Ok(()));
        assert_eq!(first.hold(60, false), Ok(()), "who needs no more is not touched");

        first.hold(10, true).unwrap();
        assert_eq!(budget.spent(), 50);
        drop((first, second));
        assert_eq!(budget.spent(), 0);
    }
}
