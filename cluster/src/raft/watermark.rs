//! How far each log reaches, noted outside the store.
//!
//! A store whose end was torn off opens without a word, as if its last records had never been written: sled cannot
//! tell them from a write that a power cut interrupted. Such a node would vote on records that it promised to keep.
//! So a log that ends before its mark, or has another record there, is refused. A mark is never ahead of the disk: it
//! is raised after a sync, and lowered before records are cut off.
//!
//! It is noted twice, in a folder of its own. `latest` is overwritten in place before anyone is told that a write is
//! done, without a sync: after a crash of the process it is exact. `synced` follows about once a second: that is what a
//! power cut leaves for certain.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use placement::GroupId;
use prost::Message;
use proto::v1;
use tracing::warn;

use super::{LogId, Vote, wire};

const EVERY: Duration = Duration::from_secs(1);
const LATEST: &str = "latest";
const SYNCED: &str = "synced";

pub struct Watermark {
    folder: PathBuf,
    latest: File,
    marks: BTreeMap<GroupId, Mark>,
    /// The synced file says less than `marks`.
    behind: bool,
    noted: Option<Instant>,
}

/// What the store of a group holds at least.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mark {
    pub last: Option<LogId>,
    pub vote: Option<Vote>,
}

/// What a write does to the reach of a group's log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reach {
    Grown(GroupId, Option<LogId>),
    Cut(GroupId, Option<LogId>),
    Vote(GroupId, Vote),
    Same,
}

impl Watermark {
    /// The marks of the node whose data lies in this folder.
    pub fn open(data: &Path) -> io::Result<Watermark> {
        let folder = data.join("watermark");
        fs::create_dir_all(&folder)?;
        File::open(data)?.sync_all()?;
        let mut marks = match fs::read(folder.join(SYNCED)) {
            Ok(bytes) => read(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        let path = folder.join(LATEST);
        let latest = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        // A power cut may have left anything in it: then the synced ones must do.
        for (group, mark) in read(&fs::read(&path)?).unwrap_or_default() {
            marks.entry(group).or_default().rise(mark);
        }
        Ok(Watermark { folder, latest, marks, behind: false, noted: None })
    }

    pub fn marks(&self) -> &BTreeMap<GroupId, Mark> {
        &self.marks
    }

    /// Before the write: what is about to be cut off must not be asked for.
    pub fn lower(&mut self, reaches: &[Reach]) -> io::Result<()> {
        let mut lowered = false;
        for reach in reaches {
            if let Reach::Cut(group, last) = *reach {
                lowered |= self.marks.entry(group).or_default().cut(last);
            }
        }
        if !lowered {
            return Ok(());
        }
        self.overwrite()?;
        self.latest.sync_data()?;
        self.save()
    }

    /// After the sync, and before anyone is told.
    pub fn raise(&mut self, reaches: &[Reach]) -> io::Result<()> {
        let mut changed = false;
        for reach in reaches {
            match *reach {
                Reach::Grown(group, last) => self.marks.entry(group).or_default().last = last,
                Reach::Vote(group, vote) => self.marks.entry(group).or_default().vote = Some(vote),
                Reach::Cut(group, last) => _ = self.marks.entry(group).or_default().cut(last),
                Reach::Same => continue,
            }
            changed = true;
        }
        if !changed {
            return Ok(());
        }
        self.behind = true;
        self.overwrite()
    }

    /// Brings the synced file up to date if it is time, or `now`.
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

    fn overwrite(&self) -> io::Result<()> {
        self.latest.write_all_at(&self.content(), 0)
    }

    fn save(&mut self) -> io::Result<()> {
        self.noted = Some(Instant::now());
        let unfinished = self.folder.join("unfinished");
        let mut file = File::create(&unfinished)?;
        file.write_all(&self.content())?;
        file.sync_all()?;
        fs::rename(&unfinished, self.folder.join(SYNCED))?;
        File::open(&self.folder)?.sync_all()?;
        self.behind = false;
        Ok(())
    }

    /// The marks behind their length and checksum: what an overwritten file holds beyond them counts for nothing.
    fn content(&self) -> Vec<u8> {
        let mark = |(group, mark): (&GroupId, &Mark)| v1::LogMark {
            group: group.0,
            last: mark.last.as_ref().map(wire::log_id),
            vote: mark.vote.as_ref().map(wire::vote),
        };
        let marks = v1::LogMarks { marks: self.marks.iter().map(mark).collect() }.encode_to_vec();
        let mut content = Vec::with_capacity(8 + marks.len());
        content.extend_from_slice(&crc32fast::hash(&marks).to_le_bytes());
        // A node holds a few groups, of some fifty bytes each.
        content.extend_from_slice(&(marks.len() as u32).to_le_bytes());
        content.extend_from_slice(&marks);
        content
    }
}

impl Mark {
    fn rise(&mut self, other: Mark) {
        let index = |last: Option<LogId>| last.map(|id| id.index);
        if index(other.last) > index(self.last) {
            self.last = other.last;
        }
        if other.vote > self.vote {
            self.vote = other.vote;
        }
    }

    /// Whether that changed anything.
    fn cut(&mut self, last: Option<LogId>) -> bool {
        let beyond = self.last.is_some_and(|held| last.is_none_or(|last| last.index < held.index));
        if beyond {
            self.last = last;
        }
        beyond
    }
}

fn read(bytes: &[u8]) -> io::Result<BTreeMap<GroupId, Mark>> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "the watermark is damaged");
    let (checksum, bytes) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
    let (len, bytes) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
    let content = bytes.get(..u32::from_le_bytes(*len) as usize).ok_or_else(damaged)?;
    if crc32fast::hash(content) != u32::from_le_bytes(*checksum) {
        return Err(damaged());
    }
    let marks = v1::LogMarks::decode(content).map_err(|_| damaged())?.marks;
    let mark = |mark: v1::LogMark| {
        let vote = mark.vote.map(|vote| wire::read_vote(Some(vote))).transpose().map_err(|_| damaged())?;
        Ok((GroupId(mark.group), Mark { last: mark.last.map(wire::read_log_id), vote }))
    };
    marks.into_iter().map(mark).collect()
}

#[cfg(test)]
mod tests {
    use openraft::CommittedLeaderId;

    use super::*;

    const GROUP: GroupId = GroupId(3);

    #[test]
    fn the_mark_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut watermark = Watermark::open(folder.path()).unwrap();
        watermark.raise(&[Reach::Grown(GROUP, id(40)), Reach::Vote(GROUP, Vote::new(2, 1))]).unwrap();

        let watermark = Watermark::open(folder.path()).unwrap();

        assert_eq!(watermark.marks()[&GROUP], Mark { last: id(40), vote: Some(Vote::new(2, 1)) });
    }

    #[test]
    fn whatever_a_power_cut_makes_of_the_latest_marks_the_synced_ones_count() {
        let folder = tempfile::tempdir().unwrap();
        let mut watermark = Watermark::open(folder.path()).unwrap();
        watermark.raise(&[Reach::Grown(GROUP, id(40))]).unwrap();
        let older = fs::read(latest(&folder)).unwrap();
        watermark.raise(&[Reach::Grown(GROUP, id(50))]).unwrap();
        watermark.note(true);

        for left in [b"".as_slice(), b"nonsense that is long enough", &older[..7], &older] {
            fs::write(latest(&folder), left).unwrap();

            assert_eq!(Watermark::open(folder.path()).unwrap().marks()[&GROUP].last, id(50));
        }
    }

    #[test]
    fn a_cut_lowers_every_mark_on_the_disk_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut watermark = Watermark::open(folder.path()).unwrap();
        watermark.raise(&[Reach::Grown(GROUP, id(40))]).unwrap();
        watermark.note(true);

        watermark.lower(&[Reach::Cut(GROUP, id(30))]).unwrap();

        assert_eq!(Watermark::open(folder.path()).unwrap().marks()[&GROUP].last, id(30));
        fs::remove_file(latest(&folder)).unwrap();
        assert_eq!(Watermark::open(folder.path()).unwrap().marks()[&GROUP].last, id(30));
    }

    #[test]
    fn a_mark_is_never_ahead_of_what_is_written_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut watermark = Watermark::open(folder.path()).unwrap();
        let round = [Reach::Grown(GROUP, id(50)), Reach::Cut(GROUP, id(40))];

        watermark.lower(&round).unwrap();
        watermark.raise(&round).unwrap();

        assert_eq!(watermark.marks()[&GROUP].last, id(40));
    }

    #[test]
    fn marks_that_follow_each_other_closely_are_synced_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut watermark = Watermark::open(folder.path()).unwrap();
        for last in 1..100 {
            watermark.raise(&[Reach::Grown(GROUP, id(last))]).unwrap();
            watermark.note(false);
        }

        let synced = read(&fs::read(folder.path().join("watermark/synced")).unwrap()).unwrap();
        assert_eq!(synced[&GROUP].last, id(1));
    }

    #[test]
    fn a_damaged_mark_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("watermark")).unwrap();
        fs::write(folder.path().join("watermark/synced"), b"nonsense").unwrap();

        assert!(Watermark::open(folder.path()).is_err());
    }

    fn latest(data: &tempfile::TempDir) -> PathBuf {
        data.path().join("watermark/latest")
    }

    fn id(index: u64) -> Option<LogId> {
        Some(LogId::new(CommittedLeaderId::new(2, 1), index))
    }
}
