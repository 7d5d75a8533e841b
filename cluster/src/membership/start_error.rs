//! Why a node does not start, or may not go on. None of these heals by itself.

use std::io;
use std::path::PathBuf;

use placement::GroupId;

use crate::config::{BadConfig, BadTimings};
use crate::directory::copy::CopyError;
use crate::membership::birth::Refusal;
use crate::membership::identity::IdentityError;
use crate::raft::recovery::BadLog;
use crate::snapshots::format::SnapshotError;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] BadConfig),
    #[error(transparent)]
    Timings(#[from] BadTimings),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Directory(#[from] CopyError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("cannot open {path}: {error}", path = .path.display())]
    Storage { path: PathBuf, error: io::Error },
    #[error("{path}: {error}", path = .path.display())]
    Log { path: PathBuf, error: BadLog },
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("the log of group {group} begins after {purged}, its snapshot ends at {snapshot}: {path}", path = .path.display())]
    Apart { group: GroupId, purged: u64, snapshot: u64, path: PathBuf },
    #[error("group {group} does not start: {reason}")]
    Group { group: GroupId, reason: String },
}

impl StartError {
    /// Whether what the disk holds is not what was written. A disk that cannot be read now may be read later.
    pub fn is_damage(&self) -> bool {
        match self {
            StartError::Identity(IdentityError::Damaged { .. })
            | StartError::Directory(CopyError::Damaged { .. })
            | StartError::Snapshot(SnapshotError::Damaged { .. })
            | StartError::Apart { .. } => true,
            StartError::Storage { error, .. }
            | StartError::Log { error: BadLog::Io { error, .. }, .. }
            | StartError::Snapshot(SnapshotError::Io { error, .. }) => is_damage(error),
            StartError::Log { .. } => true,
            StartError::Config(_)
            | StartError::Timings(_)
            | StartError::Refused(_)
            | StartError::Snapshot(SnapshotError::AnotherVersion { .. })
            | StartError::Identity(_)
            | StartError::Directory(_)
            | StartError::Group { .. } => false,
        }
    }
}

fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_may_not_be_read_is_not_damaged() {
        let storage = |kind| StartError::Storage { path: PathBuf::new(), error: io::Error::from(kind) };

        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::StorageFull, io::ErrorKind::Other] {
            assert!(!storage(kind).is_damage(), "{kind}");
        }
        assert!(storage(io::ErrorKind::InvalidData).is_damage());
        assert!(storage(io::ErrorKind::UnexpectedEof).is_damage());
    }

    #[test]
    fn a_snapshot_of_another_build_is_not_damaged() {
        let path = PathBuf::new;

        assert!(StartError::Snapshot(SnapshotError::Damaged { path: path(), reason: "torn" }).is_damage());
        assert!(!StartError::Snapshot(SnapshotError::AnotherVersion { path: path() }).is_damage());
    }
}
