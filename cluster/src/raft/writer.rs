//! The one thread that writes the logs of all groups: what waits is written in one batch and one sync serves it all.
//!
//! Order is kept, within a group and between groups. Removing purged records is slow work in sled, so it is done
//! in slices beside the other work, behind a mark that already says where the log begins. How far the log reaches is
//! also noted outside the store (see `watermark`), before anyone is told that a write is done.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use openraft::storage::LogFlushed;
use placement::GroupId;
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use super::TypeConfig;
use super::disk::{Disk, Key, Write};
use super::watermark::{Reach, Watermark};
use crate::metrics::{JOBS_PER_SYNC, ROUND_SECONDS};

/// Jobs that wait for the thread; each group has one or two at a time.
const QUEUE: usize = 1024;
/// A round takes no more jobs once it has this much to write.
const ROUND_BYTES: usize = 4 * 1024 * 1024;
#[cfg(not(test))]
const PURGE_SLICE: u64 = 512;
/// So that a short log takes several.
#[cfg(test)]
const PURGE_SLICE: u64 = 4;

/// The way to the writer thread.
#[derive(Clone)]
pub struct Writer(mpsc::Sender<Job>);

pub enum Job {
    Write { writes: Vec<Write>, reach: Reach, done: Done },
    Purge { group: GroupId, from: u64, to: u64 },
    Stop,
}

/// Who waits for the disk.
pub enum Done {
    Appended(LogFlushed<TypeConfig>),
    Saved(oneshot::Sender<io::Result<()>>),
}

impl Writer {
    /// Starts the thread; it ends after `stop`.
    pub fn start(
        disk: Arc<dyn Disk>,
        watermark: Watermark,
    ) -> io::Result<(Writer, std::thread::JoinHandle<()>)> {
        let (writer, rounds) = Writer::without_thread(disk, watermark);
        let thread = std::thread::Builder::new().name("log-writer".into()).spawn(move || rounds.run())?;
        Ok((writer, thread))
    }

    /// For who performs the rounds, and nothing else on the way.
    pub fn without_thread(disk: Arc<dyn Disk>, watermark: Watermark) -> (Writer, Rounds) {
        let (sender, jobs) = mpsc::channel(QUEUE);
        let rounds = Rounds {
            disk,
            watermark,
            jobs,
            broken: false,
            purges: VecDeque::new(),
            seconds: metrics::histogram!(ROUND_SECONDS),
            served: metrics::histogram!(JOBS_PER_SYNC),
        };
        (Writer(sender), rounds)
    }

    /// Queues the writes; `flushed` is told when they are on the disk.
    pub async fn append(
        &self,
        writes: Vec<Write>,
        reach: Reach,
        flushed: LogFlushed<TypeConfig>,
    ) -> io::Result<()> {
        self.send(Job::Write { writes, reach, done: Done::Appended(flushed) }).await
    }

    /// Returns when the writes are on the disk.
    pub async fn save(&self, writes: Vec<Write>, reach: Reach) -> io::Result<()> {
        let (done, saved) = oneshot::channel();
        self.send(Job::Write { writes, reach, done: Done::Saved(done) }).await?;
        saved.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Removes the entries `from..=to`, some time.
    pub async fn purge(&self, group: GroupId, from: u64, to: u64) -> io::Result<()> {
        self.send(Job::Purge { group, from, to }).await
    }

    pub async fn stop(&self) {
        // A thread that is already gone needs no order to go.
        let _ = self.send(Job::Stop).await;
    }

    async fn send(&self, job: Job) -> io::Result<()> {
        self.0.send(job).await.map_err(|_| stopped())
    }
}

/// What the thread does, round by round.
pub struct Rounds {
    disk: Arc<dyn Disk>,
    watermark: Watermark,
    jobs: mpsc::Receiver<Job>,
    /// A write failed: nobody knows what the disk holds, so nothing is promised any more.
    broken: bool,
    purges: VecDeque<(GroupId, u64, u64)>,
    seconds: metrics::Histogram,
    served: metrics::Histogram,
}

/// Whether another round follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    More,
    Last,
}

/// What one sync is for.
#[derive(Default)]
struct Round {
    writes: Vec<Write>,
    reaches: Vec<Reach>,
    done: Vec<Done>,
    bytes: usize,
    stop: bool,
}

impl Rounds {
    fn run(mut self) {
        loop {
            let first = match self.purges.is_empty() {
                true => self.jobs.blocking_recv(),
                false => None,
            };
            let idle = first.is_none() && self.purges.is_empty();
            if idle || self.turn(first) == Turn::Last {
                return;
            }
        }
    }

    /// Performs one round: `first` and what waits behind it.
    pub fn turn(&mut self, first: Option<Job>) -> Turn {
        let mut round = Round::default();
        if let Some(job) = first {
            self.take(job, &mut round);
        }
        while round.bytes < ROUND_BYTES && !round.stop {
            match self.jobs.try_recv() {
                Ok(job) => self.take(job, &mut round),
                Err(_) => break,
            }
        }
        self.take_slice(&mut round);
        let stop = round.stop;
        self.perform(round);
        if !self.broken {
            self.watermark.note(stop);
        }
        if stop { Turn::Last } else { Turn::More }
    }

    fn take(&mut self, job: Job, round: &mut Round) {
        match job {
            Job::Write { writes, reach, done } => {
                round.reaches.push(reach);
                round.bytes += writes.iter().map(size).sum::<usize>();
                round.writes.extend(writes);
                round.done.push(done);
            }
            Job::Purge { group, from, to } => self.purges.push_back((group, from, to)),
            Job::Stop => round.stop = true,
        }
    }

    fn take_slice(&mut self, round: &mut Round) {
        let Some((group, from, to)) = self.purges.pop_front() else {
            return;
        };
        let end = to.min(from.saturating_add(PURGE_SLICE - 1));
        round.writes.extend((from..=end).map(|index| Write::Remove(Key::entry(group, index))));
        if end < to {
            self.purges.push_front((group, end + 1, to));
        }
    }

    fn perform(&mut self, round: Round) {
        let started = Instant::now();
        let result = self.write(round.writes, &round.reaches);
        self.seconds.record(started.elapsed());
        self.served.record(round.done.len() as f64);
        if let Err(error) = &result
            && !self.broken
        {
            error!(%error, "Cannot write the log; this node takes no further part");
            self.broken = true;
        }
        for done in round.done {
            done.tell(result.as_ref().copied().map_err(copy));
        }
    }

    fn write(&mut self, writes: Vec<Write>, reaches: &[Reach]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed"));
        }
        self.watermark.lower(reaches)?;
        if !writes.is_empty() {
            self.disk.write(writes)?;
        }
        self.watermark.raise(reaches)
    }
}

impl Done {
    fn tell(self, result: io::Result<()>) {
        match self {
            Done::Appended(flushed) => flushed.log_io_completed(result),
            // Who no longer waits was stopped meanwhile.
            Done::Saved(saved) => drop(saved.send(result)),
        }
    }
}

fn size(write: &Write) -> usize {
    match write {
        Write::Put(_, value) => value.len(),
        Write::Remove(_) => 0,
    }
}

fn copy(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

fn stopped() -> io::Error {
    io::Error::other("the log's writer has stopped")
}
