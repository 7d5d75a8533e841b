//! What this role counts.

use std::time::Duration;

use ::metrics::{counter, gauge, histogram};

use crate::backend::Failure;
use crate::breaker::State;
use crate::question::Method;

/// Questions, by `method` and `outcome`: `allow`, `verify`, `deny`, `pending`, or `unavailable` when nobody knew.
pub const QUESTIONS: &str = "vedette_auth_questions_total";
/// Questions by what was `found` in the cache: `fresh`, `stale` (used because billing failed), or `miss`.
pub const CACHE: &str = "vedette_auth_cache_total";
/// Answers in the cache.
pub const CACHED: &str = "vedette_auth_cache_entries";
/// Questions that waited for the same question asked before.
pub const JOINED: &str = "vedette_auth_joined_total";
/// Calls made to the back end.
pub const CALLS: &str = "vedette_auth_calls_total";
/// Calls that brought no answer, by `reason`: `unanswered` (nobody there, or too late) or `bad` (no valid answer).
pub const CALLS_FAILED: &str = "vedette_auth_calls_failed_total";
/// How long calls took.
pub const CALL_SECONDS: &str = "vedette_auth_call_seconds";
/// Calls under way.
pub const IN_FLIGHT: &str = "vedette_auth_calls_in_flight";
/// Questions not asked because as many calls as allowed were under way.
pub const FULL: &str = "vedette_auth_calls_full_total";
/// The circuit breaker: 0 closed, 1 trying one call, 2 open.
pub const BREAKER: &str = "vedette_auth_breaker_state";
/// Answers given because billing did not, by `method` and `answer`: `open` (allowed) or `closed` (unavailable).
pub const WHEN_DOWN: &str = "vedette_auth_when_down_total";
/// Changes of accounts, by `scope`: `account` (each one counts) or `all`.
pub const INVALIDATIONS: &str = "vedette_auth_invalidations_total";
/// Managers that follow those changes.
pub const FOLLOWERS: &str = "vedette_auth_followers";
/// Times that a manager fell behind and was told that all accounts may have changed.
pub const LAGGED: &str = "vedette_auth_followers_lagged_total";
/// 1 while the provider's billing tells us of changes.
pub const FOLLOWING: &str = "vedette_auth_billing_followed";
/// Readings of a changed accounts file, by `result`: `used` or `refused`.
pub const RELOADS: &str = "vedette_auth_accounts_reloads_total";

pub(crate) fn question(method: Option<Method>, outcome: &'static str) {
    let method = method.map_or("other", Method::as_str);
    counter!(QUESTIONS, "method" => method, "outcome" => outcome).increment(1);
}

pub(crate) fn cache(found: &'static str) {
    counter!(CACHE, "found" => found).increment(1);
}

pub(crate) fn joined() {
    counter!(JOINED).increment(1);
}

pub(crate) fn full() {
    counter!(FULL).increment(1);
}

pub(crate) fn call(took: Duration, failure: Option<&Failure>) {
    counter!(CALLS).increment(1);
    histogram!(CALL_SECONDS).record(took.as_secs_f64());
    let reason = match failure {
        None => return,
        Some(Failure::Unanswered(_)) => "unanswered",
        Some(Failure::Bad(_)) => "bad",
    };
    counter!(CALLS_FAILED, "reason" => reason).increment(1);
}

pub(crate) fn gauges(cached: usize, in_flight: usize, breaker: State) {
    gauge!(CACHED).set(cached as f64);
    gauge!(IN_FLIGHT).set(in_flight as f64);
    gauge!(BREAKER).set(match breaker {
        State::Closed { .. } => 0.0,
        State::Probing => 1.0,
        State::Open { .. } => 2.0,
    });
}

pub(crate) fn when_down(method: Method, answer: &'static str) {
    counter!(WHEN_DOWN, "method" => method.as_str(), "answer" => answer).increment(1);
}

pub(crate) fn invalidated(scope: &'static str, count: usize) {
    counter!(INVALIDATIONS, "scope" => scope).increment(count as u64);
}

pub(crate) fn lagged() {
    counter!(LAGGED).increment(1);
}

/// Counts a manager that follows for as long as it is held.
pub(crate) struct Follower;

impl Follower {
    pub fn new() -> Follower {
        gauge!(FOLLOWERS).increment(1);
        Follower
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        gauge!(FOLLOWERS).decrement(1);
    }
}

pub(crate) fn following(follows: bool) {
    gauge!(FOLLOWING).set(f64::from(u8::from(follows)));
}

pub(crate) fn reloaded(used: bool) {
    counter!(RELOADS, "result" => if used { "used" } else { "refused" }).increment(1);
}
