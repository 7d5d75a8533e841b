//! Where the tests find messages: files beside the project, if they are there.
//!
//! `../shared` is not part of the project, so every test that needs it says so and goes on without.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sip::{Limits, Message, NotSip};

pub struct Sample {
    pub name: String,
    pub bytes: Vec<u8>,
}

impl Sample {
    pub fn parse(&self) -> Result<Message, NotSip> {
        Message::parse(Bytes::copy_from_slice(&self.bytes), &Limits::default())
    }
}

/// All files below a folder of `../shared`, by name; none, and a word about it, if it is absent.
pub fn shared(folder: &str) -> Vec<Sample> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(folder);
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    if paths.is_empty() {
        eprintln!("skipped: no messages in ../shared/{folder}");
    }
    let sample = |path: &PathBuf| Sample {
        name: path.strip_prefix(&root).unwrap().to_string_lossy().into_owned(),
        bytes: fs::read(path).unwrap(),
    };
    paths.iter().map(sample).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, paths) } else { paths.push(path) }
    }
}
