//! The writer over a disk that counts, and one that fails.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use futures_util::poll;
use placement::GroupId;
use tokio::sync::Notify;

use super::disk::{Disk, Key, Write};
use super::watermark::{Reach, Watermark};
use super::writer::Writer;

const GROUP: GroupId = GroupId(1);

#[tokio::test(flavor = "multi_thread")]
async fn one_sync_serves_everything_that_waits() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Scripted { waits_at: Some(0), ..Scripted::default() });
    let (writer, _thread) = Writer::start(disk.clone(), Watermark::open(folder.path()).unwrap()).unwrap();

    let mut first = Box::pin(save(writer.clone(), 0));
    assert!(poll!(&mut first).is_pending());
    disk.entered.notified().await;
    // Polled once, a save has queued its job.
    let mut others: Vec<_> = (1..100).map(|index| Box::pin(save(writer.clone(), index))).collect();
    for other in &mut others {
        assert!(poll!(other).is_pending());
    }
    disk.gate.wait();
    first.await.unwrap();
    for other in others {
        other.await.unwrap();
    }

    assert_eq!(disk.rounds.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_write_that_failed_nothing_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Scripted { fails_at: Some(1), ..Scripted::default() });
    let (writer, _thread) = Writer::start(disk.clone(), Watermark::open(folder.path()).unwrap()).unwrap();

    assert!(save(writer.clone(), 0).await.is_ok());
    assert!(save(writer.clone(), 1).await.is_err());
    assert!(save(writer.clone(), 2).await.is_err());
    assert_eq!(disk.rounds.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_writer_that_has_stopped_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Scripted::default());
    let (writer, thread) = Writer::start(disk, Watermark::open(folder.path()).unwrap()).unwrap();

    writer.stop().await;
    thread.join().unwrap();

    assert!(save(writer, 0).await.is_err());
}

/// Counts its rounds, waits in one for the test, and fails in one.
struct Scripted {
    rounds: AtomicUsize,
    waits_at: Option<usize>,
    fails_at: Option<usize>,
    entered: Notify,
    gate: Barrier,
}

impl Default for Scripted {
    fn default() -> Scripted {
        let (rounds, entered, gate) = (AtomicUsize::new(0), Notify::new(), Barrier::new(2));
        Scripted { rounds, waits_at: None, fails_at: None, entered, gate }
    }
}

impl Disk for Scripted {
    fn write(&self, _batch: Vec<Write>) -> io::Result<()> {
        let round = self.rounds.fetch_add(1, Ordering::SeqCst);
        if self.waits_at == Some(round) {
            self.entered.notify_one();
            self.gate.wait();
        }
        if self.fails_at == Some(round) { Err(io::Error::other("no space")) } else { Ok(()) }
    }

    fn scan(&self, _from: Key, _to: Key, _each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
        Ok(())
    }

    fn close(&self) {}
}

async fn save(writer: Writer, index: u64) -> io::Result<()> {
    writer.save(vec![Write::Put(Key::entry(GROUP, index), vec![1])], Reach::Same).await
}
