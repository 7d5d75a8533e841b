//! Where answers come from: one file or folder for each kind of back end, behind one trait.

pub mod accounts_file;
pub mod billing;
pub mod http_json;

use std::time::Duration;

use proto::v1::AuthoriseResponse;
use tokio::sync::mpsc;

use crate::answer::Digests;
use crate::aor::Aor;
use crate::question::Question;

#[tonic::async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Whether answers may depend on the digest of the question.
    fn digests(&self) -> Digests {
        Digests::Ignored
    }

    /// Asks once. The caller ends it after `deadline`, and checks what comes back.
    async fn authorise(&self, question: &Question, deadline: Duration) -> Result<AuthoriseResponse, Failure>;

    /// Tells of accounts that change, for ever; ends when nobody listens, and when nothing ever changes.
    async fn follow(&self, changes: mpsc::Sender<Change>);
}

/// What the adapter is told between answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// These are other than they were.
    Accounts(Vec<Aor>),
    /// Any account may be.
    Everybody,
    /// From now on changes go unheard, so what was answered until now is no longer fresh.
    Lost,
}

/// Why a call brought no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// Nobody is there, or not in time.
    #[error("{0}")]
    Unanswered(String),
    /// Somebody is, and says what is no answer.
    #[error("{0}")]
    Bad(String),
}

/// Why a back end cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum BadBackend {
    #[error(
        "{0:?} is not the URL of a billing server (like http://127.0.0.1:7400 or https://billing.example.com)"
    )]
    Url(String),
    #[error("{0:?} is not https, so a CA or a certificate is of no use")]
    FilesWithoutTls(String),
    #[error("TLS to billing: {0}")]
    Files(#[from] tls::BadFiles),
    #[error(transparent)]
    Http(#[from] http_json::BadConfig),
}
