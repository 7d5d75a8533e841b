//! Snapshot files: one per group, written aside and renamed, so that there is always a whole one or none.
//!
//! A file is shipped to a follower as it is, and checked as a whole before it replaces another.
//!
//! Everything here blocks; call it from a thread that may.

pub mod format;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use placement::GroupId;
use proto::v1::{LogId, SnapshotHeader};

use format::{ReadAt, Snapshot, SnapshotError, create, io_error};

/// The snapshots of one group.
pub struct Snapshots {
    group: GroupId,
    folder: PathBuf,
    current: Mutex<Option<Snapshot>>,
    temporaries: AtomicU64,
}

/// A snapshot on its way: one of ours to be sent, or one that is being received.
pub struct SnapshotData {
    file: Option<Arc<File>>,
    pub bytes: u64,
    temporary: Option<Temporary>,
    checked: Option<(Snapshot, Vec<Bytes>)>,
}

/// A file that vanishes unless it is given its final name.
struct Temporary(PathBuf);

impl Snapshots {
    /// Checks the file there is, and removes what was never finished. Returns the chunks of the file.
    pub fn open(folder: &Path, group: GroupId) -> Result<(Snapshots, Vec<Bytes>), SnapshotError> {
        let snapshots = Snapshots {
            group,
            folder: folder.to_owned(),
            current: Mutex::new(None),
            temporaries: AtomicU64::new(0),
        };
        snapshots.remove_unfinished().map_err(io_error(folder))?;
        let path = snapshots.path();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((snapshots, Vec::new())),
            Err(error) => return Err(io_error(&path)(error)),
        };
        let (snapshot, chunks) = format::check(file, &path, group)?;
        *snapshots.current.lock() = Some(snapshot);
        Ok((snapshots, chunks))
    }

    pub fn current(&self) -> Option<Snapshot> {
        self.current.lock().clone()
    }

    /// Writes a snapshot of our own state; it becomes the current one unless a newer one came meanwhile.
    pub fn write(&self, mut header: SnapshotHeader, chunks: &[Bytes]) -> Result<Snapshot, SnapshotError> {
        header.chunks = chunks.len() as u64;
        let temporary = self.temporary();
        let snapshot = format::write(&temporary.0, header, chunks)?;
        self.publish(temporary, snapshot)
    }

    /// An empty file for a snapshot that another node sends.
    pub fn receive(&self) -> Result<SnapshotData, SnapshotError> {
        let temporary = self.temporary();
        let file = create(&temporary.0).map_err(io_error(&temporary.0))?;
        Ok(SnapshotData { file: Some(Arc::new(file)), bytes: 0, temporary: Some(temporary), checked: None })
    }

    /// Checks what was received, and syncs it.
    pub fn check(&self, data: SnapshotData) -> Result<SnapshotData, SnapshotError> {
        let temporary = match (data.temporary, data.file) {
            (Some(temporary), _) => temporary,
            (None, Some(file)) => self.copy(&file)?,
            (None, None) => self.temporary(),
        };
        let path = &temporary.0;
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(io_error(path))?;
        let (snapshot, chunks) = format::check(file, path, self.group)?;
        snapshot.file.sync_all().map_err(io_error(path))?;
        Ok(SnapshotData {
            file: Some(snapshot.file.clone()),
            bytes: snapshot.bytes,
            temporary: Some(temporary),
            checked: Some((snapshot, chunks)),
        })
    }

    /// Makes what was received the current snapshot, checked if it was not yet, unless a newer one came meanwhile.
    /// Returns the current one with its chunks.
    pub fn adopt(&self, data: SnapshotData) -> Result<(Snapshot, Vec<Bytes>), SnapshotError> {
        match data {
            SnapshotData { temporary: Some(temporary), checked: Some((snapshot, chunks)), .. } => {
                let index = snapshot.index();
                let current = self.publish(temporary, snapshot)?;
                match current.index() == index {
                    true => Ok((current, chunks)),
                    false => self.read_current(),
                }
            }
            unchecked => self.adopt(self.check(unchecked)?),
        }
    }

    fn read_current(&self) -> Result<(Snapshot, Vec<Bytes>), SnapshotError> {
        let path = self.path();
        let file = File::open(&path).map_err(io_error(&path))?;
        format::check(file, &path, self.group)
    }

    fn publish(&self, mut temporary: Temporary, snapshot: Snapshot) -> Result<Snapshot, SnapshotError> {
        let mut current = self.current.lock();
        if let Some(held) = &*current
            && held.index() > snapshot.index()
        {
            return Ok(held.clone());
        }
        let path = self.path();
        fs::rename(&temporary.0, &path).map_err(io_error(&path))?;
        temporary.0 = PathBuf::new();
        // The new name must survive a power cut before anyone relies on it.
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(io_error(&self.folder))?;
        *current = Some(snapshot.clone());
        Ok(snapshot)
    }

    fn copy(&self, from: &File) -> Result<Temporary, SnapshotError> {
        let temporary = self.temporary();
        let copy = || -> io::Result<()> {
            let mut to = create(&temporary.0)?;
            io::copy(&mut ReadAt::begin(from), &mut to)?;
            Ok(())
        };
        copy().map_err(io_error(&temporary.0))?;
        Ok(temporary)
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("group-{}.snapshot", self.group))
    }

    fn temporary(&self) -> Temporary {
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        Temporary(self.folder.join(format!("group-{}.{number}.unfinished", self.group)))
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        let ours = format!("group-{}.", self.group);
        for file in fs::read_dir(&self.folder)? {
            let file = file?;
            let name = file.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&ours) && name.ends_with(".unfinished") {
                fs::remove_file(file.path())?;
            }
        }
        Ok(())
    }
}

impl SnapshotData {
    /// One of ours, to be read.
    pub fn of(snapshot: &Snapshot) -> SnapshotData {
        SnapshotData {
            file: Some(snapshot.file.clone()),
            bytes: snapshot.bytes,
            temporary: None,
            checked: None,
        }
    }

    /// Stands for a snapshot that could not be made.
    pub fn nothing() -> SnapshotData {
        SnapshotData { file: None, bytes: 0, temporary: None, checked: None }
    }

    /// Whether it was checked and ends at this record.
    pub fn describes(&self, last: &Option<LogId>) -> bool {
        self.checked.as_ref().is_some_and(|(snapshot, _)| snapshot.header.last == *last)
    }

    /// Adds to a snapshot that is being received.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(mut file) = self.file.as_deref() {
            file.write_all(bytes)?;
            self.bytes += bytes.len() as u64;
        }
        Ok(())
    }

    /// Up to `len` bytes from `at`; empty at the end.
    pub fn read_at(&self, at: u64, len: usize) -> io::Result<Bytes> {
        let len = self.bytes.saturating_sub(at).min(len as u64) as usize;
        let mut bytes = vec![0; len];
        if let Some(file) = &self.file {
            std::os::unix::fs::FileExt::read_exact_at(&**file, &mut bytes, at)?;
        }
        Ok(bytes.into())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // What cannot be removed now is removed at the next start.
            let _ = fs::remove_file(&self.0);
        }
    }
}

#[cfg(test)]
mod tests;
