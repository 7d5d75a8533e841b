//! The targets of `scripts/fuzz.sh` for a few seconds: seeds changed in ways that are the same at every run.
//!
//! What a longer run has found stands in `fuzz/seeds`, each by its name, and is tried first.

#[path = "fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

/// Changed inputs for each target.
const ROUNDS: usize = 20_000;
/// A larger file is none that teaches anything, and slow.
const LARGEST: usize = 16 << 10;

/// What means something to one of the readers.
const WORDS: [&str; 32] = [
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    "\"",
    "\\",
    "<",
    ">",
    ",",
    ";",
    ":",
    "=",
    "/",
    "@",
    "%",
    "%41",
    "&#x41;",
    "]]>",
    "<![CDATA[",
    "xmlns:p='urn:p'",
    "\r\n\r\n",
    "Content-Length: 9",
    "SIP/2.0",
    "sip:",
    "[::1]",
    "m=audio 9 RTP/AVP 0",
    "ü",
    "\u{fffd}",
    "99999999999999999999",
    "Digest realm=\"lab.test\"",
];

#[test]
fn readers_of_what_strangers_send_keep_their_promises() {
    for (name, target) in targets::ALL {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for (path, seed) in &seeds {
            run(name, target, seed, &path.display().to_string());
        }
        let mut chance = Chance(0x5eed);
        for round in 0..ROUNDS {
            let (path, seed) = &seeds[chance.below(seeds.len())];
            let other = &seeds[chance.below(seeds.len())].1;
            let mut input = seed.clone();
            for _ in 0..=chance.below(6) {
                chance.change(&mut input, other);
            }
            run(name, target, &input, &format!("{} in round {round}", path.display()));
        }
    }
}

/// Says which input it was: a panic alone would not.
fn run(name: &str, target: targets::Target, input: &[u8], origin: &str) {
    let ended = std::panic::catch_unwind(|| target(input));
    assert!(ended.is_ok(), "{name}, from {origin}: {:?}", String::from_utf8_lossy(input));
}

/// Our own, and what lies beside the project if it is there.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside: &[&str] = match target {
        "message" | "framing" => &["data/rfc4475", "data/rfc5118", "captures/messages"],
        "document" => &["data/samples"],
        _ => &[],
    };
    let beside = beside.iter().map(|folder| here.join("../../shared").join(folder));
    let mut files = Vec::new();
    for folder in [here.join("fuzz/seeds").join(target)].into_iter().chain(beside) {
        collect(&folder, &mut files);
    }
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read(&file).unwrap())).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if entry.metadata().is_ok_and(|file| file.len() <= LARGEST as u64) {
            files.push(path);
        }
    }
}

/// Xorshift: the same at every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }

    fn change(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        let at = self.below(input.len() + 1);
        let end = (at + self.below(40)).min(input.len());
        match self.below(5) {
            0 => drop(input.splice(at..at, WORDS[self.below(WORDS.len())].bytes())),
            1 => drop(input.drain(at..end)),
            2 => drop(input.splice(at..at, input[at..end].to_vec())),
            3 => input[at..].iter_mut().take(1).for_each(|byte| *byte ^= 1 << self.below(8)),
            _ => {
                let from = self.below(other.len() + 1);
                let until = (from + self.below(80)).min(other.len());
                input.splice(at..end, other[from..until].iter().copied());
            }
        }
    }
}
