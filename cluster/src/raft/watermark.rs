//! How far each log reached, noted outside the store about once a second.
//!
//! A store whose end was torn off opens without a word, as if its last records had never been written: sled cannot
//! tell them from a write that a power cut interrupted. Such a node would vote on records that it promised to keep.
//! So a log that ends before its mark is refused. The mark is never ahead of the disk: it is raised after a sync, and
//! lowered before records are cut off.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use placement::GroupId;
use prost::Message;
use proto::v1;
use tracing::warn;

use super::{Vote, wire};

const EVERY: Duration = Duration::from_secs(1);

pub struct Watermark {
    folder: PathBuf,
    marks: BTreeMap<GroupId, Mark>,
    /// What the file says, unless it is behind.
    behind: bool,
    noted: Option<Instant>,
}

/// What the store of a group holds at least.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mark {
    pub last: u64,
    pub vote: Option<Vote>,
}

/// What a write does to the reach of a group's log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reach {
    Grown(GroupId, u64),
    Cut(GroupId, u64),
    Vote(GroupId, Vote),
    Same,
}

impl Watermark {
    pub fn open(folder: &Path) -> io::Result<Watermark> {
        let marks = match fs::read(path(folder)) {
            Ok(bytes) => read(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Watermark { folder: folder.to_owned(), marks, behind: false, noted: None })
    }

    pub fn marks(&self) -> &BTreeMap<GroupId, Mark> {
        &self.marks
    }

    /// Before the write: what is about to be cut off must not be asked for.
    pub fn lower(&mut self, reaches: &[Reach]) -> io::Result<()> {
        let mut lowered = false;
        for reach in reaches {
            if let Reach::Cut(group, last) = *reach {
                let mark = self.marks.entry(group).or_default();
                lowered |= last < mark.last;
                mark.last = mark.last.min(last);
            }
        }
        if lowered { self.save() } else { Ok(()) }
    }

    /// After the sync.
    pub fn raise(&mut self, reaches: &[Reach]) {
        for reach in reaches {
            match *reach {
                Reach::Grown(group, last) => self.marks.entry(group).or_default().last = last,
                Reach::Vote(group, vote) => self.marks.entry(group).or_default().vote = Some(vote),
                Reach::Cut(group, last) => {
                    let mark = self.marks.entry(group).or_default();
                    mark.last = mark.last.min(last);
                }
                Reach::Same => continue,
            }
            self.behind = true;
        }
    }

    /// Writes the marks down if it is time, or `now`.
    pub fn note(&mut self, now: bool) {
        let due = now || self.noted.is_none_or(|noted| noted.elapsed() >= EVERY);
        if !self.behind || !due {
            return;
        }
        // A mark that is behind is weaker, not wrong.
        if let Err(error) = self.save() {
            warn!(%error, folder = %self.folder.display(), "Cannot note how far the log reaches");
        }
    }

    fn save(&mut self) -> io::Result<()> {
        self.noted = Some(Instant::now());
        let mark = |(group, mark): (&GroupId, &Mark)| v1::LogMark {
            group: group.0,
            last: mark.last,
            vote: mark.vote.as_ref().map(wire::vote),
        };
        let content = v1::LogMarks { marks: self.marks.iter().map(mark).collect() }.encode_to_vec();
        let unfinished = self.folder.join("watermark.unfinished");
        let mut file = File::create(&unfinished)?;
        file.write_all(&crc32fast::hash(&content).to_le_bytes())?;
        file.write_all(&content)?;
        file.sync_all()?;
        fs::rename(&unfinished, path(&self.folder))?;
        File::open(&self.folder)?.sync_all()?;
        self.behind = false;
        Ok(())
    }
}

fn read(bytes: &[u8]) -> io::Result<BTreeMap<GroupId, Mark>> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the file watermark is damaged");
    let (checksum, content) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
    if crc32fast::hash(content) != u32::from_le_bytes(*checksum) {
        return Err(damaged());
    }
    let marks = v1::LogMarks::decode(content).map_err(|_| damaged())?.marks;
    let mark = |mark: v1::LogMark| {
        let vote = mark.vote.map(|vote| wire::read_vote(Some(vote))).transpose().map_err(|_| damaged())?;
        Ok((GroupId(mark.group), Mark { last: mark.last, vote }))
    };
    marks.into_iter().map(mark).collect()
}

fn path(folder: &Path) -> PathBuf {
    folder.join("watermark")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: GroupId = GroupId(3);

    #[test]
    fn the_mark_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut watermark = Watermark::open(folder.path()).unwrap();
        watermark.raise(&[Reach::Grown(GROUP, 40), Reach::Vote(GROUP, Vote::new(2, 1))]);
        watermark.note(true);

        let watermark = Watermark::open(folder.path()).unwrap();

        assert_eq!(watermark.marks()[&GROUP], Mark { last: 40, vote: Some(Vote::new(2, 1)) });
    }

    #[test]
    fn a_cut_lowers_the_mark_on_the_disk_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut watermark = Watermark::open(folder.path()).unwrap();
        watermark.raise(&[Reach::Grown(GROUP, 40)]);
        watermark.note(true);

        watermark.lower(&[Reach::Cut(GROUP, 30)]).unwrap();

        assert_eq!(Watermark::open(folder.path()).unwrap().marks()[&GROUP].last, 30);
    }

    #[test]
    fn a_mark_is_never_ahead_of_what_is_written_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut watermark = Watermark::open(folder.path()).unwrap();
        let round = [Reach::Grown(GROUP, 50), Reach::Cut(GROUP, 40)];

        watermark.lower(&round).unwrap();
        watermark.raise(&round);

        assert_eq!(watermark.marks()[&GROUP].last, 40);
    }

    #[test]
    fn marks_that_follow_each_other_closely_are_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut watermark = Watermark::open(folder.path()).unwrap();
        for last in 1..100 {
            watermark.raise(&[Reach::Grown(GROUP, last)]);
            watermark.note(false);
        }

        assert_eq!(Watermark::open(folder.path()).unwrap().marks()[&GROUP].last, 1);
    }

    #[test]
    fn a_damaged_mark_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("watermark"), b"nonsense").unwrap();

        assert!(Watermark::open(folder.path()).is_err());
    }
}
