//! The answers of managers that a phone waits for on its connection.
//!
//! A phone may end its own sending when it has asked what it wants (a half-closed stream): it is still told the answers,
//! and asked nothing more. Only what is on its way to a manager is counted. That may be given up unanswered, so whoever
//! waits here sets a time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

#[derive(Default)]
pub struct Owed {
    answers: AtomicUsize,
    given: Notify,
    has_ended: AtomicBool,
}

impl Owed {
    /// A request of the phone is on its way to a manager.
    pub fn asked(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    /// Its final answer goes to the phone. One too many counts for nothing.
    pub fn answered(&self) {
        let one_less = |owed: usize| owed.checked_sub(1);
        if self.answers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) == Ok(1) {
            self.given.notify_one();
        }
    }

    /// The phone sends no more.
    pub fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    pub fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// Returns once nothing is owed.
    pub async fn settled(&self) {
        while self.answers.load(Ordering::Relaxed) > 0 {
            self.given.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn it_is_settled_when_each_request_has_its_answer() {
        let owed = Owed::default();
        owed.asked();
        owed.asked();

        owed.answered();
        assert!(owed.settled().now_or_never().is_none());

        owed.answered();
        assert!(owed.settled().now_or_never().is_some());
    }

    #[test]
    fn an_answer_too_many_settles_nothing_that_comes_later() {
        let owed = Owed::default();
        owed.answered();

        owed.asked();

        assert!(owed.settled().now_or_never().is_none());
    }
}
