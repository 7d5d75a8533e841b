//! The names of the metrics.

/// When the certificate in use ends, in Unix seconds; with what it is for (`inner`, `billing`, `phones`).
pub const EXPIRES: &str = "vedette_tls_certificate_expires_seconds";
/// Changed files, by whether they were `used` or `refused`.
pub const RELOADS: &str = "vedette_tls_reloads_total";
/// Connections that came about, by side (`server`, `client`).
pub const HANDSHAKES: &str = "vedette_tls_handshakes_total";
/// Connections that did not, or that ended with a complaint of the peer, by reason.
pub const REFUSED: &str = "vedette_tls_refused_total";
