//! Logs on standard error, and metrics for Prometheus.

use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusBuilder;
use tracing_subscriber::EnvFilter;
use web::live::Metrics;

/// `VEDETTE_LOG` overrides `default`, in the syntax of tracing's EnvFilter ("info,dispatcher=debug").
pub fn start(default: &str) -> anyhow::Result<Metrics> {
    let filter = EnvFilter::try_from_env("VEDETTE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let handle = PrometheusBuilder::new().install_recorder()?;
    Ok(Arc::new(move || {
        handle.run_upkeep();
        handle.render()
    }))
}
