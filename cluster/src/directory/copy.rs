//! The newest directory that a node knew, kept beside its log: after a restart it says where the others are and which
//! groups there are, before anybody else is asked and before the system group's log is read.
//!
//! For a founder it is at first the certificate of the birth. It may be behind the log, never ahead of what is committed.

use std::io;
use std::path::{Path, PathBuf};

use placement::Directory;
use prost::Message;
use proto::v1::DirectoryRecord;

use super::wire;
use crate::whole_file;

#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("{path} is damaged: {reason}", path = .path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{path}: {error}", path = .path.display())]
    Io { path: PathBuf, error: io::Error },
}

pub fn write(data: &Path, directory: &Directory) -> Result<(), CopyError> {
    let path = path(data);
    let content = wire::record(directory).encode_to_vec();
    whole_file::write(&path, &content).map_err(|error| CopyError::Io { path, error })
}

/// `None` if there never was one.
pub fn read(data: &Path) -> Result<Option<Directory>, CopyError> {
    let path = path(data);
    let damaged = |reason: String| CopyError::Damaged { path: path.clone(), reason };
    let content = match whole_file::read(&path) {
        Ok(Some(content)) => content,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(damaged(error.to_string())),
        Err(error) => return Err(CopyError::Io { path, error }),
    };
    let record = DirectoryRecord::decode(&content[..]).map_err(|error| damaged(error.to_string()))?;
    wire::read_record(record).map(Some).map_err(|error| damaged(error.to_string()))
}

fn path(data: &Path) -> PathBuf {
    data.join("directory")
}

#[cfg(test)]
mod tests {
    use placement::{ClusterId, SlotTable};

    use super::*;

    #[test]
    fn the_directory_is_found_again_and_damage_is_seen() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(read(data.path()).unwrap(), None);
        let directory = Directory::certificate(ClusterId(7), SlotTable::dealt(3), [].into());

        write(data.path(), &directory).unwrap();

        assert_eq!(read(data.path()).unwrap(), Some(directory));
        std::fs::write(data.path().join("directory"), "nonsense and more").unwrap();
        assert!(matches!(read(data.path()), Err(CopyError::Damaged { .. })));
    }
}
