//! A disk in memory that forgets what was not synced when it is killed, and can be killed in the middle of a write.
//!
//! It has a volatile cache (`seen`) over what a kill leaves (`synced`). A batch may fail: the disk is dead from then
//! on, or heals, and what is left of that batch is chosen by the test. Bad habits break the contract of `Disk` on
//! purpose, to see that the suite notices. Damage is done to what lies there synced.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::disk::{Disk, Key, Write};
use super::dice::Dice;

const PAST: usize = 32;

type Content = BTreeMap<Key, Vec<u8>>;

pub struct CrashDisk(Mutex<State>);

#[derive(Default)]
struct State {
    seen: Content,
    synced: Content,
    habit: Habit,
    /// Writes that a bad habit keeps from being synced.
    held: Vec<Write>,
    /// What was synced, batch by batch, in this life and the one before.
    past: VecDeque<Content>,
    batches: u64,
    failure: Option<Failure>,
    dead: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Habit {
    #[default]
    Honest,
    /// A batch is synced only with the next one.
    AcknowledgesBeforeSync,
    LosesVotes,
    /// A purge mark is synced only after the records behind it are removed.
    MarksAfterPurge,
}

/// The batch that fails.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    pub at: u64,
    pub error: io::ErrorKind,
    pub left: Left,
    pub then: Then,
}

/// What is synced of the batch that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Nothing,
    /// All of it, though nobody was told.
    Everything,
    /// The writes before this place.
    Before(usize),
    /// The writes before this place, and of that one only the first half.
    Torn(usize),
    /// The writes before this place, and that one with a byte changed.
    Garbled(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Dead,
    Heals,
}

impl CrashDisk {
    pub fn new(habit: Habit) -> Arc<CrashDisk> {
        Arc::new(CrashDisk(Mutex::new(State { habit, ..State::default() })))
    }

    /// Lets a batch fail, counted from the next one.
    pub fn fail(&self, failure: Failure) {
        let mut state = self.0.lock();
        let at = failure.at + state.batches;
        state.failure = Some(Failure { at, ..failure });
    }

    /// What the next start finds: another disk, with what was synced on this one.
    pub fn kill(&self) -> Arc<CrashDisk> {
        let mut state = self.0.lock();
        state.dead = true;
        let (synced, habit) = (state.synced.clone(), state.habit);
        let earlier = state.past.len().saturating_sub(state.batches as usize);
        let past = state.past.split_off(earlier);
        Arc::new(CrashDisk(Mutex::new(State {
            seen: synced.clone(),
            synced,
            habit,
            past,
            ..State::default()
        })))
    }

    /// Goes back some batches of the life that ended, as a drive does that only said that it had synced them.
    pub fn forget(&self, batches: usize) {
        let mut state = self.0.lock();
        if let Some(at) = state.past.len().checked_sub(batches + 1) {
            let before = state.past[at].clone();
            state.replace(before);
        }
    }

    /// Brings back an older value of some key, if one of them ever had another value.
    pub fn revert_one(&self, dice: &mut Dice) {
        let mut state = self.0.lock();
        let mut older: Vec<(Key, Vec<u8>)> = Vec::new();
        for content in &state.past {
            for (key, now) in &state.synced {
                match content.get(key) {
                    Some(then) if then != now => older.push((*key, then.clone())),
                    _ => {}
                }
            }
        }
        if !older.is_empty() {
            let (key, value) = older.swap_remove(dice.position(older.len()));
            let mut content = state.synced.clone();
            content.insert(key, value);
            state.replace(content);
        }
    }

    /// Changes a byte of some value, or cuts its end off.
    pub fn damage_one(&self, dice: &mut Dice) {
        let mut state = self.0.lock();
        let mut content = state.synced.clone();
        if content.is_empty() {
            return;
        }
        let at = dice.position(content.len());
        if let Some(value) = content.values_mut().nth(at) {
            let place = dice.position(value.len());
            match dice.one_in(2) {
                true => value[place] ^= 1 << dice.below(8),
                false => value.truncate(place),
            }
        }
        state.replace(content);
    }

    /// Loses some value.
    pub fn lose_one(&self, dice: &mut Dice) {
        let mut state = self.0.lock();
        let mut content = state.synced.clone();
        if !content.is_empty() {
            let at = dice.position(content.len());
            let key = content.keys().nth(at).copied();
            key.map(|key| content.remove(&key));
        }
        state.replace(content);
    }
}

impl Disk for CrashDisk {
    fn write(&self, batch: Vec<Write>) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.dead {
            return Err(io::Error::other("the disk is dead"));
        }
        state.batches += 1;
        perform(&mut state.seen, &batch);
        match state.failure {
            Some(failure) if failure.at < state.batches => {
                state.failure = None;
                state.dead = failure.then == Then::Dead;
                state.sync(failure.left.of(batch));
                Err(failure.error.into())
            }
            _ => {
                state.sync(batch);
                Ok(())
            }
        }
    }

    fn scan(&self, from: Key, to: Key, each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
        for (key, value) in self.0.lock().seen.range(from..=to) {
            if !each(key.bytes(), value) {
                break;
            }
        }
        Ok(())
    }

    fn close(&self) {
        self.0.lock().dead = true;
    }
}

impl State {
    fn sync(&mut self, batch: Vec<Write>) {
        let is_purge = batch.iter().all(|write| matches!(write, Write::Remove(_)));
        let of = |kind, key: &Key| key.bytes()[0] == kind;
        let (now, later): (Vec<Write>, Vec<Write>) = batch.into_iter().partition(|write| match write {
            Write::Put(key, _) => match self.habit {
                Habit::Honest => true,
                Habit::AcknowledgesBeforeSync => false,
                Habit::LosesVotes => !of(b'v', key),
                Habit::MarksAfterPurge => !of(b'p', key),
            },
            Write::Remove(_) => self.habit != Habit::AcknowledgesBeforeSync,
        });
        let held = match self.habit {
            Habit::LosesVotes => Vec::new(),
            Habit::MarksAfterPurge if is_purge => Vec::new(),
            _ => std::mem::take(&mut self.held),
        };
        perform(&mut self.synced, &held);
        perform(&mut self.synced, &now);
        self.held.extend(later);
        self.past.push_back(self.synced.clone());
        if self.past.len() > PAST {
            self.past.pop_front();
        }
    }

    fn replace(&mut self, content: Content) {
        self.seen = content.clone();
        self.synced = content;
    }
}

impl Left {
    fn of(self, mut batch: Vec<Write>) -> Vec<Write> {
        let (place, spoil): (usize, fn(&mut Vec<u8>)) = match self {
            Left::Nothing => return Vec::new(),
            Left::Everything => return batch,
            Left::Before(place) => {
                batch.truncate(place);
                return batch;
            }
            Left::Torn(place) => (place, |value| value.truncate(value.len() / 2)),
            Left::Garbled(place) => {
                (place, |value| *value.last_mut().expect("a value holds a checksum") ^= 1)
            }
        };
        batch.truncate(place + 1);
        match batch.last_mut() {
            Some(Write::Put(_, value)) => spoil(value),
            Some(Write::Remove(_)) | None => {}
        }
        batch
    }
}

fn perform(content: &mut Content, batch: &[Write]) {
    for write in batch {
        match write {
            Write::Put(key, value) => _ = content.insert(*key, value.clone()),
            Write::Remove(key) => _ = content.remove(key),
        }
    }
}
