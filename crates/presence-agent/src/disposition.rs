//! What the answer to a NOTIFY says about its subscription (RFC 6665 section 4.2.2, RFC 5057 section 5.1).
//!
//! Our dialogs have one usage each, so whether an answer destroys the usage or the dialog makes no difference. It matters
//! who says it: that there is no such subscription, or that the package or the method means nothing, is the phone's to
//! say. That the dialog leads nowhere is said by those on the way, who may be wrong for a while, as when a proxy starts
//! before its phones are known to it; a lamp would then stay dark until its phone asks again.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// The watcher has the state, or the same would be refused for ever; the next one may fit.
    Delivered,
    /// The phone knows no such subscription.
    Unknown,
    /// The phone will never know what to do with our NOTIFYs.
    Useless,
    /// The dialog leads nowhere.
    Unreachable,
    /// The phone is away, and may be back.
    Away,
    /// It failed, and is tried again.
    Failed,
}

impl Disposition {
    /// `told_when`: the answer has a Retry-After, so whoever says so means to be asked again.
    pub fn of(status: u16, told_when: bool) -> Disposition {
        match status {
            200..=299 => Disposition::Delivered,
            // It does not fit what carries it (RFC 3261 21.5.14).
            513 => Disposition::Delivered,
            481 => Disposition::Unknown,
            405 | 489 | 501 => Disposition::Useless,
            _ if told_when => Disposition::Failed,
            404 | 410 | 416 | 482 | 484 | 485 | 502 | 604 => Disposition::Unreachable,
            408 | 480 => Disposition::Away,
            _ => Disposition::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_when_to_come_again_ends_nothing_but_what_it_does_not_know() {
        let of = |status| Disposition::of(status, true);

        assert_eq!([404, 480, 503, 604].map(of), [Disposition::Failed; 4]);
        assert_eq!([of(481), of(489)], [Disposition::Unknown, Disposition::Useless]);
    }
}
