//! sled as the disk of the log. The only file that speaks sled.
//!
//! A batch is on the disk when it is in the journal; sled is flushed when that is full. Until then the journal holds what
//! is new, and only that. What sled moves about meanwhile must not be lost either, so nothing much is written between two
//! flushes: it is flushed as well when a batch is large, and when it went on to another segment.
//!
//! Two things sled does not do by itself. On Linux its `flush` ends with `sync_file_range`, which does not reach the
//! disk's own cache nor write the file's length: so each flush ends with fdatasync on sled's file. And it moves a
//! page that outgrows a quarter of a segment to a file of its own that nobody ever syncs: so segments are large
//! enough for a leaf full of the largest values (17 of 60 KiB), and one that was moved all the same is a failure. They are
//! no larger, because sled holds two of them in memory.
//!
//! And sled is not to be believed about a damaged file. It opens most of them without a word, as if what it cannot
//! read had never been written, which `recovery` finds out. Some it refuses, and some it panics over: no panic passes
//! this file.

use std::fs::{self, File};
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use metrics::Histogram;
use parking_lot::{Mutex, RwLock};

use super::disk::{Disk, Key, Write};
use super::journal::{self, Journal};
use crate::metrics::SYNC_SECONDS;

const SEGMENT: usize = 4 * 1024 * 1024;
/// A wish: sled's memory is what its pages need.
const CACHE: u64 = 64 * 1024 * 1024;
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
const LOCK_POLL: Duration = Duration::from_millis(20);

pub struct SledDisk {
    open: RwLock<Option<Files>>,
    blobs: Blobs,
    sync_seconds: Histogram,
}

struct Files {
    db: sled::Db,
    tree: sled::Tree,
    /// sled's own file, to sync it.
    file: File,
    journal: Mutex<Journal>,
    /// When sled's file was last written, as far as the last flush knows.
    flushed: Mutex<Option<SystemTime>>,
}

impl SledDisk {
    pub fn open(folder: &Path) -> io::Result<SledDisk> {
        fenced(|| SledDisk::open_unfenced(folder))
    }

    fn open_unfenced(folder: &Path) -> io::Result<SledDisk> {
        fs::create_dir_all(folder)?;
        let db = open_db(folder).map_err(failed)?;
        let tree = db.open_tree("log").map_err(failed)?;
        let file = File::open(folder.join("db"))?;
        let (journal, to_do_again) = Journal::open(&folder.join("journal"))?;
        let files = Files { db, tree, file, journal: Mutex::new(journal), flushed: Mutex::default() };
        for batch in to_do_again {
            files.change(batch)?;
        }
        files.flush()?;
        let blobs = Blobs::open(folder.join("blobs"))?;
        files.journal.lock().clear()?;
        // The names of the files must survive a power cut as their content does.
        File::open(folder)?.sync_all()?;

        let sync_seconds = metrics::histogram!(SYNC_SECONDS);
        Ok(SledDisk { open: RwLock::new(Some(files)), blobs, sync_seconds })
    }
}

impl Files {
    /// Each write by itself: it is the journal that makes a batch whole.
    fn change(&self, batch: Vec<Write>) -> io::Result<()> {
        let mut changed = 0;
        for write in batch {
            changed += match write {
                Write::Put(key, value) => {
                    let length = value.len();
                    self.tree.insert(key.bytes(), value).map(|_| length)
                }
                Write::Remove(key) => self.tree.remove(key.bytes()).map(|old| old.map_or(0, |old| old.len())),
            }
            .map_err(failed)?;
            if changed >= journal::FULL {
                self.flush()?;
                changed = 0;
            }
        }
        Ok(())
    }

    /// Returns when sled's file holds everything.
    fn flush(&self) -> io::Result<()> {
        self.db.flush().map_err(failed)?;
        self.file.sync_data()?;
        *self.flushed.lock() = Some(self.file.metadata()?.modified()?);
        Ok(())
    }

    /// sled writes by itself when a segment is full.
    fn has_written(&self) -> io::Result<bool> {
        Ok(Some(self.file.metadata()?.modified()?) != *self.flushed.lock())
    }
}

/// Where sled moves what outgrows a page.
struct Blobs {
    folder: PathBuf,
    /// The folder, open: to ask it costs less than to look it up again.
    handle: File,
    /// The folder as it was when it was last found empty.
    empty_since: Mutex<Option<SystemTime>>,
}

impl Blobs {
    /// Below this age a folder may change again and still look the same.
    const SETTLED: Duration = Duration::from_secs(1);

    fn open(folder: PathBuf) -> io::Result<Blobs> {
        let blobs = Blobs { handle: File::open(&folder)?, folder, empty_since: Mutex::default() };
        blobs.refuse()?;
        Ok(blobs)
    }

    /// Fails if there is one. The folder is read only when it has changed.
    fn refuse(&self) -> io::Result<()> {
        let changed = self.handle.metadata()?.modified()?;
        let mut empty_since = self.empty_since.lock();
        if *empty_since == Some(changed) {
            return Ok(());
        }
        if fs::read_dir(&self.folder)?.next().is_some() {
            let what = format!("a value was moved to {}", self.folder.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let settled = changed.elapsed().is_ok_and(|age| age > Blobs::SETTLED);
        *empty_since = settled.then_some(changed);
        Ok(())
    }
}

/// sled's own threads let go of its lock a moment after the last handle was dropped, so a node that is closed and opened
/// again in one process finds it held for a while. A lock held for longer is another process's.
fn open_db(folder: &Path) -> sled::Result<sled::Db> {
    let config =
        sled::Config::new().path(folder).segment_size(SEGMENT).cache_capacity(CACHE).flush_every_ms(None);
    let give_up = Instant::now() + LOCK_PATIENCE;
    loop {
        match config.open() {
            Err(error) if is_locked(&error) && Instant::now() < give_up => thread::sleep(LOCK_POLL),
            opened => return opened,
        }
    }
}

/// Keeps apart what is damaged and what cannot be read or written at the moment.
fn failed(error: sled::Error) -> io::Error {
    let kind = match &error {
        sled::Error::Io(error) => error.kind(),
        sled::Error::Corruption { .. } | sled::Error::ReportableBug(_) => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

impl SledDisk {
    fn write_down(&self, files: &Files, journal: &mut Journal, batch: Vec<Write>) -> io::Result<()> {
        let started = Instant::now();
        journal.append(&batch)?;
        self.sync_seconds.record(started.elapsed());
        fenced(|| files.change(batch))?;
        if journal.is_full() || files.has_written()? {
            fenced(|| files.flush())?;
            self.blobs.refuse()?;
            journal.begin_anew()?;
        }
        Ok(())
    }
}

impl Disk for SledDisk {
    fn write(&self, batch: Vec<Write>) -> io::Result<()> {
        let open = self.open.read();
        let files = open.as_ref().ok_or_else(closed)?;
        let mut journal = files.journal.lock();
        self.write_down(files, &mut journal, batch).inspect_err(|_| journal.keep())
    }

    fn scan(&self, from: Key, to: Key, each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
        let open = self.open.read();
        let files = open.as_ref().ok_or_else(closed)?;
        fenced(|| {
            for pair in files.tree.range(from.bytes()..=to.bytes()) {
                let (key, value) = pair.map_err(failed)?;
                if !each(&key, &value) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn close(&self) {
        let files = self.open.write().take();
        // What it owed to anyone is on the disk by now, in the journal if nowhere else.
        let _ = fenced(|| {
            let Some(files) = files else { return Ok(()) };
            files.flush()?;
            self.blobs.refuse()?;
            files.journal.lock().clear()
        });
    }
}

/// A panic of sled as a failure: it met what it did not write. Nothing of ours is torn by that.
fn fenced<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it did not say why");
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("sled panicked: {said}")))
    })
}

fn closed() -> io::Error {
    io::Error::other("the log is closed")
}
