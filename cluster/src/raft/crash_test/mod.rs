//! What a log is after a crash, tried at every kind of moment, over any disk behind the trait `Disk`.
//!
//! Random histories (`life`) are stopped at random writes. After the next start everything acknowledged must be there
//! and unchanged, and of what was not acknowledged some first part (`ledger`). A disk that kept its word may not be
//! refused; one that did not is refused by name, or still gives all of it. The same histories run over a disk in
//! memory that forgets, tears and lies (`crash_disk`) and over sled (`on_sled`).
//!
//! `VEDETTE_CRASH_SEEDS` asks for another number of histories than the usual few.

pub mod crash_disk;
mod dice;
mod group;
mod ledger;
mod life;
mod on_sled;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use self::crash_disk::{CrashDisk, Failure, Habit, Left, Then};
use self::dice::{Dice, seeds};
use self::life::{End, Life, Marks, nothing_yet};

const LIVES: u64 = 6;
const STEPS: u64 = 150;
/// Batches of a life in which the failing one is chosen; a life has some fifty.
const BATCHES: u64 = 60;

#[test]
fn what_was_acknowledged_outlives_a_kill_between_two_batches() {
    for seed in seeds(20) {
        let left = |dice: &mut Dice| if dice.one_in(2) { Left::Nothing } else { Left::Everything };

        let kept = history(seed, Habit::Honest, Marks::Used, left, no_damage);

        assert!(kept.is_ok(), "seed {seed}: {kept:?}");
    }
}

#[test]
fn of_a_batch_that_was_cut_short_a_first_part_is_there() {
    for seed in seeds(20) {
        let left = |dice: &mut Dice| Left::Before(dice.position(12));

        let kept = history(seed, Habit::Honest, Marks::Used, left, no_damage);

        assert!(kept.is_ok(), "seed {seed}: {kept:?}");
    }
}

#[test]
fn a_value_that_was_torn_or_garbled_is_refused_by_its_name() {
    let mut refused = 0;
    for seed in seeds(20) {
        let left = |dice: &mut Dice| match dice.one_in(2) {
            true => Left::Torn(dice.position(6)),
            false => Left::Garbled(dice.position(6)),
        };

        let kept = history(seed, Habit::Honest, Marks::Used, left, no_damage);

        refused += kept_or_refused(seed, kept);
    }
    assert!(refused > 0);
}

#[test]
fn a_disk_that_loses_changes_or_brings_back_what_it_had_synced_is_refused_by_its_name() {
    let damages: [fn(&CrashDisk, &mut Dice); 4] = [
        |disk, dice| disk.forget(1 + dice.position(8)),
        CrashDisk::damage_one,
        CrashDisk::lose_one,
        CrashDisk::revert_one,
    ];
    for damage in damages {
        let mut refused = 0;
        for seed in seeds(20) {
            let kept = history(seed, Habit::Honest, Marks::Used, |_| Left::Nothing, damage);

            refused += kept_or_refused(seed, kept);
        }
        assert!(refused > 0);
    }
}

#[test]
fn a_disk_that_acknowledges_before_its_sync_is_found_out() {
    let refused = first_failure(Habit::AcknowledgesBeforeSync, Marks::Used);
    assert!(matches!(refused, life::Failure::Refused(_)), "{refused}");

    let seen = first_failure(Habit::AcknowledgesBeforeSync, Marks::Ignored);
    assert!(matches!(seen, life::Failure::Broken(_)), "{seen}");
}

#[test]
fn a_disk_that_loses_votes_is_found_out() {
    let refused = first_failure(Habit::LosesVotes, Marks::Used);
    assert!(matches!(refused, life::Failure::Refused(_)), "{refused}");

    let seen = first_failure(Habit::LosesVotes, Marks::Ignored);
    assert!(matches!(seen, life::Failure::Broken(_)), "{seen}");
}

#[test]
fn records_that_are_removed_before_the_purge_mark_is_synced_are_found_out() {
    for marks in [Marks::Used, Marks::Ignored] {
        let refused = first_failure(Habit::MarksAfterPurge, marks);

        assert!(matches!(refused, life::Failure::Refused(_)), "{refused}");
    }
}

#[test]
fn after_a_write_that_failed_nothing_is_acknowledged_though_the_disk_has_healed() {
    for seed in seeds(20) {
        for error in [ErrorKind::StorageFull, ErrorKind::Other] {
            let (folder, mut dice) = (folder_for_marks(), Dice::new(seed));
            let disk = CrashDisk::new(Habit::Honest);
            let left = Left::Before(dice.position(6));
            disk.fail(Failure { at: dice.below(BATCHES), error, left, then: Then::Heals });
            let mut life = Life::begin(disk.clone(), folder.path(), nothing_yet(), Marks::Used).unwrap();

            assert_eq!(life.live(10 * STEPS, &mut dice), End::Refusal);
            let granted: usize = (0..5).map(|_| life.try_each(&mut dice)).sum();

            assert_eq!(granted, 0, "seed {seed}");
            let kept = Life::begin(disk.kill(), folder.path(), life.end(), Marks::Used).err();
            assert!(kept.is_none(), "seed {seed}: {kept:?}");
        }
    }
}

/// Lives that end with a kill, one after the other over what the one before left on the disk.
fn history(
    seed: u64,
    habit: Habit,
    marks: Marks,
    left: impl Fn(&mut Dice) -> Left,
    damage: impl Fn(&CrashDisk, &mut Dice),
) -> Result<(), life::Failure> {
    let (folder, mut dice) = (folder_for_marks(), Dice::new(seed));
    let mut disk: Arc<CrashDisk> = CrashDisk::new(habit);
    let mut ledgers = nothing_yet();
    for _ in 0..LIVES {
        let mut life = Life::begin(disk.clone(), folder.path(), ledgers, marks)?;
        let at = dice.below(BATCHES);
        disk.fail(Failure { at, error: ErrorKind::Other, left: left(&mut dice), then: Then::Dead });
        life.live(STEPS, &mut dice);
        ledgers = life.end();
        disk = disk.kill();
        damage(&disk, &mut dice);
    }
    Life::begin(disk, folder.path(), ledgers, marks).map(drop)
}

/// A disk in memory needs a folder for its marks only, and they need no other disk.
fn folder_for_marks() -> TempDir {
    match Path::new("/dev/shm") {
        memory if memory.is_dir() => tempfile::tempdir_in(memory),
        _ => tempfile::tempdir(),
    }
    .unwrap()
}

fn no_damage(_: &CrashDisk, _: &mut Dice) {}

/// 1 if it was refused.
fn kept_or_refused(seed: u64, kept: Result<(), life::Failure>) -> u32 {
    match kept {
        Ok(()) => 0,
        Err(life::Failure::Refused(_)) => 1,
        Err(life::Failure::Broken(broken)) => panic!("seed {seed}: {broken}"),
    }
}

fn first_failure(habit: Habit, marks: Marks) -> life::Failure {
    let failure = |seed| history(seed, habit, marks, |_| Left::Nothing, no_damage).err();
    (0..200).find_map(failure).expect("a bad habit is found out")
}
