//! The names a status goes by, read: as people and programs write them, in phones' notes, in RPID.

use super::Status;
use super::table::{Activity, Row, TABLE};
use crate::format::pidf::Basic;

impl Status {
    /// Finds a status by any name in the table; case, blanks, `-` and `_` make no difference.
    pub fn parse(name: &str) -> Option<Status> {
        // A bare "busy" is a name, so what else that activity can mean is not asked.
        find(|row| names(row).any(|known| same(known, name)))
            .or_else(|| find(|row| row.activities.iter().any(|known| same(known, name))))
    }

    /// The canonical names, to say what would have been understood.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|row| row.name)
    }

    /// The status that a key of Grandstream's voice menu sets.
    pub fn from_digit(digit: char) -> Option<Status> {
        find(|row| row.digit == Some(digit))
    }

    /// Asterisk's CustomPresence; its `not_set` is no status.
    pub fn from_asterisk(state: &str) -> Option<Status> {
        find(|row| row.asterisk.contains(&state))
    }

    /// What a note says that a phone has written and not a person: a note of snom's, or one of ours with or without
    /// a comment.
    pub(crate) fn from_note(note: &str) -> Option<Status> {
        let note = note.trim();
        let ours = |row: &Row| row.note.and_then(|ours| note.strip_prefix(ours));
        find(|row| {
            row.snom.iter().any(|known| same(known, note))
                || ours(row).is_some_and(|rest| rest.is_empty() || rest.starts_with(": "))
        })
    }

    /// What an RPID activity says in a document that is open or closed, `text` being that of `<rpid:other>`.
    pub(crate) fn from_activity(name: &str, text: &str, basic: Basic) -> Option<Status> {
        let has = |row: &Row| row.activities.contains(&name);
        let other = |row: &Row| matches!(row.activity, Activity::Other(Some(known)) if same(known, text));
        find(|row| name == "other" && other(row))
            .or_else(|| find(|row| has(row) && row.basic == basic))
            .or_else(|| find(has))
    }
}

/// Whether `<rpid:other>` with this text means a status of its own.
pub(super) fn is_word_of_status(text: &str) -> bool {
    find(|row| matches!(row.activity, Activity::Other(Some(known)) if same(known, text))).is_some()
}

fn find(is: impl Fn(&Row) -> bool) -> Option<Status> {
    TABLE.iter().find(|row| is(row)).map(|row| row.status)
}

fn names(row: &Row) -> impl Iterator<Item = &'static str> {
    let of_products = [row.aliases, row.asterisk, row.snom, row.graph_names];
    of_products.into_iter().flatten().copied().chain([row.name])
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

    #[test]
    fn every_name_of_every_product_means_one_status() {
        for row in &TABLE {
            for name in names(row) {
                assert_eq!(Status::parse(name), Some(row.status), "{name}");
                let others = TABLE.iter().filter(|other| other.status != row.status);
                assert!(others.flat_map(names).all(|other| !same(other, name)), "{name}");
            }
        }
    }

    #[test]
    fn the_products_names_mean_what_their_makers_say() {
        let ucm = ["Unavailable", "Available", "Away", "Chat", "DND", "Custom"];
        for (digit, name) in ('1'..).zip(ucm) {
            let status = Status::parse(name).unwrap();
            assert_eq!((Status::from_digit(digit), status.digit()), (Some(status), Some(digit)), "{name}");
        }
        let alceo = [
            ("available", Status::Available),
            ("busy", Status::OnThePhone),
            ("ringing", Status::Ringing),
            ("donotdisturb", Status::DoNotDisturb),
            ("unreachable", Status::Unreachable),
        ];
        let snom = [
            ("Offline", Status::Unreachable),
            ("Available", Status::Available),
            ("In_A_Call", Status::OnThePhone),
            ("Forwarded", Status::Away),
            ("Dnd_All", Status::DoNotDisturb),
        ];
        for (name, status) in alceo.into_iter().chain(snom) {
            assert_eq!(Status::parse(name), Some(status), "{name}");
        }
        for (note, status) in snom {
            assert_eq!(Status::from_note(note), Some(status), "{note}");
        }
        for key in ['0', '7', '*', '１'] {
            assert_eq!(Status::from_digit(key), None, "{key}");
        }
    }

    #[test]
    fn asterisk_is_told_the_state_that_it_would_tell() {
        for state in ["unavailable", "available", "away", "chat", "dnd"] {
            assert_eq!(Status::from_asterisk(state).unwrap().asterisk(), Some(state));
        }
        assert_eq!(Status::from_asterisk("xa"), Some(Status::Away));
        for none in ["not_set", "", "invalid", "DND"] {
            assert_eq!(Status::from_asterisk(none), None, "{none}");
        }
    }

    #[test]
    fn graph_is_told_what_it_would_tell_unless_it_has_no_such_thing() {
        for status in Status::names().filter_map(Status::parse) {
            let (availability, activity) = status.graph();
            let told = match status {
                Status::Ringing => Status::OnThePhone,
                Status::Chat => Status::OnThePhone,
                Status::Custom => Status::Available,
                status => status,
            };
            assert_eq!(Status::parse(activity), Some(told), "{activity}");
            assert!(Status::parse(availability).is_some(), "{availability}");
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
            ("meeting", Status::InConference),
            ("be right back", Status::Away),
            ("Vacation", Status::Away),
            (" Unavailable ", Status::Unreachable),
        ] {
            assert_eq!(Status::parse(name), Some(status), "{name}");
        }
        for unknown in ["", "-", "sleepy", "avail", "not_set", "unknown"] {
            assert_eq!(Status::parse(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_note_is_a_status_only_in_the_words_of_a_phone() {
        for (note, status) in [
            ("On the phone", Status::OnThePhone),
            (" Ringing\n", Status::Ringing),
            ("Do not disturb: till 3", Status::DoNotDisturb),
            ("dnd_all", Status::DoNotDisturb),
        ] {
            assert_eq!(Status::from_note(note), Some(status), "{note}");
        }
        for free in ["", "busy", "in a meeting", "Ringing all day", "chat", "lunch", "On the phone:"] {
            assert_eq!(Status::from_note(free), None, "{free}");
        }
    }

    #[test]
    fn busy_is_do_not_disturb_where_nothing_is_open() {
        assert_eq!(Status::from_activity("busy", "", Basic::Closed), Some(Status::DoNotDisturb));
        assert_eq!(Status::from_activity("busy", "", Basic::Open), Some(Status::OnThePhone));
        assert_eq!(Status::from_activity("meeting", "", Basic::Closed), Some(Status::InConference));
        assert_eq!(Status::from_activity("other", " Chat", Basic::Open), Some(Status::Chat));
        assert_eq!(Status::from_activity("other", "chatting", Basic::Open), Some(Status::Custom));
        assert_eq!(Status::from_activity("unknown", "", Basic::Open), None);
    }
}
