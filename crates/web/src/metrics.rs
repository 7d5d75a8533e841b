//! The names of this role's metrics.

/// Responses, by status `code`.
pub const RESPONSES: &str = "vedette_http_responses_total";
/// Event streams open now.
pub const EVENT_STREAMS: &str = "vedette_http_event_streams";
/// Event streams that had to go on at another manager.
pub const EVENT_RECONNECTS: &str = "vedette_http_event_reconnects_total";
/// Calls that one manager did not answer and the next was asked.
pub const FAILOVERS: &str = "vedette_http_manager_failovers_total";
/// Connections open now.
pub const CONNECTIONS: &str = "vedette_http_connections";
