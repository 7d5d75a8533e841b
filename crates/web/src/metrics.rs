//! The names of this role's metrics.

/// Responses over HTTP, by status `code`.
pub const RESPONSES: &str = "vedette_http_responses_total";
/// Answers over gRPC, by `method` and `code`; a stream counts when it begins.
pub const GRPC_RESPONSES: &str = "vedette_http_grpc_responses_total";
/// Requests refused before a manager was asked, and passwords that were wrong, by `why`: "token" (missing or wrong),
/// "rights" (of the token), "rate", "password", "guessing" (too many wrong ones).
pub const REFUSED: &str = "vedette_http_refused_total";
/// Presentities followed by event streams now.
pub const EVENT_STREAMS: &str = "vedette_http_event_streams";
/// Event streams that had to go on at another manager.
pub const EVENT_RECONNECTS: &str = "vedette_http_event_reconnects_total";
/// Calls that one manager did not answer and the next was asked.
pub const FAILOVERS: &str = "vedette_http_manager_failovers_total";
/// Connections open now.
pub const CONNECTIONS: &str = "vedette_http_connections";
/// Connections cut because their peer did not take what we sent.
pub const STALLED: &str = "vedette_http_stalled_connections_total";
