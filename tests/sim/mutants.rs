//! Proof that the net holds: each rule is left out once, and a promise is seen to break.

use presence_agent::mutants::{self, Mutant};

use crate::world;

/// A rule that is missing must show within so many seeds.
const WITHIN: u64 = 1_000;

#[test]
fn an_epoch_that_stays_at_a_change_of_owner_is_caught() {
    is_caught(Mutant::EpochStays);
}

#[test]
fn a_late_end_of_an_older_epoch_that_counts_is_caught() {
    is_caught(Mutant::LateEndCounts);
}

#[test]
fn a_snapshot_after_which_nobody_looks_is_caught() {
    is_caught(Mutant::SnapshotUnscanned);
}

#[test]
fn a_removal_without_a_tombstone_is_caught() {
    is_caught(Mutant::NoTombstones);
}

#[test]
fn a_notify_without_the_lease_is_caught() {
    is_caught(Mutant::NoLease);
}

#[test]
fn a_pending_watcher_that_is_shown_the_state_is_caught() {
    is_caught(Mutant::PendingShown);
}

#[test]
fn an_account_whose_name_is_forgotten_at_once_is_caught() {
    is_caught(Mutant::NamesForgotten);
}

#[test]
fn a_log_that_does_not_wait_for_a_majority_is_caught() {
    catches("the log is hasty", true);
}

fn is_caught(mutant: Mutant) {
    mutants::choose(Some(mutant));
    catches(&format!("{mutant:?}"), false);
    mutants::choose(None);
}

fn catches(what: &str, hasty: bool) {
    let caught = (0..WITHIN).find_map(|seed| Some((seed, world::run(seed, hasty).broken?)));
    let Some((seed, (promise, _))) = caught else { panic!("{what}: nobody notices") };
    println!("{what}: caught by {:?} in seed {seed}", promise.rule);
}
