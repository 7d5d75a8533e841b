//! Which appends need no answer.
//!
//! As soon as an entry is committed its leader tells the followers, for they wait with their own answers until they may
//! apply it. What a follower could say to that it has just said: that it has all records up to there. So it is not
//! asked. Whether it lives, and still follows, the next entry or heartbeat finds out.
//!
//! A value: time is an argument.

use std::time::{Duration, Instant};

use openraft::raft::AppendEntriesRequest;

use super::{LogId, TypeConfig};

/// Well below the usual heartbeat interval.
const MOMENT: Duration = Duration::from_millis(20);

/// What one follower said to its leader, and was told. It belongs to a link, and openraft makes one for each reign: what
/// was confirmed was confirmed to this very leader.
#[derive(Debug, Default)]
pub struct News {
    /// The last record that it confirmed to have, and when it was asked.
    confirmed: Option<(LogId, Instant)>,
    committed: Option<LogId>,
}

impl News {
    /// Notes that an append is about to be sent. Whether it only says that more is committed, to who has just confirmed the record
    /// that it follows.
    pub fn needs_no_answer(&mut self, append: &AppendEntriesRequest<TypeConfig>, now: Instant) -> bool {
        let just = self.confirmed.filter(|(_, asked)| now.saturating_duration_since(*asked) < MOMENT);
        let same = just.is_some_and(|(record, _)| Some(record) == append.prev_log_id);
        let more = append.leader_commit > self.committed;
        self.committed = self.committed.max(append.leader_commit);
        same && more && append.entries.is_empty()
    }

    /// It is asked, and until it answers nobody knows what it has.
    pub fn ask(&mut self) {
        self.confirmed = None;
    }

    /// It has all records up to this one, as it said to what it was asked then.
    pub fn confirm(&mut self, last: Option<LogId>, asked: Instant) {
        self.confirmed = last.map(|last| (last, asked));
    }
}

#[cfg(test)]
mod tests {
    use openraft::{CommittedLeaderId, EntryPayload};

    use super::super::{RaftEntry, Vote};
    use super::*;

    fn record(index: u64) -> LogId {
        LogId::new(CommittedLeaderId::new(1, 1), index)
    }

    /// Empty, behind one record, and telling that others are committed.
    fn append(previous: u64, committed: u64) -> AppendEntriesRequest<TypeConfig> {
        AppendEntriesRequest {
            vote: Vote::new_committed(1, 1),
            prev_log_id: Some(record(previous)),
            entries: Vec::new(),
            leader_commit: Some(record(committed)),
        }
    }

    /// A follower that has just confirmed record 7, and knows that 6 is committed.
    fn confirmed(now: Instant) -> News {
        let mut news = News::default();
        assert!(!news.needs_no_answer(&append(6, 6), now));
        news.ask();
        news.confirm(Some(record(7)), now);
        news
    }

    #[test]
    fn who_has_just_confirmed_a_record_is_only_told_that_it_is_committed() {
        let now = Instant::now();

        assert!(confirmed(now).needs_no_answer(&append(7, 7), now));
    }

    #[test]
    fn a_heartbeat_is_answered() {
        let now = Instant::now();
        let mut news = confirmed(now);

        assert!(news.needs_no_answer(&append(7, 7), now));
        assert!(!news.needs_no_answer(&append(7, 7), now));
        assert!(!confirmed(now).needs_no_answer(&append(7, 7), now + MOMENT));
    }

    #[test]
    fn records_are_confirmed_by_who_gets_them() {
        let now = Instant::now();
        let blank = RaftEntry { log_id: record(8), payload: EntryPayload::Blank };
        let append = AppendEntriesRequest { entries: vec![blank], ..append(7, 7) };

        assert!(!confirmed(now).needs_no_answer(&append, now));
    }

    #[test]
    fn a_leader_that_looks_for_what_a_follower_has_must_ask_it() {
        let now = Instant::now();
        let (mut unknown, mut refused) = (News::default(), confirmed(now));
        refused.ask();

        assert!(!unknown.needs_no_answer(&append(7, 7), now));
        assert!(!confirmed(now).needs_no_answer(&append(8, 7), now));
        assert!(!confirmed(now).needs_no_answer(&append(6, 7), now));
        assert!(!refused.needs_no_answer(&append(7, 7), now));
    }
}
