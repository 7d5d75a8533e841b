//! What a document says, in short: for the history, which every replica keeps, so it is cut to bounds here.
//!
//! This is done once, where the command is made: what a build reads out of a document must not decide what a replica holds.

use bytes::Bytes;
use presence::format::pidf::Basic;
use presence::said::{Said, said};
use presence::status::Status;
use prost::Message as _;
use proto::v1;
use proto::v1::command::Kind;

/// The longest note, in bytes, and the most activities; the rest is left out.
const NOTE: usize = 256;
const ACTIVITIES: usize = 8;

/// Adds to a command what the history needs and it has not yet: that it is kept for so many seconds, and what a source
/// says. (What a phone says was found when its body was checked.)
pub(crate) fn with_history(mut command: Kind, keep: u32) -> Kind {
    match &mut command {
        Kind::Publish(publish) => publish.keep = keep,
        Kind::SetSource(source) => {
            source.keep = keep;
            if !source.document.is_empty() {
                source.said = in_short(&said(&source.document));
            }
        }
        _ => {}
    }
    command
}

/// As the command has it.
pub(crate) fn in_short(said: &Said) -> Bytes {
    let said = v1::Said {
        status: said.status.map(Status::name).unwrap_or_default().to_owned(),
        open: said.basic.map(|basic| basic == Basic::Open),
        activities: said.activities.iter().take(ACTIVITIES).cloned().collect(),
        note: said.note.as_deref().map(cut).unwrap_or_default().to_owned(),
    };
    said.encode_to_vec().into()
}

/// Whole characters only.
fn cut(note: &str) -> &str {
    &note[..note.floor_char_boundary(NOTE)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(command: Kind) -> v1::Said {
        match with_history(command, 60) {
            Kind::SetSource(source) => v1::Said::decode(source.said).unwrap(),
            other => panic!("not a source: {other:?}"),
        }
    }

    #[test]
    fn a_source_is_told_by_its_status_with_what_it_shows() {
        let document = Status::document(Some(Status::Away), "sip:alice@lab.test", Some("Lunch"), &[]);
        let source = v1::SetSource { document: document.into(), ..v1::SetSource::default() };

        let said = kept(Kind::SetSource(source));

        assert_eq!((&*said.status, said.open, &*said.note), ("away", Some(true), "Lunch"));
        assert_eq!(said.activities, ["away"]);
    }

    #[test]
    fn what_is_removed_says_nothing() {
        assert_eq!(kept(Kind::SetSource(v1::SetSource::default())), v1::Said::default());
    }

    #[test]
    fn a_note_is_cut_where_a_character_ends_and_activities_where_there_are_too_many() {
        let said =
            |note: String| Said { note: Some(note), activities: vec!["away".into(); 9], ..Said::default() };
        let kept = |note| v1::Said::decode(in_short(&said(note))).unwrap();

        assert_eq!((kept("ä".repeat(200)).note.len(), kept("ä".repeat(200)).activities.len()), (256, 8));
        assert_eq!(kept(format!("x{}", "ä".repeat(200))).note.len(), 255);
        assert_eq!(kept("short".into()).note, "short");
    }
}
