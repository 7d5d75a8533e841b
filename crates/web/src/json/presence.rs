//! Presentities, their sources and their watchers.

use jiff::Timestamp;
use proto::v1;
use serde::{Deserialize, Serialize};

/// `GET /v1/presence/{uri}`, and each event of `GET /v1/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PresentityState {
    pub presentity: String,
    pub position: String,
    /// `open` or `closed`.
    pub basic: String,
    pub notes: Vec<String>,
    pub activities: Vec<String>,
    /// The one status that outweighs the others: `donotdisturb`, `on-the-phone`, ..., `unreachable`.
    #[serde(default)]
    pub status: String,
    pub counts: PresentityCounts,
    /// The composed document, application/pidf+xml.
    pub document: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PresentityCounts {
    pub publications: u32,
    pub sources: u32,
    pub bindings: u32,
}

/// `GET /v1/watchers/{uri}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watchers {
    pub presentity: String,
    pub watchers: Vec<Watcher>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watcher {
    pub watcher: String,
    pub event: String,
    pub state: String,
    /// Seconds left.
    pub expires: u32,
    /// The node that notifies this watcher.
    pub owner: u64,
    #[serde(default)]
    pub owner_name: String,
    pub call_id: String,
    /// As billing said; empty when it did not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tenant: String,
}

/// The body of `PUT /v1/presence/{uri}/sources/{id}`. An unknown field is refused: a misspelt `expires` would otherwise
/// keep the source for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSource {
    /// Empty says nothing but `contacts`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status: String,
    #[serde(default)]
    pub note: String,
    /// Seconds until the source is dropped; 0, as when absent, keeps it until it is removed.
    #[serde(default)]
    pub expires: u32,
    /// Where else the presentity can be reached: each makes it reachable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<Contact>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// `tel:+4930123456`, `sip:alice@mobile.example.com`.
    pub uri: String,
    /// From 0 to 1; the highest is tried first. A thousandth counts.
    #[serde(default)]
    pub priority: f64,
}

/// The answer to a PUT or DELETE of a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceChanged {
    pub presentity: String,
    pub source: String,
    pub position: String,
}

/// `GET /v1/history/{uri}`, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    pub presentity: String,
    pub changes: Vec<Change>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub position: String,
    /// RFC 3339, in UTC, by the log's clock.
    pub at: String,
    /// The name of an API source, or `phone` and where it published from.
    pub source: String,
    /// `said`, `removed` or `expired`.
    pub what: String,
    /// What was said, as a status name; empty for what is no status.
    pub status: String,
    pub basic: String,
    pub activities: Vec<String>,
    pub note: String,
}

/// The body of `POST /v1/feature-codes/{code}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureCode {
    /// Whose status is to be set.
    pub account: String,
    /// What was chosen from the voice menu; empty when the code says it.
    #[serde(default)]
    pub digit: String,
    /// What a custom status shows.
    #[serde(default)]
    pub note: String,
}

/// The answer to a feature code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dialled {
    pub account: String,
    /// The status that is set now.
    pub status: String,
    pub position: String,
}

impl From<v1::PresentityState> for PresentityState {
    fn from(state: v1::PresentityState) -> Self {
        let counts = PresentityCounts {
            publications: state.publications,
            sources: state.sources,
            bindings: state.bindings,
        };
        PresentityState {
            presentity: state.presentity,
            position: state.position,
            basic: state.basic,
            notes: state.notes,
            activities: state.activities,
            status: state.status,
            counts,
            document: String::from_utf8_lossy(&state.document).into_owned(),
        }
    }
}

impl From<v1::Watcher> for Watcher {
    fn from(watcher: v1::Watcher) -> Self {
        let v1::Watcher { watcher, event, state, expires, owner, call_id, owner_name, tenant } = watcher;
        Watcher { watcher, event, state, expires, owner, owner_name, call_id, tenant }
    }
}

impl From<v1::Change> for Change {
    fn from(change: v1::Change) -> Self {
        let v1::Change { position, at, source, what, status, basic, activities, note } = change;
        Change { position, at: rfc3339(at), source, what, status, basic, activities, note }
    }
}

/// Milliseconds since 1970 in words; a time that no calendar reaches is the last one.
fn rfc3339(milliseconds: u64) -> String {
    let at = i64::try_from(milliseconds).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    format!("{:.3}", at.unwrap_or(Timestamp::MAX))
}

impl Contact {
    /// `None` when the priority is none.
    pub fn thousandths(&self) -> Option<u32> {
        (0.0..=1.0).contains(&self.priority).then(|| (self.priority * 1000.0).round() as u32)
    }
}
