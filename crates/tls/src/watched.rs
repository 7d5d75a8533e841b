//! Files that are read again when they change, and what was made of them.
//!
//! They are looked at every few seconds and compared by what they hold, which works for any way of replacing them, the
//! swapped links of Kubernetes included. What changed is used once two looks agree on it, so that a certificate without
//! its key yet is not taken for a mistake; what makes no sense is told once, and what was used before stays in use.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use metrics::{counter, gauge};
use parking_lot::Mutex;
use tracing::{error, info};

use crate::certificate::Certificate;
use crate::metrics::{EXPIRES, RELOADS};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);
/// No bundle of certificates is as large.
const LARGEST: u64 = 4 << 20;

#[derive(Clone, PartialEq, Eq)]
pub struct File {
    path: PathBuf,
    pub text: Vec<u8>,
}

/// Files that nothing can be made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFiles {
    #[error("{} {what}", path.display())]
    File { path: PathBuf, what: String },
    #[error("{0}")]
    Together(String),
}

/// What is made of files.
pub trait OfFiles: Sized + Send + Sync {
    /// The files come in the order of the paths.
    fn remade(&self, files: &[File]) -> Result<Self, BadFiles>;

    /// The certificate among them that must be renewed some day.
    fn certificate(&self) -> Option<&Certificate>;
}

pub struct Watched<T> {
    /// What it is for, for people.
    what: &'static str,
    paths: Vec<PathBuf>,
    current: ArcSwap<T>,
    looks: Mutex<Looks>,
}

struct Looks {
    used: Vec<File>,
    seen: Vec<File>,
    complaint: Option<BadFiles>,
}

impl<T: OfFiles> Watched<T> {
    /// `make` makes the first one; the later ones are made in its manner.
    pub fn new(
        what: &'static str,
        paths: Vec<PathBuf>,
        make: impl FnOnce(&[File]) -> Result<T, BadFiles>,
    ) -> Result<Watched<T>, BadFiles> {
        let used = read(&paths)?;
        let made = make(&used)?;
        let looks = Looks { seen: used.clone(), used, complaint: None };
        let watched = Watched { what, paths, current: ArcSwap::from_pointee(made), looks: Mutex::new(looks) };
        watched.tell("In use");
        Ok(watched)
    }

    pub fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Looks again and again.
    pub async fn keep_fresh(self: Arc<Self>)
    where
        T: 'static,
    {
        loop {
            tokio::time::sleep(EVERY).await;
            let watched = self.clone();
            // Files may lie on a volume that does not answer. A look that panics is not the last one.
            let _ = tokio::task::spawn_blocking(move || watched.look()).await;
        }
    }

    /// Looks once.
    pub fn look(&self) {
        let mut looks = self.looks.lock();
        match self.remake(&mut looks) {
            Ok(None) => {}
            Ok(Some(made)) => {
                self.current.store(Arc::new(made));
                looks.complaint = None;
                counter!(RELOADS, "outcome" => "used").increment(1);
                self.tell("Changed, and in use for new connections");
            }
            // What is half written makes sense later, and a certificate from tomorrow on does tomorrow.
            Err(bad) if looks.complaint.as_ref() == Some(&bad) => {}
            Err(bad) => {
                counter!(RELOADS, "outcome" => "refused").increment(1);
                error!(what = self.what, reason = %bad, "Changed certificates are of no use; those before stay in use");
                looks.complaint = Some(bad);
            }
        }
    }

    fn remake(&self, looks: &mut Looks) -> Result<Option<T>, BadFiles> {
        let now = read(&self.paths)?;
        let settled = looks.seen == now;
        looks.seen = now;
        if !settled || looks.seen == looks.used {
            return Ok(None);
        }
        let made = self.current.load().remade(&looks.seen)?;
        looks.used.clone_from(&looks.seen);
        Ok(Some(made))
    }

    fn tell(&self, news: &str) {
        let current = self.current.load();
        let Some(Certificate { serial, expires }) = current.certificate() else { return };
        gauge!(EXPIRES, "for" => self.what).set(expires.as_second() as f64);
        info!(what = self.what, serial, %expires, "{news}");
    }
}

impl File {
    pub fn bad(&self, what: impl Into<String>) -> BadFiles {
        BadFiles::File { path: self.path.clone(), what: what.into() }
    }
}

fn read(paths: &[PathBuf]) -> Result<Vec<File>, BadFiles> {
    paths.iter().map(|path| read_one(path)).collect()
}

fn read_one(path: &Path) -> Result<File, BadFiles> {
    let mut text = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut text));
    match read {
        Ok(_) => Ok(File { path: path.to_owned(), text }),
        Err(error) => Err(BadFiles::File { path: path.to_owned(), what: format!("cannot be read: {error}") }),
    }
}
