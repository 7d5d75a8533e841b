//! The layers: which of our crates each of our crates may import, and which are pure. The table is the one in
//! ARCHITECTURE.md; a new arrow is a decision, made there and here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Crate folder, and what of ours it may depend on outside its tests.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("cluster", &["placement", "proto", "tls"]),
    ("crates/placement", &[]),
    ("crates/sip", &[]),
    ("crates/tls", &[]),
    ("crates/presence", &["sip"]),
    ("crates/presence-agent", &["presence", "sip", "placement", "proto"]),
    ("crates/dispatcher", &["sip", "placement", "proto", "tls"]),
    (
        "crates/subscription-manager",
        &["presence-agent", "presence", "sip", "placement", "cluster", "proto", "tls"],
    ),
    ("crates/auth-adapter", &["sip", "placement", "proto", "tls"]),
    ("crates/web", &["placement", "proto", "tls"]),
];

/// Crates without I/O, clocks and chance.
const PURE: &[&str] = &["crates/placement", "crates/sip", "crates/presence", "crates/presence-agent"];

/// What would make a crate impure just by being there.
const IMPURE: &[&str] =
    &["tokio", "tokio-util", "tonic", "axum", "rand", "socket2", "reqwest", "sled", "openraft", "libc"];

/// The one file that may name each foreign library (folder prefixes end with a slash).
const SPEAKERS: &[(&str, &str)] = &[
    ("rsip::", "crates/sip/src/status.rs"),
    ("quick_xml::", "crates/presence/src/format/xml.rs"),
    ("sled::", "cluster/src/raft/"),
    ("openraft::", "cluster/src/raft/"),
    ("rustls::", "crates/tls/src/"),
    ("nix::sys::socket", "crates/dispatcher/src/transport/datagrams.rs"),
    ("nix::sys::prctl", "crates/vedette/src/main.rs"),
    ("hickory_resolver::", "crates/dispatcher/src/upstream/dns.rs"),
];

#[test]
fn a_crate_imports_only_the_layers_below_it() {
    let allowed: BTreeMap<_, BTreeSet<_>> =
        MAY_IMPORT.iter().map(|(folder, below)| (*folder, below.iter().copied().collect())).collect();
    let ours: BTreeSet<_> =
        allowed.keys().map(|folder| folder.rsplit('/').next().unwrap_or(folder)).collect();

    for (folder, below) in &allowed {
        let imported: BTreeSet<_> =
            dependencies(folder).into_iter().filter(|name| ours.contains(name.as_str())).collect();
        let forbidden: Vec<_> = imported.iter().filter(|name| !below.contains(name.as_str())).collect();
        assert!(forbidden.is_empty(), "{folder} may not import {forbidden:?}");
    }
}

#[test]
fn a_pure_crate_depends_on_nothing_that_does_io_and_bans_clocks_by_lint() {
    for folder in PURE {
        let impure: Vec<_> =
            dependencies(folder).into_iter().filter(|name| IMPURE.contains(&name.as_str())).collect();
        assert!(impure.is_empty(), "{folder} is pure and may not depend on {impure:?}");

        let bans = std::fs::read_to_string(root().join(folder).join("clippy.toml"))
            .expect("a pure crate has a clippy.toml");
        assert!(bans.contains("std::time::Instant::now"), "{folder}/clippy.toml does not ban the clock");
    }
}

#[test]
fn a_foreign_library_is_spoken_to_in_one_place() {
    for (library, place) in SPEAKERS {
        for file in sources(&root()) {
            let path = file.strip_prefix(root()).unwrap().display().to_string();
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let speaks = code.into_iter().any(|line| line.contains(library));
            assert!(
                !speaks || path.starts_with(place) || path.contains("/tests/"),
                "{path} speaks to {library} itself"
            );
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace").to_owned()
}

fn dependencies(folder: &str) -> Vec<String> {
    let manifest =
        std::fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("every layer has a manifest");
    let manifest: toml::Table = manifest.parse().expect("a manifest is TOML");
    let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
    dependencies.into_iter().flat_map(|table| table.keys().cloned()).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() && name != "target" && name != ".git" {
                sources(&path)
            } else {
                Vec::from_iter(path.extension().is_some_and(|extension| extension == "rs").then_some(path))
            }
        })
        .filter(|path| !path.ends_with("tests/layers.rs"))
        .collect()
}
