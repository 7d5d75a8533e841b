//! The statuses a person can be given by name: by an API, a portal, a feature code, a phone.
//!
//! A status is more than open or closed, and every watcher must see as much of it as it understands: the PIDF
//! `basic`, an RPID activity and a note always go together. One table says which, and what the status is called in
//! each product that feeds us or is fed by us. Nobody must have one: whoever sets none is available while anything of
//! theirs can be reached (see `compositor`).

mod contact;
mod document;
mod names;
mod table;

use crate::format::pidf::Basic;

pub use contact::{AltContact, BadContact};

/// A canonical status, the one that outweighs the others first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    DoNotDisturb,
    Ringing,
    OnThePhone,
    InConference,
    /// Whatever the comment says.
    Custom,
    /// Reachable by text, not by voice.
    Chat,
    Away,
    Available,
    Unreachable,
}

/// What a lamp beside a name does (Grandstream's presence keys; red for calls as a busy lamp field has it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Led {
    Red,
    BlinkingRed,
    Green,
    Off,
}

/// What a watcher of `dialog` sees (RFC 4235 section 3.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialog {
    Early,
    Confirmed,
    Terminated,
}

impl Status {
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Whether a person of this status takes communication of some kind.
    pub fn basic(self) -> Basic {
        self.row().basic
    }

    pub fn led(self) -> Led {
        self.row().led
    }

    /// The state of the call that goes with the status; `None` if it says nothing of calls.
    pub fn dialog(self) -> Option<Dialog> {
        self.row().dialog
    }

    /// The key that sets it in Grandstream's voice menu.
    pub fn digit(self) -> Option<char> {
        self.row().digit
    }

    /// The CustomPresence state of Asterisk, which knows no calls.
    pub fn asterisk(self) -> Option<&'static str> {
        self.row().asterisk.first().copied()
    }

    /// Availability and activity as Microsoft Graph takes them.
    pub fn graph(self) -> (&'static str, &'static str) {
        self.row().graph
    }

    /// Whether it has to be said: that somebody is available or not shows in what of theirs is open.
    pub(crate) fn is_said(self) -> bool {
        self < Status::Available
    }

    fn row(self) -> &'static table::Row {
        // The rows stand in the order of the variants; a test holds them to it.
        &table::TABLE[self as usize]
    }
}
