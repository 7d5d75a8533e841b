//! What the tests of the document half share: bodies from the captures, messy documents, the schema validator.

use std::path::{Path, PathBuf};
use std::process::Command;

use presence::compositor::{Composed, Contribution, compose};

pub const ENTITY: &str = "sip:alice@lab.test";

/// The folder with captures and schemas beside the project, where there is one.
pub fn shared() -> Option<PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    shared.join("data/validate.sh").exists().then_some(shared)
}

/// The bodies of the captured PUBLISH requests, each with the name of its file.
pub fn captured() -> Vec<(String, Vec<u8>)> {
    let Some(shared) = shared() else { return Vec::new() };
    let mut bodies = Vec::new();
    for client in std::fs::read_dir(shared.join("captures/messages")).unwrap() {
        for message in std::fs::read_dir(client.unwrap().path()).unwrap() {
            let path = message.unwrap().path();
            let name = path.strip_prefix(&shared).unwrap().display().to_string();
            let bytes = std::fs::read(&path).unwrap();
            let body = bytes.windows(4).position(|end| end == b"\r\n\r\n").map(|at| bytes[at + 4..].to_vec());
            let body = body.filter(|body| name.contains("PUBLISH") && !body.is_empty());
            bodies.extend(body.map(|body| (name, body)));
        }
    }
    bodies.sort();
    bodies
}

pub fn composed(documents: &[&[u8]]) -> Composed {
    let scopes: Vec<String> = (0..documents.len()).map(|at| format!("scope{at}")).collect();
    let contributions: Vec<Contribution> = documents
        .iter()
        .zip(&scopes)
        .enumerate()
        .map(|(at, (document, scope))| Contribution { scope, newest: at as u64, document })
        .collect();
    compose(ENTITY, &contributions, false)
}

/// Checks documents against the schemas of the RFCs, or says that it cannot.
pub fn assert_valid(documents: &[(String, Vec<u8>)]) {
    let Some(shared) = shared() else {
        eprintln!("skipped: no schemas in ../shared to check {} documents with", documents.len());
        return;
    };
    if Command::new("xmllint").arg("--version").output().is_err() {
        eprintln!("skipped: no xmllint to check {} documents with", documents.len());
        return;
    }
    let folder = std::env::temp_dir().join(format!("presence-{}-{:p}", std::process::id(), documents));
    std::fs::create_dir_all(&folder).unwrap();
    for (at, (_, document)) in documents.iter().enumerate() {
        std::fs::write(folder.join(format!("{at}.xml")), document).unwrap();
    }
    let files = (0..documents.len()).map(|at| folder.join(format!("{at}.xml")));

    let output = Command::new(shared.join("data/validate.sh")).args(files).output().unwrap();

    let verdicts = String::from_utf8_lossy(&output.stdout).into_owned();
    std::fs::remove_dir_all(&folder).unwrap();
    for (line, (name, document)) in verdicts.lines().zip(documents) {
        assert!(line.starts_with("valid"), "{name}: {line}\n{}", String::from_utf8_lossy(document));
    }
    assert_eq!(verdicts.lines().count(), documents.len());
}
