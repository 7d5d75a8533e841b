//! Faults made on purpose, one at a time, so that a simulation can show that it would find them.
//!
//! Only the feature `mutants` makes them possible, and nothing but the tests enables it: everywhere else `broken` is a
//! constant. A mutant belongs to the thread that chose it.

/// A rule that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A subscription that goes to another owner keeps its epoch.
    EpochStays,
    /// A command of an older epoch counts.
    LateEndCounts,
    /// After a snapshot the owner does not look at what it owns.
    SnapshotUnscanned,
    /// What is gone leaves no trace, so a late copy of a request is taken for a new one.
    NoTombstones,
    /// NOTIFYs are sent without the lease.
    NoLease,
    /// Who waits for approval is shown the state.
    PendingShown,
    /// What billing says while it changes its mind counts, and nobody looks at what he comes to own.
    NamesForgotten,
}

#[cfg(feature = "mutants")]
thread_local! {
    static CHOSEN: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// From now on this thread's agents lack this rule, or none.
#[cfg(feature = "mutants")]
pub fn choose(mutant: Option<Mutant>) {
    CHOSEN.set(mutant);
}

#[cfg(feature = "mutants")]
pub(crate) fn broken(rule: Mutant) -> bool {
    CHOSEN.get() == Some(rule)
}

#[cfg(not(feature = "mutants"))]
pub(crate) const fn broken(_: Mutant) -> bool {
    false
}
