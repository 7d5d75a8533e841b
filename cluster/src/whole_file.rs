//! Small files that are there whole, or as they were before: written aside, synced and renamed. Their first line is a
//! checksum of the rest, so one that was damaged is seen.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Replaces the file.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = File::create(&unfinished)?;
    writeln!(file, "{:08x}", crc32fast::hash(content))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// `None` if there is no such file; `InvalidData` if it is not as it was written.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "its checksum does not match");
    let (checksum, content) = bytes.split_at_checked(9).ok_or_else(damaged)?;
    let written = format!("{:08x}\n", crc32fast::hash(content));
    if written.as_bytes() == checksum { Ok(Some(content.to_vec())) } else { Err(damaged()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_it_was_written_and_every_damage_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node");
        assert_eq!(read(&path).unwrap(), None);

        write(&path, b"old").unwrap();
        write(&path, b"name a\n").unwrap();

        assert_eq!(read(&path).unwrap().unwrap(), b"name a\n");
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            for damaged in [flipped, whole[..at].to_vec()] {
                fs::write(&path, damaged).unwrap();
                assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::InvalidData, "{at}");
            }
        }
    }
}
