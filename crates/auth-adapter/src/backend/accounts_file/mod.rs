//! The accounts file as a back end: answers from memory, and takes the file anew when it changed.
//!
//! The file is looked at often, and read when it has been left alone for one look: whoever writes it is likely to be
//! done then. One that cannot be used changes nothing.

mod format;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use proto::v1::AuthoriseResponse;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

pub use format::LoadError;

use super::{Backend, Change, Failure};
use crate::accounts::{Accounts, Changed};
use crate::aor::Aor;
use crate::metrics;
use crate::question::Question;
use crate::verdict;

/// How often the file is looked at. A change is told after two looks at most.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub struct AccountsFile {
    accounts: ArcSwap<Accounts>,
    file: Option<Watched>,
    /// How long managers may reuse an answer.
    life: Duration,
}

struct Watched {
    path: PathBuf,
    /// What the accounts in use were read from.
    taken: Version,
}

/// Tells one state of a file from the next; `None` while there is no file.
type Version = Option<(SystemTime, u64)>;

impl AccountsFile {
    /// Accounts that stand in no file never change.
    pub fn fixed(accounts: Accounts, life: Duration) -> AccountsFile {
        AccountsFile { accounts: ArcSwap::from_pointee(accounts), file: None, life }
    }

    pub fn open(path: PathBuf, life: Duration) -> Result<AccountsFile, LoadError> {
        let taken = version(&path);
        let accounts = format::load(&path)?;
        Ok(AccountsFile { file: Some(Watched { path, taken }), ..AccountsFile::fixed(accounts, life) })
    }

    /// Takes the file anew; what is wrong with it is for the operator.
    async fn reload(&self, path: &Path) -> Option<Change> {
        let file = path.to_owned();
        let loaded = spawn_blocking(move || format::load(&file)).await.ok()?;
        let accounts = match loaded {
            Ok(accounts) => Arc::new(accounts),
            Err(error) => {
                error!(%error, "The accounts file is not used as it is now: the accounts stay as they were");
                metrics::reloaded(false);
                return None;
            }
        };
        let changed = accounts.changed_since(&self.accounts.load());
        let named = match &changed {
            Changed::Accounts(named) => named.len(),
            Changed::Everybody => accounts.len(),
        };
        info!(accounts = accounts.len(), changed = named, "The accounts file was read again");
        metrics::reloaded(true);
        self.accounts.store(accounts);
        match changed {
            Changed::Accounts(named) if named.is_empty() => None,
            Changed::Accounts(named) => Some(Change::Accounts(named.into_iter().collect())),
            Changed::Everybody => Some(Change::Everybody),
        }
    }
}

#[tonic::async_trait]
impl Backend for AccountsFile {
    async fn authorise(&self, question: &Question, _: Duration) -> Result<AuthoriseResponse, Failure> {
        let accounts = self.accounts.load();
        let presentity = Aor::parse(&question.request.presentity);
        let presentity = presentity.as_ref().and_then(|presentity| accounts.find(presentity));
        Ok(verdict::of(question, accounts.find(&question.account), presentity, self.life))
    }

    async fn follow(&self, changes: mpsc::Sender<Change>) {
        let Some(Watched { path, taken }) = &self.file else { return };
        let (mut taken, mut seen) = (*taken, *taken);
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let file = path.clone();
            let Ok(now) = spawn_blocking(move || version(&file)).await else { return };
            let left_alone = now == seen;
            seen = now;
            if !left_alone || now == taken {
                continue;
            }
            taken = now;
            if let Some(change) = self.reload(path).await
                && changes.send(change).await.is_err()
            {
                return;
            }
        }
    }
}

fn version(path: &Path) -> Version {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const ALICE: &str = "[[account]]\nuri = \"sip:alice@lab.test\"\npassword = \"a\"\n";
    const BOB: &str = "[[account]]\nuri = \"sip:bob@lab.test\"\npassword = \"b\"\n";

    struct Following {
        path: tempfile::TempPath,
        accounts: Arc<AccountsFile>,
        changes: mpsc::Receiver<Change>,
    }

    impl Following {
        fn of(text: &str) -> Following {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let path = file.into_temp_path();
            let accounts = Arc::new(AccountsFile::open(path.to_path_buf(), Duration::ZERO).unwrap());
            let (tell, changes) = mpsc::channel(8);
            let followed = accounts.clone();
            tokio::spawn(async move { followed.follow(tell).await });
            Following { path, accounts, changes }
        }

        fn write(&self, text: &str) {
            std::fs::write(&self.path, text).unwrap();
        }

        async fn change(&mut self) -> Vec<String> {
            match self.changes.recv().await.unwrap() {
                Change::Accounts(named) => named.iter().map(Aor::to_string).collect(),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn what_came_changed_or_went_is_told_and_nobody_else() {
        let mut file = Following::of(ALICE);

        file.write(&format!("{ALICE}{BOB}"));
        assert_eq!(file.change().await, ["sip:bob@lab.test"]);
        file.write(&format!("{ALICE}{BOB}blocked = true\n"));
        assert_eq!(file.change().await, ["sip:bob@lab.test"]);
        file.write(&format!("{BOB}blocked = true\n"));
        assert_eq!(file.change().await, ["sip:alice@lab.test"]);

        assert_eq!(file.accounts.accounts.load().len(), 1);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_used_changes_nothing() {
        let mut file = Following::of(ALICE);

        file.write("[[account]]\nuri = 7\n");
        assert_eq!(file.accounts.reload(&file.path).await, None);
        std::fs::remove_file(&file.path).unwrap();
        assert_eq!(file.accounts.reload(&file.path).await, None);
        assert_eq!(file.accounts.accounts.load().len(), 1);

        file.write(&format!("{ALICE}{BOB}"));
        assert_eq!(file.change().await, ["sip:bob@lab.test"]);
    }

    #[tokio::test]
    async fn an_account_that_begins_to_ask_concerns_everybody() {
        let mut file = Following::of(ALICE);

        file.write(&format!("{ALICE}approve = \"ask\"\n"));

        assert_eq!(file.changes.recv().await, Some(Change::Everybody));
    }
}
