//! The disk of a node, and the thread that writes it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use placement::GroupId;

use crate::node::StartError;
use crate::raft::disk::Disk;
use crate::raft::log_store::SledDisk;
use crate::raft::watermark::{Mark, Watermark};
use crate::raft::writer::Writer;

pub struct Store {
    pub folder: PathBuf,
    pub snapshots: PathBuf,
    pub disk: Arc<dyn Disk>,
    pub writer: Writer,
    /// How far the log reached, by what was noted of an earlier run.
    pub marks: BTreeMap<GroupId, Mark>,
    thread: std::thread::JoinHandle<()>,
}

impl Store {
    pub async fn open(data: &Path) -> Result<Store, StartError> {
        let (data, folder, snapshots) = (data.to_owned(), data.join("log"), data.join("snapshots"));
        let failed = |path: &PathBuf| {
            let path = path.clone();
            move |error| StartError::Storage { path, error }
        };
        let open = {
            let folder = folder.clone();
            move || -> Result<Store, StartError> {
                fs::create_dir_all(&snapshots).map_err(failed(&snapshots))?;
                let disk: Arc<dyn Disk> = Arc::new(SledDisk::open(&folder).map_err(failed(&folder))?);
                let watermark = Watermark::open(&data).map_err(failed(&data))?;
                let marks = watermark.marks().clone();
                let (writer, thread) = Writer::start(disk.clone(), watermark).map_err(failed(&folder))?;
                Ok(Store { folder, snapshots, disk, writer, marks, thread })
            }
        };
        let opened = tokio::task::spawn_blocking(open).await;
        // A store that makes its reader panic is not what was written.
        let panicked = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        opened.unwrap_or_else(|error| Err(failed(&folder)(panicked(error))))
    }

    pub async fn close(self) {
        self.writer.stop().await;
        let close = move || {
            // A writer that panicked has said so, and has nothing left to write.
            let _ = self.thread.join();
            self.disk.close();
        };
        // Only a panic could fail it, and the node is stopping.
        let _ = tokio::task::spawn_blocking(close).await;
    }
}
