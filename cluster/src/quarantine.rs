//! Sets a store aside that cannot be trusted, so that its node comes back as a new member and not as a voter that forgot
//! its votes. What was there is kept for whoever wants to look at it; of several such folders, the last two.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

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
    fn the_last_two_are_kept() {
        let data = tempfile::tempdir().unwrap();
        for content in ["one", "two", "three"] {
            fs::write(data.path().join("node"), content).unwrap();
            set_aside(data.path()).unwrap();
        }

        assert_eq!(numbers(data.path()).unwrap(), [2, 3]);
        assert_eq!(fs::read(data.path().join("quarantine-3/node")).unwrap(), b"three");
    }
}
