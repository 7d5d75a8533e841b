//! Names of what an operator can watch in the replicated log.

use metrics::{Counter, Gauge, Histogram};
use placement::GroupId;

/// Own commands with an open fate, per group.
pub const PROPOSALS_OPEN: &str = "vedette_log_proposals_open";
/// Commands waiting at the leader of a group for a place in an entry.
pub const PROPOSALS_QUEUED: &str = "vedette_log_proposals_queued";
/// Commands that `propose` refused because the queue was full.
pub const PROPOSALS_REFUSED: &str = "vedette_log_proposals_refused_total";
/// Commands that no leader took in time.
pub const PROPOSALS_FAILED: &str = "vedette_log_proposals_failed_total";
/// Commands given up with an unknown fate.
pub const PROPOSALS_LOST: &str = "vedette_log_proposals_lost_total";
/// Entries this node proposed as leader.
pub const ENTRIES_PROPOSED: &str = "vedette_log_entries_proposed_total";
pub const COMMANDS_PER_ENTRY: &str = "vedette_log_commands_per_entry";
/// Entries handed to the consumer.
pub const ENTRIES_APPLIED: &str = "vedette_log_entries_applied_total";
/// Times that the consumer of a group lagged so far behind that its log waited for it.
pub const EVENTS_FULL: &str = "vedette_log_events_full_total";
/// One round of the writer: the batch in the journal and in sled, and sled's flush if it is time.
pub const ROUND_SECONDS: &str = "vedette_log_round_seconds";
/// The journal's part of it: one write and one sync.
pub const SYNC_SECONDS: &str = "vedette_log_sync_seconds";
/// Jobs, of all groups, that one sync served.
pub const JOBS_PER_SYNC: &str = "vedette_log_jobs_per_sync";
/// Answers of other nodes that came when their caller had given up.
pub const ANSWERS_LATE: &str = "vedette_log_answers_late_total";
pub const SNAPSHOTS_WRITTEN: &str = "vedette_log_snapshots_written_total";
pub const SNAPSHOTS_INSTALLED: &str = "vedette_log_snapshots_installed_total";
pub const SNAPSHOTS_FAILED: &str = "vedette_log_snapshots_failed_total";
pub const SNAPSHOT_SECONDS: &str = "vedette_log_snapshot_seconds";
pub const SNAPSHOT_BYTES: &str = "vedette_log_snapshot_bytes";
/// Messages that were not taken for who sent them, or for whom they were meant, by `reason`.
pub const MESSAGES_REFUSED: &str = "vedette_cluster_messages_refused_total";
/// Members in the directory, and what all of them support.
pub const MEMBERS: &str = "vedette_cluster_members";
pub const LEVEL: &str = "vedette_cluster_level";
/// Changes in its log that the directory refused, by `reason`.
pub const DIRECTORY_REFUSED: &str = "vedette_cluster_directory_changes_refused_total";
/// Position of the directory's last change.
pub const DIRECTORY_VERSION: &str = "vedette_cluster_directory_version";

/// Elections that this node began.
pub const ELECTIONS_BEGUN: &str = "vedette_log_elections_begun_total";
/// Times this node told another, which asked before an election, that it would not help it.
pub const PREVOTES_REFUSED: &str = "vedette_log_prevotes_refused_total";
/// Times the lease ran out: no majority had acknowledged the leader lately enough, or this node heard of none.
pub const LEASES_LOST: &str = "vedette_log_leases_lost_total";

/// The handles of one group, kept because looking them up costs more than counting.
pub(crate) struct GroupMetrics {
    pub proposals_open: Gauge,
    pub proposals_queued: Gauge,
    pub proposals_refused: Counter,
    pub proposals_failed: Counter,
    pub proposals_lost: Counter,
    pub entries_proposed: Counter,
    pub commands_per_entry: Histogram,
    pub entries_applied: Counter,
    pub events_full: Counter,
    pub snapshots_written: Counter,
    pub snapshots_installed: Counter,
    pub snapshots_failed: Counter,
    pub snapshot_seconds: Histogram,
    pub snapshot_bytes: Gauge,
}

impl GroupMetrics {
    pub fn new(group: GroupId) -> GroupMetrics {
        let label = group.to_string();
        let counter = |name| metrics::counter!(name, "group" => label.clone());
        let gauge = |name| metrics::gauge!(name, "group" => label.clone());
        let histogram = |name| metrics::histogram!(name, "group" => label.clone());
        GroupMetrics {
            proposals_open: gauge(PROPOSALS_OPEN),
            proposals_queued: gauge(PROPOSALS_QUEUED),
            proposals_refused: counter(PROPOSALS_REFUSED),
            proposals_failed: counter(PROPOSALS_FAILED),
            proposals_lost: counter(PROPOSALS_LOST),
            entries_proposed: counter(ENTRIES_PROPOSED),
            commands_per_entry: histogram(COMMANDS_PER_ENTRY),
            entries_applied: counter(ENTRIES_APPLIED),
            events_full: counter(EVENTS_FULL),
            snapshots_written: counter(SNAPSHOTS_WRITTEN),
            snapshots_installed: counter(SNAPSHOTS_INSTALLED),
            snapshots_failed: counter(SNAPSHOTS_FAILED),
            snapshot_seconds: histogram(SNAPSHOT_SECONDS),
            snapshot_bytes: gauge(SNAPSHOT_BYTES),
        }
    }
}

/// The handles of one group's elections.
pub(crate) struct ElectionMetrics {
    pub elections: Counter,
    pub prevotes_refused: Counter,
    pub leases_lost: Counter,
}

impl ElectionMetrics {
    pub fn new(group: GroupId) -> ElectionMetrics {
        let counter = |name| metrics::counter!(name, "group" => group.to_string());
        ElectionMetrics {
            elections: counter(ELECTIONS_BEGUN),
            prevotes_refused: counter(PREVOTES_REFUSED),
            leases_lost: counter(LEASES_LOST),
        }
    }
}
