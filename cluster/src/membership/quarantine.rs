//! Sets a store aside that cannot be trusted, so that its node comes back as a new member and not as a voter that forgot
//! its votes. What was there is kept for whoever wants to look at it; of several such folders, the last two.
//!
//! What one node set aside the others still have. If all of them had to, these folders are all there is of the cluster.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::directory::copy;

const KEPT: usize = 2;
const PREFIX: &str = "quarantine-";
/// What a node writes into its folder. The identity goes first: a log without one is not trusted either, so a move that
/// was interrupted is completed at the next start.
const OURS: [&str; 5] = ["node", "directory", "watermark", "snapshots", "log"];

/// Moves everything that the node wrote aside, and says where to.
pub fn set_aside(data: &Path) -> io::Result<PathBuf> {
    let earlier = numbers(data)?;
    let folder = data.join(format!("{PREFIX}{}", earlier.last().map_or(1, |last| last + 1)));
    fs::create_dir(&folder)?;
    for name in OURS {
        let from = data.join(name);
        if from.exists() {
            fs::rename(from, folder.join(name))?;
        }
    }
    File::open(data)?.sync_all()?;
    for number in earlier.iter().take((earlier.len() + 1).saturating_sub(KEPT)) {
        fs::remove_dir_all(data.join(format!("{PREFIX}{number}")))?;
    }
    Ok(folder)
}

/// Whether something was set aside that may hold what a cluster had. A cluster that was never born had nothing; what
/// cannot be told counts as held.
pub fn holds_a_member(data: &Path) -> io::Result<bool> {
    let held = |folder: PathBuf| match copy::read(&folder) {
        Ok(Some(directory)) => directory.is_born(),
        Ok(None) => folder.join("log").exists(),
        Err(_) => true,
    };
    Ok(numbers(data)?.into_iter().any(|number| held(data.join(format!("{PREFIX}{number}")))))
}

fn numbers(data: &Path) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<u64> = Vec::new();
    for entry in fs::read_dir(data)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use placement::{ClusterId, Directory, SlotTable};

    use super::*;

    #[test]
    fn what_the_node_wrote_is_moved_and_nothing_else() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("node"), "x").unwrap();
        fs::create_dir(data.path().join("log")).unwrap();
        fs::create_dir(data.path().join("lost+found")).unwrap();

        let folder = set_aside(data.path()).unwrap();

        assert_eq!(fs::read(folder.join("node")).unwrap(), b"x");
        assert!(folder.join("log").is_dir() && !data.path().join("log").exists());
        assert!(data.path().join("lost+found").is_dir());
    }

    #[test]
    fn only_what_a_born_cluster_may_have_written_counts_as_its_data() {
        let unborn = Directory::certificate(ClusterId(7), SlotTable::dealt(1), [].into());
        let born = Directory { version: 10, ..unborn.clone() };
        let log = |data: &Path| fs::create_dir(data.join("log")).unwrap();
        let damaged = |data: &Path, name| fs::write(data.join(name), "damaged").unwrap();

        assert!(!counts(|_| {}));
        assert!(!counts(|data| damaged(data, "node")));
        assert!(!counts(|data| {
            log(data);
            copy::write(data, &unborn).unwrap();
        }));
        assert!(counts(log));
        assert!(counts(|data| damaged(data, "directory")));
        assert!(counts(|data| copy::write(data, &born).unwrap()));
    }

    #[test]
    fn the_last_two_are_kept() {
        let data = tempfile::tempdir().unwrap();
        for content in ["one", "two", "three"] {
            fs::write(data.path().join("node"), content).unwrap();
            set_aside(data.path()).unwrap();
        }

        assert_eq!(numbers(data.path()).unwrap(), [2, 3]);
        assert_eq!(fs::read(data.path().join("quarantine-3/node")).unwrap(), b"three");
    }

    /// Whether what is written there counts once it was set aside.
    fn counts(write: impl Fn(&Path)) -> bool {
        let data = tempfile::tempdir().unwrap();
        write(data.path());
        assert!(!holds_a_member(data.path()).unwrap());
        set_aside(data.path()).unwrap();
        holds_a_member(data.path()).unwrap()
    }
}
