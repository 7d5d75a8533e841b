//! A history as a table for spreadsheets (RFC 4180).
//!
//! What strangers wrote must not run as a formula where the table is opened: a cell that would begin one gets an
//! apostrophe in front, which spreadsheets take for "this is text". Programs that need every byte ask for JSON.

use crate::json::Change;

const HEAD: [&str; 8] = ["position", "at", "source", "what", "status", "basic", "activities", "note"];

pub fn table(changes: &[Change]) -> String {
    let mut text = HEAD.join(",") + "\r\n";
    for change in changes {
        let Change { position, at, source, what, status, basic, activities, note } = change;
        let activities = activities.join(" ");
        let cells = [position, at, source, what, status, basic, &activities, note];
        text += &cells.map(|cell| quoted(cell)).join(",");
        text += "\r\n";
    }
    text
}

fn quoted(cell: &str) -> String {
    let text =
        if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell.to_owned() };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_where_it_must_be_and_never_a_formula() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a, \"b\"\nc"), "\"a, \"\"b\"\"\nc\"");
        assert_eq!(quoted("=HYPERLINK(\"http://evil\")"), "\"'=HYPERLINK(\"\"http://evil\"\")\"");
        assert_eq!(quoted("+4930123"), "'+4930123");
    }

    #[test]
    fn every_change_is_one_row_under_its_head() {
        let change = Change {
            position: "7.0".into(),
            at: "2026-03-01T00:00:00.000Z".into(),
            source: "portal".into(),
            what: "said".into(),
            status: "away".into(),
            basic: "open".into(),
            activities: vec!["away".into(), "meal".into()],
            note: "Lunch, later".into(),
        };

        let expected = "position,at,source,what,status,basic,activities,note\r\n\
                        7.0,2026-03-01T00:00:00.000Z,portal,said,away,open,away meal,\"Lunch, later\"\r\n";
        assert_eq!(table(&[change]), expected);
    }
}
