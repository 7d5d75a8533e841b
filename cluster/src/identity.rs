//! Which node a data folder belongs to, and how often it was started.
//!
//! A folder under another node's id would make one voter of two, so the id is written at the first start and checked
//! ever after. The incarnation rises at each start: it tells the commands of this run from those of an earlier one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use placement::NodeId;

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("{path} belongs to node {found}, this is node {configured}", path = .path.display())]
    AnotherNode { path: PathBuf, found: NodeId, configured: NodeId },
    #[error("{path} cannot be read: {reason}", path = .path.display())]
    Unreadable { path: PathBuf, reason: &'static str },
    #[error("{path}: {error}", path = .path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// Takes the folder for this node and returns the incarnation that begins now.
pub fn take(folder: &Path, node: NodeId) -> Result<u64, IdentityError> {
    let path = folder.join("node");
    let io_error = |error| IdentityError::Io { path: path.clone(), error };
    let before = match fs::read_to_string(&path) {
        Ok(text) => {
            let unreadable = |reason| IdentityError::Unreadable { path: path.clone(), reason };
            let (found, incarnation) = parse(&text).map_err(unreadable)?;
            if found != node {
                return Err(IdentityError::AnotherNode { path, found, configured: node });
            }
            incarnation
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(io_error(error)),
    };
    let incarnation = before + 1;
    write(folder, &path, &format!("node {node}\nincarnation {incarnation}\n")).map_err(io_error)?;
    Ok(incarnation)
}

fn parse(text: &str) -> Result<(NodeId, u64), &'static str> {
    let mut numbers = ["node ", "incarnation "].into_iter().zip(text.lines()).map(|(name, line)| {
        let number = line.strip_prefix(name).ok_or("a line is missing")?;
        number.parse::<u64>().map_err(|_| "a number makes no sense")
    });
    let mut next = || numbers.next().unwrap_or(Err("a line is missing"));
    Ok((NodeId(next()?), next()?))
}

fn write(folder: &Path, path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = File::create(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_start_is_a_new_incarnation() {
        let folder = tempfile::tempdir().unwrap();

        let incarnations = [(); 3].map(|()| take(folder.path(), NodeId(7)).unwrap());

        assert_eq!(incarnations, [1, 2, 3]);
    }

    #[test]
    fn the_folder_of_another_node_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        take(folder.path(), NodeId(7)).unwrap();

        let refused = take(folder.path(), NodeId(8));

        assert!(matches!(refused, Err(IdentityError::AnotherNode { found: NodeId(7), .. })));
    }

    #[test]
    fn a_damaged_identity_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "node 7\n", "node x\nincarnation 1\n", "incarnation 1\nnode 7\n"] {
            fs::write(folder.path().join("node"), text).unwrap();

            let refused = take(folder.path(), NodeId(7));

            assert!(matches!(refused, Err(IdentityError::Unreadable { .. })), "{text:?}");
        }
    }
}
