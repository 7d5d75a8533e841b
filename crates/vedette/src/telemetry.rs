//! Logs on standard error, and metrics for Prometheus.

use std::io::IsTerminal;
use std::sync::Arc;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tracing_subscriber::EnvFilter;
use web::live::Metrics;

/// From a sync on a fast disk to a time-out.
const SECONDS: [f64; 12] = [0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];
/// Commands in an entry, and what one sync serves.
const COUNTS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 32.0, 128.0, 256.0, 512.0];

/// `VEDETTE_LOG` overrides `default`, in the syntax of tracing's EnvFilter ("info,dispatcher=debug").
pub fn start(default: &str) -> anyhow::Result<Metrics> {
    let filter = EnvFilter::try_from_env("VEDETTE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_per_entry".into()), &COUNTS)?
        .set_buckets_for_metric(Matcher::Suffix("_per_sync".into()), &COUNTS)?
        .install_recorder()?;
    Ok(Arc::new(move || {
        handle.run_upkeep();
        handle.render()
    }))
}
