//! Why a command did not do what was asked: one line that says what to do next, and the exit code.

use std::fmt;
use std::io;
use std::process::ExitCode;

use super::table::printable;

#[derive(Debug)]
pub enum Failure {
    Usage(String),
    Unreachable { api: String, reason: String },
    NotVedette { api: String, reason: String },
    Refused { status: u16, error: String, hint: String },
    ChecksFailed { failed: usize, of: usize },
    Output(io::Error),
    ReaderGone,
}

impl Failure {
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::ReaderGone => 0,
            Failure::Refused { .. } | Failure::ChecksFailed { .. } | Failure::Output(_) => 1,
            Failure::Usage(_) | Failure::Unreachable { .. } | Failure::NotVedette { .. } => 2,
        })
    }

    /// Whether waiting may help: the server is away, or itself waits for others.
    pub fn may_pass(&self) -> bool {
        match self {
            Failure::Unreachable { .. } => true,
            Failure::Refused { status, .. } => *status >= 500 || *status == 429,
            _ => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(usage) => write!(f, "{usage}"),
            Failure::Unreachable { api, reason } => write!(
                f,
                "no server answers at {api} ({reason}): start one with `vedette up`, \
                 or name another with --api URL or VEDETTE_API"
            ),
            Failure::NotVedette { api, reason } => {
                write!(f, "what answers at {api} is not Vedette's API: {reason}")
            }
            Failure::Refused { status, error, hint } => {
                write!(f, "refused ({status}): {}; {}", printable(error), printable(hint))
            }
            Failure::ChecksFailed { failed, of } => write!(f, "{failed} of {of} checks failed"),
            Failure::Output(error) => write!(f, "cannot write the answer: {error}"),
            Failure::ReaderGone => write!(f, "nobody reads the answer"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::Output(error),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Failure {
        Failure::Output(error.into())
    }
}
