//! The settings of this role, and its bounds.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tls::{OutsideFiles, Wires};

use crate::accounts::Accounts;
use crate::backend::http_json;
use crate::breaker;
use crate::question::Method;

pub struct Config {
    pub listen: SocketAddr,
    /// How managers reach us.
    pub wires: Wires,
    pub source: Source,
    pub rules: Rules,
}

/// Who knows the accounts.
pub enum Source {
    /// They stand here and never change.
    Fixed { accounts: Accounts, life: Duration },
    /// They stand in a file; managers may reuse answers for `life`.
    File { path: PathBuf, life: Duration },
    /// A server of the same contract at this URL.
    Billing { url: String, files: OutsideFiles },
    /// An HTTP server that speaks JSON.
    Http { config: Box<http_json::Config>, files: OutsideFiles, life: Duration },
}

/// How the back end is asked.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How long an answer is waited for; then the question is answered as if nobody were there.
    pub deadline: Duration,
    /// Answers kept. At the limit those that were not asked for lately go: it costs calls.
    pub cache_entries: usize,
    /// How long an answer is good after its life, while billing fails.
    pub stale_for: Duration,
    /// Calls under way at one time. At the limit a question is answered at once as if nobody were there.
    pub in_flight: usize,
    pub breaker: breaker::Rules,
    pub when_down: WhenDown,
}

/// What is answered while billing fails and nothing is known from before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WhenDown {
    pub subscribe: Fallback,
    pub publish: Fallback,
    pub register: Fallback,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// Nobody knows; the phone is asked to try again later.
    #[default]
    Closed,
    /// Whoever asks is let in, whatever the password.
    Open,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            deadline: Duration::from_millis(300),
            cache_entries: 100_000,
            stale_for: Duration::from_secs(3600),
            in_flight: 256,
            breaker: breaker::Rules { failures: 5, open: Duration::from_secs(1) },
            when_down: WhenDown::default(),
        }
    }
}

impl WhenDown {
    pub fn of(self, method: Method) -> Fallback {
        match method {
            Method::Subscribe => self.subscribe,
            Method::Publish => self.publish,
            Method::Register => self.register,
        }
    }

    /// The methods that anybody may use while billing fails.
    pub(crate) fn open(self) -> Vec<&'static str> {
        let methods = [Method::Subscribe, Method::Publish, Method::Register];
        let open = methods.into_iter().filter(|method| self.of(*method) == Fallback::Open);
        open.map(Method::as_str).collect()
    }
}
