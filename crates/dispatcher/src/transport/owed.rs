//! The answers that a phone waits for on its connection.
//!
//! A phone may end its own sending when it has asked what it wants (a half-closed stream): it is still told the answers,
//! and asked nothing more. What is never answered (an ACK, what is dropped) must not hold the connection for ever, so
//! whoever waits here sets a time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

#[derive(Default)]
pub struct Owed {
    answers: AtomicUsize,
    given: Notify,
    has_ended: AtomicBool,
}

impl Owed {
    /// A message has come from the phone.
    pub fn heard(&self, message: &[u8]) {
        if !message.starts_with(b"SIP/") && !message.starts_with(b"ACK ") {
            self.answers.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An answer goes to the phone.
    pub fn answered(&self, answer: &[u8]) {
        let is_provisional = answer.starts_with(b"SIP/2.0 1");
        let one_less = |owed: usize| owed.checked_sub(1).filter(|_| !is_provisional);
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
    fn it_is_settled_when_each_request_has_its_final_answer() {
        let owed = Owed::default();
        owed.heard(b"SUBSCRIBE sip:a SIP/2.0");
        owed.heard(b"OPTIONS sip:a SIP/2.0");
        owed.heard(b"ACK sip:a SIP/2.0");
        owed.heard(b"SIP/2.0 200 OK");

        owed.answered(b"SIP/2.0 200 OK");
        owed.answered(b"SIP/2.0 100 Trying");
        assert!(owed.settled().now_or_never().is_none());

        owed.answered(b"SIP/2.0 404 Not Found");
        assert!(owed.settled().now_or_never().is_some());
    }

    #[test]
    fn an_answer_too_many_settles_nothing_that_comes_later() {
        let owed = Owed::default();
        owed.answered(b"SIP/2.0 200 OK");

        owed.heard(b"SUBSCRIBE sip:a SIP/2.0");

        assert!(owed.settled().now_or_never().is_none());
    }
}
