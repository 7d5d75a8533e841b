//! The same lives over sled and real files: copied while they are in use, killed in the middle, and damaged.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use placement::GroupId;
use tempfile::TempDir;

use super::super::disk::{Disk, Key, Write};
use super::super::log_store::SledDisk;
use super::crash_disk::{CrashDisk, Habit};
use super::dice::{Dice, seeds};
use super::folder_for_marks;
use super::ledger::Ledger;
use super::life::{End, Failure, Life, Marks, nothing_yet};

/// What the log lies in.
const FILES: [&str; 2] = ["log/db", "log/journal"];
/// Tells a child process where to live, from which seed.
const CHILD: &str = "VEDETTE_CRASH_CHILD";

#[test]
fn files_that_are_copied_while_they_are_in_use_hold_what_was_acknowledged() {
    for seed in seeds(2) {
        let (files, ledgers) = lived(seed);

        let refused = begin(files.path(), ledgers).err();

        assert!(refused.is_none(), "seed {seed}: {refused:?}");
    }
}

/// sled's files as they were before a write are what a power cut may leave of it.
#[test]
fn what_sled_has_not_written_is_done_again_from_the_journal() {
    let (files, group) = (tempfile::tempdir().unwrap(), GroupId(1));
    let disk = SledDisk::open(files.path()).unwrap();
    let put = |index, value: u8| Write::Put(Key::entry(group, index), vec![value; 100]);
    disk.write((1..=9).map(|index| put(index, 1)).collect()).unwrap();
    disk.close();
    let disk = SledDisk::open(files.path()).unwrap();
    let left = copied(files.path());

    disk.write(vec![Write::Remove(Key::entry(group, 9)), put(10, 2), put(11, 2)]).unwrap();
    disk.write(vec![put(8, 3), Write::Remove(Key::entry(group, 11))]).unwrap();
    fs::copy(files.path().join("journal"), left.path().join("journal")).unwrap();

    let mut found = Vec::new();
    let disk = SledDisk::open(left.path()).unwrap();
    disk.scan(Key::entry(group, 0), Key::entry(group, u64::MAX), &mut |_, value| {
        found.push(value[0]);
        true
    })
    .unwrap();
    assert_eq!(found, [1, 1, 1, 1, 1, 1, 1, 3, 2]);
}

#[test]
fn a_process_that_is_killed_has_kept_what_it_acknowledged() {
    for seed in seeds(4) {
        let files = tempfile::tempdir().unwrap();
        let enough = 20 + Dice::new(!seed).below(200);

        let steps = live_in_a_process(files.path(), seed, "", |step| step == enough);

        let refused = begin(files.path(), acknowledged(seed, steps)).err();
        assert!(refused.is_none(), "seed {seed}, {steps} steps: {refused:?}");
    }
}

/// The limit of a file's size stands for the end of the disk: no file of the process grows beyond it.
#[test]
fn a_process_whose_disk_is_full_acknowledges_nothing_more_and_has_kept_the_rest() {
    for seed in seeds(4) {
        let files = tempfile::tempdir().unwrap();
        let blocks = 60 + Dice::new(!seed).below(100);

        let limit = format!("ulimit -f {blocks}; trap '' XFSZ;");
        let steps = live_in_a_process(files.path(), seed, &limit, |_| false);

        let refused = begin(files.path(), acknowledged(seed, steps)).err();
        assert!(refused.is_none(), "seed {seed}, {steps} steps: {refused:?}");
    }
}

/// Does nothing by itself: it is the process that the tests above start. It ends when a write is refused.
#[test]
fn a_process_of_its_own() {
    let Ok(asked) = std::env::var(CHILD) else {
        return;
    };
    let (seed, folder) = asked.split_once(' ').unwrap();
    let mut dice = Dice::new(seed.parse().unwrap());
    let mut life = begin(Path::new(folder), nothing_yet()).unwrap();
    for step in 1.. {
        if life.live(1, &mut dice) == End::Refusal {
            return;
        }
        println!("step {step}");
    }
}

#[test]
fn damaged_files_give_everything_or_are_refused_by_their_name() {
    let (files, ledgers) = lived(1);
    for name in FILES {
        let mut refused = 0;
        for seed in seeds(18) {
            let damaged = copied(files.path());
            damage(&damaged.path().join(name), &mut Dice::new(seed));

            match begin(damaged.path(), ledgers.clone()) {
                Ok(_) => {}
                Err(NotBegun::Store(_) | NotBegun::Log(Failure::Refused(_))) => refused += 1,
                Err(NotBegun::Log(Failure::Broken(broken))) => panic!("{name}, seed {seed}: {broken}"),
            }
        }
        assert!(refused > 0, "{name}");
    }
}

#[test]
fn without_the_marks_damaged_files_would_give_less_than_was_acknowledged() {
    let (files, ledgers) = lived(1);
    let missed = |name, seed| {
        let damaged = copied(files.path());
        damage(&damaged.path().join(name), &mut Dice::new(seed));
        let disk = SledDisk::open(&damaged.path().join("log")).ok()?;
        let begun = Life::begin(Arc::new(disk), damaged.path(), ledgers.clone(), Marks::Ignored);
        begun.err().filter(|failure| matches!(failure, Failure::Broken(_)))
    };

    assert!((0..18).find_map(|seed| FILES.into_iter().find_map(|name| missed(name, seed))).is_some());
}

/// Most times it does; sometimes it sees the damage first.
#[test]
fn a_file_that_sled_panics_over_is_refused() {
    let files = tempfile::tempdir().unwrap();
    let group = GroupId(1);
    let disk = SledDisk::open(files.path()).unwrap();
    for round in 0..20 {
        let put = |index| Write::Put(Key::entry(group, index), vec![round as u8; 60_000]);
        disk.write((16 * round..16 * round + 16).map(put).collect()).unwrap();
    }
    disk.close();
    // At its second start sled writes down where everything lies, which is what it trusts at the third.
    SledDisk::open(files.path()).unwrap().close();
    let file = fs::OpenOptions::new().write(true).open(files.path().join("db")).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();

    let refused = SledDisk::open(files.path()).err().unwrap();

    assert_eq!(refused.kind(), ErrorKind::InvalidData, "{refused}");
}

#[test]
fn files_that_are_missing_are_refused_by_their_name() {
    let (files, ledgers) = lived(2);
    let log = files.path().join("log");
    let names: Vec<OsString> = fs::read_dir(&log).unwrap().map(|file| file.unwrap().file_name()).collect();
    for name in names {
        let damaged = copied(files.path());
        let missing = damaged.path().join("log").join(&name);
        match missing.is_dir() {
            true => fs::remove_dir_all(&missing).unwrap(),
            false => fs::remove_file(&missing).unwrap(),
        }

        match begin(damaged.path(), ledgers.clone()) {
            Ok(_) => assert!(name != "db", "without its file nothing can be there"),
            Err(NotBegun::Store(_) | NotBegun::Log(Failure::Refused(_))) => {}
            Err(NotBegun::Log(Failure::Broken(broken))) => panic!("without {name:?}: {broken}"),
        }
    }
    fs::remove_dir_all(&log).unwrap();
    assert!(matches!(begin(files.path(), ledgers), Err(NotBegun::Log(Failure::Refused(_)))));
}

/// Where a life could not begin.
#[derive(Debug, thiserror::Error)]
enum NotBegun {
    #[error("{0}")]
    Store(std::io::Error),
    #[error("{0}")]
    Log(#[from] Failure),
}

fn begin(folder: &Path, ledgers: Vec<Ledger>) -> Result<Life, NotBegun> {
    let disk: Arc<dyn Disk> = Arc::new(SledDisk::open(&folder.join("log")).map_err(NotBegun::Store)?);
    let life = Life::begin(disk.clone(), folder, ledgers, Marks::Used);
    if life.is_err() {
        disk.close();
    }
    Ok(life?)
}

/// Some lives, each on a copy of the files that the one before was using; and a copy of the last one's.
fn lived(seed: u64) -> (TempDir, Vec<Ledger>) {
    let (mut files, mut dice) = (tempfile::tempdir().unwrap(), Dice::new(seed));
    let mut ledgers = nothing_yet();
    for _ in 0..4 {
        let mut life = begin(files.path(), ledgers).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        life.live(120, &mut dice);
        let copy = copied(files.path());
        (files, ledgers) = (copy, life.end());
    }
    (files, ledgers)
}

/// Lets a process live by this seed until it ends, or `enough` says so and it is killed. Returns how many steps it told.
fn live_in_a_process(folder: &Path, seed: u64, before: &str, enough: impl Fn(u64) -> bool) -> u64 {
    let mut child = Command::new("sh")
        .args([
            "-c",
            &format!(
                "{before} exec \"$0\" --nocapture --exact raft::crash_test::on_sled::a_process_of_its_own"
            ),
        ])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, format!("{seed} {}", folder.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let told = BufReader::new(child.stdout.take().unwrap());
    let mut steps = 0;
    // What it says until the kill takes effect counts as well.
    for line in told.lines() {
        if let Some(step) = line.unwrap().strip_prefix("step ") {
            steps = step.parse().unwrap();
            if enough(steps) {
                child.kill().unwrap();
            }
        }
    }
    let status = child.wait().unwrap();
    assert!(status.success() || status.code().is_none(), "it fell over: {status}");
    assert!(steps > 10, "it ended at once");
    steps
}

/// What a process that told so many steps has acknowledged: the same steps over a disk in memory say it.
fn acknowledged(seed: u64, steps: u64) -> Vec<Ledger> {
    let (marks, mut dice) = (folder_for_marks(), Dice::new(seed));
    let disk = CrashDisk::new(Habit::Honest);
    let mut life = Life::begin(disk, marks.path(), nothing_yet(), Marks::Used).unwrap();
    life.live(steps, &mut dice);
    life.end()
}

/// Cuts, garbles or blanks some part of a file.
fn damage(path: &Path, dice: &mut Dice) {
    let mut bytes = fs::read(path).unwrap();
    let used = 1 + bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let (at, kilobyte) = (dice.position(used), used.saturating_sub(1024));
    let mut garble = |bytes: &mut [u8]| bytes.iter_mut().for_each(|byte| *byte = dice.below(256) as u8);
    match at % 6 {
        0 => bytes.truncate(at),
        1 => bytes.truncate(used - 1 - at % 300),
        2 => bytes[at] ^= 0x10,
        3 => garble(&mut bytes[at..used.min(at + 64)]),
        4 => garble(&mut bytes[kilobyte..used]),
        _ => bytes[at / 4096 * 4096..].iter_mut().take(4096).for_each(|byte| *byte = 0),
    }
    fs::write(path, bytes).unwrap();
}

fn copied(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    copy(from, to.path());
    to
}

fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy(&file.path(), &to);
        } else {
            fs::copy(file.path(), to).unwrap();
        }
    }
}
