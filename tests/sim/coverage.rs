//! What was met in the runs: a simulation that never meets a fault proves nothing.

macro_rules! seen {
    ($($name:ident => $text:literal,)*) => {
        /// Something that a run is there to meet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Seen { $($name,)* }

        const NAMES: &[&str] = &[$($text,)*];
    };
}

seen! {
    Killed => "nodes killed",
    Paused => "nodes paused",
    LogCut => "ways of the log cut",
    LinkCut => "links to a dispatcher cut",
    LinkBroken => "links to a dispatcher broken",
    Lagging => "nodes made to lag",
    Replayed => "logs replayed at a start",
    ClockStepped => "log time stepped by a cold leader",
    Election => "elections",
    LeaderOverruled => "leaders overruled",
    StaleLeaderAppends => "entries of a leader without a majority",
    EntriesOverruled => "entries overruled",
    CommandFailed => "commands failed",
    CommandLost => "commands lost",
    LostAndCommitted => "commands lost and committed later",
    CommittedTwice => "commands committed twice",
    SnapshotJump => "snapshots in place of entries",
    TakenOver => "subscriptions taken over",
    Moved => "subscriptions moved by a refresh",
    EndOfOldEpoch => "ends of an older epoch in the log",
    Expired => "subscriptions expired",
    ChangeForgotten => "changes forgotten for their age",
    RepeatInLog => "requests repeated in the log",
    HeldBackByLease => "NOTIFYs held back by the lease",
    NotifyAccepted => "NOTIFYs accepted",
    NotifyRepeated => "NOTIFYs repeated",
    NotifyTooLow => "NOTIFYs of a lower CSeq refused",
    NotifyUnknown => "NOTIFYs of an unknown dialog refused",
    NotifyToStranger => "NOTIFYs answered by a stranger",
    Published => "PUBLISHes granted",
    TagRefused => "PUBLISHes refused for their tag",
    Registered => "REGISTERs granted",
    Subscribed => "SUBSCRIBEs granted",
    DialogRefused => "SUBSCRIBEs refused for their dialog",
    Fetched => "fetches answered",
    Challenged => "challenges",
    VerdictUnavailable => "verdicts unavailable",
    BillingChanged => "changes of billing's mind",
    InvalidationLost => "changes of billing's mind that a node did not hear",
    AskedAgain => "questions asked again",
    AwaitsApproval => "SUBSCRIBEs that wait for approval",
    Judged => "subscriptions judged in the log",
    Rejected => "subscriptions rejected",
    OverQuota => "SUBSCRIBEs over the quota",
    Refused => "SUBSCRIBEs refused by billing",
    RequestRepeated => "requests repeated by a phone",
    RequestGivenUp => "requests given up by a phone",
    RequestRefusedByNode => "requests refused by a node",
    RequestRefusedByAll => "requests refused by all nodes",
    RequestTriedElsewhere => "requests tried at another node",
    DatagramLost => "datagrams lost",
    DatagramDoubled => "datagrams doubled",
    PhoneSilent => "phones silent",
    PhoneMoved => "phones moved",
    PhoneReconnected => "phones reconnected",
}

#[derive(Clone, Debug, PartialEq)]
pub struct Coverage([u64; NAMES.len()]);

impl Default for Coverage {
    fn default() -> Coverage {
        Coverage([0; NAMES.len()])
    }
}

impl Coverage {
    pub fn note(&mut self, seen: Seen) {
        self.0[seen as usize] += 1;
    }

    pub fn add(&mut self, other: &Coverage) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }

    pub fn print(&self) {
        for (name, count) in NAMES.iter().zip(self.0) {
            println!("{count:>12}  {name}");
        }
    }

    pub fn never_met(&self) -> Vec<&'static str> {
        NAMES.iter().zip(self.0).filter(|(_, count)| *count == 0).map(|(name, _)| *name).collect()
    }
}
