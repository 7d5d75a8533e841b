//! `[auth]`: who knows the accounts, and how they are asked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use auth_adapter::{BreakerRules, Fallback, Rules, Source, WhenDown, http_json};
use serde::Deserialize;
use tls::{OutsideFiles, Wires};

/// One of `accounts`, `billing` and `http` says who knows the accounts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    pub listen: Option<SocketAddr>,
    /// The accounts file.
    pub accounts: Option<PathBuf>,
    /// The URL of a server of `vedette.v1.Auth`.
    pub billing: Option<String>,
    /// An HTTP server that answers with JSON.
    pub http: Option<http_json::Config>,
    /// Who signed the certificate of `billing` or `http`, as a PEM file, where the system does not know.
    pub billing_ca: Option<PathBuf>,
    /// The certificate to show there, and its key.
    pub billing_cert: Option<PathBuf>,
    pub billing_key: Option<PathBuf>,
    pub deadline_ms: u64,
    pub cache_entries: usize,
    /// How long answers of `accounts` and `http` are good; `billing` says so itself.
    pub cache_seconds: u64,
    pub stale_seconds: u64,
    pub in_flight: usize,
    pub breaker: Breaker,
    pub when_down: Down,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Breaker {
    pub failures: u32,
    pub open_ms: u64,
}

/// "closed" or "open", by method.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Down {
    pub subscribe: Answer,
    pub publish: Answer,
    pub register: Answer,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    #[default]
    Closed,
    Open,
}

/// Nobody may take accounts that changed for unchanged for longer than a day.
const MAX_CACHE_SECONDS: u64 = 24 * 3600;

impl Default for Auth {
    fn default() -> Auth {
        let rules = Rules::default();
        Auth {
            listen: None,
            accounts: None,
            billing: None,
            http: None,
            billing_ca: None,
            billing_cert: None,
            billing_key: None,
            deadline_ms: rules.deadline.as_millis() as u64,
            cache_entries: rules.cache_entries,
            cache_seconds: 60,
            stale_seconds: rules.stale_for.as_secs(),
            in_flight: rules.in_flight,
            breaker: Breaker::default(),
            when_down: Down::default(),
        }
    }
}

impl Default for Breaker {
    fn default() -> Breaker {
        let BreakerRules { failures, open } = Rules::default().breaker;
        Breaker { failures, open_ms: open.as_millis() as u64 }
    }
}

impl Auth {
    /// How long an answer that billing did not date is good.
    pub fn life(&self) -> Duration {
        Duration::from_secs(self.cache_seconds)
    }

    /// Whether it says who knows the accounts.
    pub fn named(&self) -> bool {
        self.accounts.is_some() || self.billing.is_some() || self.http.is_some()
    }

    pub fn source(&self) -> anyhow::Result<Source> {
        let (files, life) = (self.files()?, self.life());
        let source = match (&self.accounts, &self.billing, &self.http) {
            (None, None, None) => {
                bail!("`auth` needs one of `accounts` (a file), `billing` (a URL) and `http` (a table)")
            }
            (Some(_), None, None) if files.ca.is_some() || files.own.is_some() => {
                bail!("`auth.billing_ca` and `auth.billing_cert` are of no use with `auth.accounts`")
            }
            (Some(path), None, None) => Source::File { path: path.clone(), life },
            (None, Some(url), None) => Source::Billing { url: url.clone(), files },
            (None, None, Some(http)) => Source::Http { config: Box::new(http.clone()), files, life },
            _ => bail!("`auth` has more than one of `accounts`, `billing` and `http`: keep one"),
        };
        Ok(source)
    }

    fn files(&self) -> anyhow::Result<OutsideFiles> {
        let own = match (&self.billing_cert, &self.billing_key) {
            (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
            (None, None) => None,
            _ => bail!("`auth.billing_cert` and `auth.billing_key` need each other"),
        };
        Ok(OutsideFiles { ca: self.billing_ca.clone(), own })
    }

    pub fn rules(&self) -> anyhow::Result<Rules> {
        for (key, zero) in [
            ("deadline_ms", self.deadline_ms == 0),
            ("cache_entries", self.cache_entries == 0),
            ("in_flight", self.in_flight == 0),
            ("breaker.failures", self.breaker.failures == 0),
        ] {
            if zero {
                bail!("`auth.{key}` is 0: nobody would ever be answered");
            }
        }
        if self.cache_seconds > MAX_CACHE_SECONDS {
            bail!("`auth.cache_seconds` is more than a day ({MAX_CACHE_SECONDS})");
        }
        let Down { subscribe, publish, register } = self.when_down;
        let [subscribe, publish, register] = [subscribe, publish, register].map(Answer::fallback);
        Ok(Rules {
            deadline: Duration::from_millis(self.deadline_ms),
            cache_entries: self.cache_entries,
            stale_for: Duration::from_secs(self.stale_seconds),
            in_flight: self.in_flight,
            breaker: BreakerRules {
                failures: self.breaker.failures,
                open: Duration::from_millis(self.breaker.open_ms),
            },
            when_down: WhenDown { subscribe, publish, register },
        })
    }

    /// The settings of the role that runs alone.
    pub fn adapter(&self, wires: &Wires) -> anyhow::Result<auth_adapter::Config> {
        let listen = self.listen.context("`auth.listen` is missing")?;
        Ok(auth_adapter::Config {
            listen,
            wires: wires.clone(),
            source: self.source()?,
            rules: self.rules()?,
        })
    }
}

impl Answer {
    fn fallback(self) -> Fallback {
        match self {
            Answer::Closed => Fallback::Closed,
            Answer::Open => Fallback::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load;

    fn refusal(overrides: &[&str]) -> String {
        let overrides: Vec<_> = overrides.iter().map(ToString::to_string).collect();
        let adapter = load(None, &overrides).and_then(|settings| settings.auth.adapter(&settings.wires));
        adapter.err().map(|error| format!("{error:#}")).unwrap_or_default()
    }

    const LISTEN: &str = "auth.listen=127.0.0.1:7300";
    const FILE: &str = "auth.accounts=accounts.toml";
    const BILLING: &str = "auth.billing=http://127.0.0.1:7400";

    #[test]
    fn one_source_of_accounts_is_enough() {
        assert_eq!(refusal(&[LISTEN, FILE]), "");
        assert_eq!(refusal(&[LISTEN, BILLING, "auth.billing_ca=ca.pem"]), "");
        let http = "auth.http={url=\"http://b.test\", answer={password=\"/pw\"}}";
        assert_eq!(refusal(&[LISTEN, http, "auth.when_down={subscribe=\"open\"}"]), "");
    }

    #[test]
    fn settings_that_make_no_sense_are_refused_in_one_line() {
        for (overrides, expected) in [
            (&[FILE][..], "`auth.listen` is missing"),
            (&[LISTEN], "`auth` needs one of `accounts` (a file), `billing` (a URL) and `http` (a table)"),
            (&[LISTEN, FILE, BILLING], "more than one of `accounts`, `billing` and `http`"),
            (
                &[LISTEN, FILE, "auth.billing_ca=ca.pem"],
                "`auth.billing_ca` and `auth.billing_cert` are of no use",
            ),
            (&[LISTEN, BILLING, "auth.billing_key=key.pem"], "need each other"),
            (&[LISTEN, FILE, "auth.deadline_ms=0"], "`auth.deadline_ms` is 0"),
            (&[LISTEN, FILE, "auth.breaker={failures=0}"], "`auth.breaker.failures` is 0"),
            (&[LISTEN, FILE, "auth.cache_seconds=90000"], "more than a day"),
            (&[LISTEN, FILE, "auth.when_down={subscribe=\"maybe\"}"], "unknown variant"),
            (&[LISTEN, FILE, "auth.when_down={invite=\"open\"}"], "unknown field"),
            (&[LISTEN, "auth.http={url=\"http://b.test\"}"], "answer"),
        ] {
            let refusal = refusal(overrides);
            assert!(refusal.contains(expected) && refusal.lines().count() == 1, "{refusal:?}");
        }
    }
}
