//! The header lines of one message, in order, with what answers most questions about them at once: which names are
//! there at all, and which more than once.

use crate::header::Name;
use crate::wire::Span;

/// One header line; the spans count from the start of the message.
pub(crate) struct Line {
    pub name: Name,
    /// From the name's first byte to just behind the line's CRLF.
    pub whole: Span,
    pub name_end: u32,
    pub value: Span,
}

pub(crate) struct Lines {
    all: Vec<Line>,
    present: Names,
    repeated: Names,
}

/// A set of names.
#[derive(Clone, Copy, Default)]
pub(crate) struct Names(u64);

/// Lines that most messages have.
const TYPICAL: usize = 20;

impl Lines {
    pub fn new() -> Lines {
        Lines { all: Vec::with_capacity(TYPICAL), present: Names::default(), repeated: Names::default() }
    }

    pub fn push(&mut self, line: Line) {
        if self.present.holds(line.name) {
            self.repeated.insert(line.name);
        }
        self.present.insert(line.name);
        self.all.push(line);
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Line> {
        self.all.iter()
    }

    /// The lines of one name; nothing is looked through for a name that is not there.
    pub fn of(&self, name: Name) -> impl Iterator<Item = &Line> {
        let all = if self.present.holds(name) { &self.all[..] } else { &[] };
        all.iter().filter(move |line| line.name == name)
    }

    pub fn first(&self, name: Name) -> Option<&Line> {
        self.of(name).next()
    }

    /// Whether several lines have this name.
    pub fn repeats(&self, name: Name) -> bool {
        self.repeated.holds(name)
    }
}

impl Names {
    pub fn insert(&mut self, name: Name) {
        self.0 |= 1 << name as u8;
    }

    pub fn holds(self, name: Name) -> bool {
        self.0 & (1 << name as u8) != 0
    }
}

// Every name has its bit.
const _: () = assert!((Name::Other as u8) < 64);
