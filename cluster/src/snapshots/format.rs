//! The format of a snapshot file: a magic word, the header, then the chunks; header and chunks each with their length
//! and CRC32. Every byte of it is checked before anyone believes it.
//!
//! Three things are told apart: a file that is not what was written, a disk that does not give it now, and a file that
//! another build wrote in a format of its own. Only the first is damage.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use placement::GroupId;
use prost::Message;
use proto::v1::SnapshotHeader;

/// The magic word; its last byte is the version of the format.
const MAGIC: &[u8; 8] = b"VEDSNAP1";
const NAME: &[u8] = MAGIC.split_at(7).0;
const HEADER_LIMIT: u64 = 1024 * 1024;
const BUFFER: usize = 256 * 1024;
const SHORT: &str = "it ends too early";

/// A whole, checked snapshot. Its content stays readable after a newer one took its name.
#[derive(Clone)]
pub struct Snapshot {
    pub header: SnapshotHeader,
    pub file: Arc<File>,
    pub bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("snapshot {path}: {error}", path = .path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("snapshot {path} is damaged: {reason}", path = .path.display())]
    Damaged { path: PathBuf, reason: &'static str },
    #[error("snapshot {path} has a format that this build does not know", path = .path.display())]
    AnotherVersion { path: PathBuf },
}

impl Snapshot {
    pub fn index(&self) -> u64 {
        self.header.last.map_or(0, |last| last.index)
    }
}

/// Writes and syncs a snapshot under this name.
pub fn write(path: &Path, header: SnapshotHeader, chunks: &[Bytes]) -> Result<Snapshot, SnapshotError> {
    let write = || -> io::Result<Snapshot> {
        let file = create(path)?;
        let mut out = BufWriter::with_capacity(BUFFER, &file);
        out.write_all(MAGIC)?;
        write_part(&mut out, &header.encode_to_vec())?;
        for chunk in chunks {
            write_part(&mut out, chunk)?;
        }
        out.flush()?;
        drop(out);
        file.sync_all()?;
        let bytes = file.metadata()?.len();
        Ok(Snapshot { header, file: Arc::new(file), bytes })
    };
    write().map_err(io_error(path))
}

/// Reads the whole file and checks every part of it.
pub fn check(file: File, path: &Path, group: GroupId) -> Result<(Snapshot, Vec<Bytes>), SnapshotError> {
    let damaged = |reason| damaged(path, reason);
    let bytes = file.metadata().map_err(io_error(path))?.len();
    let mut parts = Parts { file: BufReader::with_capacity(BUFFER, ReadAt::begin(&file)), left: bytes, path };

    let mut magic = [0; 8];
    parts.fill(&mut magic)?;
    if &magic != MAGIC {
        return Err(match magic.starts_with(NAME) {
            true => SnapshotError::AnotherVersion { path: path.to_owned() },
            false => damaged("it is no snapshot"),
        });
    }
    let header = parts.next(HEADER_LIMIT)?;
    let header = SnapshotHeader::decode(header).map_err(|_| damaged("its header cannot be read"))?;
    if header.group != group.0 {
        return Err(damaged("it belongs to another group"));
    }
    let mut chunks = Vec::new();
    for _ in 0..header.chunks {
        chunks.push(parts.next(u64::MAX)?);
    }
    if parts.left > 0 {
        return Err(damaged("something follows its last chunk"));
    }
    drop(parts);
    Ok((Snapshot { header, file: Arc::new(file), bytes }, chunks))
}

struct Parts<'a> {
    file: BufReader<ReadAt<'a>>,
    left: u64,
    path: &'a Path,
}

impl Parts<'_> {
    fn next(&mut self, limit: u64) -> Result<Bytes, SnapshotError> {
        let (mut len, mut checksum) = ([0; 4], [0; 4]);
        self.fill(&mut len)?;
        self.fill(&mut checksum)?;
        let len = u32::from_le_bytes(len);
        // A length that was damaged must not make us ask for memory that the file cannot fill.
        if u64::from(len) > limit.min(self.left) {
            return Err(damaged(self.path, SHORT));
        }
        let mut part = vec![0; len as usize];
        self.fill(&mut part)?;
        match crc32fast::hash(&part) == u32::from_le_bytes(checksum) {
            true => Ok(part.into()),
            false => Err(damaged(self.path, "a checksum does not match")),
        }
    }

    /// A file that ends too early was torn; a disk that fails may give the file later.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), SnapshotError> {
        self.file.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged(self.path, SHORT),
            _ => io_error(self.path)(error),
        })?;
        self.left = self.left.saturating_sub(buffer.len() as u64);
        Ok(())
    }
}

/// Reads a shared file from its begin, whoever else reads or wrote it.
pub struct ReadAt<'a> {
    file: &'a File,
    at: u64,
}

impl<'a> ReadAt<'a> {
    pub fn begin(file: &'a File) -> ReadAt<'a> {
        ReadAt { file, at: 0 }
    }
}

impl Read for ReadAt<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = std::os::unix::fs::FileExt::read_at(self.file, buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

pub fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)
}

fn write_part(out: &mut impl Write, part: &[u8]) -> io::Result<()> {
    let len = u32::try_from(part.len()).map_err(|_| io::Error::other("a chunk is over 4 GiB"))?;
    out.write_all(&len.to_le_bytes())?;
    out.write_all(&crc32fast::hash(part).to_le_bytes())?;
    out.write_all(part)
}

pub fn io_error(path: &Path) -> impl FnOnce(io::Error) -> SnapshotError {
    let path = path.to_owned();
    |error| SnapshotError::Io { path, error }
}

fn damaged(path: &Path, reason: &'static str) -> SnapshotError {
    SnapshotError::Damaged { path: path.to_owned(), reason }
}
