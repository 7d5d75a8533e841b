//! The bounds an operator may want to move. `limits.md` lists them all, with those that stand fast.

use std::time::Duration;

use anyhow::bail;
use serde::Deserialize;

/// Each is documented where it holds, with what happens at it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub message: Option<usize>,
    pub start_line: Option<usize>,
    pub headers: Option<usize>,
    pub header: Option<usize>,
    pub connections: Option<usize>,
    pub connections_per_source: Option<usize>,
    pub connection_queue: Option<usize>,
    pub connection_queues: Option<usize>,
    pub partial_messages: Option<usize>,
    pub message_wait_ms: Option<u64>,
    pub window: Option<usize>,
    pub window_bytes: Option<usize>,
    pub datagram: Option<usize>,
    pub relayed: Option<usize>,
    pub relayed_per_source: Option<usize>,
    pub dns_lookups: Option<usize>,
    pub dns_answers: Option<u64>,
    pub dns_timeout_ms: Option<u64>,
    /// Requests of one source, in each second and at once; 0 in each second sets no limit.
    pub requests_per_second: Option<u32>,
    pub requests_burst: Option<u32>,
    /// Refusals told to one source, in each second and at once; 0 in each second sets no limit.
    pub refusals_per_second: Option<u32>,
    pub refusals_burst: Option<u32>,
    pub refused_sources: Option<usize>,
    pub pending: Option<usize>,
    pub server_transactions: Option<usize>,
    pub client_transactions: Option<usize>,
    pub calls: Option<usize>,
    pub verdicts: Option<usize>,
    pub documents: Option<usize>,
    pub document: Option<usize>,
    pub subscriptions_per_account: Option<u32>,
    pub subscriptions_per_source: Option<u32>,
    /// Requests of one account, in each second and at once; 0 in each second sets no limit.
    pub account_requests_per_second: Option<u32>,
    pub account_requests_burst: Option<u32>,
    pub requesting_accounts: Option<usize>,
    pub nonce_counts: Option<usize>,
    pub nonce_seconds: Option<u64>,
    pub links: Option<usize>,
    pub questions: Option<usize>,
    pub followers: Option<usize>,
    pub verdict_timeout_ms: Option<u64>,
    pub proposals: Option<usize>,
    pub snapshot_every: Option<u64>,
}

impl Limits {
    /// What is taken of a phone must leave room for the lines that a dispatcher adds: a message that a manager cannot read
    /// costs the dispatcher its connection to it.
    pub fn check(&self) -> anyhow::Result<()> {
        let most = dispatcher::config::Limits::default().message;
        let pairs = [
            ("message", self.message, most.message),
            ("start_line", self.start_line, most.start_line),
            ("headers", self.headers, most.headers),
            ("header", self.header, most.header),
        ];
        match pairs.into_iter().find(|(_, configured, most)| configured.is_some_and(|size| size > *most)) {
            Some((name, _, most)) => bail!("`limits.{name}` is at most {most}: managers take no more"),
            None => self.check_for_nothing(),
        }
    }

    /// Without any of these nothing would be served.
    fn check_for_nothing(&self) -> anyhow::Result<()> {
        for (name, zero) in [
            ("message", self.message == Some(0)),
            ("start_line", self.start_line == Some(0)),
            ("headers", self.headers == Some(0)),
            ("header", self.header == Some(0)),
            ("connections", self.connections == Some(0)),
            ("connections_per_source", self.connections_per_source == Some(0)),
            ("connection_queue", self.connection_queue == Some(0)),
            ("connection_queues", self.connection_queues == Some(0)),
            ("partial_messages", self.partial_messages == Some(0)),
            ("window", self.window == Some(0)),
            ("window_bytes", self.window_bytes == Some(0)),
            ("datagram", self.datagram == Some(0)),
            ("pending", self.pending == Some(0)),
            ("server_transactions", self.server_transactions == Some(0)),
            ("client_transactions", self.client_transactions == Some(0)),
            ("document", self.document == Some(0)),
            ("links", self.links == Some(0)),
            ("questions", self.questions == Some(0)),
            ("proposals", self.proposals == Some(0)),
            ("message_wait_ms", self.message_wait_ms == Some(0)),
            ("verdict_timeout_ms", self.verdict_timeout_ms == Some(0)),
        ] {
            if zero {
                bail!("`limits.{name}` is 0: nothing would be served");
            }
        }
        Ok(())
    }

    pub fn dispatcher(&self, limits: &mut dispatcher::config::Limits) {
        set(&mut limits.message.message, self.message);
        set(&mut limits.message.start_line, self.start_line);
        set(&mut limits.message.headers, self.headers);
        set(&mut limits.message.header, self.header);
        set(&mut limits.connections, self.connections);
        set(&mut limits.connections_per_source, self.connections_per_source);
        set(&mut limits.connection_queue, self.connection_queue);
        set(&mut limits.connection_queues, self.connection_queues);
        set(&mut limits.partial_messages, self.partial_messages);
        set(&mut limits.window, self.window);
        set(&mut limits.window_bytes, self.window_bytes);
        set(&mut limits.datagram, self.datagram);
        set(&mut limits.relayed, self.relayed);
        set(&mut limits.relayed_per_source, self.relayed_per_source);
        set(&mut limits.lookups, self.dns_lookups);
        set(&mut limits.lookups_remembered, self.dns_answers);
        set(&mut limits.requests_per_source.per_second, self.requests_per_second);
        set(&mut limits.requests_per_source.burst, self.requests_burst);
        set(&mut limits.refusals_per_source.per_second, self.refusals_per_second);
        set(&mut limits.refusals_per_source.burst, self.refusals_burst);
        set(&mut limits.refusals_per_source.sources, self.refused_sources);
    }

    pub fn dispatcher_timings(&self, timings: &mut dispatcher::Timings) {
        set(&mut timings.lookup, self.dns_timeout_ms.map(Duration::from_millis));
        set(&mut timings.message_wait, self.message_wait_ms.map(Duration::from_millis));
    }

    pub fn agent(&self, limits: &mut presence_agent::config::Limits) {
        set(&mut limits.pending, self.pending);
        set(&mut limits.server_transactions, self.server_transactions);
        set(&mut limits.client_transactions, self.client_transactions);
        set(&mut limits.calls, self.calls);
        set(&mut limits.verdicts, self.verdicts);
        set(&mut limits.documents, self.documents);
        set(&mut limits.document, self.document);
        set(&mut limits.subscriptions_per_account, self.subscriptions_per_account);
        set(&mut limits.subscriptions_per_source, self.subscriptions_per_source);
        set(&mut limits.requests_per_account.per_second, self.account_requests_per_second);
        set(&mut limits.requests_per_account.burst, self.account_requests_burst);
        set(&mut limits.requests_per_account.accounts, self.requesting_accounts);
        set(&mut limits.nonce_counts, self.nonce_counts);
        set(&mut limits.nonce_seconds, self.nonce_seconds);
    }

    pub fn links(&self, limits: &mut subscription_manager::config::LinkLimits) {
        set(&mut limits.links, self.links);
        set(&mut limits.questions, self.questions);
        set(&mut limits.followers, self.followers);
        set(&mut limits.verdict_timeout, self.verdict_timeout_ms.map(Duration::from_millis));
    }

    pub fn cluster(&self, limits: &mut cluster::Limits) {
        set(&mut limits.proposals, self.proposals);
        set(&mut limits.snapshot_every, self.snapshot_every);
    }
}

fn set<T>(limit: &mut T, configured: Option<T>) {
    if let Some(configured) = configured {
        *limit = configured;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::config;

    /// A row of the table.
    struct Row {
        key: &'static str,
        default: &'static str,
        metric: &'static str,
        answer: &'static str,
    }

    /// Rows by their bound; the lines of the table begin with a bar and a back-tick.
    fn rows() -> BTreeMap<&'static str, Row> {
        let lines = include_str!("../../limits.md").lines().filter(|line| line.starts_with("| `"));
        lines
            .map(|line| {
                let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
                let [bound, key, default, metric, answer] = cells[..] else { panic!("five cells: {line}") };
                (bound.trim_matches('`'), Row { key, default, metric, answer })
            })
            .collect()
    }

    /// The fields of a struct as `Debug` prints them, in full depth: `message.headers` and its value.
    fn fields(place: &str, value: &impl std::fmt::Debug) -> Vec<(String, String)> {
        let mut path = vec![place.to_owned()];
        let mut found = Vec::new();
        for line in format!("{value:#?}").lines().skip(1) {
            match line.trim().trim_end_matches(',').split_once(": ") {
                Some((name, value)) if value.ends_with('{') => path.push(name.to_owned()),
                Some((name, value)) => found.push((format!("{}.{name}", path.join(".")), value.to_owned())),
                None => drop(path.pop()),
            }
        }
        found
    }

    fn bounds() -> Vec<(String, String)> {
        let mut bounds = fields("dispatcher", &dispatcher::config::Limits::default());
        bounds.extend(fields("agent", &presence_agent::config::Limits::default()));
        bounds.extend(fields("document", &presence::format::pidf::Limits::default()));
        bounds.extend(fields("links", &subscription_manager::config::LinkLimits::default()));
        bounds.extend(fields("cluster", &cluster::Limits::default()));
        bounds
    }

    #[test]
    fn every_bound_stands_in_the_table_with_its_default_and_its_answer() {
        let rows = rows();
        for (bound, default) in bounds() {
            let row = rows.get(&*bound).unwrap_or_else(|| panic!("{bound} = {default} is not in limits.md"));
            assert_eq!(row.default, default, "{bound}");
            assert!(!row.answer.is_empty(), "{bound}");
        }
    }

    #[test]
    fn what_phones_may_send_is_never_more_than_managers_take() {
        let limits = |message| Limits { message: Some(message), ..Limits::default() };

        assert!(limits(61_440).check().is_ok());
        assert!(limits(61_441).check().unwrap_err().to_string().contains("`limits.message`"));
    }

    #[test]
    fn a_bound_that_lets_nothing_pass_is_refused_and_a_rate_of_0_sets_none() {
        let nothing = Limits { proposals: Some(0), ..Limits::default() };
        let no_time = Limits { verdict_timeout_ms: Some(0), ..Limits::default() };
        let no_rate = Limits { requests_per_second: Some(0), ..Limits::default() };

        assert!(nothing.check().unwrap_err().to_string().contains("`limits.proposals`"));
        assert!(no_time.check().unwrap_err().to_string().contains("`limits.verdict_timeout_ms`"));
        assert!(no_rate.check().is_ok());
    }

    #[test]
    fn every_key_in_the_table_is_one_and_every_limit_is_in_the_table() {
        let rows = rows();
        let keys: Vec<_> = rows.values().map(|row| row.key).filter(|key| *key != "-").collect();
        for key in &keys {
            let key = key.trim_matches('`');
            assert!(config::load(None, &[format!("{key}=1")]).is_ok(), "{key}");
        }
        for (name, _) in fields("limits", &Limits::default()) {
            assert!(keys.contains(&&*format!("`{name}`")), "{name} is not in limits.md");
        }
    }

    #[test]
    fn every_metric_in_the_table_is_counted_somewhere() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("it lies in crates");
        let files =
            ["dispatcher", "subscription-manager", "auth-adapter", "web"].map(|role| crates.join(role));
        let files = files.iter().map(|role| role.join("src/metrics.rs"));
        let files = files.chain([crates.join("../cluster/src/metrics.rs")]);
        let known: String = files.map(|file| std::fs::read_to_string(file).unwrap()).collect();
        for (bound, row) in rows() {
            let name = row.metric.trim_matches('`').split('{').next().unwrap_or_default();
            assert!(name == "-" || known.contains(&format!("\"{name}\"")), "{bound}: {name}");
        }
    }
}
