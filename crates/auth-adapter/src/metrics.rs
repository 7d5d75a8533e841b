//! The names of this role's metrics.

/// Answers given, by `decision`: `allow` or `deny`.
pub const VERDICTS: &str = "vedette_auth_verdicts_total";
