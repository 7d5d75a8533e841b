//! What a composed document says, for those who do not read PIDF.

use bytes::Bytes;

use super::{Composed, SHOWN};
use crate::format::markup::{Namespace, Node};
use crate::format::pidf::{Basic, Note, Tuple};
use crate::said;
use crate::status::Status;

#[derive(Default)]
pub struct Summary {
    /// Whether a service that was written is open.
    pub open: bool,
    notes: Vec<String>,
    activities: Vec<String>,
}

impl Summary {
    pub fn basic(&self) -> Basic {
        if self.open { Basic::Open } else { Basic::Closed }
    }

    pub fn add_tuple(&mut self, tuple: Tuple) {
        tuple.notes().for_each(|note| self.add_note(&note));
        tuple.extensions().for_each(|extension| self.add_activities(extension));
    }

    pub fn add_note(&mut self, note: &Note) {
        if self.notes.len() < SHOWN && !self.notes.iter().any(|shown| *shown == note.text) {
            self.notes.push(note.text.clone().into_owned());
        }
    }

    pub fn add_activities(&mut self, element: Node) {
        if element.is(Namespace::Rpid, "activities") {
            said::named(element).for_each(|(name, _)| self.add_activity(Some(name)));
        }
    }

    pub fn add_activity(&mut self, name: Option<&str>) {
        let new = name.filter(|name| !self.activities.iter().any(|shown| shown == name));
        if self.activities.len() < SHOWN {
            self.activities.extend(new.map(str::to_owned));
        }
    }

    /// Who says no status is available as long as a service is open.
    pub fn finish(self, said: Option<Status>, document: Bytes) -> Composed {
        let basic = self.basic();
        let status = said.unwrap_or(match basic {
            Basic::Open => Status::Available,
            Basic::Closed => Status::Unreachable,
        });
        Composed { document, status, basic, notes: self.notes, activities: self.activities }
    }
}
