//! The rules of SIP, one test each, named after the rule: RFC 3261, 6665, 3903, 5626, 7118, 3581 and 8760, what users of
//! other servers suffered from, and what real clients need.
//!
//! `list.txt` is the whole list with what is missing. Many rules are tested in the crate that keeps them; a test is here
//! only where it takes the dispatcher and the agent together, or belongs to neither.

mod abuse;
mod clients;
mod lessons;
mod phone;
mod rfc3261;
mod rfc3581;
mod rfc3903;
mod rfc5626;
mod rfc6665;
mod rfc7118;
mod rfc8760;
mod server;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A rule of the list.
struct Rule {
    section: &'static str,
    /// `file::test`; nothing for what is missing.
    tests: Vec<&'static str>,
}

fn rules() -> Vec<Rule> {
    let lines = include_str!("list.txt").lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '='])).map(rule).collect()
}

fn rule(line: &'static str) -> Rule {
    let fields: Vec<_> = line.split('|').map(str::trim).collect();
    let [section, text, place] = fields[..] else { panic!("three fields are wanted: {line}") };
    assert!(!section.is_empty() && !text.is_empty(), "{line}");
    let tests = match place.strip_prefix("missing: ") {
        Some(why) => {
            assert!(!why.is_empty(), "{line}");
            Vec::new()
        }
        None => place.split_whitespace().collect(),
    };
    assert!(place.starts_with("missing: ") || !tests.is_empty(), "{line}");
    Rule { section, tests }
}

#[test]
fn every_test_that_the_list_names_exists() {
    for Rule { section, tests } in rules() {
        for test in tests {
            let (file, name) = test.split_once("::").unwrap_or_else(|| panic!("{section}: {test}"));
            let text =
                std::fs::read_to_string(place(file)).unwrap_or_else(|_| panic!("{section}: no {file}"));
            assert!(tests_in(&text).contains(name), "{section}: {file} has no test {name}");
        }
    }
}

#[test]
fn every_test_beside_the_list_is_on_it() {
    let listed: BTreeSet<_> = rules().into_iter().flat_map(|rule| rule.tests).collect();
    for file in std::fs::read_dir(here()).unwrap().flatten() {
        let file = file.file_name().into_string().unwrap();
        if !file.ends_with(".rs") || file == "main.rs" {
            continue;
        }
        let text = std::fs::read_to_string(place(&file)).unwrap();
        for name in tests_in(&text) {
            assert!(listed.contains(format!("{file}::{name}").as_str()), "{file}::{name} is not on the list");
        }
    }
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")
}

/// A file without a folder lies beside the list, any other in the workspace.
fn place(file: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace");
    if file.contains('/') { workspace.join(file) } else { here().join(file) }
}

/// The functions that an attribute makes tests.
fn tests_in(text: &str) -> BTreeSet<&str> {
    let mut lines = text.lines().map(str::trim);
    let mut found = BTreeSet::new();
    while let Some(line) = lines.next() {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            let function = lines.by_ref().find_map(|line| line.split_once("fn "));
            found.extend(function.and_then(|(_, rest)| rest.split('(').next()));
        }
    }
    found
}
