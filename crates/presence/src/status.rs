//! The statuses a person can be given by name: by an API, a portal, a feature code.
//!
//! A status is more than open or closed, and every watcher must see as much of it as it understands: the PIDF
//! `basic`, an RPID activity and a note always go together. One table says which.

use crate::format::markup::Namespace;
use crate::format::page::Page;
use crate::format::pidf::{Basic, Contact, Note};
use crate::format::simple::Simple;

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

/// What is known of a status.
struct Row {
    status: Status,
    name: &'static str,
    /// Other names it goes by in the products that feed us; compared as `name` is.
    aliases: &'static [&'static str],
    basic: Basic,
    activity: Option<&'static str>,
    note: Option<&'static str>,
}

const TABLE: &[Row] = &[
    Row {
        status: Status::DoNotDisturb,
        name: "donotdisturb",
        aliases: &["dnd", "dnd_all"],
        basic: Basic::Closed,
        activity: Some("busy"),
        note: Some("Do not disturb"),
    },
    Row {
        status: Status::Ringing,
        name: "ringing",
        aliases: &["early", "alerting"],
        basic: Basic::Open,
        activity: None,
        note: Some("Ringing"),
    },
    Row {
        status: Status::OnThePhone,
        name: "on-the-phone",
        aliases: &["busy", "in_a_call", "on_a_call", "phone"],
        basic: Basic::Open,
        activity: Some("on-the-phone"),
        note: Some("On the phone"),
    },
    Row {
        status: Status::InConference,
        name: "in-conference",
        aliases: &["conference", "meeting", "in_a_meeting", "in_a_conference", "in_a_conference_call"],
        basic: Basic::Open,
        activity: Some("meeting"),
        note: None,
    },
    Row {
        status: Status::Custom,
        name: "custom",
        aliases: &["other"],
        basic: Basic::Open,
        activity: Some("other"),
        note: None,
    },
    Row {
        status: Status::Chat,
        name: "chat",
        aliases: &["im", "chat_only"],
        basic: Basic::Open,
        activity: Some("other"),
        note: None,
    },
    Row {
        status: Status::Away,
        name: "away",
        aliases: &["xa", "extended_away", "idle", "lunch", "meal", "brb", "be_right_back"],
        basic: Basic::Open,
        activity: Some("away"),
        note: None,
    },
    Row {
        status: Status::Available,
        name: "available",
        aliases: &["open", "online", "free", "ready"],
        basic: Basic::Open,
        activity: None,
        note: Some("Available"),
    },
    Row {
        status: Status::Unreachable,
        name: "unreachable",
        aliases: &["unavailable", "offline", "closed", "invisible"],
        basic: Basic::Closed,
        activity: None,
        note: Some("Offline"),
    },
];

impl Status {
    /// Finds a status by its name or an alias; case, blanks, `-` and `_` make no difference.
    pub fn parse(name: &str) -> Option<Status> {
        let goes_by = |row: &&Row| same(row.name, name) || row.aliases.iter().any(|alias| same(alias, name));
        TABLE.iter().find(goes_by).map(|row| row.status)
    }

    /// The canonical names, to say what would have been understood.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|row| row.name)
    }

    /// The status that a feature code's digit means, as in a Grandstream UCM's voice menu.
    pub fn from_digit(digit: char) -> Option<Status> {
        Some(match digit {
            '1' => Status::Unreachable,
            '2' => Status::Available,
            '3' => Status::Away,
            '4' => Status::Chat,
            '5' => Status::DoNotDisturb,
            '6' => Status::Custom,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Whether a person of this status takes communication of some kind.
    pub fn basic(self) -> Basic {
        self.row().basic
    }

    /// The PIDF document that says so, with a comment of the person's own if there is one.
    pub fn document(self, entity: &str, comment: Option<&str>) -> Vec<u8> {
        let row = self.row();
        let comment = comment.map(str::trim).filter(|comment| !comment.is_empty());
        let text = match (row.note, comment) {
            (Some(note), Some(comment)) => Some(format!("{note}: {comment}")),
            (note, comment) => note.or(comment).map(str::to_owned),
        };
        let note = text.map(|text| Note { text: text.into(), language: None });
        let mut page = Page::default();
        match self {
            Status::Chat => {
                write_tuple(&mut page, "text", Basic::Open, TEXT, entity, note.as_ref());
                write_tuple(&mut page, "voice", Basic::Closed, VOICE, entity, None);
            }
            _ => write_tuple(&mut page, "status", row.basic, &[], entity, note.as_ref()),
        }
        if let Some(activity) = row.activity {
            let detail = if self == Status::Chat { Some("chat") } else { comment };
            write_person(&mut page, activity, detail, note.as_ref());
        }
        page.finish(entity).to_vec()
    }

    fn row(self) -> &'static Row {
        // The rows stand in the order of the variants; a test holds them to it.
        &TABLE[self as usize]
    }
}

/// The capabilities (RFC 5196) that tell the two services of a chat status apart.
const TEXT: &[(&str, &str)] = &[("audio", "false"), ("message", "true")];
const VOICE: &[(&str, &str)] = &[("audio", "true"), ("message", "false")];

fn write_tuple(
    page: &mut Page,
    id: &str,
    basic: Basic,
    capabilities: &[(&str, &str)],
    entity: &str,
    note: Option<&Note>,
) {
    page.markup("<tuple");
    page.attribute("id", id);
    page.markup("><status>");
    page.simple(Namespace::Pidf, "basic", basic.as_str());
    page.markup("</status>");
    if !capabilities.is_empty() {
        page.open(Namespace::Caps, "servcaps");
        for (name, value) in capabilities {
            page.simple(Namespace::Caps, name, value);
        }
        page.close(Namespace::Caps, "servcaps");
    }
    if Simple::AnyUri.admits(entity) {
        Contact { uri: entity.into(), priority: None }.write(page);
    }
    if let Some(note) = note {
        note.write(page, Namespace::Pidf);
    }
    page.markup("</tuple>\n");
}

fn write_person(page: &mut Page, activity: &str, detail: Option<&str>, note: Option<&Note>) {
    page.markup("<");
    page.name(Namespace::DataModel, "person");
    page.attribute("id", "person");
    page.markup(">");
    page.open(Namespace::Rpid, "activities");
    match activity {
        "other" => page.simple(Namespace::Rpid, activity, detail.unwrap_or_default()),
        _ => page.empty(Namespace::Rpid, activity),
    }
    page.close(Namespace::Rpid, "activities");
    // Some phones show the person's note, some the tuple's.
    if let Some(note) = note {
        note.write(page, Namespace::DataModel);
    }
    page.close(Namespace::DataModel, "person");
    page.markup("\n");
}

fn same(one: &str, other: &str) -> bool {
    letters(one).eq(letters(other))
}

fn letters(name: &str) -> impl Iterator<Item = u8> {
    let kept = name.trim().bytes().filter(|letter| !matches!(letter, b' ' | b'-' | b'_'));
    kept.map(|letter| letter.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compositor::{Contribution, compose};

    const ALICE: &str = "sip:alice@lab.test";

    fn seen(status: Status, comment: Option<&str>) -> (Basic, Vec<String>, Vec<String>) {
        let document = status.document(ALICE, comment);
        let contribution = Contribution { scope: "api", newest: 1, document: &document };
        let composed = compose(ALICE, &[contribution], true);
        (composed.basic, composed.activities, composed.notes)
    }

    #[test]
    fn the_rows_stand_in_the_order_of_the_statuses() {
        for (position, row) in TABLE.iter().enumerate() {
            assert_eq!(row.status as usize, position);
        }
    }

    #[test]
    fn every_name_and_alias_means_one_status() {
        let mut known: Vec<&str> = Vec::new();
        for row in TABLE {
            for name in row.aliases.iter().chain([&row.name]) {
                assert_eq!(Status::parse(name), Some(row.status), "{name}");
                assert!(known.iter().all(|other| !same(other, name)), "{name}");
                known.push(name);
            }
        }
    }

    #[test]
    fn names_are_understood_however_they_are_written() {
        for (name, status) in [
            ("DoNotDisturb", Status::DoNotDisturb),
            ("Do Not Disturb", Status::DoNotDisturb),
            ("DND", Status::DoNotDisturb),
            ("On_The_Phone", Status::OnThePhone),
            ("In_A_Call", Status::OnThePhone),
            ("Busy", Status::OnThePhone),
            ("InAMeeting", Status::InConference),
            ("be right back", Status::Away),
            (" Unavailable ", Status::Unreachable),
        ] {
            assert_eq!(Status::parse(name), Some(status), "{name}");
        }
        for unknown in ["", "-", "sleepy", "avail"] {
            assert_eq!(Status::parse(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_status_shows_as_basic_activity_and_note() {
        let rows: &[(Status, Basic, &[&str], &[&str])] = &[
            (Status::DoNotDisturb, Basic::Closed, &["busy"], &["Do not disturb"]),
            (Status::Ringing, Basic::Open, &[], &["Ringing"]),
            (Status::OnThePhone, Basic::Open, &["on-the-phone"], &["On the phone"]),
            (Status::InConference, Basic::Open, &["meeting"], &[]),
            (Status::Custom, Basic::Open, &["other"], &[]),
            (Status::Chat, Basic::Open, &["other"], &[]),
            (Status::Away, Basic::Open, &["away"], &[]),
            (Status::Available, Basic::Open, &[], &["Available"]),
            (Status::Unreachable, Basic::Closed, &[], &["Offline"]),
        ];
        for &(status, basic, activities, notes) in rows {
            let (seen_basic, seen_activities, seen_notes) = seen(status, None);
            assert_eq!((seen_basic, status.basic()), (basic, basic), "{status:?}");
            assert_eq!((seen_activities, seen_notes), (owned(activities), owned(notes)), "{status:?}");
        }
    }

    #[test]
    fn a_comment_is_appended_to_the_note_or_becomes_it() {
        assert_eq!(seen(Status::DoNotDisturb, Some("till 3")).2, ["Do not disturb: till 3"]);
        assert_eq!(seen(Status::Away, Some(" <lunch> & tea\u{0} ")).2, ["<lunch> & tea"]);
        assert_eq!(seen(Status::Custom, Some("In Meeting")).2, ["In Meeting"]);
        assert_eq!(seen(Status::Ringing, Some("  ")).2, ["Ringing"]);
    }

    #[test]
    fn whoever_chats_takes_text_and_no_calls() {
        let document = String::from_utf8(Status::Chat.document(ALICE, None)).unwrap();

        assert!(
            document.contains("<basic>open</basic></status><caps:servcaps><caps:audio>false"),
            "{document}"
        );
        assert!(
            document.contains("<basic>closed</basic></status><caps:servcaps><caps:audio>true"),
            "{document}"
        );
        assert!(document.contains("<rpid:other>chat</rpid:other>"), "{document}");
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| text.to_string()).collect()
    }
}
