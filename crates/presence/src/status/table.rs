//! The one table of statuses: a row each, the one that outweighs the others first.

use super::{Dialog, Led, Status};
use crate::format::pidf::Basic;

pub(super) struct Row {
    pub status: Status,
    pub name: &'static str,
    /// What else people and programs call it; with `name` these are all names of Alceo's and Grandstream's.
    pub aliases: &'static [&'static str],
    /// Asterisk's CustomPresence states, which Digium's phones are sent; the first is the one we say.
    pub asterisk: &'static [&'static str],
    /// What snom's phones write into the note.
    pub snom: &'static [&'static str],
    /// Availabilities and activities of Microsoft Graph that mean it.
    pub graph_names: &'static [&'static str],
    /// The RPID activities that mean it in a document whose basic is this row's; in others the row that has the
    /// activity too is meant.
    pub activities: &'static [&'static str],

    pub basic: Basic,
    pub activity: Activity,
    pub note: Option<&'static str>,
    pub dialog: Option<Dialog>,
    pub led: Led,
    pub digit: Option<char>,
    /// Availability and activity.
    pub graph: (&'static str, &'static str),
}

/// How `<rpid:activities>` tells the status.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Activity {
    /// Not at all: the basic status does.
    Nothing,
    Named(&'static str),
    /// RPID has no name for it: `<rpid:other>` with this text, or with the person's own comment.
    Other(Option<&'static str>),
    /// It is nothing that a person does: the note of the row, without an activity.
    Note,
}

pub(super) const TABLE: [Row; 9] = [
    Row {
        status: Status::DoNotDisturb,
        name: "donotdisturb",
        aliases: &["dnd"],
        asterisk: &["dnd"],
        snom: &["Dnd_All"],
        graph_names: &["DoNotDisturb", "Presenting", "UrgentInterruptionsOnly", "Focusing"],
        activities: &["busy"],
        basic: Basic::Closed,
        activity: Activity::Named("busy"),
        note: Some("Do not disturb"),
        dialog: None,
        led: Led::Red,
        digit: Some('5'),
        graph: ("DoNotDisturb", "DoNotDisturb"),
    },
    Row {
        status: Status::Ringing,
        name: "ringing",
        aliases: &["early", "alerting"],
        asterisk: &[],
        snom: &[],
        graph_names: &[],
        activities: &[],
        basic: Basic::Open,
        activity: Activity::Note,
        note: Some("Ringing"),
        dialog: Some(Dialog::Early),
        led: Led::BlinkingRed,
        digit: None,
        graph: ("Busy", "InACall"),
    },
    Row {
        status: Status::OnThePhone,
        name: "on-the-phone",
        aliases: &["busy", "on_a_call", "phone"],
        asterisk: &[],
        snom: &["In_A_Call"],
        graph_names: &["InACall", "Busy", "BusyIdle"],
        activities: &["on-the-phone", "busy"],
        basic: Basic::Open,
        activity: Activity::Named("on-the-phone"),
        note: Some("On the phone"),
        dialog: Some(Dialog::Confirmed),
        led: Led::Red,
        digit: None,
        graph: ("Busy", "InACall"),
    },
    Row {
        status: Status::InConference,
        name: "in-conference",
        aliases: &["conference", "in_a_conference"],
        asterisk: &[],
        snom: &[],
        graph_names: &["InAConferenceCall", "InAMeeting"],
        activities: &["meeting", "appointment", "presentation"],
        basic: Basic::Open,
        activity: Activity::Named("meeting"),
        note: None,
        dialog: Some(Dialog::Confirmed),
        led: Led::Red,
        digit: None,
        graph: ("Busy", "InAConferenceCall"),
    },
    Row {
        status: Status::Custom,
        name: "custom",
        aliases: &["other"],
        asterisk: &[],
        snom: &[],
        graph_names: &[],
        activities: &["other"],
        basic: Basic::Open,
        activity: Activity::Other(None),
        note: None,
        dialog: None,
        led: Led::Green,
        digit: Some('6'),
        graph: ("Available", "Available"),
    },
    Row {
        status: Status::Chat,
        name: "chat",
        aliases: &["im", "chat_only"],
        asterisk: &["chat"],
        snom: &[],
        graph_names: &[],
        activities: &[],
        basic: Basic::Open,
        activity: Activity::Other(Some("chat")),
        note: None,
        dialog: None,
        led: Led::Red,
        digit: Some('4'),
        graph: ("Busy", "Busy"),
    },
    Row {
        status: Status::Away,
        name: "away",
        aliases: &["extended_away", "idle", "lunch", "brb"],
        asterisk: &["away", "xa"],
        snom: &["Forwarded"],
        graph_names: &["Away", "AvailableIdle", "BeRightBack", "Inactive", "OutOfOffice"],
        activities: &[
            "away",
            "breakfast",
            "dinner",
            "holiday",
            "in-transit",
            "meal",
            "performance",
            "playing",
            "shopping",
            "sleeping",
            "spectator",
            "steering",
            "travel",
            "tv",
            "vacation",
            "worship",
        ],
        basic: Basic::Open,
        activity: Activity::Named("away"),
        note: None,
        dialog: None,
        led: Led::Green,
        digit: Some('3'),
        graph: ("Away", "Away"),
    },
    Row {
        status: Status::Available,
        name: "available",
        aliases: &["open", "online", "free", "ready"],
        asterisk: &["available"],
        snom: &["Available"],
        graph_names: &["Available"],
        activities: &["working", "looking-for-work"],
        basic: Basic::Open,
        activity: Activity::Nothing,
        note: Some("Available"),
        dialog: Some(Dialog::Terminated),
        led: Led::Green,
        digit: Some('2'),
        graph: ("Available", "Available"),
    },
    Row {
        status: Status::Unreachable,
        name: "unreachable",
        aliases: &["unavailable", "closed", "invisible"],
        asterisk: &["unavailable"],
        snom: &["Offline"],
        graph_names: &["Offline", "OffWork"],
        activities: &["permanent-absence"],
        basic: Basic::Closed,
        activity: Activity::Nothing,
        note: Some("Offline"),
        dialog: None,
        led: Led::Off,
        digit: Some('1'),
        graph: ("Offline", "OffWork"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::vocabulary;

    #[test]
    fn the_rows_stand_in_the_order_of_the_statuses() {
        for (position, row) in TABLE.iter().enumerate() {
            assert_eq!(row.status as usize, position);
        }
    }

    #[test]
    fn every_activity_of_rpid_means_one_status_per_basic() {
        for activity in vocabulary::activities() {
            let rows: Vec<_> = TABLE.iter().filter(|row| row.activities.contains(&activity)).collect();
            let open = rows.iter().filter(|row| row.basic == Basic::Open).count();
            assert!(open <= 1 && rows.len() - open <= 1 && !rows.is_empty(), "{activity}");
        }
        for activity in TABLE.iter().flat_map(|row| row.activities) {
            assert!(vocabulary::is_activity(activity), "{activity}");
        }
    }
}
