//! What a trial counted, as a table for people and a verdict for scripts.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use sip::Message;

use crate::probe::Refused;
use crate::request::retry_after;
use crate::watcher::Notified;

/// What phones met, over all rounds.
#[derive(Debug, Default)]
pub struct Tally {
    pub published: u64,
    pub subscribed: u64,
    pub retransmitted: u64,
    accepted: u64,
    repeats: u64,
    stale: u64,
    strangers: u64,
    /// Answers 503.
    deferred: u64,
    pub not_sip: u64,
    // From here on nothing may be.
    pub unanswered: u64,
    pub lost_tags: u64,
    /// Accepted NOTIFYs with a state older than the one before.
    pub went_back: u64,
    refused: BTreeMap<(&'static str, u16), u64>,
}

/// Whose watchers these are, as their table row says it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    StruckLeader,
    StruckFollower,
    Other,
}

/// How long watchers waited for the first state that was published after a fault.
#[derive(Default)]
pub struct Waits {
    waited: Vec<Duration>,
    /// Told only when the manager was back.
    until_back: usize,
    /// Not told even then.
    never: usize,
}

pub struct Report {
    pub title: String,
    pub waits: BTreeMap<Owner, Waits>,
    /// How long the script took to make a fault, which the waits contain.
    pub script: Vec<Duration>,
    pub tally: Tally,
    /// Refreshes that a manager refused.
    pub bad_tags: BTreeMap<Refused, usize>,
    pub good_tags: usize,
    /// Watchers that did not hold the newest state when all was over.
    pub behind: usize,
    /// Dialogs that the server ended or does not know.
    pub lost_dialogs: usize,
    /// Watchers whose refresh was not granted in time.
    pub not_refreshed: usize,
    /// Why the trial was broken off.
    pub broken: Option<String>,
    pub disk: Vec<Duration>,
}

/// After a refusal that does not say when to come again.
const PAUSE: Duration = Duration::from_secs(2);
/// How often the disk is tried, and with how much.
const SYNCS: usize = 500;
const BLOCK: usize = 4096;

impl Tally {
    pub fn notified(&mut self, notified: Notified) {
        *match notified {
            Notified::Accepted => &mut self.accepted,
            Notified::Repeat => &mut self.repeats,
            Notified::Stale => &mut self.stale,
            Notified::Stranger => &mut self.strangers,
        } += 1;
    }

    /// A request did not get what it asked for; says how long to wait before the next try.
    pub fn setback(&mut self, method: &'static str, answer: Option<&Message>) -> Duration {
        let Some(answer) = answer else {
            self.unanswered += 1;
            return Duration::ZERO;
        };
        match answer.status().unwrap_or_default() {
            503 => self.deferred += 1,
            // The publisher knows whether it is one.
            412 => {}
            status => *self.refused.entry((method, status)).or_default() += 1,
        }
        retry_after(answer).unwrap_or(PAUSE)
    }
}

impl Waits {
    /// `back` is how long after the fault the manager was brought back.
    pub fn add(&mut self, waited: Option<Duration>, back: Duration) {
        match waited {
            Some(waited) => {
                self.waited.push(waited);
                self.until_back += usize::from(waited > back);
            }
            None => self.never += 1,
        }
    }
}

impl Report {
    pub fn lost_anything(&self) -> bool {
        let Tally { unanswered, lost_tags, went_back, refused, .. } = &self.tally;
        let counts = [self.behind, self.lost_dialogs, self.not_refreshed, self.bad_tags.len(), refused.len()];
        self.broken.is_some()
            || counts.into_iter().any(|count| count > 0)
            || [unanswered, lost_tags, went_back].into_iter().any(|count| *count > 0)
            || self.waits.values().any(|waits| waits.never > 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}\n", self.title)?;
        self.write_times(f)?;
        self.write_counts(f)?;
        if let Some(why) = &self.broken {
            writeln!(f, "broken off: {why}")?;
        }
        writeln!(
            f,
            "\nverdict: {}",
            if self.lost_anything() { "SOMETHING WAS LOST" } else { "nothing was lost" }
        )
    }
}

impl Report {
    fn write_times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["count", "p50", "p99", "max", "until back", "never"];
        write!(f, "{:<42}{:>8}", "ms from a fault to the next NOTIFY", heads[0])?;
        heads[1..].iter().try_for_each(|head| write!(f, "{head:>11}"))?;
        writeln!(f)?;
        for (owner, waits) in &self.waits {
            let Waits { waited, until_back, never } = waits;
            write!(f, "{:<42}{:>8}{}", owner.text(), waited.len() + never, Spread(waited))?;
            writeln!(f, "{until_back:>11}{never:>11}")?;
        }
        for (name, times) in
            [("  the script's part in these", &self.script), ("write + fdatasync of 4 KiB", &self.disk)]
        {
            writeln!(f, "{name:<42}{:>8}{}", times.len(), Spread(times))?;
        }
        writeln!(f)
    }

    fn write_counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = &self.tally;
        let bad_tags: Vec<_> = self.bad_tags.iter().collect();
        let refused: Vec<_> = tally.refused.iter().collect();
        let lines = [
            ("entity-tags refreshed at a manager", self.good_tags as u64, format!("refused {bad_tags:?}")),
            ("PUBLISHes answered 200", tally.published, format!("tags lost {}", tally.lost_tags)),
            (
                "SUBSCRIBEs answered 200",
                tally.subscribed,
                format!("refreshes not granted {}", self.not_refreshed),
            ),
            ("NOTIFYs accepted", tally.accepted, format!("with an older state {}", tally.went_back)),
            ("  refused with 500 for their CSeq", tally.stale, format!("with 481 {}", tally.strangers)),
            ("  repeated", tally.repeats, format!("requests repeated {}", tally.retransmitted)),
            ("requests never answered", tally.unanswered, format!("refused {refused:?}")),
            (
                "  put off with 503, then sent again",
                tally.deferred,
                format!("answers that are no SIP {}", tally.not_sip),
            ),
            (
                "watchers without the final state",
                self.behind as u64,
                format!("dialogs lost {}", self.lost_dialogs),
            ),
        ];
        lines.iter().try_for_each(|(what, count, also)| writeln!(f, "{what:<42}{count:>8}   {also}"))
    }
}

impl Owner {
    fn text(self) -> &'static str {
        match self {
            Owner::StruckLeader => "  to watchers of the struck leader",
            Owner::StruckFollower => "  to watchers of the struck follower",
            Owner::Other => "  to watchers of the others",
        }
    }
}

/// p50, p99 and the maximum in milliseconds.
struct Spread<'a>(&'a [Duration]);

impl fmt::Display for Spread<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted = self.0.to_vec();
        sorted.sort_unstable();
        for part in [0.5, 0.99, 1.0] {
            let rank = (sorted.len() as f64 * part).ceil() as usize;
            match sorted.get(rank.saturating_sub(1)) {
                Some(duration) => write!(f, "{:>11.1}", duration.as_secs_f64() * 1e3)?,
                None => write!(f, "{:>11}", "-")?,
            }
        }
        Ok(())
    }
}

/// How long the disk under `dir` takes to make 4 KiB durable, many times.
pub fn disk(dir: &Path) -> io::Result<Vec<Duration>> {
    let path = dir.join("fdatasync");
    let mut file = File::create(&path)?;
    let times = (0..SYNCS).map(|_| {
        let begin = Instant::now();
        file.write_all(&[0x5a; BLOCK])?;
        file.sync_data()?;
        Ok(begin.elapsed())
    });
    let times = times.collect();
    std::fs::remove_file(&path)?;
    times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_taken_by_rank() {
        let hundred: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();

        assert_eq!(Spread(&hundred).to_string(), "       50.0       99.0      100.0");
        assert_eq!(Spread(&[]).to_string(), "          -          -          -");
    }

    #[test]
    fn who_was_told_only_after_the_return_is_counted_apart() {
        let (mut waits, back) = (Waits::default(), Duration::from_secs(10));

        for waited in [Some(1), Some(11), None] {
            waits.add(waited.map(Duration::from_secs), back);
        }

        assert_eq!((waits.waited.len(), waits.until_back, waits.never), (2, 1, 1));
    }
}
