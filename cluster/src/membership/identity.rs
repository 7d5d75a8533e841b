//! Whose data folder it is: the node's id and name, the cluster it belongs to, and how often it was started.
//!
//! An empty folder gets an id that nobody had before. A folder that holds a log and no identity is damaged: to take it for
//! an empty one would make a voter that forgot its votes. The incarnation rises at each start that is let in: it tells the
//! commands and messages of this run from those of an earlier one, or of an old copy of the folder. A start that is refused
//! leaves the number as it was, or an old copy would only have to be started often enough to pass for the node.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use placement::{ClusterId, NodeId};

use crate::membership::quarantine;
use crate::whole_file;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub id: NodeId,
    pub name: String,
    pub incarnation: u64,
    /// `None` until a birth or an admission.
    pub cluster: Option<ClusterId>,
    /// Whether a store was set aside in this folder that may hold what a cluster had. Read from the folder at each start.
    pub set_aside: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("{folder} belongs to {found}, this is {configured}", folder = .folder.display())]
    AnotherName { folder: PathBuf, found: String, configured: String },
    #[error("{path} is damaged: {reason}", path = .path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{path}: {error}", path = .path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// Takes the folder for a start of the node with this name; an empty folder gets the id `fresh`, for ever. The incarnation
/// of this start is on the disk only once the identity is saved, which is due before the node takes part in anything.
pub fn take(folder: &Path, name: &str, fresh: NodeId) -> Result<Identity, IdentityError> {
    let path = path(folder);
    fs::create_dir_all(folder).map_err(|error| io_error(&path, error))?;
    let before = match whole_file::read(&path).map_err(|error| io_error(&path, error))? {
        Some(content) => read(&content).map_err(|reason| damaged(&path, reason))?,
        None if folder.join("log").exists() => return Err(damaged(&path, "it is missing beside a log")),
        None => {
            let minted = Identity {
                id: fresh,
                name: name.to_owned(),
                incarnation: 0,
                cluster: None,
                set_aside: false,
            };
            minted.save(folder)?;
            minted
        }
    };
    if before.name != name {
        let (folder, configured) = (folder.to_owned(), name.to_owned());
        return Err(IdentityError::AnotherName { folder, found: before.name, configured });
    }
    let set_aside = quarantine::holds_a_member(folder).map_err(|error| io_error(folder, error))?;
    Ok(Identity { incarnation: before.incarnation + 1, set_aside, ..before })
}

impl Identity {
    /// Writes it down, for ever.
    pub fn save(&self, folder: &Path) -> Result<(), IdentityError> {
        let path = path(folder);
        let cluster = self.cluster.map_or_else(|| "none".to_owned(), |cluster| cluster.to_string());
        let Identity { id, name, incarnation, .. } = self;
        let text = format!("node {id}\nname {name}\nincarnation {incarnation}\ncluster {cluster}\n");
        whole_file::write(&path, text.as_bytes()).map_err(|error| io_error(&path, error))
    }
}

fn read(content: &[u8]) -> Result<Identity, &'static str> {
    let text = std::str::from_utf8(content).map_err(|_| "it is no text")?;
    let mut lines = text.lines();
    let mut line = |name| {
        let line: Option<&str> = lines.next().and_then(|line| line.strip_prefix(name));
        line.ok_or("a line is missing")
    };
    let number = |text: &str| text.parse::<u64>().map_err(|_| "a number makes no sense");
    Ok(Identity {
        id: NodeId(number(line("node ")?)?),
        name: line("name ")?.to_owned(),
        incarnation: number(line("incarnation ")?)?,
        cluster: match line("cluster ")? {
            "none" => None,
            text => Some(ClusterId::parse(text).ok_or("the cluster makes no sense")?),
        },
        set_aside: false,
    })
}

fn path(folder: &Path) -> PathBuf {
    folder.join("node")
}

fn io_error(path: &Path, error: io::Error) -> IdentityError {
    match error.kind() {
        io::ErrorKind::InvalidData => damaged(path, &error.to_string()),
        _ => IdentityError::Io { path: path.to_owned(), error },
    }
}

fn damaged(path: &Path, reason: &str) -> IdentityError {
    IdentityError::Damaged { path: path.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_folder_gets_an_id_and_every_start_that_is_let_in_is_a_new_incarnation() {
        let folder = tempfile::tempdir().unwrap();

        let starts = [5, 6, 7].map(|fresh| {
            let start = take(folder.path(), "a", NodeId(fresh)).unwrap();
            start.save(folder.path()).unwrap();
            start
        });

        assert!(starts.iter().all(|start| start.id == NodeId(5) && start.name == "a"));
        assert_eq!(starts.map(|start| start.incarnation), [1, 2, 3]);
    }

    #[test]
    fn starts_that_are_not_let_in_are_the_same_start_of_the_same_node() {
        let folder = tempfile::tempdir().unwrap();

        let starts = [5, 6, 7].map(|fresh| take(folder.path(), "a", NodeId(fresh)).unwrap());

        assert!(starts.iter().all(|start| start.id == NodeId(5) && start.incarnation == 1), "{starts:?}");
    }

    #[test]
    fn the_cluster_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut identity = take(folder.path(), "a", NodeId(5)).unwrap();
        assert_eq!(identity.cluster, None);

        identity.cluster = Some(ClusterId(0xabc));
        identity.save(folder.path()).unwrap();

        assert_eq!(take(folder.path(), "a", NodeId(6)).unwrap().cluster, Some(ClusterId(0xabc)));
    }

    #[test]
    fn the_folder_of_another_name_is_refused_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let taken = take(folder.path(), "a", NodeId(5)).unwrap();

        let refused = take(folder.path(), "b", NodeId(6)).unwrap_err();

        assert!(refused.to_string().ends_with("belongs to a, this is b"), "{refused}");
        assert_eq!(take(folder.path(), "a", NodeId(7)).unwrap(), taken);
    }

    #[test]
    fn a_damaged_identity_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "node 7\n", "node x\nname a\nincarnation 1\ncluster none\n", "node 7\nname a\n"] {
            whole_file::write(&folder.path().join("node"), text.as_bytes()).unwrap();

            let seen = take(folder.path(), "a", NodeId(7));

            assert!(matches!(seen, Err(IdentityError::Damaged { .. })), "{text:?}");
        }
    }

    #[test]
    fn a_log_without_an_identity_is_not_taken_for_an_empty_folder() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("log")).unwrap();

        let seen = take(folder.path(), "a", NodeId(7));

        assert!(matches!(seen, Err(IdentityError::Damaged { .. })), "{seen:?}");
    }
}
