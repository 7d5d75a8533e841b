//! What is found: nothing in a server that is right, and each mistake by name.

use clap::ValueEnum;
use serde_json::Value;

use crate::billing::{Faults, Lie, Secrets};
use crate::server::{names, report, report_within, start};

const BOTH: [Secrets; 2] = [Secrets::Given, Secrets::Kept];

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_the_contract_passes_whichever_way_it_keeps_secrets() {
    for secrets in BOTH {
        let (_, url) = start(secrets, Faults::default()).await;

        let (code, report) = report(&url).await;

        assert_eq!((code, names(&report, "pass").len()), (Some(0), ALL), "{secrets:?}: {report:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mistake_is_found_by_its_check() {
    for &lie in Lie::value_variants() {
        for secrets in BOTH {
            let (_, url) = start(secrets, Faults { lie: Some(lie), ..Faults::default() }).await;

            let (code, report) = report(&url).await;

            let failed = names(&report, "FAIL");
            assert!(found_by(lie, secrets).are(&failed), "{lie:?} {secrets:?}: {failed:?} {report:#}");
            assert_eq!(code, Some(i32::from(!failed.is_empty())), "{lie:?} {secrets:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_too_slow_or_away_fails_wherever_it_is_asked() {
    let slow = Faults { delay_ms: 600_000, ..Faults::default() };
    let failing = Faults { fail: true, ..Faults::default() };
    for (faults, deadline_ms, came) in
        [(slow, "20", "no answer within 20 ms"), (failing, "20000", "Unavailable: told to fail")]
    {
        let (_, url) = start(Secrets::Given, faults).await;

        let (code, report) = report_within(&url, deadline_ms).await;

        assert!(Found::AllBut(&["invalidation-stream"]).are(&names(&report, "FAIL")), "{report:#}");
        assert_eq!((code, said(&report, "at-once").contains(came)), (Some(1), true), "{report:#}");
    }
}

/// How many checks there are.
const ALL: usize = 37;

/// Which checks fail.
enum Found {
    Just(&'static [&'static str]),
    AllBut(&'static [&'static str]),
    Among(&'static [&'static str]),
}

impl Found {
    fn are(&self, failed: &[&str]) -> bool {
        match self {
            Found::Just(names) => failed == *names,
            Found::AllBut(names) => {
                failed.len() == ALL - names.len() && names.iter().all(|name| !failed.contains(name))
            }
            Found::Among(names) => names.iter().all(|name| failed.contains(name)),
        }
    }
}

fn found_by(lie: Lie, secrets: Secrets) -> Found {
    Found::Just(match lie {
        // Nothing can be wrong with HA1s where none are given.
        Lie::WrongHa1 | Lie::UpperCaseHa1 | Lie::PendingUnproven if secrets == Secrets::Kept => &[],
        Lie::WrongHa1 => &[
            "subscribe-md5",
            "subscribe-sha256",
            "publish-md5",
            "publish-sha256",
            "register-md5",
            "register-sha256",
            "whole-address-username",
            "digest-without-qop",
            "digest-auth-int",
            "digest-of-feature-code",
            "pending",
            "after-nonsense",
            "at-once",
        ],
        Lie::UpperCaseHa1 => &["ha1-form"],
        Lie::ShortUsername => &["whole-address-username"],
        Lie::PlainDigestsOnly => &["digest-without-qop", "digest-auth-int", "digest-of-feature-code"],
        Lie::AllowEveryone => &[
            "wrong-password",
            "no-digest",
            "unknown-account",
            "blocked-account",
            "blocked-in-dialog",
            "publish-for-another",
            "register-for-another",
            "pending",
            "pending-wrong-password",
            "empty-fields",
            "unknown-method",
            "strange-account",
            "long-account",
            "tenant",
            "max-expires",
            "max-subscriptions",
            // It denied nothing that these could have looked at.
            "denial-without-ha1",
            "denial-status",
        ],
        Lie::TrustDigest => &["wrong-password", "pending-wrong-password"],
        Lie::IgnoreBlock => &["blocked-account", "blocked-in-dialog"],
        Lie::IgnoreOwner => &["publish-for-another", "register-for-another", "empty-fields"],
        Lie::AnyMethod => &["empty-fields", "unknown-method"],
        Lie::NoPending => &["pending"],
        Lie::PendingUnproven => &["pending-wrong-password"],
        Lie::DigestAlways => &["proof-dialog", "proof-asserted", "pending"],
        Lie::Status500 => &["denial-status"],
        Lie::Ha1InDenial => &["denial-without-ha1"],
        Lie::NoCache => &["cache-seconds"],
        Lie::WrongLimits => &["tenant", "max-expires", "max-subscriptions"],
        Lie::BreakOnNonsense => &["empty-fields", "strange-account", "long-account"],
        Lie::MuteStream => &["invalidation-stream"],
        // Which others fail depends on which question is the second.
        Lie::Fickle => return Found::Among(&["same-answer"]),
        Lie::Garbage => return Found::AllBut(&["same-answer", "invalidation-stream"]),
    })
}

fn said<'a>(report: &'a Value, name: &str) -> &'a str {
    let checks = report["checks"].as_array().expect("a report has checks");
    let check = checks.iter().find(|check| check["name"] == name).expect("there is such a check");
    check["came"].as_str().expect("what came is a text")
}
