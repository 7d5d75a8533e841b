//! What was written and may not be in the store's own file yet.
//!
//! A store makes a batch durable in its own way, which can be dear: sled wakes a pool of threads and makes three system
//! calls besides. So a batch goes into this file first, with one write and one sync, and into the store's memory; the
//! store is flushed once for a whole journal. After a crash the journal is done again over whatever the store has kept
//! by itself: it holds every change since the last flush in order, so it does not matter how many of them are there.
//!
//! The file is overwritten from its beginning after each flush, for a file that does not grow is cheaper to sync. Before
//! that its first head is blanked, so that never a part of what is done is done again: it would bring back older values.
//! Each record names its generation, so what an earlier one left behind the last record is not taken for more. A record
//! that was torn by a crash was never acknowledged; one that was damaged later is missed by the watermark.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::disk::{KEY_LENGTH, Key, Write};

/// From here on the store is flushed, and the next record is the first one again.
#[cfg(not(test))]
pub const FULL: usize = 512 * 1024;
/// So that a short life fills several.
#[cfg(test)]
pub const FULL: usize = 4 * 1024;
/// Checksum, length of the content, generation.
const HEAD: usize = 4 + 4 + 8;
const PUT: u8 = b'p';
const REMOVE: u8 = b'r';

pub struct Journal {
    file: File,
    /// Where the next record goes.
    at: u64,
    generation: u64,
    /// The store failed, and nobody knows what it holds: the journal stays as it is.
    kept: bool,
    record: Vec<u8>,
}

impl Journal {
    /// Opens the journal and gives what the store is to do again.
    pub fn open(path: &Path) -> io::Result<(Journal, Vec<Vec<Write>>)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let journal =
            Journal { file, at: bytes.len() as u64, generation: 0, kept: false, record: Vec::new() };
        Ok((journal, records(&bytes)))
    }

    /// Returns when the batch is on the disk.
    pub fn append(&mut self, batch: &[Write]) -> io::Result<()> {
        seal(batch, self.generation, &mut self.record);
        self.file.write_all_at(&self.record, self.at)?;
        self.file.sync_data()?;
        self.at += self.record.len() as u64;
        // A round that was large leaves no large buffer behind.
        self.record.clear();
        self.record.shrink_to(FULL);
        Ok(())
    }

    pub fn is_full(&self) -> bool {
        self.at >= FULL as u64
    }

    /// The store's file holds all of it: the next record overwrites the first.
    pub fn begin_anew(&mut self) -> io::Result<()> {
        self.file.write_all_at(&[0; HEAD], 0)?;
        self.file.sync_data()?;
        self.at = 0;
        self.generation += 1;
        Ok(())
    }

    /// From now on it is not cleared.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// The store's file holds all of it, and nothing is to be done again by who opens the journal next. The file has the
    /// room that a journal takes: it grows for the record alone that makes it full.
    pub fn clear(&mut self) -> io::Result<()> {
        if self.kept {
            return Ok(());
        }
        self.file.set_len(0)?;
        self.file.write_all_at(&vec![0; FULL], 0)?;
        self.file.sync_all()?;
        self.at = 0;
        Ok(())
    }
}

fn seal(batch: &[Write], generation: u64, record: &mut Vec<u8>) {
    record.clear();
    record.extend_from_slice(&[0; HEAD]);
    for write in batch {
        match write {
            Write::Put(key, value) => {
                record.push(PUT);
                record.extend_from_slice(key.bytes());
                record.extend_from_slice(&(value.len() as u32).to_le_bytes());
                record.extend_from_slice(value);
            }
            Write::Remove(key) => {
                record.push(REMOVE);
                record.extend_from_slice(key.bytes());
            }
        }
    }
    let length = (record.len() - HEAD) as u32;
    record[4..8].copy_from_slice(&length.to_le_bytes());
    record[8..HEAD].copy_from_slice(&generation.to_le_bytes());
    let checksum = crc32fast::hash(&record[4..]);
    record[..4].copy_from_slice(&checksum.to_le_bytes());
}

/// The batches from the beginning on, as far as they are whole and of one generation.
fn records(mut bytes: &[u8]) -> Vec<Vec<Write>> {
    let mut batches = Vec::new();
    let mut first = None;
    while let Some((generation, content, rest)) = unseal(bytes) {
        if *first.get_or_insert(generation) != generation {
            break;
        }
        let Some(batch) = batch(content) else { break };
        batches.push(batch);
        bytes = rest;
    }
    batches
}

/// Generation and content of the record at the beginning, and what follows it.
fn unseal(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (checksum, sealed) = bytes.split_first_chunk::<4>()?;
    let (length, rest) = sealed.split_first_chunk::<4>()?;
    let (generation, rest) = rest.split_first_chunk::<8>()?;
    let (content, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let is_whole = crc32fast::hash(&sealed[..4 + 8 + content.len()]) == u32::from_le_bytes(*checksum);
    is_whole.then_some((u64::from_le_bytes(*generation), content, rest))
}

fn batch(mut content: &[u8]) -> Option<Vec<Write>> {
    let mut batch = Vec::new();
    while let Some((kind, rest)) = content.split_first() {
        let (key, rest) = rest.split_first_chunk::<KEY_LENGTH>()?;
        let key = Key::from_bytes(*key);
        match *kind {
            PUT => {
                let (length, rest) = rest.split_first_chunk::<4>()?;
                let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
                batch.push(Write::Put(key, value.to_vec()));
                content = rest;
            }
            REMOVE => {
                batch.push(Write::Remove(key));
                content = rest;
            }
            _ => return None,
        }
    }
    Some(batch)
}

#[cfg(test)]
mod tests {
    use placement::GroupId;

    use super::*;

    fn put(index: u64, value: &[u8]) -> Write {
        Write::Put(Key::entry(GroupId(1), index), value.to_vec())
    }

    fn remove(index: u64) -> Write {
        Write::Remove(Key::entry(GroupId(1), index))
    }

    fn fresh() -> (tempfile::TempDir, std::path::PathBuf, Journal) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (journal, nothing) = Journal::open(&path).unwrap();
        assert!(nothing.is_empty());
        (folder, path, journal)
    }

    fn held(path: &Path) -> Vec<Vec<Write>> {
        Journal::open(path).unwrap().1
    }

    #[test]
    fn what_was_appended_is_given_back_in_order() {
        let (_folder, path, mut journal) = fresh();
        let batches = [vec![put(1, b"one"), put(2, b"")], vec![], vec![remove(1), put(1, &[7; 70_000])]];

        batches.iter().for_each(|batch| journal.append(batch).unwrap());

        assert_eq!(held(&path), batches);
    }

    #[test]
    fn what_an_earlier_generation_left_behind_is_not_taken_for_more() {
        let (_folder, path, mut journal) = fresh();
        (1..=4).for_each(|index| journal.append(&[put(index, b"old")]).unwrap());

        journal.begin_anew().unwrap();
        journal.append(&[put(9, b"new")]).unwrap();

        assert_eq!(held(&path), [[put(9, b"new")]]);
    }

    /// The disk took the end of a record and not its beginning.
    #[test]
    fn of_what_is_done_nothing_is_done_again_whatever_becomes_of_the_next_record() {
        let (_folder, path, mut journal) = fresh();
        (1..=9).for_each(|value| journal.append(&[put(1, &[value; 100])]).unwrap());

        journal.begin_anew().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[200..700].fill(b'x');
        std::fs::write(&path, bytes).unwrap();

        assert!(held(&path).is_empty());
    }

    #[test]
    fn one_that_is_kept_is_not_cleared() {
        let (_folder, path, mut journal) = fresh();
        journal.append(&[put(1, b"the only copy")]).unwrap();

        journal.keep();
        journal.clear().unwrap();

        assert_eq!(held(&path).len(), 1);
    }

    #[test]
    fn a_record_that_was_torn_ends_the_journal_before_it() {
        let (_folder, path, mut journal) = fresh();
        journal.append(&[put(1, b"whole")]).unwrap();
        let whole = std::fs::read(&path).unwrap().len();
        journal.append(&[put(2, b"torn")]).unwrap();
        let bytes = std::fs::read(&path).unwrap();

        for length in whole..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert_eq!(held(&path), [[put(1, b"whole")]], "{length}");
        }
        for at in whole..bytes.len() {
            let mut garbled = bytes.clone();
            garbled[at] ^= 1;
            std::fs::write(&path, &garbled).unwrap();
            assert_eq!(held(&path), [[put(1, b"whole")]], "{at}");
        }
    }

    #[test]
    fn one_that_is_cleared_has_nothing_to_do_again_and_goes_on() {
        let (_folder, path, mut journal) = fresh();
        journal.append(&[put(1, b"done")]).unwrap();

        journal.clear().unwrap();

        assert!(held(&path).is_empty());
        journal.append(&[put(2, b"next")]).unwrap();
        assert_eq!(held(&path), [[put(2, b"next")]]);
    }

    #[test]
    fn its_file_does_not_grow_before_it_is_full() {
        let (_folder, path, mut journal) = fresh();
        journal.clear().unwrap();
        let long = std::fs::metadata(&path).unwrap().len();

        journal.append(&[put(1, &[7; FULL / 2])]).unwrap();

        assert_eq!(std::fs::metadata(&path).unwrap().len(), long);
        assert_eq!(held(&path), [vec![put(1, &[7; FULL / 2])]]);
    }

    #[test]
    fn it_is_full_from_a_size_on_until_it_begins_anew() {
        let (_folder, path, mut journal) = fresh();

        while !journal.is_full() {
            journal.append(&[put(1, &[0; 500])]).unwrap();
        }
        journal.begin_anew().unwrap();

        assert!(!journal.is_full());
        assert!(std::fs::metadata(&path).unwrap().len() >= FULL as u64, "its file keeps its size");
    }
}
